"""The protocol between a child process's transport and whoever wants to know."""

import asyncio
from collections.abc import Callable
from typing import Any, cast

from .._bytestream import ByteStream
from .._cursors import Cursor
from .._futures import CaptureFuture
from .._outcomes import as_exception
from .._record import Record
from .._transports.writing import WriteQueue

__tracebackhide__ = True

STDIN, STDOUT, STDERR = 0, 1, 2


class CapturingProtocol(asyncio.SubprocessProtocol):
    """Records every call, keeps the output, and passes the calls on to the caller's own protocol, if any.

    ``forward_stderr`` is false if the caller didn't ask for stderr: it is then kept beside the protocol.
    """

    def __init__(
        self,
        record: Record,
        protocol: asyncio.SubprocessProtocol | None,
        on_error: Callable[[Exception], object],
        *,
        forward_stderr: bool,
    ) -> None:
        self.piped: frozenset[int] = frozenset()
        self._open_outputs: set[int] = set()
        self._lost = False
        self.outputs = {STDOUT: ByteStream(record.lock), STDERR: ByteStream(record.lock)}
        self.readers = {fd: stream.reader() for fd, stream in self.outputs.items()}
        self.stdin: WriteQueue | None = None
        self.exit_cursor = Cursor(record.lock)
        self.end_cursor = Cursor(record.lock)
        self.exited = asyncio.Event()
        self.complete = asyncio.Event()
        self._record = record
        self._protocol = protocol
        self._on_error = on_error
        self._forward_stderr = forward_stderr

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        process = cast(asyncio.SubprocessTransport, transport)
        pipes = {fd: process.get_pipe_transport(fd) for fd in (STDIN, STDOUT, STDERR)}
        self.piped = frozenset(fd for fd, pipe in pipes.items() if pipe is not None)
        self._open_outputs = set(self.piped - {STDIN})
        stdin = pipes[STDIN]
        if stdin is not None:
            self.stdin = WriteQueue(cast(asyncio.WriteTransport, stdin))
        self._note_and_pass_on("connection_made", transport)

    def pipe_data_received(self, fd: int, data: bytes) -> None:
        self._note_and_pass_on("pipe_data_received", fd, data)
        self.outputs[fd].feed(data)

    def pipe_connection_lost(self, fd: int, exc: Exception | None) -> None:
        self._note_and_pass_on("pipe_connection_lost", fd, exc)
        self._open_outputs.discard(fd)
        if fd in self.outputs:
            self.outputs[fd].end()
            self._end_if_complete()
        elif self.stdin is not None:
            self.stdin.fail(exc or BrokenPipeError("stdin was closed before all of it was written"))

    def process_exited(self) -> None:
        self._note_and_pass_on("process_exited")
        self.exited.set()
        self.exit_cursor.serve()

    def connection_lost(self, exc: Exception | None) -> None:
        self._note_and_pass_on("connection_lost", exc)
        self._lost = True
        self._end_if_complete()

    def write(self, stdin: WriteQueue, data: bytes, future: CaptureFuture[None]) -> None:
        if not stdin.closed:
            self._record.note("stdin_written", data)
        stdin.write(data, future)

    def write_eof(self, stdin: WriteQueue, future: CaptureFuture[None]) -> None:
        if not stdin.closed:
            self._record.note("stdin_ended")
        stdin.write_eof(future)

    def pause_writing(self) -> None:
        self._note_and_pass_on("pause_writing")

    def resume_writing(self) -> None:
        if self.stdin is not None:
            self.stdin.resume_writing()
        self._note_and_pass_on("resume_writing")

    def _end_if_complete(self) -> None:
        # uvloop may call connection_lost before it has passed on all that came by the pipes.
        if self._lost and not self._open_outputs:
            self.complete.set()
            self.end_cursor.serve()

    def _note_and_pass_on(self, name: str, *args: Any) -> None:
        self._record.note(name, *args)
        beside = args[:1] == (STDERR,) and not self._forward_stderr
        if self._protocol is None or beside:
            return
        try:
            getattr(self._protocol, name)(*args)
        except BaseException as error:  # noqa: BLE001  the test fails with it; the capture goes on
            self._on_error(as_exception(error))
