"""Scripts, framing and reads, against models that see all of a stream at once."""

import asyncio
import re
import socket
from collections.abc import Sequence
from contextlib import suppress
from itertools import pairwise
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from pytest_echoserver import Connection, DatagramPeer, Peers, ScriptMismatch, StreamHarness

from ..conftest import Client, receive_all
from .awkward import examples

texts = st.lists(st.sampled_from([b"a", b"b", b"\n", b"\0", b"ab\n", b"aab"]), max_size=12).map(b"".join)
literals = texts.filter(bool)
regexes = st.sampled_from([rb"a*\n", rb"[ab]+\n", rb"(?s:.)b", rb"a(b|\n)", rb"(?:ab)*?b", rb"\0?a"]).map(
    re.compile
)
patterns: st.SearchStrategy[Any] = literals | regexes


@st.composite
def cut(draw: st.DrawFn, whole: bytes) -> list[bytes]:
    places = sorted(draw(st.sets(st.integers(1, max(1, len(whole) - 1)), max_size=6)))
    return [whole[a:b] for a, b in pairwise([0, *places, len(whole)])]


def met_by(pattern: Any, unread: bytes) -> int | None:
    """How many of the bytes meet it: the shortest prefix that does."""
    if isinstance(pattern, bytes):
        return len(pattern) if unread.startswith(pattern) else None
    return next((end for end in range(1, len(unread) + 1) if pattern.fullmatch(unread[:end])), None)


def model(script: Sequence[Any], whole: bytes) -> tuple[int, int | None]:
    """How many expectations are met; and at which offset of its message the first byte is that can't be, if one is.

    For a literal alone: where a regular expression fails there is no telling.
    """
    at = 0
    for number, pattern in enumerate(script):
        size = met_by(pattern, whole[at:])
        if size is None:
            alike = (
                [a == b for a, b in zip(pattern, whole[at:], strict=False)] if isinstance(pattern, bytes) else []
            )
            return number, alike.index(False) if False in alike else None
        at += size
    return len(script), None


def send_in(pieces: Sequence[bytes], client: socket.socket, connection: Connection) -> None:
    with suppress(OSError, ScriptMismatch):  # it was reset
        for piece in pieces:
            client.sendall(piece)
            connection.read_exactly(len(piece)).result() if piece else None
        client.shutdown(socket.SHUT_WR)
        receive_all(client)


@examples(80)
@given(
    script=st.lists(patterns, min_size=1, max_size=4),
    more=texts,
    short=st.booleans(),
    data=st.data(),
)
def test_a_stream_meets_of_a_script_what_all_of_it_at_once_would(
    peers: Peers, script: list[Any], more: bytes, short: bool, data: st.DataObject
) -> None:
    whole = b"".join(each for each in script if isinstance(each, bytes))[: 9 if short else None] + more
    pieces = data.draw(cut(whole))
    count, offset = model(script, whole)
    with peers.tcp() as peer:
        for number, pattern in enumerate(script):
            peer.expect(pattern).reply(b"%d " % number)
        with socket.create_connection(peer.address, 5) as client:
            connection = peer.next_connection().result()
            send_in(pieces, client, connection)
            error: ScriptMismatch | None = None
            try:
                peer.verify()
            except ScriptMismatch as caught:
                error = caught
    assert connection.sent == b"".join(b"%d " % number for number in range(count))
    if count == len(script):
        assert (error is None) == (consumed(script, whole) == len(whole))  # what is left is unexpected
    else:
        assert error is not None
        if offset is not None:
            assert f"at offset {offset} " in str(error)


def consumed(script: Sequence[Any], whole: bytes) -> int:
    at = 0
    for pattern in script:
        at += met_by(pattern, whole[at:]) or 0
    return at


@examples(40)
@given(whole=texts, delimiter=st.sampled_from([b"\n", b"ab", b"aa", b"\0"]), data=st.data())
def test_a_delimiter_frames_as_split_does(
    peers: Peers, whole: bytes, delimiter: bytes, data: st.DataObject
) -> None:
    messages = messages_of(peers, delimiter, whole, data)
    *expected, _ = whole.split(delimiter)
    assert messages == [each + delimiter for each in expected]


@examples(40)
@given(payloads=st.lists(st.binary(max_size=20), max_size=6), rest=st.booleans(), data=st.data())
def test_a_callable_frames_as_it_says(peers: Peers, payloads: list[bytes], rest: bool, data: st.DataObject) -> None:
    framed = [bytes([len(each)]) + each for each in payloads]
    whole = b"".join(framed) + (b"\x05abc" if rest else b"")
    assert messages_of(peers, lambda unread: unread[0] + 1 if unread else None, whole, data) == framed


def messages_of(peers: Peers, framing: Any, whole: bytes, data: st.DataObject) -> list[bytes]:
    """The messages that a peer with such framing has seen in these bytes."""
    messages: list[bytes] = []

    def take(message: bytes) -> bool:
        messages.append(message)
        return True

    with peers.tcp(framing=framing, strict=False) as peer, socket.create_connection(peer.address, 5) as client:
        peer.on(take)
        send_in(data.draw(cut(whole)), client, peer.next_connection().result())
    return messages


MESSAGES = [b"", b"a", b"b", b"ab", b"\0", b"a" * 1500]


@examples(60)
@given(
    script=st.lists(st.tuples(st.sampled_from(MESSAGES), st.integers(1, 2)), max_size=4),
    rules=st.lists(st.sampled_from(MESSAGES), max_size=2, unique=True),
    begin=st.integers(0, 8),
    more=st.lists(st.sampled_from(MESSAGES), max_size=6),
)
def test_datagrams_meet_of_a_script_and_its_rules_what_a_list_would(
    peers: Peers,
    udp_client: Client,
    script: list[tuple[bytes, int]],
    rules: list[bytes],
    begin: int,
    more: list[bytes],
) -> None:
    wanted = [message for message, times in script for _ in range(times)]
    sent = wanted[:begin] + more
    steps = [number for number, (_, times) in enumerate(script) for _ in range(times)]
    expected, unexpected = [], 0
    for message in sent:
        if wanted and message == wanted[0]:
            wanted.pop(0)
            expected.append(b"s%d" % steps.pop(0))
        elif message in rules:
            expected.append(b"r%d" % rules.index(message))
        else:
            unexpected += 1
    with peers.udp(strict=False) as peer, udp_client() as client:
        for number, (message, times) in enumerate(script):
            peer.expect(message, times=times).reply(b"s%d" % number)
        for number, message in enumerate(rules):
            peer.on(message).reply(b"r%d" % number)
        for message in sent:
            client.sendto(message, peer.address)
        if sent:
            peer.wait_for(len(sent)).result()
        with suppress(ScriptMismatch):
            peer.verify()
        assert [each.data for each in peer.sent] == expected
        count = len([event for event in peer.events if event.name == "unexpected"])
        assert count == (unexpected if script or rules else 0)
        peer.clear(script=True)


READS = st.one_of(
    st.tuples(st.just("read"), st.integers(1, 9)),
    st.tuples(st.just("read_exactly"), st.integers(0, 9)),
    st.tuples(st.just("read_until"), patterns),
)


@examples(80)
@given(whole=texts, reads=st.lists(READS, max_size=6), data=st.data())
def test_reads_give_what_slices_would(
    stream_harness: StreamHarness, whole: bytes, reads: list[tuple[str, Any]], data: st.DataObject
) -> None:
    sock, connection = stream_harness.pair()
    late = data.draw(st.booleans())
    asked = [] if late else [getattr(connection, name)(wanted) for name, wanted in reads]
    for piece in data.draw(cut(whole)):
        sock.sendall(piece)
    sock.shutdown(socket.SHUT_WR)
    if late:
        assert connection.ended.result() == "eof"
        asked = [getattr(connection, name)(wanted) for name, wanted in reads]
    at = 0
    for (name, wanted), future in zip(reads, asked, strict=True):
        if name == "read":
            got = future.result()
            assert whole[at:].startswith(got)
            assert len(got) <= wanted
            assert bool(got) == (at < len(whole))
            assert not late or len(got) == min(wanted, len(whole) - at)
            at += len(got)
            continue
        size = met_by(wanted, whole[at:]) if name == "read_until" else wanted if at + wanted <= len(whole) else None
        if name == "read_until" and isinstance(wanted, bytes):
            found = whole.find(wanted, at)
            size = None if found < 0 else found - at + len(wanted)
        if size is None:
            assert isinstance(future.exception(), asyncio.IncompleteReadError)
            assert future.exception().partial == whole[at:]
            continue
        got = future.result()
        assert (got if isinstance(got, bytes) else got[0]) == whole[at : at + size]
        at += size
    assert connection.ended.result() == "eof"
    assert connection.received == whole
    sock.close()


@examples(30)
@given(whole=texts, data=st.data())
def test_lines_are_those_of_splitlines(stream_harness: StreamHarness, whole: bytes, data: st.DataObject) -> None:
    sock, connection = stream_harness.pair()
    for piece in data.draw(cut(whole)):
        sock.sendall(piece)
    sock.close()

    async def all_lines() -> list[bytes]:
        return [line async for line in connection.lines()]

    assert asyncio.run(all_lines()) == whole.splitlines(keepends=True)


@examples(30)
@given(steps=st.lists(st.tuples(st.booleans(), st.binary(max_size=2000)), max_size=12))
def test_the_record_of_datagrams_has_each_in_order(
    udp_echo_server: DatagramPeer, udp_client: Client, steps: list[tuple[bool, bytes]]
) -> None:
    udp_echo_server.clear()
    names: list[tuple[str, bytes]] = []
    with udp_client() as client:
        client.bind(("127.0.0.1", 0))
        here = client.getsockname()
        for asks, data in steps:
            if asks:
                client.sendto(data, udp_echo_server.address)
                names += [("datagram_received", data), ("datagram_sent", data)]
            else:
                udp_echo_server.send(data, here).result()
                names.append(("datagram_sent", data))
            assert client.recv(3000) == data
    assert [(event.name, event.args[0]) for event in udp_echo_server.events] == names
    assert [each.data for each in udp_echo_server.received] == [data for asks, data in steps if asks]
    assert [each.data for each in udp_echo_server.sent] == [data for _, data in steps]
    times = [event.time for event in udp_echo_server.events]
    assert times == sorted(times)


@examples(30)
@given(steps=st.lists(st.tuples(st.booleans(), st.binary(min_size=1, max_size=2000)), max_size=12))
def test_the_record_of_a_stream_has_each_byte_in_order(peers: Peers, steps: list[tuple[bool, bytes]]) -> None:
    with peers.tcp_echo() as peer, socket.create_connection(peer.address, 5) as client:
        connection = peer.next_connection().result()
        for asks, data in steps:
            if asks:
                client.sendall(data)
            else:
                connection.send(data).result()
            left = len(data)
            while left:
                left -= len(client.recv(left))
        client.shutdown(socket.SHUT_WR)
        assert client.recv(1) == b""
    assert connection.received == b"".join(data for asks, data in steps if asks)
    assert connection.sent == b"".join(data for _, data in steps)
    for name, kept in (("data_received", connection.received), ("data_sent", connection.sent)):
        assert b"".join(event.args[1] for event in peer.events if event.name == name) == kept
