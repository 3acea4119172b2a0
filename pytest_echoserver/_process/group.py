"""The process group that a child leads: signals to it, and who is in it."""

import asyncio
import os
import sys
from collections.abc import Collection, Iterator
from contextlib import suppress

from .._neighbours import real_killpg, real_open
from .._sleep import sleep

PROBE = 0.01
"""Seconds between two looks at a process where the system can't tell us of its end."""


def signal_group(pgid: int, signum: int) -> bool:
    """Send a signal to each process of the group (killpg(3)); false if there is none left to get it."""
    try:
        real_killpg(pgid, signum)
    except (ProcessLookupError, PermissionError):  # macOS: EPERM if all of them are zombies
        return False
    return True


def living(pgids: Collection[int]) -> dict[int, list[int]]:
    """Of each group its processes that aren't zombies (those answer killpg, too); groups with none are left out.

    Elsewhere than on Linux, its id stands for all of them.
    """
    answering = {pgid for pgid in pgids if signal_group(pgid, 0)}
    if not answering:
        return {}
    if sys.platform != "linux":
        return {pgid: [pgid] for pgid in answering}
    found: dict[int, list[int]] = {}
    for pid in all_pids():
        try:
            with real_open(f"/proc/{pid}/stat", errors="replace") as file:
                stat = file.read()
        except OSError:  # it ended meanwhile
            continue
        # proc_pid_stat(5): "pid (comm) state ppid pgrp ...", and comm may hold anything.
        state, _, pgrp = stat.rpartition(")")[2].split()[:3]
        if int(pgrp) in answering and state not in "ZX":
            found.setdefault(int(pgrp), []).append(pid)
    return found


def all_pids() -> Iterator[int]:
    """The ids of all processes, on Linux."""
    return (int(name) for name in os.listdir("/proc") if name.isdigit())  # noqa: PTH208  four times as fast


async def until_group_is_gone(pgids: Collection[int], limit: float) -> dict[int, list[int]]:
    """Wait, at most ``limit`` seconds, until nobody lives in the groups any more; give who still does."""
    loop = asyncio.events.get_running_loop()
    deadline = loop.time() + limit
    while left := living(pgids):
        for pid in [pid for pids in left.values() for pid in pids]:
            remaining = deadline - loop.time()
            if remaining <= 0:
                return living(pgids)
            await until_exited(pid, remaining)
    return left


async def until_exited(pid: int, limit: float) -> None:
    """Wait, at most ``limit`` seconds, for a process that needn't be a child of ours."""
    pidfd = _pidfd(pid) if hasattr(os, "pidfd_open") else None
    if pidfd is None:
        await sleep(min(PROBE, limit))
        return
    loop = asyncio.events.get_running_loop()
    ended = asyncio.locks.Event()
    loop.add_reader(pidfd, ended.set)  # readable once the process has ended: pidfd_open(2)
    try:
        await within(limit, ended)
    finally:
        loop.remove_reader(pidfd)
        os.close(pidfd)


async def within(limit: float, *events: asyncio.Event) -> None:
    """Wait for all of these, at most ``limit`` seconds."""
    with suppress(TimeoutError):
        async with asyncio.timeouts.timeout(limit):
            for event in events:
                await event.wait()


def _pidfd(pid: int) -> int | None:
    try:
        return os.pidfd_open(pid)
    except OSError:  # it is gone, or the system has none to give
        return None
