"""`Process`: a program that runs, or ran, and what it printed."""

import asyncio
import os
import re
import signal
import subprocess
import threading
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Literal, overload

from .._checks import bytes_like, whole_number
from .._cursors import Cursor
from .._futures import CaptureFuture
from .._neighbours import real_monotonic
from .._patterns import Told, compile_pattern
from .._record import Event
from .._scope import Scope
from .._telling import told_bytes
from .._traffic import PeerTraffic
from .arguments import characters
from .child import Child
from .output import STDERR, STDOUT, STREAMS
from .protocol import CapturingProtocol, Stdin
from .telling import told_status, told_why_unknown

__tracebackhide__ = True

Stream = Literal["stdout", "stderr", "both"]

A_MOMENT = 0.25
"""Seconds from the last that was heard of a program to its exit, before it is told that it still runs."""


class Process:
    """A program that runs, or ran. What it printed stays readable after its end."""

    def __init__(self, scope: Scope, argv: list[str], child: Child, timeout: float) -> None:
        self._scope = scope
        self._argv = argv
        self._timeout = timeout
        self._child = child
        child.outputs.redact_by(partial(scope.redacted, self))
        self._stdin_ended = False

    @property
    def args(self) -> list[str]:
        """The program and its arguments."""
        return list(self._argv)

    @property
    def pid(self) -> int:
        """The id of its process, which leads a process group of its own."""
        return self._child.pid

    @property
    def returncode(self) -> int | None:
        """The exit status, negative for a signal; None while it runs.

        Raises:
            ChildProcessError: it has exited, and somebody else has collected its status, by ``os.waitpid(-1, ...)``
                or an ignored SIGCHLD. With a ``protocol``, a pipe for stdin or a terminal asyncio starts it, which
                gives 255 then, and warns in its log.
        """
        return self._status() if self._capture.exited.is_set() else None

    @property
    def stdout(self) -> bytes:
        """What it has printed so far; at a terminal, stderr with it.

        With ``capture_limit``, its first and last bytes, and between them a note of how many were left out.
        """
        return bytes(self._child.outputs.streams[STDOUT])

    @property
    def stderr(self) -> bytes:
        """What it has printed to stderr so far, as for `stdout`; empty at a terminal, or if stderr is no pipe."""
        return bytes(self._child.outputs.streams[STDERR])

    @property
    def events(self) -> Sequence[Event]:
        """Every call that the transport made to the protocol, in order, with its arguments.

        Between them ``stdin_written(data)`` and ``stdin_ended()``, for what the test wrote,
        ``signal_sent(signum)`` and ``terminal_resized(columns, lines)``. What was printed is
        ``pipe_data_received(fd, data)``, with 1 for stdout and 2 for stderr.
        """
        return self._child.record.events

    @property
    def exited(self) -> CaptureFuture[int]:
        """A future of the exit status, negative for a signal. Its output may still be on its way then.

        It raises ``ChildProcessError``, if somebody else has collected the status: see `returncode`.
        """
        capture = self._capture
        return self._when(capture.exit_cursor, capture.exited, "the exit", self._status)

    @property
    def output_complete(self) -> CaptureFuture[None]:
        """Done once the program has exited and all its output has come; a child of its own may hold that up.

        If the time is up, the error names who does (on Linux, but for uvloop and terminals).
        """
        capture = self._capture
        return self._when(capture.end_cursor, capture.complete, "the end of its output", lambda: None)

    def wait(self) -> CaptureFuture["subprocess.CompletedProcess[bytes]"]:
        """Wait for both `exited` and `output_complete`.

        Returns:
            A future of what `subprocess.run` would give, or of the error of `exited`.
        """
        capture = self._capture

        def completed() -> "subprocess.CompletedProcess[bytes]":
            return subprocess.CompletedProcess(self.args, self._status(), self.stdout, self.stderr)

        return self._when(capture.end_cursor, capture.complete, "the exit and the end of its output", completed)

    @overload
    def read_until(self, pattern: bytes, stream: Stream = ...) -> CaptureFuture[bytes]: ...
    @overload
    def read_until(self, pattern: re.Pattern[bytes], stream: Stream = ...) -> CaptureFuture[re.Match[bytes]]: ...
    def read_until(
        self, pattern: bytes | re.Pattern[bytes], stream: Literal["stdout", "stderr", "both"] = "stdout"
    ) -> CaptureFuture[Any]:
        r"""All that it prints up to and with ``pattern``; for a regular expression, the first match.

        Each call goes on from where the last one on this stream ended. A regular expression is searched for, and
        has to end in a literal byte, as ``rb"port (\d+)\n"`` does. The end of the output before that is an
        `asyncio.IncompleteReadError`.

        Args:
            pattern: bytes or a compiled regular expression of bytes.
            stream: ``"stdout"``, ``"stderr"``, or ``"both"``: what came by either, in order of arrival. Each has a
                cursor of its own.

        Raises:
            TypeError, ValueError: there is no such stream, or such a pattern can't be read up to.
            RuntimeError: that output isn't captured.
        """
        wanted = compile_pattern(pattern, anchored=False)
        if stream not in list(STREAMS):  # what can't be hashed isn't either
            raise ValueError(f"stream must be {', '.join(map(repr, STREAMS))}, not {stream!r}")
        number = STREAMS[stream]
        outputs = self._child.outputs
        if number == STDERR and self._child.terminal is not None:
            raise RuntimeError(f"read_until(): {self} has a terminal, and all by that is stdout: leave out stream=")
        if not outputs.has(number):
            what = "neither output" if stream == "both" else f"the {stream}"
            verb = "is a pipe" if stream == "both" else "is no pipe"
            raise RuntimeError(f"read_until(): {what} of {self} {verb}, so nothing of it is captured")
        told = Told(wanted, partial(self._scope.redacted, self), f" on {stream}")
        return outputs.reader(number).read_until(self._future(told, number), wanted)

    def write(self, data: bytes) -> CaptureFuture[None]:
        """Write to its stdin; the future is done when the kernel has taken all of it.

        Raises:
            TypeError: ``data`` isn't bytes.
            RuntimeError: stdin isn't a pipe, or was ended.
        """
        payload = bytes_like(data)
        if self._stdin_ended:
            raise RuntimeError(f"write() to {self} after write_eof(): nothing can follow EOF")
        stdin = self._stdin_pipe("write()")
        future: CaptureFuture[None] = self._future(f"{told_bytes(len(payload))} to be written to stdin")
        self._scope.post(self._capture.write, stdin, payload, future)
        return future

    def write_eof(self) -> CaptureFuture[None]:
        """End its stdin, after all that was written.

        At a terminal, what means EOF there (Ctrl-D) is typed: wait for the prompt before, since a program that sets
        its terminal up loses what was typed ahead.

        Raises:
            RuntimeError: stdin isn't a pipe.
        """
        stdin = self._stdin_pipe("write_eof()")
        self._stdin_ended = True
        future: CaptureFuture[None] = self._future("stdin to be ended")
        self._scope.post(self._capture.write_eof, stdin, future)
        return future

    def set_terminal_size(self, columns: int, lines: int) -> None:
        """Set the size of its terminal's window, in characters; the program gets SIGWINCH (ioctl_tty(2)).

        Raises:
            TypeError, ValueError: a size isn't from 1 to 65535.
            RuntimeError: it has no terminal: start it with ``pty=True``.
        """
        size = os.terminal_size((characters(columns, "columns"), characters(lines, "lines")))
        if self._child.terminal is None:
            raise RuntimeError(f"set_terminal_size(): {self} has no terminal: start it with pty=True")
        self._scope.call(self._child.resize, size)

    def terminate(self) -> None:
        """Send it SIGTERM (on Windows: end it)."""
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """Send it SIGKILL (on Windows: end it)."""
        self.send_signal(getattr(signal, "SIGKILL", signal.SIGTERM))

    def send_signal(self, signum: int) -> None:
        """Send it a signal; if it has exited, nothing happens.

        Raises:
            TypeError, ValueError: it is no number of a signal.
        """
        number = whole_number(signum, "signum, such as signal.SIGTERM,", least=0, most=signal.NSIG - 1)
        self._scope.call(self._child.send_signal, number)

    def __str__(self) -> str:
        return self._child.told

    def _traffic(self) -> PeerTraffic:
        child = self._child
        if child.outputs.ended and not (self._capture.exited.is_set() or self._scope.engine.here):
            self._see_its_exit()
        detail = f"{child.command}; {child.state}"
        return PeerTraffic(child.name, "process", None, child.record.events, peer=self, detail=detail)

    def _see_its_exit(self) -> None:
        """Wait for its exit, if that may be seen in a moment: its outputs end just before."""
        last, *_ = self._child.record.rows[-1]
        seen, exited = threading.Event(), self.exited
        exited.add_done_callback(lambda _: seen.set())
        seen.wait(max(0.0, last + A_MOMENT - real_monotonic()))
        exited.cancel()

    def __repr__(self) -> str:
        exited = self._capture.exited.is_set()
        state = f"exited with {told_status(self._child.returncode)}" if exited else "running"
        return f"<Process {self} pid={self.pid} {state}>"

    @property
    def _capture(self) -> CapturingProtocol:
        return self._child.capture

    def _status(self) -> int:
        status = self._child.returncode
        if status is None:
            raise ChildProcessError(told_why_unknown(f"the exit status of {self}"))
        return status

    def _stdin_pipe(self, asked: str) -> Stdin:
        if self._capture.stdin is None:
            raise RuntimeError(f"{asked}: the stdin of {self} is no pipe: start it with stdin=subprocess.PIPE")
        return self._capture.stdin

    def _when(
        self, cursor: Cursor, happened: asyncio.Event, what: str, value: Callable[[], Any]
    ) -> CaptureFuture[Any]:
        return cursor.ask(self._future(what), lambda at: (value(), at) if happened.is_set() else None)

    def _future(self, what: object, stream: int = STDOUT) -> CaptureFuture[Any]:
        def instead() -> str:
            child = self._child
            told = child.state, child.told_holders(), child.outputs.reader(stream).tell_unread()
            return "; ".join(filter(None, told))

        return CaptureFuture(what, where=self, timeout=self._timeout, instead=instead)
