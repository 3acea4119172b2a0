"""Sleeping on a loop, by none of the names that tests replace.

Others of asyncio's are called by the modules that they are of, as `asyncio.tasks.ensure_future`: tests replace
`asyncio.ensure_future`.
"""

import asyncio
import types
from collections.abc import Callable, Generator


async def sleep(seconds: float) -> None:
    """Let so much time pass on the running loop; with 0, let it turn once. What `asyncio.sleep` does.

    A test of code that waits between two tries replaces `asyncio.sleep`, so as not to wait, and to see how long it
    would have been. That is for its own code: an engine that went by the same name wouldn't let its loop turn, and
    each of its sleeps would count as one of theirs. To keep the real one wouldn't do: this is loaded within a test.
    """
    if seconds <= 0:
        await _turn()
        return
    loop = asyncio.events.get_running_loop()
    over: asyncio.Future[None] = loop.create_future()
    timer = loop.call_later(seconds, _end, over)
    try:
        await over
    finally:
        timer.cancel()


async def let_turn(times: int, until: Callable[[], object] = lambda: False) -> None:
    """Let the running loop turn, so often at most, until there is what is waited for."""
    for _ in range(times):
        if until():
            return
        await _turn()


@types.coroutine
def _turn() -> Generator[None, None, None]:
    """A bare ``yield`` has a task go on with the loop's next turn."""
    yield


def _end(future: "asyncio.Future[None]") -> None:
    if not future.done():  # the task may just have been cancelled
        future.set_result(None)
