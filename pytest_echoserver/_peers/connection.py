"""`Connection`: one stream connection, the end of it that is in the test's hands."""

import asyncio
import re
import socket
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any, cast, overload

from .._checks import bytes_like, whole_number
from .._cursors import ByteStream, Cursor
from .._futures import CaptureFuture
from .._outcomes import copy_outcome, fail
from .._patterns import compile_pattern
from .._record import Record
from .._scope import Scope
from .._transports.writing import WriteQueue

__tracebackhide__ = True


class Connection:
    """One end of a stream connection: what came in is kept whole, and read when you like.

    Reads go on from where the last one ended, in the order in which they were asked for; `received` has all
    from the start. Everything that takes time gives a `CaptureFuture`; what is sent is sent in order even if
    nobody looks at the future.
    """

    def __init__(self, scope: Scope, name: str, timeout: float) -> None:
        self._scope = scope
        self._name = name
        self._timeout = timeout
        self._record = Record()
        self._far = _ConnectionProtocol(self._record)
        self._eof_sent = False

    @property
    def received(self) -> bytes:
        """All that came in so far. What was sent just now may still be on its way: a read waits for it."""
        return bytes(self._far.inbound)

    @property
    def sent(self) -> bytes:
        """All that was sent so far. It is noted before it leaves."""
        return bytes(self._far.outbound)

    @property
    def ended(self) -> CaptureFuture[str]:
        """How the other side ended it: ``"eof"`` or ``"reset"``."""
        outcomes = self._far.ends
        future: CaptureFuture[str] = self._future("the end of the connection")
        return self._far.end_cursor.ask(future, lambda at: (outcomes[0], at) if outcomes else None)

    def read(self, n: int = -1) -> CaptureFuture[bytes]:
        """What has come, at most ``n`` bytes, as soon as there is any; ``b""`` at EOF.

        Without ``n``: everything up to EOF.
        """
        if n != -1:
            whole_number(n, "n", least=1)
        what = "the end of the stream" if n < 0 else f"up to {n} bytes"
        return self._far.inbound.read(self._future(what), n)

    def read_exactly(self, n: int) -> CaptureFuture[bytes]:
        """The next ``n`` bytes. EOF before that is an `asyncio.IncompleteReadError`, with what there was."""
        whole_number(n, "n", least=1)
        return self._far.inbound.read_exactly(self._future(f"exactly {n} bytes"), n)

    @overload
    def read_until(self, pattern: bytes) -> CaptureFuture[bytes]: ...
    @overload
    def read_until(self, pattern: re.Pattern[bytes]) -> CaptureFuture[re.Match[bytes]]: ...
    def read_until(self, pattern: bytes | re.Pattern[bytes]) -> CaptureFuture[Any]:
        r"""All up to and with ``pattern``; for a regular expression, its match.

        A regular expression has to end in a literal byte, as ``rb"(\d+)\n"`` does, and is met by the shortest
        piece, from where the last read ended, that it fully matches: so it doesn't matter how the bytes were
        cut on their way. EOF before that is an `asyncio.IncompleteReadError`.

        Raises:
            TypeError, ValueError: such a pattern can't be read up to; the text says why.
        """
        wanted = compile_pattern(pattern, anchored=True)
        return self._far.inbound.read_until(self._future(str(wanted)), wanted)

    async def lines(self) -> AsyncIterator[bytes]:
        r"""The lines as they come, each with its ``\n``, up to EOF; a last one may lack it."""
        while True:
            try:
                yield await self.read_until(b"\n")
            except asyncio.IncompleteReadError as rest:
                if rest.partial:
                    yield await self.read_exactly(len(rest.partial))
                return

    def send(self, data: bytes) -> CaptureFuture[None]:
        """Send ``data``; the future is done when the kernel has taken all of it.

        Raises:
            TypeError: it isn't bytes.
            RuntimeError: it comes after `send_eof` or `close`.
        """
        payload = bytes_like(data)
        if self._eof_sent:
            raise RuntimeError(f"send() on {self} after its end was sent: nothing can follow EOF")
        return self._post(self._far.send, payload, what=f"{len(payload)} bytes to be sent")

    def send_eof(self) -> CaptureFuture[None]:
        """End our direction after all that was sent (half-close); reading goes on."""
        self._eof_sent = True
        return self._post(self._far.send_eof, what="EOF to be sent")

    def close(self) -> CaptureFuture[None]:
        """Close it, after what was sent has left and what has come in was read: the other side sees clean EOF."""
        self._eof_sent = True
        return self._post(self._start_closing, what="the connection to be closed")

    async def _open_far_end(self, sock: socket.socket) -> None:
        """Put this end on ``sock`` and the engine's loop."""
        await asyncio.get_running_loop().create_connection(lambda: self._far, sock=sock)

    def __str__(self) -> str:
        return self._name

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self}>"

    def _post(self, function: Any, *args: Any, what: str) -> CaptureFuture[None]:
        future: CaptureFuture[None] = self._future(what)
        self._scope.post(function, *args, future)
        return future

    def _start_closing(self, future: CaptureFuture[None]) -> None:
        closing = asyncio.ensure_future(self._close())
        closing.add_done_callback(lambda task: copy_outcome(task, future))

    async def _close(self) -> None:
        await self._far.drain_and_close()

    async def _shut(self) -> None:
        self._far.abort()
        await self._far.lost.wait()

    def _future(self, what: str) -> CaptureFuture[Any]:
        return CaptureFuture(what, where=str(self), timeout=self._timeout, instead=self._far.inbound.tell_unread)


class _ConnectionProtocol(asyncio.Protocol):
    """The connection's side on the loop."""

    def __init__(self, record: Record) -> None:
        self.inbound = ByteStream(record.lock)
        self.outbound = bytearray()
        self.ends: list[str] = []
        self.end_cursor = Cursor(record.lock)
        self.lost = asyncio.Event()
        self._eof_sent = False
        self._record = record
        self._transport: asyncio.Transport | None = None
        self._queue: WriteQueue | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._queue = WriteQueue(self._transport)

    def data_received(self, data: bytes) -> None:
        self._record.note("data_received", data)
        self.inbound.feed(data)

    def eof_received(self) -> bool:
        self._record.note("eof_received")
        self._ended("eof")
        self.inbound.end()
        return True  # our direction stays open

    def resume_writing(self) -> None:
        if self._queue is not None:
            self._queue.resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        self._record.note("connection_lost", exc)
        if exc is not None:
            self._ended("reset")
        self.inbound.end(exc)
        if self._queue is not None:
            self._queue.fail(exc or BrokenPipeError("the connection was closed before this was sent"))
        self.end_cursor.fail(ConnectionAbortedError("the connection was closed on this side"))
        self.lost.set()

    def send(self, data: bytes, future: CaptureFuture[None]) -> None:
        if self._queue is None or self._queue.closed:
            fail(future, BrokenPipeError("the other end is closed, or this one is"))
            return
        self._record.note("data_sent", data)
        self.outbound += data
        self._queue.write(data, future)

    def send_eof(self, future: CaptureFuture[None]) -> None:
        if self._queue is None or self._queue.closed:
            fail(future, BrokenPipeError("the other end is closed, or this one is"))
            return
        if not self._eof_sent:
            self._eof_sent = True
            self._record.note("eof_sent")
        self._queue.write_eof(future)

    async def end_outbound(self) -> None:
        """Send EOF, if that wasn't done; return when it has left, after all that was sent."""
        left: CaptureFuture[None] = CaptureFuture("all that was sent to leave")
        self.send_eof(left)
        await left

    async def drain_and_close(self) -> None:
        """Close after our buffer has emptied and what is in the kernel's was read.

        To close with unread input would be a reset for the other side.
        """
        if self._transport is None or self._queue is None:
            return
        emptied: CaptureFuture[None] = CaptureFuture("all that was sent to leave")
        self._queue.when_empty(emptied)
        with suppress(OSError):  # lost, or its reader is slow: close() then goes on in the background
            await emptied
        seen = -1
        while seen != len(self.inbound):
            seen = len(self.inbound)
            await asyncio.sleep(0)
        self._transport.close()
        await self.lost.wait()

    def abort(self) -> None:
        if self._transport is None:
            self.lost.set()
        else:
            self._transport.abort()

    def _ended(self, how: str) -> None:
        if not self.ends:
            self.ends.append(how)
            self.end_cursor.serve()
