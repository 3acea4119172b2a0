"""`Process`: a program that runs, or ran, and what it printed."""

import asyncio
import os
import re
import shlex
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, Literal, overload

from .._checks import bytes_like
from .._cursors import Cursor
from .._futures import CaptureFuture
from .._patterns import compile_pattern
from .._record import Event, Record
from .._scope import Member, Scope
from .._transports.writing import WriteQueue
from .arguments import protocol_made_by
from .group import end_rest_of_group, signal_group
from .protocol import STDERR, STDIN, STDOUT, CapturingProtocol

__tracebackhide__ = True

GRACE = 2.0
"""Seconds from TERM to KILL at the end of a test."""

Stream = Literal["stdout", "stderr"]
STREAMS: dict[str, int] = {"stdout": STDOUT, "stderr": STDERR}


class Process:
    """A program that runs, or ran. What it printed stays readable after its end."""

    def __init__(self, scope: Scope, argv: list[str], timeout: float) -> None:
        self._scope = scope
        self._argv = argv
        self._name = scope.name_for("process")
        self._timeout = timeout
        self._record = Record()
        self._protocol: CapturingProtocol | None = None
        self._transport: asyncio.SubprocessTransport | None = None
        self._stdin_ended = False

    @property
    def args(self) -> list[str]:
        """The program and its arguments."""
        return list(self._argv)

    @property
    def pid(self) -> int:
        return self._running.get_pid() or 0

    @property
    def returncode(self) -> int | None:
        """The exit status, negative for a signal; None while it runs."""
        return self._returncode() if self._capture.exited.is_set() else None

    @property
    def stdout(self) -> bytes:
        """What it has printed so far."""
        return bytes(self._capture.outputs[STDOUT])

    @property
    def stderr(self) -> bytes:
        """What it has printed to stderr so far."""
        return bytes(self._capture.outputs[STDERR])

    @property
    def events(self) -> Sequence[Event]:
        """Every call that the transport made to the protocol, in order, with its arguments.

        Between them ``stdin_written(data)`` and ``stdin_ended()``, for what the test wrote.
        """
        return self._record.events

    @property
    def exited(self) -> CaptureFuture[int]:
        """The exit status, once the program has exited. Its output may still be on its way."""
        capture = self._capture
        return self._when(capture.exit_cursor, capture.exited, "the exit", lambda: self._returncode())

    @property
    def output_complete(self) -> CaptureFuture[None]:
        """Done once the program has exited and all its output has come; a child of its own may hold that up."""
        capture = self._capture
        return self._when(capture.end_cursor, capture.complete, "the end of its output", lambda: None)

    def wait(self) -> CaptureFuture["subprocess.CompletedProcess[bytes]"]:
        """Both `exited` and `output_complete`; gives what `subprocess.run` would."""
        capture = self._capture

        def completed() -> "subprocess.CompletedProcess[bytes]":
            return subprocess.CompletedProcess(self.args, self._returncode(), self.stdout, self.stderr)

        return self._when(capture.end_cursor, capture.complete, "the exit and the end of its output", completed)

    @overload
    def read_until(self, pattern: bytes, stream: Stream = ...) -> CaptureFuture[bytes]: ...
    @overload
    def read_until(self, pattern: re.Pattern[bytes], stream: Stream = ...) -> CaptureFuture[re.Match[bytes]]: ...
    def read_until(self, pattern: bytes | re.Pattern[bytes], stream: Stream = "stdout") -> CaptureFuture[Any]:
        r"""All that it prints up to and with ``pattern``; for a regular expression, the first match.

        Each call goes on from where the last one on this stream ended. A regular expression is searched for, and
        has to end in a literal byte, as ``rb"port (\d+)\n"`` does. The end of the output before that is an
        `asyncio.IncompleteReadError`.

        Args:
            pattern: bytes or a compiled regular expression of bytes.
            stream: ``"stdout"`` or ``"stderr"``.
        """
        wanted = compile_pattern(pattern, anchored=False)
        if stream not in STREAMS:
            raise ValueError(f"stream must be 'stdout' or 'stderr', not {stream!r}")
        fd = STREAMS[stream]
        if fd not in self._capture.piped:
            raise RuntimeError(f"read_until(): the {stream} of {self} is no pipe, so nothing of it is captured")
        return self._capture.readers[fd].read_until(self._future(f"{wanted} on {stream}", fd), wanted)

    def write(self, data: bytes) -> CaptureFuture[None]:
        """Write to its stdin; the future is done when the kernel has taken all of it.

        Raises:
            TypeError: it isn't bytes.
            RuntimeError: stdin isn't a pipe, or was ended.
        """
        payload = bytes_like(data)
        if self._stdin_ended:
            raise RuntimeError(f"write() to {self} after write_eof(): nothing can follow EOF")
        stdin = self._stdin_pipe("write()")
        future: CaptureFuture[None] = self._future(f"{len(payload)} bytes to be written to stdin")
        self._scope.post(self._capture.write, stdin, payload, future)
        return future

    def write_eof(self) -> CaptureFuture[None]:
        """End its stdin, after all that was written."""
        stdin = self._stdin_pipe("write_eof()")
        self._stdin_ended = True
        future: CaptureFuture[None] = self._future("stdin to be ended")
        self._scope.post(self._capture.write_eof, stdin, future)
        return future

    def terminate(self) -> None:
        """Send it SIGTERM (on Windows: end it)."""
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """Send it SIGKILL (on Windows: end it)."""
        self.send_signal(getattr(signal, "SIGKILL", signal.SIGTERM))

    def send_signal(self, signum: int) -> None:
        """Send it a signal; if it has exited, nothing happens."""
        self._scope.call(self._send_signal, signum)

    def __str__(self) -> str:
        return f"{self._name} ({shlex.join(self._argv)})"

    def __repr__(self) -> str:
        state = "running" if self.returncode is None else f"exited with {self.returncode}"
        return f"<Process {self} pid={self.pid} {state}>"

    @property
    def _capture(self) -> CapturingProtocol:
        assert self._protocol is not None
        return self._protocol

    @property
    def _running(self) -> asyncio.SubprocessTransport:
        assert self._transport is not None
        return self._transport

    def _returncode(self) -> int:
        returncode = self._running.get_returncode()
        assert returncode is not None
        return returncode

    async def _start(
        self,
        factory: Callable[[], asyncio.SubprocessProtocol] | None,
        forward_stderr: bool,
        options: dict[str, Any],
    ) -> None:
        own = None if factory is None else protocol_made_by(factory)
        protocol = self._protocol = CapturingProtocol(
            self._record, own, self._scope.blame, forward_stderr=forward_stderr
        )
        # A session of its own, so that a program that asks the terminal gets none, rather than to be stopped.
        transport, _ = await asyncio.get_running_loop().subprocess_exec(
            lambda: protocol, *self._argv, start_new_session=True, **options
        )
        self._transport = transport
        self._scope.adopt(Member(str(self), self._record, self._shut, patience=4 * GRACE))

    def _stdin_pipe(self, asked: str) -> WriteQueue:
        if self._capture.stdin is None:
            raise RuntimeError(f"{asked}: the stdin of {self} is no pipe: start it with stdin=subprocess.PIPE")
        return self._capture.stdin

    def _send_signal(self, signum: int) -> None:
        if self._capture.exited.is_set():
            return
        if sys.platform == "win32":
            self._running.send_signal(signum)
        else:
            # Not by the transport: it would poll the child, and may take the exit status from its watcher.
            with suppress(ProcessLookupError):
                os.kill(self.pid, signum)

    async def _shut(self) -> None:
        capture = self._capture
        stdin = self._running.get_pipe_transport(STDIN)
        if stdin is not None:
            stdin.close()
        survivors = await self._end_group()
        self._running.close()
        await capture.complete.wait()
        if survivors:
            raise RuntimeError(f"processes that {self} left behind could not be killed: {survivors}")

    async def _end_group(self) -> list[int]:
        exited = self._capture.exited
        if sys.platform == "win32":
            if not exited.is_set():
                self._running.kill()
                await exited.wait()
            return []
        for signum in (signal.SIGTERM, signal.SIGKILL):
            if not exited.is_set():
                signal_group(self.pid, signum)
                await _wait(exited, GRACE)
        return await end_rest_of_group(self.pid, GRACE)

    def _when(
        self, cursor: Cursor, happened: asyncio.Event, what: str, value: Callable[[], Any]
    ) -> CaptureFuture[Any]:
        return cursor.ask(self._future(what), lambda at: (value(), at) if happened.is_set() else None)

    def _future(self, what: str, fd: int = STDOUT) -> CaptureFuture[Any]:
        def instead() -> str:
            state = "it still runs" if self.returncode is None else f"it exited with {self.returncode}"
            return f"{state}; {self._capture.readers[fd].tell_unread()}"

        return CaptureFuture(what, where=str(self), timeout=self._timeout, instead=instead)


async def _wait(event: asyncio.Event, limit: float) -> None:
    try:
        async with asyncio.timeout(limit):
            await event.wait()
    except TimeoutError:
        pass
