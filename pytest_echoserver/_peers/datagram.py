"""`DatagramPeer`: a UDP peer of the code under test."""

import asyncio
import ipaddress
import socket
import time
from collections.abc import Sequence
from typing import Any

from .._checks import bytes_like, whole_number
from .._cursors import Cursor
from .._futures import CaptureFuture
from .._outcomes import fail, fulfil
from .._record import Address, Datagram, Event, Record, Row, SentDatagram, View
from .._scope import Member, Scope
from .._transports.datagram import DrainingDatagramTransport, Sockaddr, dropped_datagrams
from .behaviours import DatagramBehaviour
from .bound import BoundPeer

__tracebackhide__ = True

LARGEST_PAYLOAD = {socket.AF_INET: 65_507, socket.AF_INET6: 65_527}
"""Bytes: 65,535 less the headers of UDP (RFC 768) and, for IPv4, of IP (RFC 791)."""


class DatagramPeer(BoundPeer):
    """A UDP peer for the code under test: bound before you see it, remembering every datagram.

    Get one from the fixture ``udp_echo_server`` or from `Peers`. It is a context manager, and closed at the end
    of the test in any case.
    """

    def __init__(
        self, scope: Scope, name: str, sock: socket.socket, behaviour: DatagramBehaviour, timeout: float
    ) -> None:
        super().__init__(scope, name, "udp", sock)
        self._timeout = timeout
        self._dropped: int | None = None
        self._record = Record()
        self._protocol = _PeerProtocol(self._record, behaviour)
        scope.adopt(Member(str(self), self._record, self._shut))
        scope.call(self._open)

    @property
    def received(self) -> Sequence[Datagram]:
        """What came in, in order: a live sequence."""
        return self._protocol.received

    @property
    def sent(self) -> Sequence[SentDatagram]:
        """What went out, in order: a live sequence. An entry is made before the datagram leaves."""
        return View(self._protocol.sent_rows, _sent_datagram)

    @property
    def events(self) -> Sequence[Event]:
        """Everything that happened: ``datagram_received(data, source)``, ``datagram_sent(data, to)``,
        ``error_received(exc)``, ``connection_lost(exc)``."""
        return self._record.events

    @property
    def dropped_by_kernel(self) -> int | None:
        """How many datagrams the kernel dropped here for want of room; None where the system doesn't tell.

        On Linux, sent to it = ``len(received)`` + ``dropped_by_kernel``, once it has read all.
        """
        with self._record.lock:
            return self._dropped if self._closed else dropped_datagrams(self._socket)

    def next_datagram(self) -> CaptureFuture[Datagram]:
        """The next datagram that no call has taken yet, whether it has come or will.

        Raises:
            RuntimeError: the peer is closed.
        """
        self._refuse_if_closed("next_datagram()")
        rows = self._protocol.received_rows

        def take(at: int) -> tuple[Datagram, int] | None:
            return (_datagram(rows[at]), at + 1) if at < len(rows) else None

        return self._protocol.cursor.ask(self._future("the next datagram"), take)

    def wait_for(self, count: int) -> CaptureFuture[Sequence[Datagram]]:
        """``received`` itself, once it holds ``count`` datagrams.

        Raises:
            ValueError: ``count`` is less than 1.
            RuntimeError: the peer is closed.
        """
        whole_number(count, "count", least=1)
        self._refuse_if_closed("wait_for()")
        return self._protocol.when(count, self._future(f"{count} datagrams"))

    def send(self, data: bytes, to: Address) -> CaptureFuture[None]:
        """Send a datagram that nobody asked for.

        Args:
            data: the payload, 0 to 65,507 bytes (65,527 over IPv6).
            to: (host, port).

        Returns:
            A future of its having been sent, free to be ignored; it gets the error if the system refuses it.

        Raises:
            TypeError, ValueError: data or address are none.
            RuntimeError: the peer is closed.
        """
        payload = _payload(data, self._family)
        address = _checked_address(to)
        self._refuse_if_closed("send()")
        future: CaptureFuture[None] = self._future(f"a datagram to {to[0]} port {to[1]} to be sent")

        def sent(error: OSError | None) -> None:
            if error is None:
                fulfil(future, None)
            else:
                fail(future, error)

        self._scope.post(self._protocol.send, payload, address, sent)
        return future

    def close(self) -> None:
        """Close the socket. When this returns, nothing more is recorded; what was recorded stays."""
        self._scope.call(self._abort)

    def _open(self) -> None:
        DrainingDatagramTransport(self._scope.engine.loop, self._socket, self._protocol)

    def _abort(self) -> None:
        if self._closed:
            return
        transport = self._protocol.transport
        if transport is not None:
            transport.drain()
        with self._record.lock:
            self._dropped = dropped_datagrams(self._socket)
            if transport is None:
                self._socket.close()
            else:
                transport.abort()
        self._protocol.fail(RuntimeError(f"{self} was closed while this was awaited"))

    async def _shut(self) -> None:
        self._abort()

    def _future(self, what: str) -> CaptureFuture[Any]:
        return CaptureFuture(what, where=str(self), timeout=self._timeout, instead=self._what_came)

    def _what_came(self) -> str:
        received = self._protocol.received
        if not received:
            return "no datagram came"
        last = received[-1]
        ago = time.monotonic() - last.time
        came = "1 datagram" if len(received) == 1 else f"{len(received)} datagrams"
        return (
            f"{came} had come by then, the last {len(last.data)} bytes {_short(last.data)} "
            f"from {last.source[0]} port {last.source[1]}, {ago:.3g} s ago"
        )


class _PeerProtocol(asyncio.DatagramProtocol):
    """The peer's side on the loop: records what comes and goes, and lets the behaviour answer."""

    def __init__(self, record: Record, behaviour: DatagramBehaviour) -> None:
        self.transport: DrainingDatagramTransport | None = None
        self.received_rows: list[Row] = []
        self.sent_rows: list[Row] = []
        self.received: View[Datagram] = View(self.received_rows, _datagram)
        self.cursor = Cursor(record.lock)
        self._counts: list[Cursor] = []
        self._record = record
        self._behaviour = behaviour
        self._sources: dict[Sockaddr, Address] = {}

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, DrainingDatagramTransport)
        self.transport = transport

    def datagram_received(self, data: bytes, addr: Sockaddr) -> None:
        # One tuple an address, however many datagrams it sends.
        source = self._sources.setdefault(addr, (addr[0], addr[1]))
        row = self._record.note("datagram_received", data, source)
        self.received_rows.append(row)
        # Answered first: whoever takes the datagram then finds the answer in the record, too.
        answer = self._behaviour(_datagram(row))
        if answer is not None:
            for reply in (answer,) if isinstance(answer, bytes) else answer:
                self.send(reply, addr)
        if self.cursor.waiting:
            self.cursor.serve()
        for count in self._counts:
            count.serve()

    def error_received(self, exc: Exception) -> None:
        self._record.note("error_received", exc)

    def connection_lost(self, exc: Exception | None) -> None:
        self._record.note("connection_lost", exc)

    def send(self, data: bytes, to: Sockaddr, sent: Any = None) -> None:
        if self.transport is None or self.transport.is_closing():
            if sent is not None:
                sent(ConnectionAbortedError("the peer was closed before the datagram was sent"))
            return
        self.sent_rows.append(self._record.note("datagram_sent", data, (to[0], to[1])))
        self.transport.sendto(data, to, sent)

    def when(self, count: int, future: CaptureFuture[Sequence[Datagram]]) -> CaptureFuture[Sequence[Datagram]]:
        cursor = Cursor(self._record.lock)
        with self._record.lock:
            self._counts = [waiting for waiting in self._counts if waiting.waiting] + [cursor]
        rows = self.received_rows
        return cursor.ask(future, lambda at: (self.received, at) if len(rows) >= count else None)

    def fail(self, error: BaseException) -> None:
        for cursor in (self.cursor, *self._counts):
            cursor.fail(error)


def _datagram(row: Row) -> Datagram:
    return Datagram(row[2], row[3], row[0])


def _sent_datagram(row: Row) -> SentDatagram:
    return SentDatagram(row[2], row[3], row[0])


def _payload(data: object, family: int) -> bytes:
    payload = bytes_like(data)
    largest = LARGEST_PAYLOAD[socket.AddressFamily(family)]
    if len(payload) > largest:
        raise ValueError(f"data has {len(payload)} bytes; the largest datagram here has {largest}")
    return payload


def _checked_address(to: object) -> Address:
    match to:
        case (str() as host, int() as port, *_) if not isinstance(port, bool):
            try:
                ipaddress.ip_address(host)
            except ValueError:
                raise ValueError(f"to must name an IP address like '127.0.0.1', not {to!r}") from None
            if not 0 < port <= 65_535:
                raise ValueError(f"to must name a port from 1 to 65535, not {to!r}")
            return host, port
    raise TypeError(f"to must be a (host, port) tuple, as in a datagram's `source`, not {to!r}")


def _short(data: bytes, most: int = 60) -> str:
    return repr(data) if len(data) <= most else f"{data[:most]!r}…"
