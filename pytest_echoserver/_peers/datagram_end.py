"""`DatagramEnd`: a datagram peer's side on the engine's loop."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from .._cursors import Cursor
from .._datagram_record import DatagramRecord
from .._futures import CaptureFuture
from .._record import Address, Datagram, Row, SentDatagram, View
from .._transports.datagram import DrainingDatagramTransport, Sockaddr

__tracebackhide__ = True


class Outlet(Protocol):
    """What takes the datagrams that leave: the transport, or the network before it."""

    def sendto(self, data: bytes, addr: Sockaddr, sent: Any = None) -> object: ...


NOBODY: dict[Sockaddr, Address] = {}
"""The sources of an end that nothing has come to. Nobody adds to it."""
NO_COPIES: set[int] = set()
"""Of most ends. Nobody adds to it."""


class DatagramEnd(asyncio.DatagramProtocol):
    """Records what comes and goes, and tells its ``listener`` of each datagram, before whoever waits for it.

    An end that ``echoes`` answers by itself, through the same record, without a `Datagram`. There may be thousands
    of ends that nothing comes to: what only the others need is made when it is needed.
    """

    __slots__ = (
        "_cursors",
        "_received",
        "_sources",
        "clears",
        "copies",
        "echoes",
        "listener",
        "outlet",
        "record",
        "transport",
    )

    outlet: Outlet

    def __init__(self) -> None:
        self.transport: DrainingDatagramTransport | None = None
        self.listener: Callable[[bytes, Sockaddr], None] | None = None
        self.echoes = False
        self.clears = 0
        self.copies = NO_COPIES
        """Which of what was received are copies that the network made."""
        self._cursors: Sequence[Cursor] = ()
        """That of ``next_datagram``, and after it those of who waits for a number of datagrams or the like."""
        self._received: View[Datagram] | None = None
        self.record = DatagramRecord()
        self._sources = NOBODY

    @property
    def cursor(self) -> Cursor:
        """Up to where ``next_datagram`` has taken what came."""
        return self._cursors[0] if self._cursors else self._make_cursor()

    def _make_cursor(self) -> Cursor:
        made = Cursor(self.record.lock)
        with self.record.lock:  # there may never be two
            if not self._cursors:
                self._cursors = (made,)
            return self._cursors[0]

    @property
    def received_rows(self) -> Sequence[Row]:
        return self.record.received

    @property
    def received(self) -> View[Datagram]:
        """What came in: always the same, for a test may hold on to it."""
        if self._received is None:
            self._received = View(self.record.received, make_datagram)
        return self._received

    @property
    def sent(self) -> View[SentDatagram]:
        return View(self.record.sent, make_sent_datagram)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, DrainingDatagramTransport)
        self.transport = self.outlet = transport

    def datagram_received(self, data: bytes, addr: Sockaddr, *, copy: bool = False) -> None:
        # One tuple an address, however many datagrams it sends.
        source = self._sources.get(addr) or self._new_source(addr)
        if copy:
            self._note_copy()
        self.record.note_datagram("datagram_received", data, source)
        # Answered first: whoever takes the datagram then finds the answer in the record, too.
        if self.echoes:
            self.record.note_datagram("datagram_sent", data, source)
            self.outlet.sendto(data, addr)
        elif self.listener is not None:
            self.listener(data, addr)
        for cursor in self._cursors:
            cursor.serve()

    def error_received(self, exc: Exception) -> None:
        self.record.note("error_received", exc)

    def connection_lost(self, exc: Exception | None) -> None:
        self.record.note_end("connection_lost", exc)

    def send(self, data: bytes, to: Sockaddr, sent: Any = None) -> None:
        transport = self.transport
        assert transport is not None
        with transport.lock:  # a close comes before it or after it
            if not transport.is_closing():
                self.record.note_datagram("datagram_sent", data, self._sources.get(to) or (to[0], to[1]))
                self.outlet.sendto(data, to, sent)
            elif sent is not None:
                sent(ConnectionAbortedError("the peer was closed before the datagram was sent"))

    def _note_copy(self) -> None:
        """What is received next is one. It is noted before that: who looks at the one asks for the other."""
        if self.copies is NO_COPIES:
            self.copies = set()
        self.copies.add(len(self.record.received))

    def _new_source(self, addr: Sockaddr) -> Address:
        if self._sources is NOBODY:
            self._sources = {}
        return self._sources.setdefault(addr, (addr[0], addr[1]))

    def note(self, name: str, *args: Any) -> None:
        """Note what happened apart from what comes; nothing once it is closed."""
        transport = self.transport
        if transport is not None:
            with transport.lock:
                if not transport.is_closing():
                    self.record.note(name, *args)

    def note_unexpected(self, datagram: Datagram) -> None:
        self.record.note("unexpected", datagram.data, datagram.source)

    def when(self, count: int, future: CaptureFuture[Sequence[Datagram]]) -> CaptureFuture[Sequence[Datagram]]:
        """Give ``future`` all that was received, once it is so many."""
        rows = self.received_rows
        return self.watch(future, lambda: self.received if len(rows) >= count else None)

    def watch(self, future: CaptureFuture[Any], look: Callable[[], Any]) -> CaptureFuture[Any]:
        """Fulfil ``future`` once ``look``, asked after each datagram, gives something."""
        cursor, taking = Cursor(self.record.lock), self.cursor
        with self.record.lock:
            # Drop those whose wait is over. One that nobody has asked yet stays: another thread is about to ask it.
            self._cursors = taking, *(other for other in self._cursors[1:] if not other.spent), cursor

        def take(at: int) -> tuple[Any, int] | None:
            found = look()
            return None if found is None else (found, at)

        return cursor.ask(future, take)

    def untaken(self) -> list[Datagram]:
        """What no call of ``next_datagram`` has taken yet."""
        return self.received[self.cursor.position :]

    def clear(self) -> None:
        with self.record.lock:
            self.clears += 1
            self.copies = NO_COPIES
            self.record.clear()
            self.cursor.position = 0

    @property
    def awaited(self) -> bool:
        """Whether somebody may wait."""
        return bool(self._cursors)

    def fail(self, error: BaseException) -> None:
        """Give ``error`` to all who wait."""
        for cursor in self._cursors:
            cursor.fail(error)


def make_datagram(row: Row) -> Datagram:
    return Datagram(row[2], row[3], row[0])


def make_sent_datagram(row: Row) -> SentDatagram:
    return SentDatagram(row[2], row[3], row[0])
