"""The end of a scope's programs, all at once: EOF, TERM, KILL; and those that left their group."""

import asyncio
import os
import signal
import sys
from collections.abc import Collection
from contextlib import suppress

from .._outcomes import raise_together
from .child import Child
from .escaped import Cookies, kill_escaped, told_process
from .group import living, signal_group, until_group_is_gone, within

GRACE = 2.0
"""Seconds from TERM to KILL at the end of a test, and again from KILL to giving up."""
AFTER_EOF = 0.5
"""Seconds that a program has to end by itself once its stdin, a pipe, was closed."""

PATIENCE = AFTER_EOF + 4 * GRACE

Told = dict[int, list[str]]
"""Processes as errors tell them, by the number of their program's cookie."""


class Ending:
    """The programs of one scope, and how they end."""

    def __init__(self) -> None:
        self.cookies = Cookies()
        self._children: list[Child] = []
        self._abandoned = False

    def add(self, child: Child) -> float:
        """End ``child`` with the others; gives the seconds that this adds to what `close` may take."""
        self._children.append(child)
        return PATIENCE if self._children[0] is child else 0.0

    async def close(self) -> None:
        """End all of them, newest first, and release what they hold. Called again it does nothing.

        Raises:
            RuntimeError: one had to be killed, or had left something outside its group, and that isn't expected;
                or something is there still.
            ExceptionGroup: several did.
        """
        children = self._children[::-1]
        try:
            await _after_eof(children)
            killed, left = await _end_groups(children)
            await within(GRACE, *(child.capture.exited for child in children))
            escaped, survivors = await kill_escaped(self.cookies, GRACE) if children and self.cookies else ({}, {})
        finally:
            for child in children:
                child.release()  # and kill what still runs, if this is cut short: its end is to be seen, too
            await within(GRACE, *(child.capture.exited for child in children))
        await within(GRACE, *(child.capture.complete for child in children))
        self._children = []  # only now: a close that the engine can't go on with is taken over by `abandon`
        errors = []
        for child in children:
            had_to_be_killed, had_left, is_left, is_left_outside = (
                told.get(child.cookie, []) for told in (killed, escaped, left, survivors)
            )
            complaints = _complaints(child, had_to_be_killed, had_left, is_left + is_left_outside)
            errors += [RuntimeError(f"{child.told} {text}") for text in complaints]
        raise_together(errors, "programs did not end as they should")

    def abandon(self) -> list[Exception]:
        """Kill all of them on this thread, at once, and what left their groups. Called again it does nothing.

        Either the engine is held up, or who waits for `close` is interrupted: then that goes on meanwhile, for as
        long as the engine runs. Gives an error for each that had to be killed, as it is told of an engine that is
        held up.
        """
        children = [] if self._abandoned or sys.platform == "win32" else self._children
        self._abandoned = True
        if not children:
            return []
        groups = living([child.pid for child in children if child.capture.leads_group])
        escaped = self._escaped(groups)  # before they are killed, for then nothing is to be told any more
        for pgid in groups:
            signal_group(pgid, signal.SIGKILL)
        self.cookies.kill(*(child.cookie for child in children))
        errors: list[Exception] = []
        for child in children:
            told = _complaints(child, [], escaped.get(child.cookie, []), [])
            if child.pid in groups:
                told.insert(0, "had to be killed: the engine, which would have ended it, is held up")
            errors += [RuntimeError(f"{child.told} {text}") for text in told]
        return errors

    def _escaped(self, groups: Collection[int]) -> Told:
        """Who has a cookie of theirs, and is in none of these groups."""
        told: Told = {}
        found, _ = self.cookies.found()
        for pid, number in found.items():
            with suppress(ProcessLookupError):
                if os.getpgid(pid) not in groups:
                    told.setdefault(number, []).append(told_process(pid))
        return told


async def _after_eof(children: list[Child]) -> None:
    reading = [child.capture.exited for child in children if child.close_stdin()]
    if reading:
        await within(AFTER_EOF, *reading)


async def _end_groups(children: list[Child]) -> tuple[Told, Told]:
    """End them by TERM, then KILL; give who had to be killed, and who is there all the same."""
    if sys.platform == "win32":
        for child in children:
            child.send_signal(signal.SIGTERM)
        return {}, {}
    groups = {child.pid: child for child in children if child.capture.leads_group}
    for child in groups.values():
        _ask_to_end(child)
    stubborn = await _until_ended(groups)
    killed = _told(stubborn, groups)  # before they are, for then nothing is to be told any more
    for pgid in stubborn:
        signal_group(pgid, signal.SIGKILL)
    left = await _until_ended({pgid: groups[pgid] for pgid in stubborn})
    return killed, _told(left, groups)


def _told(found: dict[int, list[int]], groups: dict[int, Child]) -> Told:
    return {groups[pgid].cookie: [told_process(pid) for pid in pids] for pgid, pids in found.items()}


def _ask_to_end(child: Child) -> None:
    signal_group(child.pid, signal.SIGTERM)
    if child.terminal is not None:  # a shell at a terminal ignores TERM, and ends with its terminal
        signal_group(child.pid, signal.SIGHUP)
    signal_group(child.pid, signal.SIGCONT)  # one that is stopped couldn't end


async def _until_ended(groups: dict[int, Child]) -> dict[int, list[int]]:
    """Wait until all of these groups are gone, at most `GRACE` seconds; give who lives in them still."""
    loop = asyncio.events.get_running_loop()
    deadline = loop.time() + GRACE
    await within(GRACE, *(child.capture.exited for child in groups.values()))
    return await until_group_is_gone(
        [pgid for pgid, child in groups.items() if child.capture.leads_group], max(0, deadline - loop.time())
    )


def _complaints(child: Child, killed: list[str], escaped: list[str], left: list[str]) -> list[str]:
    told = []
    if killed and not child.kill_expected:
        told.append(f"had to be killed: SIGTERM and {GRACE:g} s did not end {', '.join(killed)}")
    if escaped and not child.kill_expected:
        told.append(f"left behind what had left its process group, and had to be killed: {', '.join(escaped)}")
    told = [f"{text}; if that is meant to be, start it with kill_expected=True" for text in told]
    if left:
        told.append(f"left behind what could not be killed: {', '.join(left)}")
    return told
