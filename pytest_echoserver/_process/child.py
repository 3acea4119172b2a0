"""The end of a process that lives on the engine's loop: the child itself, its signals and what it leaves."""

import asyncio
import os
import shlex
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from .._neighbours import real_kill, real_programs
from .._record import Record, RowRecord
from .._telling import escaped
from .escaped import Cookies
from .group import living
from .holders import told_holders
from .output import NAMES, STDERR, STDIN, STDOUT, Outputs
from .protocol import CapturingProtocol
from .shim import exec_by_shim, is_needed
from .spawned import spawn
from .telling import told_status
from .terminal import Terminal

__tracebackhide__ = True


@dataclass(frozen=True, slots=True)
class Launch:
    """How a program is to be started, all of it checked.

    Attributes:
        factory: makes the caller's own protocol; None if there is none.
        forward_stderr: whether that protocol hears of stderr.
        size: that of the terminal that the program is to have; None if it is to have none.
        options: the keyword arguments of `asyncio.loop.subprocess_exec`.
    """

    factory: Callable[[], asyncio.SubprocessProtocol] | None
    forward_stderr: bool
    size: os.terminal_size | None
    options: dict[str, Any]


class Child:
    """A child process, with what captures it.

    Args:
        name: what it goes by.
        cookies: those of its scope's programs.
        cookie: the number of its own.
    """

    def __init__(
        self, name: str, argv: list[str], limit: int | None, cookies: Cookies, cookie: int, kill_expected: bool
    ) -> None:
        self.name = name
        self.cookie = cookie
        self.kill_expected = kill_expected
        self.record: Record = RowRecord()
        self.outputs: Outputs = Outputs(self.record, limit)
        self.terminal: Terminal | None = None
        self._argv = argv
        self._cookies = cookies
        self._capture: CapturingProtocol | None = None
        self._transport: asyncio.SubprocessTransport | None = None

    @property
    def command(self) -> str:
        return shlex.join(self._argv)

    @property
    def told(self) -> str:
        return escaped(f"{self.name} ({self.command})")

    @property
    def program(self) -> str:
        return self._argv[0]

    @property
    def capture(self) -> CapturingProtocol:
        assert self._capture is not None
        return self._capture

    @property
    def pid(self) -> int:
        return self._running.get_pid() or 0

    @property
    def returncode(self) -> int | None:
        """The exit status, once it has exited; None if somebody else has collected that."""
        return self._running.get_returncode()

    @property
    def state(self) -> str:
        return f"it exited with {told_status(self.returncode)}" if self.capture.exited.is_set() else "it still runs"

    def spawn(
        self,
        on_error: Callable[[Exception], object],
        options: dict[str, Any],
        loop: asyncio.AbstractEventLoop,
        post: Callable[[Callable[[], object]], object],
    ) -> None:
        """Start it at once, where `can_spawn` says so, under no protocol of the caller's and on no terminal."""
        self._capture = CapturingProtocol(
            self.record, self.outputs, None, on_error, forward_stderr=False, on_terminal=False
        )
        self._tell_outputs(options)
        self._transport = spawn(self._capture, self._argv, options, loop, post)

    async def start(
        self,
        protocol: asyncio.SubprocessProtocol | None,
        on_error: Callable[[Exception], object],
        launch: Launch,
    ) -> None:
        """Start it by asyncio, on the running loop; ``protocol`` is the caller's own, which has been made."""
        options = launch.options
        capture = self._capture = CapturingProtocol(
            self.record,
            self.outputs,
            protocol,
            on_error,
            forward_stderr=launch.forward_stderr,
            on_terminal=launch.size is not None,
        )
        if launch.size is not None:
            await self._start_on_terminal(launch.size, options)
            return
        self._tell_outputs(options)
        loop = asyncio.events.get_running_loop()
        if is_needed(loop):
            self._transport = await exec_by_shim(capture, self._argv, options, terminal=False)
            return
        # A session of its own, so that a program that asks the terminal gets none, rather than to be stopped.
        with real_programs():
            self._transport, _ = await loop.subprocess_exec(
                lambda: capture, *self._argv, start_new_session=True, **options
            )

    async def _start_on_terminal(self, size: os.terminal_size, options: dict[str, Any]) -> None:
        self.outputs.only({STDOUT})
        terminal = self.terminal = Terminal(size)
        capture = self.capture
        far: dict[str, Any] = dict.fromkeys(("stdin", "stdout", "stderr"), terminal.far)
        try:
            self._transport = await exec_by_shim(capture, self._argv, options | far, terminal=True)
        except BaseException:
            terminal.close()
            raise
        terminal.leave_far_end()
        capture.stdin = terminal
        terminal.listen(
            lambda data: capture.pipe_data_received(STDOUT, data),
            lambda: capture.pipe_connection_lost(STDOUT, None),
        )

    def told_holders(self) -> str:
        """Who holds up the end of its outputs, once it has exited itself; "" where that isn't to be seen."""
        if sys.platform != "linux" or not self.capture.exited.is_set() or self.outputs.ended:
            return ""
        pipes = {inode: NAMES[fd] for fd in self.outputs.captured if (inode := self._inode(fd)) is not None}
        if not pipes:
            return ""
        family = set(living([self.pid]).get(self.pid, [])) if self.capture.leads_group else set()
        found, _ = self._cookies.found()
        return told_holders(pipes, family.union(pid for pid, cookie in found.items() if cookie == self.cookie))

    def send_signal(self, signum: int) -> None:
        if self.capture.exited.is_set():
            return
        self.record.note("signal_sent", signum)
        if sys.platform == "win32":
            self._running.send_signal(signum)
        else:
            # Not by the transport: it would poll the child, and may take the exit status from its watcher.
            with suppress(ProcessLookupError):
                real_kill(self.pid, signum)

    def resize(self, size: os.terminal_size) -> None:
        if self.terminal is not None and not self.terminal.closed:
            self.terminal.resize(size)
            self.record.note("terminal_resized", size.columns, size.lines)

    def close_stdin(self) -> bool:
        """Close its stdin, if that is a pipe; true if it is one, and the program still runs and may end by that."""
        stdin: Any = self._running.get_pipe_transport(STDIN)
        if stdin is None:
            return False
        if stdin.get_write_buffer_size():  # close() would wait for it to be read
            stdin.abort()
        else:
            stdin.close()
        return not self.capture.exited.is_set()

    def release(self) -> None:
        """Close what there is of it in this process."""
        self._running.close()
        if self.terminal is not None:
            self.terminal.close()
            if not self.outputs.ended:
                self.capture.pipe_connection_lost(STDOUT, None)

    def _tell_outputs(self, options: dict[str, Any]) -> None:
        given = {STDOUT: options["stdout"], STDERR: options["stderr"]}
        self.outputs.only(fd for fd, redirect in given.items() if redirect == subprocess.PIPE)

    def _inode(self, fd: int) -> int | None:
        """That of the pipe by which an output comes; None if it is closed, or none that we can see."""
        program = self._running.get_extra_info("subprocess")  # on uvloop there is none
        pipe = getattr(program, NAMES[fd], None)
        with suppress(OSError, ValueError):  # the engine may close it meanwhile
            return None if pipe is None else os.fstat(pipe.fileno()).st_ino
        return None

    @property
    def _running(self) -> asyncio.SubprocessTransport:
        assert self._transport is not None
        return self._transport
