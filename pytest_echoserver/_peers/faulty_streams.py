"""`FaultyStream`: a connection's network, once it has had faults."""

import asyncio
import socket
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from typing import Any, cast

from .._faults.deciding import StreamDecider
from .._faults.peer import PeerFaults
from .._faults.streams import HIGH, LOW, StreamLane
from .._faults.verdict import Ending
from .._telling import told_bytes
from .._timetable import Agenda
from .._transports.arrival import until_arrived, until_read
from .._transports.writing import until_taken
from .closing import LARGEST_READ
from .stream_end import StreamEnd

__tracebackhide__ = True

CUT_OFF = "the network is cut off"
FULL = "the network is full"
GONE = "the network is gone"
STALLED = "the network stalls"
MOST_READS = 256
"""So much is read at a close, at most: a client may send and send."""


class FaultyStream(asyncio.Protocol):
    """Stands between a connection's end and its transport, both ways.

    Args:
        end: whose network it is.
        flow: the ordinal of the connection, from 0.
        limit: seconds that what is sent has to arrive, or a segment of it to be read.
        at: calls a function at a time, in monotonic seconds.
        agenda: holds what is to be called, up to then.
        fail: takes what a user's callable raised.
    """

    def __init__(
        self,
        end: StreamEnd,
        flow: int,
        limit: float,
        *,
        at: Callable[[float, Callable[[], object]], None],
        agenda: Agenda,
        fail: Callable[[BaseException], object],
    ) -> None:
        self._end = end
        self._limit = limit
        self._lost: list[Exception | None] = []
        self._gone = False
        """Whether the connection is lost."""
        self._was_reset = False
        self._tasks: set[asyncio.Future[None]] = set()
        self._drained = asyncio.locks.Event()
        self._transport: asyncio.Transport | None = None
        self._agenda = agenda
        common: Any = {"end": self._cut, "at": at, "note": end.note, "fail": fail, "start": self._wait_for}
        self.inbound = StreamLane("in", flow, deliver=self._arrive, finish=self._eof_arrives, **common)
        self.outbound = StreamLane("out", flow, deliver=self._leave, finish=self._eof_leaves, **common)
        self.inbound.when_room = self._may_read_on
        self.outbound.when_room = self._tell_if_empty
        end.network = self

    def stand_between(self) -> None:
        """Get between an end and a transport that have each other already."""
        self._end.put_behind(self._behind)
        if self._transport is not None:
            self._transport.set_protocol(self)

    def have(self, faults: PeerFaults) -> None:
        """Go by these faults from here on."""
        self.inbound.have(cast("StreamDecider | None", faults.inbound))
        self.outbound.have(cast("StreamDecider | None", faults.outbound))

    def begin_anew(self) -> None:
        """Count both streams from their beginnings again."""
        self.inbound.begin_anew()
        self.outbound.begin_anew()

    def cut_off(self) -> None:
        """Let nothing pass either way, until `heal`."""
        self.inbound.cut_off()
        self.outbound.cut_off()
        self._end.pause_reading(CUT_OFF)

    def heal(self) -> None:
        """Let pass what waits."""
        self.inbound.heal()
        self.outbound.heal()
        self._end.resume_reading(CUT_OFF)

    def told(self) -> str:
        """Tell, as a clause, that it keeps from the peer what was sent there; empty if it doesn't."""
        if self.inbound.blocked:
            return "; its network lets nothing pass"
        held = self.inbound.held
        return f"; its network holds {told_bytes(held)} back" if held else ""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._end.connection_made(self._behind(cast(asyncio.Transport, transport)))

    def data_received(self, data: bytes) -> None:
        self.inbound.carry(data)
        if self.inbound.held > HIGH:
            self._end.pause_reading(FULL)

    def eof_received(self) -> bool:
        self.inbound.carry_eof()
        return not self._end.tls

    def connection_lost(self, exc: Exception | None) -> None:
        self._gone = True
        self.outbound.clear()
        self._drained.set()
        if self._was_reset:
            exc = ConnectionResetError("the network has reset the connection")
        self._lost.append(exc)
        self._tell_if_lost()

    def pause_writing(self) -> None:
        self._drained.clear()

    def resume_writing(self) -> None:
        self._drained.set()
        self._tell_if_empty()

    def drop(self) -> None:
        """Drop what is on its way: nobody is there to take it."""
        self.inbound.clear()
        self.outbound.clear()
        self._tell_if_lost()

    @property
    def unsent(self) -> int:
        """Bytes that wait, here and in the transport; one at least while any are on their way."""
        waiting = self.outbound.held + self._in_transport
        return waiting if self.outbound.idle else max(waiting, 1)

    @property
    def _in_transport(self) -> int:
        """Bytes that wait in the transport: none that leave, once it is lost, or TLS is closed.

        asyncio's of TLS can't be asked then, which has let go of what is beneath it.
        """
        transport = self._transport
        assert transport is not None
        return 0 if self._gone or (self._end.tls and transport.is_closing()) else transport.get_write_buffer_size()

    def _behind(self, transport: asyncio.Transport) -> "FaultyTransport":
        self._transport = transport
        if not self._in_transport:
            self._drained.set()
        return FaultyTransport(transport, self)

    def _arrive(self, data: bytes, segment: int | None) -> None:
        for piece in _pieces(data, segment):
            self._end.data_received(piece)

    def _eof_arrives(self) -> None:
        self._end.eof_received()

    def _may_read_on(self) -> None:
        if self.inbound.held < LOW:
            self._end.resume_reading(FULL)
        self._tell_if_lost()

    def _tell_if_lost(self) -> None:
        """Tell of the connection's end, after all that came before it."""
        if self._lost and (self.inbound.idle or self.inbound.ended):
            self._end.connection_lost(self._lost.pop())
            self._agenda.clear()

    def _leave(self, data: bytes, segment: int | None) -> Awaitable[None] | None:
        if segment is not None:
            return self._leave_in_segments(data, segment)
        if (transport := self._open_transport) is not None:
            transport.write(data)
        return None

    async def _leave_in_segments(self, data: bytes, segment: int) -> None:
        """Write pieces of that size, each once the one before it was read at the other end."""
        sock = self._end.sock
        for piece in _pieces(data, segment):
            if (transport := self._open_transport) is None:
                return
            transport.write(piece)
            await self._emptied()
            if sock is not None and sock.fileno() >= 0:
                await until_read(sock, self._limit)

    def _eof_leaves(self) -> None:
        if (transport := self._open_transport) is not None:
            transport.write_eof()

    @property
    def _open_transport(self) -> asyncio.Transport | None:
        """The transport, as long as something can leave by it."""
        transport = self._transport
        return None if transport is None or self._gone or transport.is_closing() else transport

    def _tell_if_empty(self) -> None:
        if self._transport is not None and not self.unsent:
            self._end.resume_writing()

    def _cut(self, how: Ending) -> None:
        """End the connection as the network does."""
        self._end.cut()
        if how == "stall":
            self.inbound.stall()
            self.outbound.stall()
            self._end.pause_reading(STALLED)
            return
        self.inbound.clear()
        self.outbound.ended = True
        self._wait_for(self._close(reset=how == "reset"), lambda: None)

    async def _close(self, *, reset: bool) -> None:
        transport, sock = self._transport, self._end.sock
        assert transport is not None
        self._end.pause_reading(GONE)
        await self._emptied()
        if reset and sock is not None and sock.fileno() >= 0:
            await until_arrived(sock, self._limit)
            self._was_reset = True
            self._end.linger_not()
        elif sock is not None and not transport.is_closing():
            self._end.note_our_end()
            if not self._end.tls:
                _end_cleanly(sock)
        transport.abort()

    async def _emptied(self) -> None:
        """Wait until the kernel has all that was written."""
        if self._in_transport:
            await self._drained.wait()
        if self._end.tls and self._end.sock is not None:
            await until_taken(self._end.sock)

    def _wait_for(self, awaitable: Awaitable[None], then: Callable[[], object]) -> None:
        task = asyncio.tasks.ensure_future(awaitable)
        self._tasks.add(task)

        def done(_: "asyncio.Future[None]") -> None:
            self._tasks.discard(task)
            then()

        task.add_done_callback(done)


class FaultyTransport(asyncio.Transport):
    """What a connection's end writes to: the network, with a transport behind it."""

    def __init__(self, transport: asyncio.Transport, network: FaultyStream) -> None:
        super().__init__()
        self._transport = transport
        self._network = network

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)  # what only some transports have

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self._network.outbound.carry(bytes(data))

    def write_eof(self) -> None:
        self._network.outbound.carry_eof()

    def can_write_eof(self) -> bool:
        return self._transport.can_write_eof()

    def get_write_buffer_size(self) -> int:
        return self._network.unsent

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        self._transport.set_write_buffer_limits(high, low)

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return self._transport.get_extra_info(name, default)

    def is_closing(self) -> bool:
        return self._transport.is_closing()

    def pause_reading(self) -> None:
        self._transport.pause_reading()

    def resume_reading(self) -> None:
        self._transport.resume_reading()

    def close(self) -> None:
        self._network.outbound.clear()
        self._transport.close()

    def abort(self) -> None:
        self._network.drop()
        self._transport.abort()


def _end_cleanly(sock: socket.socket) -> None:
    with suppress(OSError):
        sock.shutdown(socket.SHUT_WR)
    with suppress(OSError):  # closed with unread input, it would be reset
        for _ in range(MOST_READS):
            if not sock.recv(LARGEST_READ):
                break


def _pieces(data: bytes, size: int | None) -> Iterator[bytes]:
    if size is None:
        yield data
        return
    for at in range(0, len(data), size):
        yield data[at : at + size]
