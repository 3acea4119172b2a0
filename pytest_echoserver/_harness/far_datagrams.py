"""The far end of a datagram protocol: the sockets that it talks to."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from .._cursors import Cursor
from .._peers.datagram_end import make_sent_datagram
from .._peers.hosts import check_host
from .._readers import LoopReaders
from .._record import Address, Datagram, Row, RowRecord, SentDatagram, View
from .._transports.datagram import DrainingDatagramTransport, Sockaddr, bound_datagram_socket
from .losses import Losses

__tracebackhide__ = True


@dataclass(frozen=True, slots=True)
class HarnessDatagram(Datagram):
    """A datagram that a protocol sent; ``to`` is the address of ours, (host, port), at which it came in."""

    to: Address


class FarEnd:
    """Records what comes to its sockets and leaves by them. Lives on the engine's loop.

    ``address`` is where the first of them is bound; the others are sources that were named to `send`.
    """

    def __init__(self) -> None:
        self.record = RowRecord()
        self.losses = Losses(self.record)
        self.cursor = Cursor(self.record.lock)
        self.address: Address = ("", 0)
        self.closed = False
        self._received_rows: list[Row] = []
        self._sent_rows: list[Row] = []
        self.received: View[HarnessDatagram] = View(self._received_rows, _make_received)
        self.sent: View[SentDatagram] = View(self._sent_rows, make_sent_datagram)
        self._transports: dict[Address, DrainingDatagramTransport] = {}

    async def open(self, host: str) -> None:
        self.address = self._bind(host, 0)

    def send(self, data: bytes, to: Sockaddr, source: Address | None, sent: Callable[[Any], object]) -> None:
        """Send from ``source``, by default our first address; ``sent`` hears None, or what went wrong."""
        if self.closed:
            sent(ConnectionAbortedError("the endpoint was closed before the datagram was sent"))
            return
        source = self.address if source is None else source
        if source not in self._transports:
            try:
                source = self._bind(*source)
            except OSError as error:
                sent(error)
                return
        self.record.note("datagram_sent", data, to[:2], source)
        self._sent_rows.append(self.record.rows[-1])
        self._transports[source].sendto(data, to, sent)

    def refuse(self) -> None:
        """Read what has arrived, and refuse what comes from now on.

        A UDP socket that is connected elsewhere, here to itself, gets nothing from others: the system answers those
        as if nobody were there, and the port stays ours.
        """
        transport = self._transports[self.address]
        transport.drain()
        self.record.note("refusing")
        transport.connect(transport.get_extra_info("sockname"))

    async def close(self) -> None:
        for transport in self._transports.values():
            transport.drain()
        self.losses.look()
        for transport in self._transports.values():
            transport.close()
        self.closed = True  # now: what had arrived was read
        self.cursor.serve()

    def came_in(self, data: bytes, source: Sockaddr, to: Address) -> None:
        self.record.note("datagram_received", data, source[:2], to)
        self._received_rows.append(self.record.rows[-1])
        self.cursor.serve()

    def _bind(self, host: str, port: int) -> Address:
        host, family = check_host(host)
        sock = bound_datagram_socket(family, host, port)
        self.losses.watch(sock)
        address: Address = sock.getsockname()[:2]
        protocol = _At(self, address)
        self._transports[address] = DrainingDatagramTransport(
            sock, protocol, LoopReaders(asyncio.events.get_running_loop())
        )
        return address


class _At(asyncio.DatagramProtocol):
    """What a far end does at one of its addresses."""

    def __init__(self, end: FarEnd, address: Address) -> None:
        self._end = end
        self._address = address

    def datagram_received(self, data: bytes, addr: Sockaddr) -> None:
        self._end.came_in(data, addr, self._address)

    def error_received(self, exc: Exception) -> None:
        self._end.record.note("error_received", exc)


def _make_received(row: Row) -> HarnessDatagram:
    return HarnessDatagram(row[2], row[3], row[0], row[4])
