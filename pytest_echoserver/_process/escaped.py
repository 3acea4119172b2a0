"""Processes that have left their group: found by what their environment holds, as it is passed on to them."""

import asyncio
import os
import secrets
import signal
import sys
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, cast

from .._neighbours import real_kill, real_open, real_sleep
from .._sleep import sleep
from .._telling import escaped
from .group import PROBE, all_pids, until_exited

NAME = "PYTEST_ECHOSERVER_COOKIE"
ROUNDS = 10
"""How often it is looked again: for what those that were found had started meanwhile."""
SHOWN = 80
"""Characters of a command line that an error shows."""


class Cookies:
    """The cookies of one scope's programs: a random value that is theirs alone, in the environment of each.

    Programs started by a program have its environment, unless it clears that; so all of a scope's are found by one
    look at the environments of the system's processes.
    """

    def __init__(self) -> None:
        self._secret = secrets.token_hex(8)
        self._count = 0

    def __bool__(self) -> bool:
        return self._count > 0

    def bake(self, environment: Mapping[str, str]) -> tuple[dict[str, str], int]:
        """Give ``environment`` with a new cookie in it, and the cookie's number.

        One that this process has itself stays there: it may run under such a runner, too.
        """
        self._count += 1
        ours = f"{self._secret}.{self._count}."
        inherited = os.environ.get(NAME, "")
        return {**environment, NAME: inherited + ours}, self._count

    def kill(self, *numbers: int) -> None:
        """Kill whatever has a cookie with one of these numbers, on this thread."""
        for _ in range(ROUNDS):
            found, unseen = self.found()
            for pid, number in found.items():
                if number in numbers:
                    _kill(pid)
            if not unseen:
                return
            real_sleep(PROBE)  # one that is amid execve(2) can't be told from others: see `found`

    def found(self) -> tuple[dict[int, int], bool]:
        """The processes that have one of our cookies: their ids, and the cookies' numbers.

        And whether there was a process that was just being made another program by execve(2): its environment
        can't be seen then.
        """
        mark = self._secret.encode() + b"."
        found = {}
        unseen = False
        for pid, environment in _environments():
            unseen |= environment is None
            _, marked, after = (environment or b"").partition(mark)
            if marked and pid != os.getpid():
                found[pid] = int(after.partition(b".")[0])
        return found, unseen


async def kill_escaped(cookies: Cookies, limit: float) -> tuple[dict[int, list[str]], dict[int, list[str]]]:
    """Kill what has one of the cookies still: by its number who was killed, and who is there all the same."""
    killed: dict[int, list[str]] = {}
    known: dict[int, str] = {}
    found: dict[int, int] = {}
    for _ in range(ROUNDS):
        before, (found, unseen) = found, cookies.found()
        if not found and unseen:
            await sleep(PROBE)
            continue
        if not found or found == before:  # none is left, or none of these can be killed
            break
        for pid, number in found.items():
            if pid not in known:
                known[pid] = told_process(pid)
                killed.setdefault(number, []).append(known[pid])
            _kill(pid)
        await asyncio.tasks.gather(*(until_exited(pid, limit) for pid in found))
    left: dict[int, list[str]] = {}
    for pid, number in found.items():
        left.setdefault(number, []).append(known[pid])
    return killed, left


def _kill(pid: int) -> None:
    with suppress(ProcessLookupError, PermissionError):  # it is gone, or another user's by now
        real_kill(pid, getattr(signal, "SIGKILL", signal.SIGTERM))


def told_process(pid: int) -> str:
    """A process by its id and, where the system tells, its command line, as any terminal can show it."""
    if sys.platform == "linux":
        with suppress(OSError):
            words = _read(pid, "cmdline").rstrip(b"\0").split(b"\0")
            line = os.fsdecode(b" ".join(words))
            return f"pid {pid} ({escaped(line[:SHOWN])}{'…' if len(line) > SHOWN else ''})"
    return f"pid {pid}"


def _environments() -> Iterator[tuple[int, bytes | None]]:
    """Of every process its id and its environment, as far as the system shows it; None if it can't just now."""
    if sys.platform == "linux":
        for pid in all_pids():
            try:
                yield pid, _read(pid, "environ") or _again(pid)
            except OSError:  # not ours, or gone
                continue
    elif (psutil := _psutil()) is not None:
        for process in psutil.process_iter():
            with suppress(psutil.Error):
                yield process.pid, process.environ().get(NAME, "").encode()


def _again(pid: int) -> bytes | None:
    """The environment of a process that seemed to have none; None while it is amidst execve(2)."""
    Path(f"/proc/{pid}/exe").readlink()  # an OSError: a thread of the kernel, or a zombie
    if not _read(pid, "cmdline"):
        return None
    return _read(pid, "environ")


def _read(pid: int, name: str) -> bytes:
    """A file of proc_pid(5), whole."""
    with real_open(f"/proc/{pid}/{name}", "rb", buffering=0) as file:
        return cast(bytes, file.read())


def _psutil() -> Any:
    try:
        import psutil
    except ImportError:  # an extra; without it nobody is found
        return None
    return psutil
