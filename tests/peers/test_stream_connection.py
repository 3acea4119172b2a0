"""What `Connection` does for a peer: segments, every way to end it, stalling."""

import asyncio
import io
import pickle
import socket
import ssl
import sys
import threading
from collections.abc import Sequence
from concurrent.futures import Future
from contextlib import suppress
from itertools import accumulate, pairwise
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pytest_echoserver import CaptureTimeout, Connection, Peers, ScriptMismatch, StreamPeer, TLSAuthority

from ..conftest import Connect, MakePeer, OpenStreams, receive, receive_all, reset, speaks_tls

Pair = tuple[socket.socket, Connection]
ON_LINUX = pytest.mark.skipif(sys.platform != "linux", reason="the system doesn't tell what the other end has read")


@pytest.fixture
def pair(make_peer: MakePeer, connect: Connect) -> Pair:
    peer = make_peer()
    return connect(peer), peer.connection


class Reads:
    """A client in a thread: what each of its reads gave, up to EOF."""

    def __init__(self, client: socket.socket) -> None:
        self._reads: Future[list[bytes]] = Future()
        threading.Thread(target=self._read, args=(client,)).start()

    def result(self) -> list[bytes]:
        return self._reads.result(10)

    def _read(self, client: socket.socket) -> None:
        try:
            self._reads.set_result(list(iter(lambda: client.recv(100_000), b"")))
        except OSError as error:
            self._reads.set_exception(error)


def assert_apart(reads: Sequence[bytes], pieces: Sequence[bytes]) -> None:
    """Assert that each of the pieces was a read of its own, but for one in a hundred.

    The system may interrupt a client's thread within its read, after it took a piece: then it takes the next, too.
    """
    assert b"".join(reads) == b"".join(pieces)
    ends, read_ends = (set(accumulate(map(len, some))) for some in (pieces, reads))
    assert read_ends <= ends
    assert len(ends - read_ends) <= 1 + len(pieces) // 100


def test_that_nothing_can_be_sent_is_told_with_the_reason(tcp_peer: StreamPeer, connect: Connect) -> None:
    client = connect(tcp_peer)
    client.send(b"x")
    tcp_peer.connection.read_exactly(1).result()
    reset(client)
    assert tcp_peer.connection.ended.result() == "reset"
    with pytest.raises(
        BrokenPipeError, match=r"^nothing can be sent on connection 1: the other end has reset it"
    ) as caught:
        tcp_peer.connection.send(b"x").result()
    again = pickle.loads(pickle.dumps(caught.value))
    assert (type(again), str(again)) == (type(caught.value), str(caught.value))


def test_no_end_is_noted_where_the_client_has_reset_it(tcp_peer: StreamPeer, connect: Connect) -> None:
    client = connect(tcp_peer)
    connection = tcp_peer.connection
    connection.stall().result()
    client.send(b"x")  # so that the reset is one
    reset(client)
    connection.close().result()
    assert "eof_sent" not in [event.name for event in tcp_peer.events]


@pytest.mark.skipif(sys.platform != "linux", reason="the system doesn't tell of an end that nobody has read")
@pytest.mark.parametrize("answered", [False, True])
@pytest.mark.parametrize("closed", ["connection", "peer"])
@pytest.mark.parametrize("kind", ["tcp", "unix"])
def test_who_has_ended_it_first_is_told_though_nobody_has_read_of_it(
    peers: Peers, connect: Connect, kind: str, closed: str, answered: bool
) -> None:
    peer = getattr(peers, kind)()
    client = connect(peer)
    connection = peer.connection
    connection.stall().result()
    client.send(b"bye")
    client.close()
    if answered and kind == "tcp":
        connection.send(b"421").result()  # which gets a reset
    if closed == "peer":
        peer.close()
    else:
        connection.close().result()
    assert connection.ended.result() == "eof"
    names = [event.name for event in peer.events if event.name != "data_sent"]
    assert names == ["connection_made", "data_received", "eof_received", "connection_lost"]


@pytest.mark.skipif(sys.platform != "linux", reason="the system doesn't tell of an end that nobody has read")
def test_a_clients_end_that_nobody_has_read_is_told_after_ours(tcp_peer: StreamPeer, connect: Connect) -> None:
    client = connect(tcp_peer)
    connection = tcp_peer.connection
    connection.stall().result()
    connection.send_eof().result()
    assert client.recv(1) == b""
    client.close()
    connection.close().result()
    assert [event.name for event in tcp_peer.events][1:] == ["eof_sent", "eof_received", "connection_lost"]


def test_a_close_that_reads_half_a_step_only_closes(tcp_peer: StreamPeer, connect: Connect) -> None:
    client = connect(tcp_peer)
    connection = tcp_peer.connection
    tcp_peer.expect(b"abc")
    connection.stall().result()
    client.send(b"ab")
    client.close()
    connection.close().result()
    with pytest.raises(ScriptMismatch, match="the script's only step was not met"):
        tcp_peer.verify()


# Segments


@pytest.mark.parametrize(
    ("segments", "reads"),
    [
        (1, [b"h", b"e", b"l", b"l", b"o"]),
        (2, [b"he", b"ll", b"o"]),
        (100, [b"hello"]),
        ([1, 3, 1], [b"h", b"ell", b"o"]),
        ((5,), [b"hello"]),
    ],
)
def test_each_segment_is_a_read_of_its_own(pair: Pair, segments: Any, reads: list[bytes]) -> None:
    client, connection = pair
    seen = Reads(client)
    connection.send(b"hello", segments=segments).result()
    connection.close()
    assert_apart(seen.result(), reads)
    assert connection.sent == b"hello"


@pytest.mark.asyncio
async def test_each_segment_is_a_read_of_its_own_in_asyncio(
    make_peer: MakePeer, tls_authority: TLSAuthority
) -> None:
    peer = make_peer()
    loop = asyncio.get_running_loop()
    reads: list[bytes] = []
    ended = asyncio.Event()

    class Protocol(asyncio.Protocol):
        def data_received(self, data: bytes) -> None:
            reads.append(data)

        def connection_lost(self, exc: Exception | None) -> None:
            ended.set()

    if peer.family == socket.AF_UNIX:
        await loop.create_unix_connection(Protocol, peer.address)
    else:
        context = tls_authority.client_context() if speaks_tls(peer) else None
        await loop.create_connection(Protocol, peer.host, peer.port, ssl=context)
    connection = await peer.next_connection()
    await connection.send(b"x" * 200, segments=1)
    connection.send(b"abc", segments=[1, 2])
    connection.close()
    await ended.wait()
    assert_apart(reads, [b"x"] * 200 + [b"a", b"bc"])


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=20)
@given(data=st.data())
@pytest.mark.parametrize("kind", ["tcp", "unix", "tls"])
def test_whatever_the_cuts_each_is_a_read(peers: Peers, connect: Connect, kind: str, data: st.DataObject) -> None:
    payload = data.draw(st.binary(min_size=2, max_size=2_000))
    cuts = data.draw(st.sets(st.integers(1, len(payload) - 1), max_size=30))
    pieces = [payload[start:end] for start, end in pairwise([0, *sorted(cuts), len(payload)])]
    with getattr(peers, kind)() as peer, connect(peer) as client:
        seen = Reads(client)
        peer.connection.send(payload, segments=[len(piece) for piece in pieces])
        peer.connection.close()
        assert_apart(seen.result(), pieces)


def test_segments_keep_their_place_between_other_sends(pair: Pair) -> None:
    client, connection = pair
    seen = Reads(client)
    for _ in range(20):
        connection.send(b"ab", segments=1)
        connection.send(b"plain")
        connection.send(b"cd", segments=1)
    connection.close()
    assert_apart(seen.result(), [b"a", b"b", b"plain", b"c", b"d"] * 20)


def test_segments_after_much_are_reads_of_their_own(pair: Pair) -> None:
    client, connection = pair
    connection.send(bytes(5_000_000))
    connection.send(b"ab", segments=1)
    seen = Reads(client)
    connection.close().result()
    reads = seen.result()
    assert sum(map(len, reads)) == 5_000_002
    assert_apart(reads[-2:], [b"a", b"b"])


def test_an_echo_comes_after_the_segments_before_it(make_peer: MakePeer, connect: Connect) -> None:
    peer = make_peer("echo")
    client = connect(peer)
    peer.connection.send(b"greeting", segments=1)
    assert receive(client, 1) == b"g"
    client.sendall(b"hi")
    assert receive(client, 9) == b"reetinghi"


def test_no_bytes_are_no_segments(pair: Pair) -> None:
    client, connection = pair
    assert connection.send(b"", segments=1).result() is None
    assert connection.send(b"", segments=[]).result() is None
    connection.send(b"x")
    assert client.recv(10) == b"x"


def test_a_segment_that_nobody_reads_is_a_timeout(peers: Peers, connect: Connect) -> None:
    peer = peers.tcp(timeout=0.1)
    client = connect(peer)
    connection = peer.next_connection().result(timeout=5)
    with pytest.raises(
        CaptureTimeout, match=r"segment 1 of 3 was not read .* 2 bytes were sent in one piece|3 bytes to be"
    ):
        connection.send(b"abc", segments=1).result(timeout=5)
    assert client.recv(10) == b"abc"


@ON_LINUX
def test_segments_after_what_nobody_reads_are_a_timeout_that_says_so(peers: Peers, connect: Connect) -> None:
    peer = peers.tcp(timeout=0.1)
    client = connect(peer)
    connection = peer.next_connection().result(timeout=5)
    connection.send(b"before")
    with pytest.raises(CaptureTimeout, match=r"^what was sent before was not read at the other end within 0\.1 s"):
        connection.send(b"ab", segments=1).result(timeout=5)
    assert receive(client, 8) == b"beforeab"


@ON_LINUX
def test_a_segment_has_to_leave_and_be_read_within_one_timeout(peers: Peers, connect: Connect) -> None:
    peer = peers.tcp(timeout=1)
    connect(peer)
    connection = peer.next_connection().result(timeout=5)
    sending = connection.send(bytes(20_000_000), segments=10_000_000)
    with pytest.raises(CaptureTimeout, match=r"^segment 1 of 2 was not read at the other end within 1 s, "):
        sending.result(timeout=5)
    segment, rest = (event.time for event in peer.events if event.name == "data_sent")
    assert rest - segment < 1.9


def test_a_wait_for_segments_that_nobody_reads_says_so(pair: Pair) -> None:
    client, connection = pair
    sending = connection.send(b"abc", segments=1)
    with pytest.raises(
        CaptureTimeout, match=r"3 bytes to be sent on .*: what has left was not read at the other end$"
    ):
        sending.result(timeout=0.05)
    assert [client.recv(10) for _ in range(3)] == [b"a", b"b", b"c"]


def test_a_wait_behind_a_late_reply_says_so(tcp_peer: StreamPeer, connect: Connect) -> None:
    tcp_peer.expect(b"a").reply(b"b", after=60)
    connect(tcp_peer).sendall(b"a")
    assert tcp_peer.connection.read(1).result() == b"a"
    with pytest.raises(CaptureTimeout, match=r"1 byte to be sent on .*: a pause of 60 s comes first$"):
        tcp_peer.connection.send(b"c").result(timeout=0.05)


@pytest.mark.parametrize("kind", ["tcp", "unix"])
def test_a_wait_for_a_close_that_reads_says_so(kind: str, peers: Peers, connect: Connect) -> None:
    held, let_go = threading.Event(), threading.Event()

    def hold(_: object) -> None:
        held.set()
        let_go.wait(10)

    peer: StreamPeer = getattr(peers, kind)()
    client = connect(peer)
    connection = peer.connection
    connection.stall().result()
    client.sendall(b"unread")
    connection.read(6).add_done_callback(hold)
    closing = connection.close()
    held.wait(10)
    try:
        with pytest.raises(CaptureTimeout, match=r"to be closed on .*: what has come in is being read; "):
            closing.result(timeout=0.01)
    finally:
        let_go.set()


@ON_LINUX
def test_a_wait_for_a_reset_says_what_has_not_arrived(tcp_peer: StreamPeer) -> None:
    with socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.connect(tcp_peer.address)
        tcp_peer.connection.send(bytes(100_000)).result()
        with pytest.raises(
            CaptureTimeout, match=r"to be reset on .*: what has left has not arrived at the other end$"
        ):
            tcp_peer.connection.reset().result(timeout=0.05)


def test_segments_to_who_has_gone_fail(pair: Pair) -> None:
    client, connection = pair
    client.close()
    connection.ended.result()
    with pytest.raises(OSError, match=r"closed|reset|Broken pipe"):
        connection.send(b"abc" * 100, segments=1).result()


@pytest.mark.parametrize(
    ("segments", "error", "text"),
    [
        ([1, 1], ValueError, r"segments \[1, 1\] sum to 2, but the data has 3 bytes"),
        ([1, 1, 2], ValueError, r"segments \[1, 1, 2\] sum to 4, but the data has 3 bytes"),
        ([3, 0], ValueError, "each of segments must be 1 or more, not 0"),
        ([4, -1], ValueError, "each of segments must be 1 or more, not -1"),
        ([1.0, 2], TypeError, "each of segments must be an int, not 1.0"),
        (0, ValueError, "segments must be 1 or more, not 0"),
        (True, TypeError, "segments must be sizes in bytes, .* not True"),
        ("12", TypeError, "segments must be sizes in bytes, .* not '12'"),
        (b"\1\2", TypeError, r"segments must be sizes in bytes, .* not b'\\x01\\x02'"),
        ({1, 2}, TypeError, r"segments must be sizes in bytes, .* not \{1, 2\}"),
    ],
)
def test_bad_segments_are_refused(
    tcp_peer: StreamPeer, connect: Connect, segments: Any, error: type[Exception], text: str
) -> None:
    client = connect(tcp_peer)
    with pytest.raises(error, match=text):
        tcp_peer.connection.send(b"abc", segments=segments)
    tcp_peer.connection.close()
    assert receive_all(client) == b""


# Cursors


def test_handler_and_test_each_read_everything(make_peer: MakePeer, connect: Connect) -> None:
    by_handler: Future[list[bytes]] = Future()

    async def handler(connection: Connection) -> None:
        by_handler.set_result([await connection.read_exactly(3), await connection.read_until(b"\n")])

    peer = make_peer(handler)
    client = connect(peer)
    client.sendall(b"abc")
    assert peer.connection.read_exactly(2).result() == b"ab"
    client.sendall(b"def\n")
    assert by_handler.result(5) == [b"abc", b"def\n"]
    assert peer.connection.read_until(b"\n").result() == b"cdef\n"


def test_reads_do_not_starve_an_echo(make_peer: MakePeer, connect: Connect) -> None:
    peer = make_peer("echo")
    client = connect(peer)
    for _ in range(50):
        asked = peer.connection.read_exactly(4)
        client.sendall(b"ping")
        assert asked.result() == b"ping"
        assert receive(client, 4) == b"ping"


def test_a_task_of_a_handler_reads_with_the_handlers_cursor(tcp_peer: StreamPeer, connect: Connect) -> None:
    got: Future[bytes] = Future()

    @tcp_peer.serve
    async def handler(connection: Connection) -> None:
        async def rest() -> bytes:
            return await connection.read_exactly(2)

        first = await connection.read_exactly(2)
        got.set_result(first + await asyncio.create_task(rest()))

    connect(tcp_peer).sendall(b"abcd")
    assert got.result(5) == b"abcd"
    assert tcp_peer.connection.read_exactly(4).result() == b"abcd"


def test_reads_of_a_handler_have_no_deadline(peers: Peers, connect: Connect) -> None:
    peer = peers.tcp(timeout=0.05)
    done = threading.Event()

    @peer.serve
    async def handler(connection: Connection) -> None:
        connection.send(await connection.read_until(b"\n"))
        done.set()

    client = connect(peer)
    connection = peer.next_connection().result(timeout=5)
    with pytest.raises(CaptureTimeout):
        connection.read(1).result()
    assert not done.wait(0.1)
    client.sendall(b"late\n")
    assert receive_all(client) == b"late\n"


@pytest.mark.asyncio
async def test_lines_of_an_async_test_and_of_a_handler(make_peer: MakePeer, open_streams: OpenStreams) -> None:
    async def shout(connection: Connection) -> None:
        async for line in connection.lines():
            connection.send(line.upper())

    peer = make_peer(shout)
    reader, writer = await open_streams(peer)
    writer.write(b"one\ntwo\nthr")
    assert await reader.readexactly(8) == b"ONE\nTWO\n"
    writer.write(b"ee\n")
    assert await reader.readline() == b"THREE\n"
    writer.close()
    await writer.wait_closed()
    connection = await peer.next_connection()
    assert [line async for line in connection.lines()] == [b"one\n", b"two\n", b"three\n"]


# What nobody awaits


def test_what_nobody_awaits_happens_in_order(make_peer: MakePeer, connect: Connect) -> None:
    for _ in range(10):
        with make_peer() as peer:
            client = connect(peer)
            connection = peer.connection
            connection.send(b"a" * 100_000)
            connection.send(b"b")
            if not speaks_tls(peer):
                connection.send_eof()
            connection.close()
            assert receive_all(client) == b"a" * 100_000 + b"b"


def test_a_close_after_megabytes_loses_nothing(pair: Pair) -> None:
    client, connection = pair
    connection.send(bytes(5_000_000))
    closing = connection.close()
    assert len(receive_all(client)) == 5_000_000
    closing.result()


def test_a_half_close_both_ways(make_peer: MakePeer, connect: Connect) -> None:
    peer = make_peer()
    client = connect(peer)
    if speaks_tls(peer):
        pytest.skip("TLS has none")
    connection = peer.connection
    connection.send(b"all I say")
    connection.send_eof().result()
    assert receive_all(client) == b"all I say"
    client.sendall(b"but I listen")
    client.shutdown(socket.SHUT_WR)
    assert connection.read().result() == b"but I listen"
    assert connection.ended.result() == "eof"


def test_an_echo_of_what_came_after_our_eof_is_dropped(make_peer: MakePeer, connect: Connect) -> None:
    peer = make_peer("echo")
    client = connect(peer)
    if speaks_tls(peer):
        pytest.skip("TLS has no half-close")
    peer.connection.send_eof().result()
    client.sendall(b"x")
    assert peer.connection.read(1).result() == b"x"
    assert peer.connection.sent == b""
    client.shutdown(socket.SHUT_WR)
    assert client.recv(1) == b""


# Closing


def test_close_is_a_clean_eof_even_with_unread_input(make_peer: MakePeer, connect: Connect) -> None:
    peer = make_peer()
    for number in range(100):
        client = connect(peer)
        connection = peer.next_connection().result()
        client.sendall(bytes(number * 500))
        connection.send(b"bye")
        connection.close()
        assert receive_all(client) == b"bye"
        with suppress(ConnectionError, ssl.SSLError, BrokenPipeError):
            client.sendall(b"late")
        client.close()


def test_close_records_what_had_come_in(make_peer: MakePeer, connect: Connect) -> None:
    peer = make_peer()
    for _ in range(30):
        client = connect(peer)
        connection = peer.next_connection().result()

        def send_and_close(client: socket.socket = client, connection: Connection = connection) -> Any:
            client.sendall(b"x" * 10_000)  # on the engine's thread: it can't be read meanwhile
            return connection.close()

        connection._scope.call(send_and_close).result()
        assert connection.received == b"x" * 10_000
        assert client.recv(1) == b""


def test_an_echo_that_is_closed_says_no_more_than_it_sent(make_peer: MakePeer, connect: Connect) -> None:
    peer = make_peer("echo")
    client = connect(peer)
    connection = peer.connection

    def send_and_close() -> Any:
        client.sendall(b"x")
        return connection.close()

    connection._scope.call(send_and_close).result()
    assert connection.sent == receive_all(client)


@pytest.mark.parametrize("kind", ["tcp", "unix", "tls"])
def test_close_does_not_wait_for_who_sends_without_end(kind: str, peers: Peers, connect: Connect) -> None:
    peer: StreamPeer = getattr(peers, kind)()
    client = connect(peer)

    def flood() -> None:
        with suppress(OSError):
            while True:
                client.sendall(bytes(100_000))

    sender = threading.Thread(target=flood)
    sender.start()
    peer.connection.read_exactly(100_000).result()
    peer.connection.close().result()
    sender.join(5)
    assert not sender.is_alive()


def test_close_of_a_stalled_connection(pair: Pair) -> None:
    client, connection = pair
    connection.stall().result()
    client.sendall(b"x" * 1000)
    connection.close().result()
    assert receive_all(client) == b""
    assert connection.received == b"x" * 1000


def test_closing_twice_is_once(pair: Pair) -> None:
    client, connection = pair
    assert [connection.close().result(), connection.close().result()] == [None, None]
    assert receive_all(client) == b""


# Resetting


@pytest.mark.parametrize("kind", ["tcp", "tcp6", "tls"])
@pytest.mark.parametrize("size", [0, 1, 1_000_000])
def test_reset_comes_after_all_that_was_sent(peers: Peers, connect: Connect, kind: str, size: int) -> None:
    peer = peers.tls() if kind == "tls" else peers.tcp(host="::1" if kind == "tcp6" else "127.0.0.1")
    for _ in range(5):
        client = connect(peer)
        connection = peer.next_connection().result()
        client.sendall(b"unread by nobody")
        connection.send(bytes(size))
        connection.reset()
        assert len(receive(client, size)) == size
        # Below TLS, if there is any: up to Python 3.12 the ssl module takes a reset for an EOF.
        with socket.socket(fileno=client.detach()) as plain:
            plain.settimeout(5)
            with pytest.raises(ConnectionResetError):
                receive_all(plain)
    peer.close()
    assert sum(event.name == "reset_sent" for event in peer.events) == 5


def test_reset_waits_for_who_reads_late(tcp_peer: StreamPeer, connect: Connect) -> None:
    client = connect(tcp_peer)
    connection = tcp_peer.connection
    connection.send(bytes(1_000_000))
    resetting = connection.reset()
    with pytest.raises(CaptureTimeout):
        resetting.result(timeout=0.1)
    assert len(receive(client, 1_000_000)) == 1_000_000
    with pytest.raises(ConnectionResetError):
        client.recv(1)


def test_reset_does_not_wait_for_ever(tcp_peer: StreamPeer, connect: Connect) -> None:
    client = connect(tcp_peer)
    tcp_peer.connection.send(bytes(10_000_000))
    tcp_peer.connection.reset().result()
    with pytest.raises(ConnectionResetError):
        receive_all(client)


@pytest.mark.asyncio
async def test_reset_in_asyncio(tcp_peer: StreamPeer, open_streams: OpenStreams) -> None:
    reader, writer = await open_streams(tcp_peer)
    connection = await tcp_peer.next_connection()
    connection.send(b"partial")
    assert await reader.readexactly(7) == b"partial"  # asyncio's reader forgets what it has once it is reset
    await connection.reset()
    with pytest.raises(ConnectionResetError):
        await reader.read()
    writer.close()
    with suppress(ConnectionError):
        await writer.wait_closed()


def test_what_a_connection_cannot_do_is_refused(
    tls_peer: StreamPeer, unix_peer: StreamPeer, connect: Connect
) -> None:
    connect(tls_peer)
    with pytest.raises(io.UnsupportedOperation, match=r"send_eof\(\) on connection 1 of tls-1 .* no half-close"):
        tls_peer.connection.send_eof()
    client = connect(unix_peer)
    with pytest.raises(io.UnsupportedOperation, match=r"reset\(\) on connection 1 of unix-1 .* has no RST"):
        unix_peer.connection.reset()
    unix_peer.connection.send(b"still open")
    assert receive(client, 10) == b"still open"


# How the client ends it


def test_a_clients_reset_is_told(tcp_peer: StreamPeer, connect: Connect) -> None:
    client = connect(tcp_peer)
    connection = tcp_peer.connection
    asked = connection.read_exactly(5)
    client.sendall(b"abc")
    assert receive_some(connection) == b"abc"
    reset(client)
    assert connection.ended.result() == connection.ended.result() == "reset"
    with pytest.raises(ConnectionResetError):
        asked.result()
    assert connection.received == b"abc"


def receive_some(connection: Connection) -> bytes:
    while not connection.received:
        pass
    return connection.received


@pytest.mark.asyncio
async def test_ended_in_an_async_test(make_peer: MakePeer, open_streams: OpenStreams) -> None:
    peer = make_peer()
    _, writer = await open_streams(peer)
    connection = await peer.next_connection()
    writer.close()
    await writer.wait_closed()
    assert await connection.ended == "eof"
    assert await connection.read() == b""


# Stalling


@pytest.fixture(params=["tcp", "tcp6", "tls"])
def stalled(request: pytest.FixtureRequest, peers: Peers, connect: Connect) -> Pair:
    host = "::1" if request.param == "tcp6" else "127.0.0.1"
    make = peers.tls if request.param == "tls" else peers.tcp
    peer = make(host=host, receive_buffer=4096)
    client = connect(peer)
    peer.connection.stall().result()
    return client, peer.connection


def fill(client: socket.socket, piece: bytes = bytes(1000), rest: float = 0.1) -> int:
    """Send until it stalls; give how much went."""
    client.settimeout(rest)
    count = 0
    with suppress(TimeoutError):
        while count < 10_000_000:
            count += client.send(piece)
    client.settimeout(5)
    return count


def test_a_stalled_sender_is_stopped_soon(stalled: Pair) -> None:
    client, connection = stalled
    sent = fill(client)
    assert 1000 <= sent < 100_000
    assert len(connection.received) <= 5_000


def test_a_sender_over_a_unix_socket_is_stopped_by_its_own_buffer(unix_peer: StreamPeer, connect: Connect) -> None:
    client = connect(unix_peer)
    unix_peer.connection.stall().result()
    assert fill(client) < 300_000
    assert unix_peer.connection.received == b""


@pytest.mark.parametrize("kind", ["tcp", "unix", "tls"])
def test_after_a_stall_everything_comes(kind: str, peers: Peers, connect: Connect) -> None:
    peer: StreamPeer = getattr(peers, kind)(receive_buffer=4096)
    client = connect(peer)
    connection = peer.connection
    connection.stall().result()
    thread = threading.Thread(target=client.sendall, args=(b"x" * 500_000,))
    thread.start()
    with pytest.raises(CaptureTimeout):
        connection.read_exactly(400_000).result(timeout=0.1)
    connection.unstall()
    assert connection.read_exactly(500_000).result() == b"x" * 500_000
    thread.join()


def test_stalling_twice_and_unstalling_what_reads(pair: Pair) -> None:
    client, connection = pair
    connection.unstall()
    connection.stall()
    connection.stall().result()
    client.sendall(b"x")
    with pytest.raises(CaptureTimeout):
        connection.read(1).result(timeout=0.05)
    connection.unstall().result()
    connection.unstall().result()
    assert connection.read(1).result() == b"x"


def test_what_is_sent_while_stalled_arrives(pair: Pair) -> None:
    client, connection = pair
    connection.stall()
    connection.send(b"still talking")
    assert receive(client, 13) == b"still talking"


def test_a_peer_with_a_small_buffer_still_cuts_as_asked(peers: Peers, connect: Connect) -> None:
    peer = peers.tcp(receive_buffer=4096)
    seen = Reads(connect(peer))
    sizes: Sequence[int] = [1, 1400, 2, 1000]
    peer.connection.send(bytes(sum(sizes)), segments=sizes)
    peer.connection.close()
    assert_apart(seen.result(), [bytes(size) for size in sizes])


def test_eof_to_who_has_reset_it_is_no_error(tcp_peer: StreamPeer, connect: Connect) -> None:
    client, connection = connect(tcp_peer), tcp_peer.connection
    connection.stall().result()  # so that the reset isn't read
    reset(client)
    connection.send_eof().result()
    connection.unstall()
    assert connection.ended.result() == "reset"
    tcp_peer.verify()
