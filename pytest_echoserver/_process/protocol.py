"""The protocol between a child process's transport and whoever wants to know."""

import asyncio
import sys
from collections.abc import Callable
from typing import Any, Protocol, cast

from .._cursors import Cursor
from .._futures import CaptureFuture
from .._outcomes import as_exception
from .._record import Record
from .._transports.writing import WriteQueue
from .group import signal_group
from .output import STDERR, STDIN, STDOUT, Outputs
from .pipes import FULL, widen_transport

__tracebackhide__ = True


class Stdin(Protocol):
    """What takes what a test writes: a pipe's queue, or the terminal."""

    @property
    def closed(self) -> bool: ...
    def write(self, data: bytes, future: CaptureFuture[None] | None) -> None: ...
    def write_eof(self, future: CaptureFuture[None] | None) -> None: ...
    def fail(self, error: BaseException) -> None: ...


class CapturingProtocol(asyncio.SubprocessProtocol):
    """Records every call, keeps the output, and passes the calls on to the caller's own protocol, if any.

    ``forward_stderr`` is false if the caller didn't ask for stderr: it is then kept beside the protocol. On a
    terminal, whose output comes by another way than the transport's, connection_lost waits for that to end.
    """

    def __init__(
        self,
        record: Record,
        outputs: Outputs,
        protocol: asyncio.SubprocessProtocol | None,
        on_error: Callable[[Exception], object],
        *,
        forward_stderr: bool,
        on_terminal: bool,
    ) -> None:
        self.stdin: Stdin | None = None
        self.exit_cursor: Cursor = Cursor(record.lock)
        self.end_cursor: Cursor = Cursor(record.lock)
        self.exited: asyncio.Event = asyncio.locks.Event()
        self.complete: asyncio.Event = asyncio.locks.Event()
        self.lost: asyncio.Event = asyncio.locks.Event()
        self.leads_group: bool = False
        """Whether its process group has anybody in it. Once it has not, its id may be another's."""
        self._outputs = outputs
        self._record = record
        self._protocol = protocol
        self._on_error = on_error
        self._forward_stderr = forward_stderr
        self._on_terminal = on_terminal
        self._transport: asyncio.SubprocessTransport | None = None
        self._narrow = {STDOUT, STDERR}
        self._pid = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        process = self._transport = cast(asyncio.SubprocessTransport, transport)
        self._pid = process.get_pid() or 0
        self.leads_group = True
        stdin = process.get_pipe_transport(STDIN)
        if stdin is not None:
            self.stdin = WriteQueue(cast(asyncio.WriteTransport, stdin), self._stdin_is_closed)
        self._note_and_pass_on("connection_made", transport)

    def pipe_data_received(self, fd: int, data: bytes) -> None:
        if len(data) >= FULL and fd in self._narrow:
            self._narrow.discard(fd)
            widen_transport(self._transport and self._transport.get_pipe_transport(fd))
        self._outputs.take_in(fd, data)
        self._pass_on("pipe_data_received", fd, data)
        self._outputs.serve(fd)

    def pipe_connection_lost(self, fd: int, exc: Exception | None) -> None:
        self._note_and_pass_on("pipe_connection_lost", fd, exc)
        if fd != STDIN:
            self._outputs.end(fd)
            self._end_if_complete()
        elif self.stdin is not None:
            self.stdin.fail(exc or BrokenPipeError("stdin was closed before all of it was written"))

    def process_exited(self) -> None:
        self.leads_group = sys.platform != "win32" and signal_group(self._pid, 0)
        self._note_and_pass_on("process_exited")
        self.exited.set()
        self.exit_cursor.serve()
        self._end_if_complete()

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost.set()
        if self._outputs.ended or not self._on_terminal:
            self._note_and_pass_on("connection_lost", exc)

    def write(self, stdin: Stdin, data: bytes, future: CaptureFuture[None]) -> None:
        if not stdin.closed:
            self._record.note("stdin_written", data)
        stdin.write(data, future)

    def write_eof(self, stdin: Stdin, future: CaptureFuture[None]) -> None:
        if not stdin.closed:
            self._record.note("stdin_ended")
        stdin.write_eof(future)

    def pause_writing(self) -> None:
        self._note_and_pass_on("pause_writing")

    def resume_writing(self) -> None:
        if isinstance(self.stdin, WriteQueue):
            self.stdin.resume_writing()
        self._note_and_pass_on("resume_writing")

    def _stdin_is_closed(self) -> Exception:
        why = "the program has exited" if self.exited.is_set() else "the program has closed it"
        return BrokenPipeError(f"nothing can be written to stdin: {why}")

    def _end_if_complete(self) -> None:
        # Not by connection_lost: a grandchild that holds stdin holds that up, and uvloop may call it before it has
        # passed on all that came by the pipes.
        if not (self.exited.is_set() and self._outputs.ended) or self.complete.is_set():
            return
        if self._on_terminal and self.lost.is_set():
            self._note_and_pass_on("connection_lost", None)
        self.complete.set()
        self.end_cursor.serve()

    def _note_and_pass_on(self, name: str, *args: Any) -> None:
        self._record.note(name, *args)
        self._pass_on(name, *args)

    def _pass_on(self, name: str, *args: Any) -> None:
        beside = args[:1] == (STDERR,) and not self._forward_stderr
        if self._protocol is None or beside:
            return
        try:
            getattr(self._protocol, name)(*args)
        except BaseException as error:  # noqa: BLE001  the test fails with it; the capture goes on
            self._on_error(as_exception(error))
