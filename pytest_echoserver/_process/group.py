"""The process group that a child leads: signals to it, and the end of what the child leaves in it."""

import asyncio
import os
import signal
import sys
from pathlib import Path

PROBE = 0.01
"""Seconds between two looks at a group where the system can't tell us of its end."""


def signal_group(pgid: int, signum: int) -> bool:
    """Send a signal to each process of the group (killpg(3)); false if there is none left to get it."""
    try:
        os.killpg(pgid, signum)
    except (ProcessLookupError, PermissionError):  # macOS: EPERM if all of them are zombies
        return False
    return True


async def end_rest_of_group(pgid: int, grace: float) -> list[int]:
    """End what is left of a group whose leader is gone: TERM, and KILL for what outlives ``grace`` seconds.

    Returns:
        The ids of processes that are still there after that.
    """
    for signum in (signal.SIGTERM, signal.SIGKILL):
        if not signal_group(pgid, signum):
            return []
        await _wait_until_gone(pgid, grace)
    return _living(pgid)


async def _wait_until_gone(pgid: int, limit: float) -> None:
    deadline = asyncio.get_running_loop().time() + limit
    while left := _living(pgid):
        remaining = deadline - asyncio.get_running_loop().time()
        if remaining <= 0:
            return
        await _wait_for_exit(left[0], remaining)


def _living(pgid: int) -> list[int]:
    """The processes of a group that aren't zombies (those answer killpg, too). Elsewhere than on Linux: its id."""
    if sys.platform != "linux":
        return [pgid] if signal_group(pgid, 0) else []
    members = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            stat = (entry / "stat").read_text(errors="replace")
        except OSError:  # it ended meanwhile
            continue
        # proc_pid_stat(5): "pid (comm) state ppid pgrp ...", and comm may hold anything.
        state, _, pgrp = stat.rpartition(")")[2].split()[:3]
        if int(pgrp) == pgid and state not in "ZX":
            members.append(int(entry.name))
    return members


async def _wait_for_exit(pid: int, limit: float) -> None:
    """Wait, at most ``limit`` seconds, for a process that needn't be a child of ours."""
    if not hasattr(os, "pidfd_open"):
        await asyncio.sleep(min(PROBE, limit))
        return
    try:
        pidfd = os.pidfd_open(pid)  # readable once the process has ended: pidfd_open(2)
    except ProcessLookupError:
        return
    except OSError:
        await asyncio.sleep(min(PROBE, limit))
        return
    loop = asyncio.get_running_loop()
    ended = asyncio.Event()
    loop.add_reader(pidfd, ended.set)
    try:
        async with asyncio.timeout(limit):
            await ended.wait()
    except TimeoutError:
        pass
    finally:
        loop.remove_reader(pidfd)
        os.close(pidfd)
