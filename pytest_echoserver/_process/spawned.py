"""A program started with no more than we need, where the system tells of its end by a descriptor."""

import asyncio
import os
import signal
import subprocess
from collections.abc import Callable
from contextlib import suppress
from io import FileIO
from typing import Any, cast

from .._neighbours import real_kill, real_popen
from .output import STDERR, STDOUT
from .pipes import FULL, WIDE, widen
from .protocol import CapturingProtocol

__tracebackhide__ = True


def _pidfds_can_be_had() -> bool:
    try:
        os.close(os.pidfd_open(os.getpid()))
    except (AttributeError, OSError):  # not Linux, an old one, or one that forbids it
        return False
    return True


has_pidfds = _pidfds_can_be_had()


def can_spawn(loop: asyncio.AbstractEventLoop, stdin: object) -> bool:
    """Whether `spawn` works: on asyncio's own loop, which watches any descriptor, and with no pipe to write to."""
    return has_pidfds and isinstance(loop, asyncio.SelectorEventLoop) and stdin != subprocess.PIPE


def spawn(
    protocol: CapturingProtocol,
    argv: list[str],
    options: dict[str, Any],
    loop: asyncio.AbstractEventLoop,
    post: Callable[[Callable[[], object]], object],
) -> "Spawned":
    """Start it as ``subprocess_exec`` does, but on this thread; the loop only watches it.

    Args:
        loop: what is to watch the program.
        post: has a function called there.

    Raises:
        OSError: the program can't be executed.
    """
    # A session of its own, so that a program that asks the terminal gets none, rather than to be stopped.
    program = real_popen()(argv, bufsize=0, start_new_session=True, **options)
    try:
        spawned = Spawned(protocol, program, loop)
        try:
            post(spawned.watch)
        except BaseException:
            spawned.close_pidfd()
            raise
    except BaseException:
        with program:
            program.kill()
        raise
    return spawned


class Spawned(asyncio.SubprocessTransport):
    """The transport of a program under our own protocol alone.

    asyncio's own takes a transport and a task for each pipe, some turns of the loop until they stand, and on Python
    3.11 a thread that waits for the exit. Here the loop watches the pipes themselves, and the process by a pidfd
    (pidfd_open(2)), which can be read once it has ended.
    """

    def __init__(
        self, protocol: CapturingProtocol, program: "subprocess.Popen[Any]", loop: asyncio.AbstractEventLoop
    ) -> None:
        super().__init__({"subprocess": program})
        self._protocol = protocol
        self._program = program
        self._loop = loop
        self._status_is_lost = False
        self._pidfd: int | None = None
        with suppress(ProcessLookupError):  # SIGCHLD is ignored here: the system has forgotten of it already
            self._pidfd = os.pidfd_open(program.pid)
        pipes = {STDOUT: program.stdout, STDERR: program.stderr}
        self._open = {fd: cast(FileIO, pipe) for fd, pipe in pipes.items() if pipe is not None}
        self._narrow = set(self._open)
        protocol.connection_made(self)

    def watch(self) -> None:
        """Hear of what it prints, and of its end: to be called on the loop, once."""
        for fd, pipe in self._open.items():
            os.set_blocking(pipe.fileno(), False)
            self._loop.add_reader(pipe.fileno(), self._read, fd, pipe)
        if self._pidfd is None:
            self._loop.call_soon(self._exited)
        else:
            self._loop.add_reader(self._pidfd, self._exited)

    def close_pidfd(self) -> None:
        if self._pidfd is not None:
            os.close(self._pidfd)

    def get_pid(self) -> int:
        return self._program.pid

    def get_returncode(self) -> int | None:
        """The exit status; None while it runs, and if somebody else has collected it."""
        return None if self._status_is_lost else self._program.returncode

    def get_pipe_transport(self, fd: int) -> None:
        """None: its pipes have no transports."""

    def close(self) -> None:
        """Close what is open of its pipes, and kill it if it still runs."""
        for fd, pipe in list(self._open.items()):
            self._end(fd, pipe)
        if self._program.returncode is None:
            with suppress(ProcessLookupError):
                real_kill(self._program.pid, signal.SIGKILL)

    def _read(self, fd: int, pipe: FileIO) -> None:
        data = pipe.read(WIDE)
        if data is None:  # there is nothing just now
            return
        if not data:
            self._end(fd, pipe)
            return
        if len(data) >= FULL and fd in self._narrow:
            self._narrow.discard(fd)
            widen(pipe.fileno())
        self._protocol.pipe_data_received(fd, data)

    def _end(self, fd: int, pipe: FileIO) -> None:
        self._loop.remove_reader(pipe.fileno())
        pipe.close()
        del self._open[fd]
        self._protocol.pipe_connection_lost(fd, None)
        self._end_if_all_has_ended()

    def _exited(self) -> None:
        if self._pidfd is not None:
            self._loop.remove_reader(self._pidfd)
            self.close_pidfd()
        # Not by Popen: a status that it can't have it takes for 0.
        try:
            _, status = os.waitpid(self._program.pid, 0)
            self._program.returncode = os.waitstatus_to_exitcode(status)
        except ChildProcessError:
            self._status_is_lost = True
            self._program.returncode = 255  # as asyncio has it; without any, Popen would take it to be running
        self._protocol.process_exited()
        self._end_if_all_has_ended()

    def _end_if_all_has_ended(self) -> None:
        if self._program.returncode is not None and not self._open:
            self._protocol.connection_lost(None)
