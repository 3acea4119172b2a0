"""`Connection`, as the far end of ``stream_harness.pair()``."""

import asyncio
import pickle
import re
import socket
import time
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pytest_echoserver import CaptureTimeout, Connection, StreamHarness, StreamPeer

Pair = tuple[socket.socket, Connection]


@pytest.fixture
def pair(stream_harness: StreamHarness) -> Pair:
    return stream_harness.pair()


def test_bytes_go_both_ways(pair: Pair) -> None:
    sock, connection = pair
    sock.sendall(b"ping")
    assert connection.read_exactly(4).result() == b"ping"
    connection.send(b"pong")
    assert sock.recv(10) == b"pong"
    assert (connection.received, connection.sent) == (b"ping", b"pong")


def test_read_gives_what_there_is(pair: Pair) -> None:
    sock, connection = pair
    asked = connection.read(3)
    sock.sendall(b"abcd")
    assert asked.result() == b"abc"
    assert connection.read(100).result() == b"d"


def test_read_without_a_number_gives_all_up_to_eof(pair: Pair) -> None:
    sock, connection = pair
    everything = connection.read()
    sock.sendall(b"ab")
    sock.sendall(b"cd")
    sock.close()
    assert everything.result() == b"abcd"
    assert connection.read().result() == b""
    assert connection.read(5).result() == b""


@pytest.mark.parametrize("timeout", [5, None])
def test_segments_hold_nobody_up_however_long_the_socket_waits(
    stream_harness: StreamHarness, pair: Pair, timeout: float | None
) -> None:
    sock, connection = pair
    sock.settimeout(timeout)
    before = time.monotonic()
    connection.send(b"abc", segments=1)
    assert [sock.recv(10) for _ in range(3)] == [b"a", b"b", b"c"]
    stream_harness.pair()  # by the engine
    assert time.monotonic() - before < 1


def test_reads_are_served_in_the_order_in_which_they_were_asked(pair: Pair) -> None:
    sock, connection = pair
    reads = [connection.read_exactly(2), connection.read_until(b"\n"), connection.read_exactly(1)]
    sock.sendall(b"abcd\ne")
    assert [read.result() for read in reads] == [b"ab", b"cd\n", b"e"]


def test_a_read_that_timed_out_takes_nothing(pair: Pair) -> None:
    sock, connection = pair
    sock.sendall(b"abc")
    connection.read_exactly(1).result()
    too_much, next_one = connection.read_exactly(10), connection.read_exactly(2)
    with pytest.raises(
        CaptureTimeout, match=r"exactly 10 bytes on pair-1: what came, and wasn't read before, was b'bc'"
    ):
        too_much.result(timeout=0)
    assert next_one.result() == b"bc"


def test_a_timeout_tells_that_nothing_came_since(pair: Pair) -> None:
    sock, connection = pair
    with pytest.raises(CaptureTimeout, match=r"for b'x' on pair-1: nothing came$"):
        connection.read_until(b"x").result(timeout=0)
    sock.sendall(b"abc")
    connection.read_exactly(3).result()
    with pytest.raises(
        CaptureTimeout, match=r"up to 5 bytes on pair-1: nothing came after the 3 bytes read before$"
    ):
        connection.read(5).result(timeout=0)


def test_read_until_a_regex_gives_its_match(pair: Pair) -> None:
    sock, connection = pair
    sock.sendall(b"GET /a\r\nGET /b\r\n")
    request = re.compile(rb"GET (\S+)\r\n")
    assert connection.read_until(request).result()[1] == b"/a"
    assert connection.read_until(request).result()[1] == b"/b"


def test_eof_before_what_was_asked_is_an_incomplete_read(pair: Pair) -> None:
    sock, connection = pair
    exactly = connection.read_exactly(4)
    until = connection.read_until(b"\n")
    sock.sendall(b"abc")
    sock.close()
    for asked, what in ((exactly, "exactly 4 bytes"), (until, r"b'\n'")):
        with pytest.raises(asyncio.IncompleteReadError) as caught:
            asked.result()
        assert caught.value.partial == b"abc"
        text = f"the end came before {what} on pair-1: what came, and wasn't read before, was b'abc'"
        assert str(caught.value) == str(pickle.loads(pickle.dumps(caught.value))) == text
    assert connection.read(10).result() == b"abc"


@pytest.mark.asyncio
async def test_lines_come_as_they_are_written(pair: Pair) -> None:
    sock, connection = pair
    sock.sendall(b"one\ntwo\nrest")
    sock.close()
    assert [line async for line in connection.lines()] == [b"one\n", b"two\n", b"rest"]
    assert await connection.read() == b""


def test_how_the_client_ended_it_is_told(pair: Pair) -> None:
    sock, connection = pair
    ended = connection.ended
    assert not ended.done()
    sock.close()
    assert ended.result() == "eof"
    assert connection.ended.result() == "eof"


def test_send_eof_leaves_reading_open(pair: Pair) -> None:
    sock, connection = pair
    connection.send(b"bye")
    connection.send_eof().result()
    assert sock.recv(10) == b"bye"
    assert sock.recv(10) == b""
    sock.sendall(b"still here")
    assert connection.read_until(b"here").result() == b"still here"


def test_a_half_close_of_the_client_leaves_sending_open(pair: Pair) -> None:
    sock, connection = pair
    sock.shutdown(socket.SHUT_WR)
    assert connection.ended.result() == "eof"
    connection.send(b"still here").result()
    assert sock.recv(100) == b"still here"


def test_close_is_a_clean_eof_even_with_unread_input(pair: Pair) -> None:
    sock, connection = pair

    sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1_000_000)  # more than is read at once
    sock.setblocking(False)
    count = 0

    def fill_and_close_before_it_is_read() -> Any:
        nonlocal count
        with suppress(BlockingIOError):
            while True:
                count += sock.send(bytes(10_000))
        connection.send(b"bye")
        return connection.close()

    connection._scope.call(fill_and_close_before_it_is_read).result()
    sock.settimeout(5)
    assert sock.recv(10) == b"bye"
    assert sock.recv(10) == b""
    assert len(connection.received) == count


def test_what_comes_while_a_closing_end_still_sends_is_read(pair: Pair) -> None:
    sock, connection = pair
    connection.send(bytes(5_000_000))
    closed = connection.close()
    got = len(sock.recv(1_000_000))
    sock.sendall(b"late")
    while data := sock.recv(1_000_000):
        got += len(data)
    closed.result()
    assert got == 5_000_000
    assert connection.received == b"late"


def test_closing_ends_the_waits_for_it(pair: Pair) -> None:
    _, connection = pair
    ended, read = connection.ended, connection.read(1)
    connection.close().result()
    assert read.result() == b""
    with pytest.raises(ConnectionAbortedError, match="closed on this side"):
        ended.result()


@pytest.mark.parametrize("end", ["send_eof", "close"])
def test_sending_after_the_end_is_refused(pair: Pair, end: str) -> None:
    _, connection = pair
    getattr(connection, end)().result()
    with pytest.raises(RuntimeError, match=r"send\(\) on pair-1 after its end was sent"):
        connection.send(b"x")


def test_sending_to_who_has_gone_fails_the_future(pair: Pair) -> None:
    sock, connection = pair
    sock.close()
    connection.ended.result()
    connection.send(b"x")
    with pytest.raises(OSError, match=r"closed|Broken pipe|reset"):
        connection.send(b"y").result()


def test_a_send_is_done_when_the_kernel_has_taken_it_all(pair: Pair) -> None:
    sock, connection = pair
    payload = bytes(10_000_000)
    sending = connection.send(payload)
    then = connection.send(b"end")
    got = bytearray(sock.recv(1))  # by now it was begun
    with pytest.raises(CaptureTimeout, match=r"10000000 bytes to be sent on .*: \d+ bytes wait to leave$"):
        sending.result(timeout=0.01)
    while not got.endswith(b"end"):
        got += sock.recv(1_000_000)
    then.result()
    assert len(got) == len(payload) + 3


def test_a_small_send_that_must_wait_is_done_once_it_has_left(pair: Pair) -> None:
    sock, connection = pair
    sending = connection.send(bytes(1000))
    count = 1
    while sending.done() or not sending.exception(timeout=0.05):
        sending = connection.send(bytes(1000))
        count += 1
    last = connection.send(b"last")
    assert not last.done()
    got = b""
    while len(got) < count * 1000 + 4:
        got += sock.recv(1_000_000)
    assert last.result() is None


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=30)
@given(st.lists(st.binary(min_size=1, max_size=500), min_size=1, max_size=10))
def test_whatever_is_sent_arrives_whole_and_in_order(stream_harness: StreamHarness, pieces: list[bytes]) -> None:
    sock, connection = stream_harness.pair()
    for piece in pieces:
        connection.send(piece)
    connection.send_eof()
    got = bytearray()
    while data := sock.recv(4096):
        got += data
        sock.sendall(data)
    sock.close()
    assert got == b"".join(pieces)
    assert connection.read().result() == got


@pytest.mark.parametrize("data", ["text", None, 5])
def test_sending_what_is_no_bytes_is_refused(pair: Pair, data: Any) -> None:
    with pytest.raises(TypeError, match="data must be bytes, not"):
        pair[1].send(data)


@pytest.mark.parametrize("n", [0, -2])
def test_reading_less_than_a_byte_is_refused(pair: Pair, n: int) -> None:
    with pytest.raises(ValueError, match=f"n must be 1 or more, not {n}"):
        pair[1].read(n)


@pytest.mark.parametrize("n", [-1, -2])
def test_reading_exactly_less_than_nothing_is_refused(pair: Pair, n: int) -> None:
    with pytest.raises(ValueError, match=f"n must be 0 or more, not {n}"):
        pair[1].read_exactly(n)


def test_exactly_no_bytes_are_there_at_once_and_after_the_end_too(pair: Pair) -> None:
    sock, connection = pair
    nothing = connection.read_exactly(0)
    assert nothing.done()
    assert nothing.result() == b""
    sock.sendall(b"ab")
    assert [connection.read_exactly(n).result() for n in (1, 0, 1)] == [b"a", b"", b"b"]
    sock.close()
    assert connection.ended.result() == "eof"
    assert connection.read_exactly(0).result() == b""


def test_a_handler_reads_a_message_without_a_body_as_the_client_ends(tcp_peer: StreamPeer) -> None:
    bodies = []

    @tcp_peer.serve
    async def server(connection: Connection) -> None:
        while True:
            bodies.append(await connection.read_exactly((await connection.read_exactly(1))[0]))

    with socket.create_connection(tcp_peer.address) as client:
        client.sendall(b"\1x\0")
    assert tcp_peer.connection.ended.result() == "eof"
    tcp_peer.verify()
    assert bodies == [b"x", b""]


def test_exactly_no_bytes_of_a_protocol_are_there_at_once(stream_harness: StreamHarness) -> None:
    stream = stream_harness.connect(asyncio.Protocol)
    assert stream.read_exactly(0).result() == b""
    stream.close().result()
    assert stream.read_exactly(0).result() == b""


def test_a_bad_pattern_is_refused_at_the_call(pair: Pair) -> None:
    bad: Any = "text"
    with pytest.raises(TypeError, match="a pattern must be bytes"):
        pair[1].read_until(bad)
    with pytest.raises(ValueError, match="doesn't end in a literal byte"):
        pair[1].read_until(re.compile(rb"\d+"))


def test_a_socket_that_the_test_left_open_is_closed_with_it(pair: Pair) -> None:
    sock, _ = pair
    assert sock.gettimeout() == 5.0
