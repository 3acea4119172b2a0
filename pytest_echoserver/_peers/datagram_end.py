"""`DatagramEnd`: a datagram peer's side on the engine's loop."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

from .._cursors import Cursor
from .._futures import CaptureFuture
from .._record import Address, Datagram, Record, Row, SentDatagram, View
from .._transports.datagram import DrainingDatagramTransport, Sockaddr

__tracebackhide__ = True


class DatagramEnd(asyncio.DatagramProtocol):
    """Records what comes and goes, and tells its ``listener`` of each datagram, before whoever waits for it."""

    def __init__(self, record: Record) -> None:
        self.transport: DrainingDatagramTransport | None = None
        self.listener: Callable[[Datagram, Sockaddr], None] | None = None
        self.received_rows: list[Row] = []
        self.sent_rows: list[Row] = []
        self.received: View[Datagram] = View(self.received_rows, make_datagram)
        self.sent: View[SentDatagram] = View(self.sent_rows, make_sent_datagram)
        self.cursor = Cursor(record.lock)
        self.clears = 0
        self._counts: list[Cursor] = []
        self._record = record
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
        if self.listener is not None:
            self.listener(make_datagram(row), addr)
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

    def note_unexpected(self, datagram: Datagram) -> None:
        self._record.note("unexpected", datagram.data, datagram.source)

    def when(self, count: int, future: CaptureFuture[Sequence[Datagram]]) -> CaptureFuture[Sequence[Datagram]]:
        """Give ``future`` all that was received, once it is so many."""
        rows = self.received_rows
        return self.watch(future, lambda: self.received if len(rows) >= count else None)

    def watch(self, future: CaptureFuture[Any], look: Callable[[], Any]) -> CaptureFuture[Any]:
        """Fulfil ``future`` once ``look``, asked after each datagram, gives something."""
        cursor = Cursor(self._record.lock)
        with self._record.lock:
            self._counts = [waiting for waiting in self._counts if waiting.waiting] + [cursor]

        def take(at: int) -> tuple[Any, int] | None:
            found = look()
            return None if found is None else (found, at)

        return cursor.ask(future, take)

    def untaken(self) -> list[Datagram]:
        """What no call of ``next_datagram`` has taken yet."""
        return self.received[self.cursor.position :]

    def clear(self) -> None:
        with self._record.lock:
            self.clears += 1
            self.received_rows.clear()
            self.sent_rows.clear()
            self._record.rows.clear()
            self.cursor.position = 0

    def fail(self, error: BaseException) -> None:
        """Give ``error`` to all who wait."""
        for cursor in (self.cursor, *self._counts):
            cursor.fail(error)


def make_datagram(row: Row) -> Datagram:
    return Datagram(row[2], row[3], row[0])


def make_sent_datagram(row: Row) -> SentDatagram:
    return SentDatagram(row[2], row[3], row[0])
