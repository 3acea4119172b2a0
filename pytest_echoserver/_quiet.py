"""Waiting until nothing happens on the loop any more."""

from collections.abc import Callable

from ._sleep import sleep

QUIET_TURNS = 5
"""So many turns of the loop without anything new in the records: what had arrived by then was read.

From a connection's being accepted to its first read there are three, and as many from a future to who awaits it.
"""


async def until_quiet(
    activity: Callable[[], int | None], goes_on: Callable[[], bool], turns: int = QUIET_TURNS
) -> bool:
    """Let the loop turn until ``activity`` gave the same for so many turns; false if ``goes_on`` ended it first.

    ``activity`` gives a count of all that has happened, or None while something is at work.
    """
    quiet, seen = 0, None
    while quiet < turns:
        if not goes_on():
            return False
        await sleep(0)
        now = activity()
        quiet = quiet + 1 if now is not None and now == seen else 0
        seen = now
    return True
