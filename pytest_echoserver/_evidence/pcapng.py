"""The evidence as a pcapng file (draft-ietf-opsawg-pcapng), which Wireshark and tshark read.

Each peer has an interface. What passed is there as it saw it, in IP packets: a stream's bytes in segments of TCP,
TLS as its plain text, a Unix socket's with invented addresses. What the network did to a packet is a comment to it.
"""

import heapq
import struct
from collections.abc import Iterator, Sequence
from itertools import chain

from .._neighbours import real_monotonic, real_time_ns
from .._telling import escaped
from .._traffic import PeerTraffic, Traffic
from .packets import Flow, client_of, invented, packed, udp_packet
from .steps import Step, told_address
from .timeline import Reading, all_steps, read

SECTION, INTERFACE, PACKET = 0x0A0D0D0A, 1, 6
COMMENT, APPLICATION, NAME, DESCRIPTION, RESOLUTION = 1, 4, 2, 3, 9
RAW_IP = 101
"""The link type of packets that begin with an IP header."""
LONGEST_COMMENT = 4_000
STREAMS = {"tcp", "tls", "unix", "stream"}
DATAGRAMS = {"udp", "endpoint"}
TOLD_WITH_THE_NEXT = ("fault", "rate_limited", "start_tls")
"""Events of streams that are comments to the packet that comes next."""
NOTES = {
    "tls": "TLS, here as its plain text",
    "unix": "a Unix socket, here as TCP with invented addresses",
    "stream": "a harness's connection, here as TCP with invented addresses, and as plain text if it is TLS",
}

Options = dict[int, str | bytes]
Made = tuple[Step, bytes, str]
"""What a packet is made of; the IP packet; a comment to it, or nothing."""
Packet = tuple[float, int, bytes, str]
"""When, in seconds since the test began; on which interface; the IP packet; the comment."""


def has_packets(traffic: Traffic) -> bool:
    """Whether there is anything in this traffic that goes in packets."""
    return any(peer.kind in STREAMS | DATAGRAMS for peer in traffic.peers)


def file_of(traffic: Traffic, reading: Reading, comment: str) -> Iterator[bytes]:
    """The blocks of a file of all this traffic.

    Args:
        reading: how payloads are read.
        comment: what it is of.
    """
    peers = [peer for peer in traffic.peers if peer.kind in STREAMS | DATAGRAMS]
    about: Options = {COMMENT: comment, APPLICATION: "pytest-echoserver"}
    yield _block(SECTION, struct.pack("=IHHq", 0x1A2B3C4D, 1, 0, -1), about)
    for peer in peers:
        where = told_address(peer.address)
        told = "; ".join(filter(None, (peer.kind, where, NOTES.get(peer.kind, ""))))
        options: Options = {NAME: peer.name, DESCRIPTION: told, RESOLUTION: b"\x09"}
        yield _block(INTERFACE, struct.pack("=HHI", RAW_IP, 0, 0), options)
    epoch = real_time_ns() + int((traffic.started - real_monotonic()) * 1e9)
    of_peers = [_packets(interface, peer, traffic.started, reading) for interface, peer in enumerate(peers)]
    for at, interface, packet, told in heapq.merge(*of_peers, key=lambda each: each[0]):
        stamp = epoch + int(at * 1e9)
        head = struct.pack("=IIIII", interface, stamp >> 32, stamp & 0xFFFFFFFF, len(packet), len(packet))
        yield _block(PACKET, head + packet + bytes(-len(packet) % 4), {COMMENT: told})


def _packets(interface: int, peer: PeerTraffic, started: float, reading: Reading) -> Iterator[Packet]:
    steps = all_steps(peer, started)
    for step in steps:
        read(step, peer, reading)
    made = _Streams(interface, peer).packets(steps) if peer.kind in STREAMS else _datagrams(interface, peer, steps)
    for step, packet, told in made:
        yield step.time or 0.0, interface, packet, told


def _datagrams(interface: int, peer: PeerTraffic, steps: Sequence[Step]) -> Iterator[Made]:
    notes: list[str] = []
    for step in steps:
        if step.event == "rate_limited":  # is said with the next packet
            notes.append(step.what)
        # What was only held up comes with its own event, and what was lost on its way out had one.
        lost = step.event == "fault" and step.way == "in" and step.lost
        if not (lost or step.event in ("datagram_received", "datagram_sent")) or step.payload is None:
            continue
        near = packed(step.near) or packed(peer.address) or invented(interface)
        other = client_of(near, step.other, interface)
        source, to = (other, near) if step.way == "in" else (near, other)
        yield step, udp_packet(source, to, step.payload.begin), "; ".join(filter(None, [*notes, _comment(step)]))
        notes.clear()


class _Streams:
    """Makes the packets of a peer's connections."""

    def __init__(self, interface: int, peer: PeerTraffic) -> None:
        self._peer = peer
        self._server = packed(peer.address) or invented(interface)
        self._flows: dict[int | None, Flow] = {}
        self._notes: dict[int | None, list[str]] = {}
        """What is to be said with the next packet."""

    def packets(self, steps: Sequence[Step]) -> Iterator[Made]:
        for step in steps:
            if step.with_target or not (step.way or step.event in ("connection_lost", *TOLD_WITH_THE_NEXT)):
                continue
            flow = self._flows.get(step.connection)
            if flow is None:
                number = step.connection or 0
                client = client_of(self._server, step.other, number)
                flow = self._flows[step.connection] = Flow(client, self._server, number)
                # A record that was cleared begins in the middle.
                if step.event == "connection_made" or not self._peer.numbered:
                    yield from ((step, packet, "") for packet in flow.handshake())
            self._notes.setdefault(step.connection, []).extend(filter(None, [_comment(step)]))
            for packet in _of_stream(step, flow):
                yield step, packet, "; ".join(self._notes.pop(step.connection, []))


def _of_stream(step: Step, flow: Flow) -> Iterator[bytes]:
    match step.event:
        case "data_received" | "data_sent" if step.payload is not None and step.way is not None:
            yield from flow.send(step.way, step.payload.begin)
        case "eof_received" | "eof_sent" if step.way is not None:
            yield from flow.end(step.way)
        case "reset_sent":
            yield from flow.reset("out")
        case "connection_lost" if step.way == "in":
            yield from flow.reset("in")
        case "connection_lost":
            yield from flow.end("out")


def _comment(step: Step) -> str:
    """What is to be said with a packet."""
    told = [*(step.faults if step.payload is not None else []), step.decoded]
    if step.event in TOLD_WITH_THE_NEXT and step.payload is None:
        told.append(step.what)
    return "; ".join(filter(None, told))


def _block(kind: int, body: bytes, options: Options) -> bytes:
    encoded = b"".join(chain.from_iterable(_option(code, value) for code, value in options.items() if value))
    body += encoded + bytes(4) if encoded else b""
    length = 12 + len(body)
    return struct.pack("=II", kind, length) + body + struct.pack("=I", length)


def _option(code: int, value: str | bytes) -> Iterator[bytes]:
    if isinstance(value, str):  # tshark writes it to a terminal as it is
        cut = escaped(value, keeping="\n").encode()[:LONGEST_COMMENT]
        data = cut.decode(errors="ignore").encode()
    else:
        data = value
    yield struct.pack("=HH", code, len(data)) + data + bytes(-len(data) % 4)
