"""The evidence of whatever happened, under whatever names: read back from the file, and safe to look at."""

import json
import re
import struct
from itertools import pairwise
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from pytest_echoserver import Event, Expected, PeerTraffic, Traffic
from pytest_echoserver._evidence import html, pcapng, text
from pytest_echoserver._evidence.timeline import Reading

from .awkward import examples

CLIENT = ("127.0.0.1", 40_000)
hostile = st.sampled_from(
    [
        "</script>",
        "<!--<script>",
        "\x1b]52;c;aA==\x07",
        "\u202e\u2066",
        "\x00",
        "\ud800",
        "\u2028",
        "']\"`${1}",
        "&lt;",
    ]
)
words = st.lists(hostile | st.text(max_size=5), max_size=4).map("".join)
names = words.map(lambda word: word or "udp-1")
payloads = st.binary(max_size=40) | words.map(lambda word: word.encode("utf-8", "surrogatepass"))


def events_of(told: list[tuple[str, tuple[Any, ...]]]) -> list[Event]:
    return [Event(5.0 + at / 1000, name, args) for at, (name, args) in enumerate(told)]


def options_of(body: bytes) -> list[tuple[int, bytes]]:
    """The options at the end of a block, each with its padding left out."""
    found, at = [], 0
    while at < len(body):
        code, size = struct.unpack_from("=HH", body, at)
        if code == 0:
            break
        found.append((code, body[at + 4 : at + 4 + size]))
        at += 4 + (size + 3) // 4 * 4
    return found


def packets_of(content: bytes) -> list[tuple[int, int, bytes]]:
    """The packets of a pcapng file, as draft-ietf-opsawg-pcapng has it: interface, time in its units, and data."""
    interfaces, packets, at = 0, [], 0
    while at < len(content):
        kind, length = struct.unpack_from("=II", content, at)
        body = content[at + 8 : at + length - 4]
        assert length % 4 == 0
        assert struct.unpack_from("=I", content, at + length - 4) == (length,)
        at += length
        if kind == 0x0A0D0D0A:
            assert struct.unpack_from("=IHHq", body)[:3] == (0x1A2B3C4D, 1, 0)
            options_of(body[16:])
        elif kind == 1:
            interfaces += 1
            assert dict(options_of(body[8:]))[2].decode()
        elif kind == 6:
            interface, high, low, size, original = struct.unpack_from("=IIIII", body)
            assert interface < interfaces
            assert size <= original
            packets.append((interface, high << 32 | low, body[20 : 20 + size]))
            for code, value in options_of(body[20 + (size + 3) // 4 * 4 :]):
                assert code != 1 or value.decode()
        else:
            raise AssertionError(f"a block of type {kind}")
    return packets


def payload_of(packet: bytes) -> tuple[int, int, bytes]:
    """The ports of an IPv4 packet, and what UDP or TCP carries in it."""
    assert packet[0] == 0x45
    rest = packet[20 : struct.unpack_from("!H", packet, 2)[0]]
    start = 8 if packet[9] == 17 else (rest[12] >> 4) * 4
    source, target = struct.unpack_from("!HH", rest)
    return source, target, rest[start:]


@examples(60)
@given(sent=st.lists(st.tuples(st.booleans(), st.binary(max_size=100)), max_size=8), name=names)
def test_datagrams_are_read_back_from_the_file_as_they_were(sent: list[tuple[bool, bytes]], name: str) -> None:
    told = [("datagram_received" if comes else "datagram_sent", (data, CLIENT)) for comes, data in sent]
    traffic = Traffic(5.0, (PeerTraffic(name, "udp", ("127.0.0.1", 9), events_of(told)),))
    packets = packets_of(b"".join(pcapng.file_of(traffic, Reading(), name)))
    assert [payload_of(data) for _, _, data in packets] == [
        (40_000, 9, data) if comes else (9, 40_000, data) for comes, data in sent
    ]
    assert all(before <= after for (_, before, _), (_, after, _) in pairwise(packets))


@examples(60)
@given(
    sent=st.lists(st.tuples(st.integers(1, 2), st.booleans(), st.binary(min_size=1, max_size=3000)), max_size=8),
    name=names,
)
def test_streams_are_read_back_from_the_file_as_they_were(sent: list[tuple[int, bool, bytes]], name: str) -> None:
    told: list[tuple[str, tuple[Any, ...]]] = [
        ("connection_made", (number, ("127.0.0.1", 40_000 + number))) for number in (1, 2)
    ]
    told += [("data_received" if comes else "data_sent", (number, data)) for number, comes, data in sent]
    told += [("connection_lost", (number, None)) for number in (1, 2)]
    traffic = Traffic(5.0, (PeerTraffic(name, "tcp", ("127.0.0.1", 9), events_of(told), numbered=True),))
    read: dict[tuple[int, int], bytes] = {}
    for _, _, packet in packets_of(b"".join(pcapng.file_of(traffic, Reading(), name))):
        source, target, data = payload_of(packet)
        read[source, target] = read.get((source, target), b"") + data
    for number in (1, 2):
        for comes, way in ((True, (40_000 + number, 9)), (False, (9, 40_000 + number))):
            assert read.get(way, b"") == b"".join(d for n, c, d in sent if (n, c) == (number, comes))


TOLD: st.SearchStrategy[tuple[str, tuple[Any, ...]]] = st.one_of(
    st.tuples(
        st.sampled_from(["datagram_received", "datagram_sent", "unexpected"]), st.tuples(payloads, st.just(CLIENT))
    ),
    st.tuples(st.sampled_from(["error_received", "connection_lost"]), st.tuples(words.map(OSError))),
    st.tuples(words, st.lists(words | payloads, max_size=3).map(tuple)),
)


@st.composite
def traffics(draw: st.DrawFn) -> Traffic:
    kind = st.sampled_from(["udp", "tcp", "endpoint", "stream", "process"])
    peers = [
        PeerTraffic(
            draw(words),
            draw(kind),
            draw(st.none() | words | st.just(("127.0.0.1", 9))),
            events_of(draw(st.lists(TOLD, max_size=6))),
            [Expected(call, "test_it.py:1", [], 1) for call in draw(st.lists(words, max_size=2))],
            detail=draw(words),
        )
        for _ in range(draw(st.integers(1, 2)))
    ]
    return Traffic(5.0, tuple(peers))


@examples(100)
@given(traffic=traffics(), width=st.integers(20, 120))
def test_text_has_no_character_that_a_terminal_would_obey(traffic: Traffic, width: int) -> None:
    for title, section in text.sections(traffic, reading=Reading(), width=width, limit=64):
        assert all(char.isprintable() for char in (title + section).replace("\n", ""))


@examples(60)
@given(traffic=traffics(), node=words, message=words)
def test_a_page_ends_its_data_where_it_ends_it_itself(traffic: Traffic, node: str, message: str) -> None:
    told = html.told_test(traffic, Reading(), node=node, outcome="failed", message=message)
    page = "".join(html.page([told]))
    page.encode("utf-8")
    opened = re.findall(r"<script\b[^>]*>", page, re.IGNORECASE)
    assert len(opened) == len(re.findall(r"</script", page, re.IGNORECASE))
    told_data = re.findall(r'<script type="application/json"[^>]*>(.*?)</script', page, re.DOTALL)
    assert len(told_data) == 2
    for data in told_data:
        json.loads(data)
        assert "<" not in data
