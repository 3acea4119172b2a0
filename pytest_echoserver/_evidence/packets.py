"""IP packets that carry what passed: UDP datagrams, and the segments of a TCP connection."""

import socket
import struct
from collections.abc import Iterator

from .steps import Way

APART = 1_000_003
"""How far apart the sequence numbers begin of a connection and of the next, which may have the same ports."""
LONGEST_SEGMENT = 65_495
"""Bytes of a TCP segment: 65,535 less the headers of IPv4 (RFC 791) and TCP (RFC 9293)."""
LONGEST_DATAGRAM = {socket.AF_INET: 65_507, socket.AF_INET6: 65_527}
FIN, SYN, RST, PSH, ACK = 1, 2, 4, 8, 16
WINDOW = 65_535
TTL = 64
DONT_FRAGMENT = 0x4000

Host = bytes
"""An IP address as it stands in a packet: 4 bytes or 16."""
Endpoint = tuple[Host, int]
"""A host and a port."""


def packed(address: object) -> Endpoint | None:
    """A (host, port) as it stands in packets, or None if it is none."""
    match address:
        case (str() as host, int() as port, *_):
            family = socket.AF_INET6 if ":" in host else socket.AF_INET
            try:
                return socket.inet_pton(family, host.partition("%")[0]), port
            except OSError:
                return None
        case _:
            return None


def client_of(server: Endpoint, address: object, number: int) -> Endpoint:
    """Whom ``server`` talks to: the one at this address, if that is of its kind; else one made up by its number."""
    client = packed(address)
    fits = client is not None and len(client[0]) == len(server[0])
    return client if client is not None and fits else invented(number, client=True, like=server)


def invented(number: int, *, client: bool = False, like: Endpoint | None = None) -> Endpoint:
    """An address that nobody has, for what has none: another for each number.

    It is of the ranges that are for documentation (RFC 5737, RFC 3849); that of a client has another host.
    """
    high, low = divmod(number, 64_000)
    if like is not None and _family(like[0]) == socket.AF_INET6:
        host = f"2001:db8:{int(client)}::{high + 1:x}"
    else:
        host = f"{'198.51.100' if client else '192.0.2'}.{high % 254 + 1}"
    endpoint = packed((host, 1_024 + low))
    assert endpoint is not None
    return endpoint


def udp_packet(source: Endpoint, to: Endpoint, data: bytes) -> bytes:
    """A datagram (RFC 768)."""
    data = data[: LONGEST_DATAGRAM[_family(source[0])]]
    header = struct.pack("!HHH", source[1], to[1], 8 + len(data))
    # A sum of 0 would say that there is none.
    checksum = (
        _checksum(_pseudo_header(source[0], to[0], socket.IPPROTO_UDP, 8 + len(data)) + header + data) or 0xFFFF
    )
    return _ip_packet(source[0], to[0], socket.IPPROTO_UDP, header + struct.pack("!H", checksum) + data)


class Flow:
    """The packets of one TCP connection, the ``number``-th: each byte acknowledged as soon as it was sent, once."""

    def __init__(self, client: Endpoint, server: Endpoint, number: int) -> None:
        self._ends: dict[Way, Endpoint] = {"in": client, "out": server}
        self._first = number * APART
        self._next: dict[Way, int] = {"in": self._first + 1, "out": self._first + 1}
        self._ended: set[Way] = set()

    @property
    def over(self) -> bool:
        return len(self._ended) == 2

    def handshake(self) -> Iterator[bytes]:
        self._next = {"in": self._first, "out": self._first}
        yield self._packet("in", SYN)
        self._next["in"] += 1
        yield self._packet("out", SYN | ACK)
        self._next["out"] += 1
        yield self._packet("in", ACK)

    def send(self, way: Way, data: bytes) -> Iterator[bytes]:
        for start in range(0, len(data) if way not in self._ended else 0, LONGEST_SEGMENT):
            piece = data[start : start + LONGEST_SEGMENT]
            yield self._packet(way, PSH | ACK, piece)
            self._next[way] += len(piece)
            yield self._packet(_other(way), ACK)

    def end(self, way: Way) -> Iterator[bytes]:
        if way not in self._ended:
            yield self._packet(way, FIN | ACK)
            self._next[way] += 1
            self._ended.add(way)
            yield self._packet(_other(way), ACK)

    def reset(self, way: Way) -> Iterator[bytes]:
        if not self.over:
            yield self._packet(way, RST | ACK)
            self._ended = {"in", "out"}

    def _packet(self, way: Way, flags: int, data: bytes = b"") -> bytes:
        source, to = self._ends[way], self._ends[_other(way)]
        acknowledged = self._next[_other(way)] if flags & ACK else 0
        fields = (source[1], to[1], self._next[way] % 2**32, acknowledged % 2**32, 5 << 4, flags, WINDOW)
        header = struct.pack("!HHIIBBH", *fields)
        pseudo = _pseudo_header(source[0], to[0], socket.IPPROTO_TCP, 20 + len(data))
        checksum = _checksum(pseudo + header + bytes(4) + data)
        return _ip_packet(source[0], to[0], socket.IPPROTO_TCP, header + struct.pack("!HH", checksum, 0) + data)


def _other(way: Way) -> Way:
    return "out" if way == "in" else "in"


def _family(host: Host) -> socket.AddressFamily:
    return socket.AF_INET if len(host) == 4 else socket.AF_INET6


def _ip_packet(source: Host, to: Host, protocol: int, payload: bytes) -> bytes:
    if _family(source) == socket.AF_INET6:  # RFC 8200
        return struct.pack("!IHBB", 6 << 28, len(payload), protocol, TTL) + source + to + payload
    before = struct.pack("!BBHHHBB", 0x45, 0, 20 + len(payload), 0, DONT_FRAGMENT, TTL, protocol)
    return before + struct.pack("!H", _checksum(before + bytes(2) + source + to)) + source + to + payload


def _pseudo_header(source: Host, to: Host, protocol: int, length: int) -> bytes:
    """What a checksum is of beside the packet itself (RFC 9293, RFC 8200)."""
    return source + to + struct.pack("!II", length, protocol)


def _checksum(data: bytes) -> int:
    """The Internet checksum (RFC 1071): a sum in which 2**16 counts as 1 is the remainder by 2**16 - 1."""
    return -int.from_bytes(data + bytes(len(data) % 2), "big") % 0xFFFF
