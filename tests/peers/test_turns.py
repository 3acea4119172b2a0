"""Whose turn it is when several things could be next: the network's order counts, not that of the event loop."""

import asyncio
import socket
import struct
import sys
from collections.abc import Callable

import pytest

from pytest_echoserver import Connection, Peers, StreamFaults, StreamPeer, TLSAuthority
from pytest_echoserver._peers import closing, stream, talk

from ..conftest import Downstream

Connect = Callable[..., socket.socket]


@pytest.mark.parametrize("framing", [None, b"\n"])
@pytest.mark.parametrize("size", [10, 3_000_000])
def test_clients_one_after_the_other_are_taken_in_order(
    peers: Peers, connect: Connect, framing: bytes | None, size: int
) -> None:
    peer = peers.tcp(framing=framing)
    long = b"a" * size + b"\n"
    peer.expect(long)
    peer.expect(b"b\n").reply(b"B")
    with connect(peer) as first:
        first.sendall(long)
    second = connect(peer)
    second.sendall(b"b\n")
    assert second.recv(1) == b"B"


def test_a_late_answer_reaches_a_client_that_has_half_closed(
    tcp_peer: StreamPeer, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(talk, "GRACE", 5)  # however slow the machine is; no step is missing in the end
    client = connect(tcp_peer)
    client.sendall(b"a")
    client.shutdown(socket.SHUT_WR)
    assert tcp_peer.connection.ended.result() == "eof"
    step = tcp_peer.expect(b"a")
    step.met.result()
    step.reply(b"1")
    tcp_peer.expect_eof().reply(b"2").close()
    with client.makefile("rb") as answers:
        assert answers.read() == b"12"


def test_it_is_closed_in_the_end_all_the_same(
    tcp_peer: StreamPeer, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(talk, "GRACE", 0.001)
    client = connect(tcp_peer)
    client.sendall(b"a")
    client.shutdown(socket.SHUT_WR)
    assert tcp_peer.connection.ended.result() == "eof"
    tcp_peer.expect(b"a")
    assert client.recv(1) == b""


def test_a_script_of_a_connections_own_waits_for_its_next_step(tcp_peer: StreamPeer, connect: Connect) -> None:
    client = connect(tcp_peer)
    connection = tcp_peer.connection
    connection.expect(b"a").reply(b"A")
    client.sendall(b"ab")
    assert client.recv(1) == b"A"
    connection.expect(b"b").reply(b"B")
    assert client.recv(1) == b"B"


def test_what_it_never_gets_a_step_for_is_left_over(downstream: Downstream) -> None:
    result = downstream.run(
        """
        import socket

        def test_it(tcp_peer):
            with socket.create_connection(tcp_peer.address) as client:
                tcp_peer.connection.expect(b"a").reply(b"A")
                client.sendall(b"ab")
                assert client.recv(1) == b"A"
        """
    )
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*something came that nothing has matched*", "*got: b'b' (1 byte)*"])


def test_a_connection_that_gets_a_script_of_its_own_lets_others_have_the_peers(
    tcp_peer: StreamPeer, connect: Connect
) -> None:
    tcp_peer.expect(b"a").reply(b"A")
    tcp_peer.expect(b"b").reply(b"B")
    first, second = connect(tcp_peer), connect(tcp_peer)
    first.sendall(b"a")
    assert first.recv(1) == b"A"
    second.sendall(b"b")
    tcp_peer.next_connection().result().expect(b"z").reply(b"Z")
    assert second.recv(1) == b"B"
    first.sendall(b"z")
    assert first.recv(1) == b"Z"


@pytest.mark.parametrize("way", ["close", "shutdown"])
def test_segments_end_when_the_client_does(tcp_peer: StreamPeer, connect: Connect, way: str) -> None:
    client = connect(tcp_peer)
    connection = tcp_peer.connection
    sent = connection.send(b"x" * 100, segments=1)
    assert client.recv(1) == b"x"
    client.shutdown(socket.SHUT_WR)
    if way == "close":
        client.close()
        assert sent.exception() is None or isinstance(sent.exception(), OSError)
    else:
        with client.makefile("rb") as rest:
            connection.close()
            assert rest.read() == b"x" * 99


@pytest.mark.parametrize("kind", ["tcp", "tls"])
def test_all_that_was_sent_before_a_close_is_recorded(peers: Peers, connect: Connect, kind: str) -> None:
    peer: StreamPeer = getattr(peers, kind)()
    client = connect(peer)
    connection = peer.next_connection().result()
    connection.stall().result()
    client.sendall(b"x" * 1_000_000)
    connection.close().result()
    assert len(connection.received) == 1_000_000


@pytest.mark.skipif(sys.platform != "linux", reason="nothing tells what is still to come")
@pytest.mark.parametrize("closed", ["connection", "peer"])
@pytest.mark.parametrize("stalled", [False, True], ids=["read", "stalled"])
@pytest.mark.parametrize("kind", ["tcp", "tls"])
def test_so_is_what_the_clients_own_kernel_holds_then(
    peers: Peers, connect: Connect, kind: str, stalled: bool, closed: str
) -> None:
    peer: StreamPeer = getattr(peers, kind)(receive_buffer=4096)  # less than a record of TLS
    client = connect(peer)
    client.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1_000_000)
    connection = peer.next_connection().result()
    if stalled:
        connection.stall().result()
    client.sendall(b"x" * 300_000)
    connection.close().result() if closed == "connection" else peer.close()
    assert len(connection.received) == 300_000


@pytest.mark.skipif(sys.platform != "linux", reason="nothing tells what is still to come")
@pytest.mark.parametrize("closed", ["connection", "peer"])
def test_so_is_what_a_corked_client_has_sent(tcp_peer: StreamPeer, connect: Connect, closed: str) -> None:
    client = connect(tcp_peer)
    connection = tcp_peer.next_connection().result()
    client.setsockopt(socket.IPPROTO_TCP, socket.TCP_CORK, 1)  # tcp(7): held back for 200 ms
    client.sendall(b"half")
    connection.close().result() if closed == "connection" else tcp_peer.close()
    assert connection.received == b"half"


@pytest.mark.parametrize("closed", ["connection", "peer"])
@pytest.mark.parametrize("kind", ["tcp", "tls"])
def test_what_the_network_holds_is_not_waited_for(
    peers: Peers, connect: Connect, monkeypatch: pytest.MonkeyPatch, kind: str, closed: str
) -> None:
    monkeypatch.setattr(closing, "PATIENCE", 1_000)
    monkeypatch.setattr(stream, "LAST_READS", 1_000)
    monkeypatch.setattr(stream, "ON_ITS_WAY", 1_000)
    peer: StreamPeer = getattr(peers, kind)(faults=StreamFaults(rate=50_000))
    client = connect(peer)
    connection = peer.next_connection().result()
    client.sendall(b"x" * 500_000)
    connection.read(1).result()
    connection.close().result() if closed == "connection" else peer.close()


@pytest.mark.parametrize("act", ["faults", "clear"])
@pytest.mark.parametrize("kind", ["tcp", "tls"])
def test_only_a_close_ends_a_stall(peers: Peers, connect: Connect, kind: str, act: str) -> None:
    peer: StreamPeer = getattr(peers, kind)()
    client = connect(peer)
    connection = peer.next_connection().result()
    connection.stall().result()
    if act == "faults":
        peer.faults = StreamFaults()
    else:
        peer.clear(script=True)
    client.sendall(b"x")
    peer.verify()  # which reads what has come
    assert connection.received == b""
    connection.unstall().result()
    assert connection.read(1).result() == b"x"


@pytest.mark.skipif(sys.platform != "linux", reason="nothing tells when it has come")
@pytest.mark.parametrize("kind", ["tcp", "tls"])
def test_all_that_has_come_before_a_close_is_recorded(peers: Peers, connect: Connect, kind: str) -> None:
    import fcntl
    import termios

    peer: StreamPeer = getattr(peers, kind)(receive_buffer=1_000_000)
    client = connect(peer)
    connection = peer.next_connection().result()
    connection.stall().result()
    client.sendall(b"x" * 150_000)
    while struct.unpack("i", fcntl.ioctl(client, termios.TIOCOUTQ, bytes(4)))[0]:  # tcp(7), SIOCOUTQ: not there yet
        pass
    connection.close().result()
    assert len(connection.received) == 150_000


def test_a_tls_client_that_writes_and_leaves_has_ended_it(tls_peer: StreamPeer, connect: Connect) -> None:
    with connect(tls_peer) as client:
        client.sendall(b"x" * 300_000)
    connection = tls_peer.connection
    assert connection.ended.result() == "eof"
    assert len(connection.received) == 300_000


def test_a_broken_tls_record_is_no_clean_end(tls_peer: StreamPeer, tls_authority: TLSAuthority) -> None:
    with socket.create_connection(tls_peer.address, timeout=5) as plain:
        tls = tls_authority.client_context().wrap_socket(plain.dup(), server_hostname="localhost")
        connection = tls_peer.connection
        plain.sendall(struct.pack("!BHH", 23, 0x0303, 32) + bytes(32))
        assert connection.ended.result() == "reset"
        with pytest.raises(OSError, match="SSL"):
            connection.read(1).result()
        tls.close()


FAILING_HANDLERS = {
    "its upstream refuses": (
        "await connection.ended; await asyncio.open_connection(*peers.refusing('tcp').address)",
        "ConnectionRefusedError",
    ),
    "its upstream ends": (
        "socket.create_connection(upstream.address).close(); await (await upstream.next_connection()).read(1); "
        "await upstream.connections[0].read_exactly(1)",
        "EndOfStream",
    ),
    "what it awaits is cancelled": (
        "task = asyncio.ensure_future(asyncio.sleep(9)); task.cancel(); await task",
        "RuntimeError: CancelledError",
    ),
}


@pytest.mark.parametrize("case", FAILING_HANDLERS)
def test_an_error_of_the_handlers_own_is_not_its_clients_leaving(downstream: Downstream, case: str) -> None:
    code, error = FAILING_HANDLERS[case]
    result = downstream.run(
        f"""
        import asyncio
        import socket
        import threading

        def test_it(peers):
            upstream = peers.tcp()
            done = threading.Event()

            async def handler(connection):
                try:
                    {code.replace("; ", chr(10) + " " * 20)}
                finally:
                    done.set()

            peer = peers.tcp(handler)
            socket.create_connection(peer.address).close()
            assert done.wait(5)
        """
    )
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines([f"E  *{error}*"])


@pytest.mark.asyncio
async def test_a_closed_datagram_peer_takes_its_handlers_along(peers: Peers) -> None:
    peer = peers.udp()
    ended = asyncio.Event()
    loop = asyncio.get_running_loop()

    @peer.serve
    async def handler(_: object) -> None:
        try:
            await asyncio.sleep(60)
        finally:
            loop.call_soon_threadsafe(ended.set)

    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.sendto(b"x", peer.address)
        await peer.next_datagram()
    peer.close()
    await asyncio.wait_for(ended.wait(), 5)


def test_a_handler_has_its_connection_alone(peers: Peers, connect: Connect) -> None:
    handled: list[Connection] = []

    async def handler(connection: Connection) -> None:
        handled.append(connection)

    for _ in range(20):
        peer = peers.tcp()
        client = connect(peer)
        peer.serve(handler)
        assert client.recv(1) == b""
    assert len(handled) == len(set(handled)) == 20
