"""`FaultyDatagrams`: a datagram peer's network, once it has had faults."""

import asyncio
import socket
from collections.abc import Callable
from functools import lru_cache
from typing import Any

from .._faults.datagrams import Carried, DatagramLane, Sockaddr
from .._faults.deciding import both_ways
from .._faults.peer import InForce, PeerFaults
from .._faults.schedule import Schedule
from .._record import Record
from .._transports.datagram import DrainingDatagramTransport, bound_datagram_socket
from .datagram_end import DatagramEnd

__tracebackhide__ = True


def check_sources(given: Any, own: socket.socket) -> None:
    """Raise ValueError if what a peer with the socket ``own`` sends can't come from where faults have it come."""
    if isinstance(given, InForce):  # they were looked at when they were given
        return
    for source in both_ways(given, "datagram")[1]:
        schedule = source.values() if isinstance(source, Schedule) else ()
        for verdict in (*schedule, *(trigger.verdict for trigger in getattr(source, "triggers", ()))):
            if verdict.source is None or not (host := verdict.source[0]):
                continue
            if (":" in host) != (own.family == socket.AF_INET6):
                kind = "IPv6" if own.family == socket.AF_INET6 else "IPv4"
                raise ValueError(f"nothing can come from {host} on a peer over {kind}")
            try:
                _bind_once(own.family, host)
            except OSError as error:
                raise ValueError(f"nothing can come from {host} here: {error.strerror or error}") from None


@lru_cache(maxsize=256)
def _bind_once(family: socket.AddressFamily, host: str) -> None:
    """Raise OSError if no socket can be bound to that host; where one could, that isn't tried again."""
    bound_datagram_socket(family, host, 0).close()


class FaultyDatagrams(asyncio.DatagramProtocol):
    """Stands between a peer's end and its transport, both ways; from then on, for flows are counted here.

    Args:
        at: calls a function at a time, in monotonic seconds.
        fail: takes what a user's callable raised.
    """

    def __init__(
        self,
        end: DatagramEnd,
        transport: DrainingDatagramTransport,
        record: Record,
        *,
        at: Callable[[float, Callable[[], object]], None],
        fail: Callable[[BaseException], object],
    ) -> None:
        self._end = end
        self._transport = transport
        ordinals: dict[Sockaddr, int] = {}
        self.inbound = DatagramLane("in", ordinals, self._arrive, at=at, note=record.note, fail=fail)
        self.outbound = DatagramLane("out", ordinals, self._leave, at=at, note=record.note, fail=fail)
        transport.set_protocol(self)
        end.outlet = self

    def have(self, faults: PeerFaults) -> None:
        """Go by these faults from here on."""
        self.inbound.have(faults.inbound)
        self.outbound.have(faults.outbound)

    def begin_anew(self) -> None:
        """Count all flows from their beginnings again."""
        self.inbound.begin_anew()
        self.outbound.begin_anew()

    def clear(self) -> None:
        """Drop what is on its way."""
        self.inbound.clear()
        self.outbound.clear()

    def told(self) -> str:
        """Tell, as a clause, what it keeps from the peer of what was sent there; empty if nothing."""
        told = []
        if lost := self.inbound.lost:
            told.append(f"has lost {lost}")
        if under_way := self.inbound.under_way:
            told.append(f"holds {under_way} back")
        return f"; its network {' and '.join(told)}" if told else ""

    def sendto(self, data: bytes, addr: Sockaddr, sent: Any = None) -> None:
        self.outbound.carry(data, addr, sent)

    def datagram_received(self, data: bytes, addr: Sockaddr) -> None:
        self.inbound.carry(data, addr)

    def error_received(self, exc: Exception) -> None:
        self._end.error_received(exc)

    def connection_lost(self, exc: Exception | None) -> None:
        self._end.connection_lost(exc)

    def _arrive(self, carried: Carried) -> None:
        with self._transport.lock:
            if not self._transport.is_closing():
                self._end.datagram_received(carried.data, carried.addr, copy=carried.copy)

    def _leave(self, carried: Carried) -> None:
        with self._transport.lock:
            if self._transport.is_closing():
                return
            if carried.verdict.source is not None:
                self._leave_from_elsewhere(carried, *carried.verdict.source)
            else:
                self._transport.sendto(carried.data, carried.addr, carried.sent)

    def _leave_from_elsewhere(self, carried: Carried, host: str, port: int) -> None:
        own = self._transport.get_extra_info("socket")
        error: Any = None
        try:
            with bound_datagram_socket(own.family, host or own.getsockname()[0], port) as sock:
                sock.sendto(carried.data, carried.addr)
        except OSError as refused:
            error = refused
            self._end.error_received(refused)
        if carried.sent is not None:
            carried.sent(error)
