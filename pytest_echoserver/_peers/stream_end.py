"""`StreamEnd`: our end of a stream connection, on the engine's loop."""

import asyncio
import socket
import ssl
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Protocol

from .. import _deadline
from .._bytestream import ByteStream
from .._cursors import Cursor
from .._futures import CaptureFuture
from .._outcomes import fail
from .._record import Event, Record, View
from .._transports.arrival import acknowledge, eof_arrived, input_queue, still_to_come
from .._transports.writing import WriteQueue, linger_not, until_taken
from .closing import arrive_and_reset, drain_and_close
from .outbox import Outbox
from .pausing import PausableProtocol
from .segments import write_segments

__tracebackhide__ = True

STALLED = "it was told to stall"


class StreamListener(Protocol):
    """Who acts on what comes in. It is told after that was recorded, and before any reader is served."""

    def data_received(self, data: bytes) -> None: ...
    def eof_received(self) -> None: ...
    def connection_lost(self) -> None: ...


class ConnectionGone(BrokenPipeError):
    """What can't be sent any more, on the connection whose ``_end`` this is."""

    _end: "StreamEnd | None" = None

    def __reduce__(self) -> tuple[Any, ...]:
        # The end has locks, and a loop.
        return type(self), self.args, {name: each for name, each in self.__dict__.items() if name != "_end"}


class StreamEnd(PausableProtocol):
    """Records what comes and goes, and does what the connection's users ask for, in order.

    Its ``listener`` acts on what comes; ``made`` is called once it has its transport. ``sock`` is the socket that
    the transport is for, ours to ask and to shut down; ``tls`` says that neither direction can be closed alone.

    Args:
        record: where the entries go; ``prefix`` stands before the arguments of each.
    """

    def __init__(self, record: Record, *prefix: Any) -> None:
        super().__init__()
        self.inbound: ByteStream = ByteStream(record.lock)
        self.outbound: ByteStream = ByteStream(record.lock)
        self.end_cursor: Cursor = Cursor(record.lock)
        self.ends: list[str] = []
        self.lost: asyncio.Event = asyncio.locks.Event()
        self.outbox: Outbox = Outbox()
        self.listener: StreamListener | None = None
        self.made: Callable[[], None] | None = None
        self.network: asyncio.Protocol = self
        """What gets the bytes that arrive: the faulty network that stands before this end, else this end."""
        self.sock: socket.socket | None = None
        self.reader: socket.socket | None = None
        """The other end's socket, where that is at hand."""
        self.tls: bool = False
        self.cut_short: bool = False
        """Whether a faulty network has ended it, or lets nothing pass any more."""
        self.ended_by_network: bool = False
        """Whether it was lost after that, and the other side had not ended it before."""
        self.when_cut: Callable[[], object] | None = None
        """Called once it is cut short."""
        self.stalled_by_step: bool = False
        """Whether a step of its script has stalled it, and nobody has called `unstall` since."""
        self._record = record
        self._prefix = prefix
        self._eof_sent = False
        self._eof_is_unread = False
        """Whether the other side had ended it before we closed it, and nobody had read of that."""
        self.closed_by_us: bool = False
        self._queue: WriteQueue | None = None
        self.handshake: asyncio.Future[None] | None = None
        """Done once a TLS handshake has ended that was begun amid the connection."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        assert self._transport is not None
        self._queue = WriteQueue(self._transport, self._gone)
        if self.tls and self.sock is not None:
            acknowledge(self.sock)  # we say nothing after a handshake: there are no session tickets
        if self.made is not None:
            self.made()

    @property
    def number(self) -> int | None:
        """Of a peer's connection its number, from 1."""
        return next(iter(self._prefix), None)

    @property
    def events(self) -> View[Event]:
        return self._record.events

    def put_behind(self, wrap: Callable[[asyncio.Transport], asyncio.Transport]) -> None:
        """Put what ``wrap`` makes of its transport in the place of that, and go on writing there."""
        if self._transport is not None and not self._transport.is_closing():
            self._transport = wrap(self._transport)
            self._queue, before = WriteQueue(self._transport, self._gone), self._queue
            if before is not None:
                self._queue.take_over(before)

    def data_received(self, data: bytes) -> None:
        self.note("data_received", data)
        self.inbound.add(data)
        # Answered first: whoever reads what came then finds the answer in the record, too.
        if self.listener is not None:
            self.listener.data_received(data)
        self.inbound.serve()

    def eof_received(self) -> bool:
        self.note("eof_received")
        self._ended("eof")
        self.inbound.end()
        if self.listener is not None:
            self.listener.eof_received()
        return not self.tls  # our direction stays open, but for TLS, where asyncio closes both

    def resume_writing(self) -> None:
        if self._queue is not None:
            self._queue.resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        if self.lost.is_set():
            return
        reset = exc is not None and not _is_end_of_tls(exc)
        if not self.closed_by_us:
            self.ended_by_network = self.cut_short and not self.ends
            if not (reset or self.ends or self.cut_short):  # uvloop, over TLS, tells of EOF by this alone
                self.note("eof_received")
            self._ended("reset" if reset else "eof")
        self.note("connection_lost", exc)
        self.inbound.end(exc if reset else None)
        self.outbound.end()
        if self._queue is not None:
            self._queue.fail(self._gone("the connection was closed before this was sent", exc))
        self.lost.set()
        self.end_cursor.serve()
        if self.listener is not None:
            self.listener.connection_lost()

    def when_ended(self, future: CaptureFuture[str]) -> CaptureFuture[str]:
        """Give ``future`` how the other side ended it; an error if this side did."""

        def take(at: int) -> tuple[str, int] | None:
            if self.ends:
                return self.ends[0], at
            if self.lost.is_set():
                raise self.inbound.error or ConnectionAbortedError("the connection was closed on this side")
            return None

        return self.end_cursor.ask(future, take)

    def send(self, data: bytes, future: CaptureFuture[None] | None = None) -> None:
        """Send ``data`` after all that was asked for before; the future is done when the kernel has it."""
        self.outbox.do(self._write, data, future, future=future)

    def send_in_segments(
        self, data: bytes, sizes: Sequence[int], limit: float, future: CaptureFuture[None]
    ) -> None:
        """Send ``data`` cut in pieces, each once the one before it was read at the other end."""
        self.outbox.put(lambda: write_segments(self, data, sizes, limit, future), future)

    def send_eof(self, future: CaptureFuture[None] | None = None) -> None:
        self.outbox.do(self._write_eof, future, future=future)

    def close(self, future: CaptureFuture[None] | None = None) -> None:
        """Close after all that was sent has left, and what has come in was read: a FIN for the other side."""
        told = "" if self.tls else "what has come in is being read"
        self.outbox.put(partial(drain_and_close, self), future, told)

    def reset(self, future: CaptureFuture[None] | None = None) -> None:
        """Close after all that was sent has arrived, as far as it does: a RST for the other side."""
        told = "what has left has not arrived at the other end"
        self.outbox.put(partial(arrive_and_reset, self), future, told)

    def stall(self) -> None:
        """Stop reading: the window closes once the buffers are full."""
        self.pause_reading(STALLED)
        # TLS has a buffer of its own: 256 KiB before it stops to read from the socket.
        limit = getattr(self._transport, "set_read_buffer_limits", None)
        if self.tls and limit is not None:
            limit(1)

    def unstall(self) -> None:
        self.stalled_by_step = False
        self.resume_reading(STALLED)

    def listen(self, listener: StreamListener | None, when_cut: Callable[[], object] | None = None) -> None:
        """Have ``listener`` act on what comes from here on; None: nobody does."""
        self.listener, self.when_cut = listener, when_cut

    def cut(self) -> None:
        """Its network has ended it, or lets nothing pass any more."""
        self.cut_short = True
        if self.when_cut is not None:
            self.when_cut()

    def fail(self, error: BaseException) -> None:
        """Reset the connection, for ``error``: who waits for something to be read gets it."""
        self.inbound.will_end_with(error)
        if not (self._transport is None or self.lost.is_set() or self.is_unix):
            self.note("reset_sent")
        self.linger_not()
        self.abort()

    def abort(self) -> None:
        """Close it now, dropping what wasn't sent."""
        self.closed_by_us = True
        self.outbox.cancel()
        if self._transport is None:
            self.lost.set()
        elif not self.lost.is_set():
            self._transport.abort()

    def settle_without_transport(self) -> None:
        """The attempt to connect it is over: if it has no transport, it never gets one, and counts as lost."""
        if self._transport is None:
            if self.sock is not None:
                self.sock.close()
            self.lost.set()

    @staticmethod
    def later(seconds: float, function: Callable[[], None]) -> None:
        """Have ``function`` called after some time."""
        asyncio.events.get_running_loop().call_later(seconds, function)

    @property
    def unsent(self) -> int:
        """How many bytes wait to be taken by the system."""
        return 0 if self._transport is None else self._transport.get_write_buffer_size()

    def when_sent(self, future: CaptureFuture[None]) -> None:
        """Fulfil ``future`` once the system has all that was sent."""
        assert self._queue is not None
        self._queue.when_empty(future)

    @property
    def arrived(self) -> int:
        """How many bytes have come, with those that are still to be read from the socket."""
        return len(self.inbound) + self._unread

    @property
    def _unread(self) -> int:
        return 0 if self.sock is None else input_queue(self.sock)

    @property
    def _more_to_come(self) -> bool:
        """Whether the other side has sent by now what isn't here yet."""
        return self.sock is not None and still_to_come(self.sock)

    @property
    def tls_version(self) -> str | None:
        """The version that was agreed upon, as "TLSv1.3"."""
        ssl_object = self._transport.get_extra_info("ssl_object") if self._transport is not None else None
        return ssl_object.version() if ssl_object is not None else None

    def read_on(self) -> None:
        """Read on, whatever the reasons not to: it is about to be closed."""
        for why in list(self._paused_by):
            self.resume_reading(why)

    async def end_outbound(self) -> None:
        """Send EOF, if that wasn't done; return when it has left, after all that was sent."""
        left: CaptureFuture[None] = CaptureFuture("all that was sent to leave")
        self.send_eof(left)
        await left

    def note_our_end(self) -> None:
        """Note ``eof_sent`` for a close that is about to send it, unless the other side has ended first.

        So the record tells which side has closed a connection.
        """
        if self.ends or self.sock is None:
            return
        # Not over TLS, nor behind a faulty network: that the socket has an EOF doesn't mean that this end has.
        self._eof_is_unread = not self.tls and self.network is self and eof_arrived(self.sock)
        if not self._eof_is_unread and _is_connected(self.sock):
            self._note_eof()

    def _note_eof(self) -> None:
        if not self._eof_sent:
            self._eof_sent = True
            self.note("eof_sent")

    async def _emptied(self) -> None:
        """Wait until the kernel has all that was written."""
        assert self._queue is not None
        if not self._queue.empty:
            emptied: CaptureFuture[None] = CaptureFuture(
                "all that was sent to leave", timeout=_deadline.UNTIL_THE_TEST_ENDS
            )
            self._queue.when_empty(emptied)
            await emptied
        if self.tls and self.sock is not None:
            await until_taken(self.sock)

    def _write(self, data: bytes, future: CaptureFuture[None] | None) -> None:
        if self._queue is None or self._queue.closed or self.closed_by_us or self._eof_sent:
            if future is not None:
                fail(future, self._gone())
            return
        self.note("data_sent", data)
        self.outbound.feed(data)
        self._queue.write(data, future)

    def _write_eof(self, future: CaptureFuture[None] | None) -> None:
        if self._queue is None or self._queue.closed or self.closed_by_us:
            if future is not None:
                fail(future, self._gone())
            return
        self._note_eof()
        self._queue.write_eof(future)

    def _gone(self, text: str = "", cause: BaseException | None = None) -> ConnectionError:
        error = ConnectionGone(text or f"nothing can be sent on {self._told}: {self._why_gone}")
        error._end = self
        error.__cause__ = cause
        return error

    @property
    def _told(self) -> str:
        return "the connection" if self.number is None else f"connection {self.number}"

    @property
    def _why_gone(self) -> str:
        if self.closed_by_us:
            return "it was closed on this side"
        if self.cut_short:
            return "its network has ended it"
        if self._eof_sent:
            return "its end was sent"
        return "the other end has reset it" if self.ends == ["reset"] else "the other end has closed it"

    @property
    def is_unix(self) -> bool:
        return self.sock is not None and self.sock.family not in (socket.AF_INET, socket.AF_INET6)

    def linger_not(self) -> None:
        """Make the close that comes a RST rather than a FIN."""
        if not (self.sock is None or self.is_unix):
            linger_not(self.sock)

    def note(self, name: str, *args: Any) -> None:
        self._record.note(name, *self._prefix, *args)

    def _ended(self, how: str) -> None:
        if not self.ends:
            self.ends.append(how)
            self.end_cursor.serve()


def _is_connected(sock: socket.socket) -> bool:
    """Whether there is a connection still, though nobody may have read of its end."""
    try:
        sock.getpeername()
    except OSError:
        return False
    return True


def _is_end_of_tls(exc: Exception) -> bool:
    """Whether it only tells that the other side has ended TLS, if not as politely as it should (RFC 8446, 6.1)."""
    reason = getattr(exc, "reason", None)
    return (
        isinstance(exc, (ssl.SSLEOFError, ssl.SSLZeroReturnError))
        or reason == "APPLICATION_DATA_AFTER_CLOSE_NOTIFY"
    )
