"""`peers.tcp_proxy`: a TCP server behind a network that can be made bad."""

import hashlib
import http.client
import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from pytest_echoserver import Connection, Peers, StreamFaults, StreamPeer

from ..conftest import Connect, Downstream, receive
from .test_stream_faults import read_to_the_end, read_until_it_stalls

BIG = bytes(range(256)) * 4_096 * 64


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        body = self.path.encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None: ...  # noqa: A002  its name in the base class


@contextmanager
def http_server() -> Iterator[tuple[str, int]]:
    """A real server, of the standard library."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    serving = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    serving.start()
    try:
        yield ("127.0.0.1", server.server_address[1])
    finally:
        server.shutdown()
        serving.join()
        server.server_close()


def sends_big(peer: StreamPeer) -> None:
    @peer.serve
    async def send(connection: Connection) -> None:
        await connection.send(BIG)


def test_http_through_it(peers: Peers) -> None:
    with http_server() as address:
        proxy = peers.tcp_proxy(address)
        client = http.client.HTTPConnection(proxy.host, proxy.port, timeout=5)
        for path in ("/one", "/two"):
            client.request("GET", path)
            assert client.getresponse().read() == path.encode()
        client.close()
        assert len(proxy.connections) == 1
        assert proxy.connection.received.count(b"GET /") == 2
        assert proxy.connection.sent.endswith(b"/two")
        proxy.close()


def test_keep_alive_through_a_reset_on_the_second_request(peers: Peers) -> None:
    with http_server() as address:
        proxy = peers.tcp_proxy(address, upstream=StreamFaults().on(match=b"GET /second").reset())
        client = http.client.HTTPConnection(proxy.host, proxy.port, timeout=5)
        client.request("GET", "/first")
        assert client.getresponse().read() == b"/first"
        client.request("GET", "/second")
        with pytest.raises(ConnectionError):
            client.getresponse()
        client.close()
        proxy.faults = None
        client.request("GET", "/second")  # on a new connection
        assert client.getresponse().read() == b"/second"
        client.close()
        proxy.close()


def test_half_closes_pass(peers: Peers, tcp_peer: StreamPeer, connect: Connect) -> None:
    client = connect(peers.tcp_proxy(tcp_peer))
    server = tcp_peer.next_connection().result()
    server.send_eof()
    assert client.recv(10) == b""
    client.sendall(b"still")
    assert server.read_exactly(5).result() == b"still"
    client.shutdown(socket.SHUT_WR)
    assert server.ended.result() == "eof"


def test_a_servers_reset_passes(peers: Peers, tcp_peer: StreamPeer, connect: Connect) -> None:
    client = connect(peers.tcp_proxy(tcp_peer))
    server = tcp_peer.next_connection().result()
    server.send(b"part")
    server.reset()
    assert read_to_the_end(client) == (b"part", "reset")


def test_a_clients_reset_passes(peers: Peers, tcp_peer: StreamPeer, connect: Connect) -> None:
    client = connect(peers.tcp_proxy(tcp_peer))
    client.sendall(b"x")
    server = tcp_peer.next_connection().result()
    assert server.read(1).result() == b"x"
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.close()
    assert server.ended.result() == "reset"


def test_a_target_that_refuses(peers: Peers, connect: Connect) -> None:
    proxy = peers.tcp_proxy(peers.refusing("tcp"))
    with suppress(ConnectionResetError):  # as early as that
        assert read_to_the_end(connect(proxy)) == (b"", "reset")
    assert proxy.next_connection().result().ended.exception() is not None
    names = [event.name for event in proxy.events]
    assert names == ["connection_made", "target_refused", "reset_sent", "connection_lost"]


def test_it_records_both_sides(peers: Peers, connect: Connect) -> None:
    server = peers.tcp_echo()
    proxy = peers.tcp_proxy(server)
    client = connect(proxy)
    client.sendall(b"x")
    assert client.recv(10) == b"x"
    client.shutdown(socket.SHUT_WR)
    assert client.recv(10) == b""
    proxy.close()
    names = [event.name for event in proxy.events if "lost" not in event.name]
    names.remove("target_connected")  # on uvloop something may be read before that
    assert names == [
        "connection_made",
        "data_received",
        "target_data_sent",
        "target_data_received",
        "data_sent",
        "eof_received",
        "target_eof_sent",
        "target_eof_received",
        "eof_sent",
    ]


def test_much_passes_intact(peers: Peers, tcp_peer: StreamPeer, connect: Connect) -> None:
    sends_big(tcp_peer)
    came, end = read_to_the_end(connect(peers.tcp_proxy(tcp_peer)))
    assert (hashlib.sha256(came).digest(), end) == (hashlib.sha256(BIG).digest(), "close")


def test_much_passes_a_slow_narrow_cut_network(peers: Peers, tcp_peer: StreamPeer, connect: Connect) -> None:
    sends_big(tcp_peer)
    proxy = peers.tcp_proxy(tcp_peer, downstream=StreamFaults(delay=0.01, rate=100e6, segment=16_384))
    came, end = read_to_the_end(connect(proxy))
    assert (hashlib.sha256(came).digest(), end) == (hashlib.sha256(BIG).digest(), "close")


@pytest.mark.parametrize("stalled", ["server", "client"])
def test_it_holds_back_who_sends(peers: Peers, tcp_peer: StreamPeer, connect: Connect, stalled: str) -> None:
    proxy = peers.tcp_proxy(tcp_peer)
    client = connect(proxy)
    server = tcp_peer.next_connection().result()
    if stalled == "server":
        server.stall().result()
        client.settimeout(0.3)
        with suppress(TimeoutError):
            client.sendall(BIG)
        assert len(proxy.connection.received) < len(BIG) // 2
    else:
        assert server.send(BIG).exception(timeout=0.3)
        assert len(proxy.connection.sent) < len(BIG) // 2


def test_a_stall_holds_back_the_target_and_is_not_healed(
    peers: Peers, tcp_peer: StreamPeer, connect: Connect
) -> None:
    proxy = peers.tcp_proxy(tcp_peer, downstream=StreamFaults(stall_after=10))
    client = connect(proxy)
    sending = tcp_peer.next_connection().result().send(BIG)
    assert read_until_it_stalls(client, 10) == (BIG[:10], "stall")
    proxy.partition()
    proxy.heal()
    assert read_to_the_end(client) == (b"", "stall")
    assert sending.exception(timeout=0.1)
    assert len(proxy.connection.sent) < len(BIG) // 2


@pytest.mark.parametrize("size", [0, 1, 1_000, 1 << 20])
def test_so_many_bytes_pass_before_a_reset(peers: Peers, tcp_peer: StreamPeer, connect: Connect, size: int) -> None:
    client = connect(peers.tcp_proxy(tcp_peer, faults=StreamFaults(reset_after=size)))
    server = tcp_peer.next_connection().result()
    server.send(b"x" * (size + 10))
    assert read_to_the_end(client) == (b"x" * size, "reset")
    assert server.ended.result() == "reset"


def test_partition_and_heal(peers: Peers, tcp_echo_server: StreamPeer, connect: Connect) -> None:
    proxy = peers.tcp_proxy(tcp_echo_server)
    before = connect(proxy)
    before.sendall(b"a")
    assert before.recv(10) == b"a"
    proxy.partition()
    during = connect(proxy)
    for client in (before, during):
        client.sendall(b"b")
        client.settimeout(0.1)
        with pytest.raises(TimeoutError):
            client.recv(10)
    proxy.heal()
    for client in (before, during):
        client.settimeout(5)
        assert client.recv(10) == b"b"
    for number in (1, 2):
        of_connection = [event.name for event in proxy.events if event.args[0] == number]
        parted, healed = of_connection.index("partitioned"), of_connection.index("healed")
        assert of_connection[parted - 1] == ("data_sent", "connection_made")[number - 1]
        assert set(of_connection[parted + 1 : healed]) <= {"target_connected"}


def test_a_partition_does_not_begin_faults_anew(
    peers: Peers, tcp_echo_server: StreamPeer, connect: Connect
) -> None:
    faults = StreamFaults(reset_after=100).on(bytes=5).corrupt()
    proxy = peers.tcp_proxy(tcp_echo_server, downstream=faults)
    client = connect(proxy)
    client.sendall(bytes(60))
    came = receive(client, 60)
    proxy.partition()
    proxy.heal()
    client.sendall(bytes(100))
    more, end = read_to_the_end(client)
    assert (len(came + more), end) == (100, "reset")
    assert [at for at, byte in enumerate(came + more) if byte] == [5]


def test_given_in_a_partition_faults_count_from_there(
    peers: Peers, tcp_echo_server: StreamPeer, connect: Connect
) -> None:
    proxy = peers.tcp_proxy(tcp_echo_server, downstream=StreamFaults(reset_after=100))
    client = connect(proxy)
    client.sendall(bytes(60))
    assert receive(client, 60) == bytes(60)
    proxy.partition()
    proxy.downstream = StreamFaults(reset_after=70)
    proxy.heal()
    client.sendall(bytes(100))
    assert read_to_the_end(client) == (bytes(70), "reset")


@pytest.mark.parametrize("kind", ["udp", "tcp"])
def test_a_failure_tells_that_it_is_partitioned(downstream: Downstream, kind: str) -> None:
    result = downstream.run(
        f"""
        def test_it(peers):
            proxies = [peers.{kind}_proxy(peers.{kind}_echo(), name=name) for name in ("parted", "healed")]
            for proxy in proxies:
                proxy.partition()
            proxies[1].heal()
            assert False
        """
    )
    result.stdout.fnmatch_lines([f"parted ({kind} 127.0.0.1:*; partitioned)*"])
    result.stdout.re_match_lines([rf"healed \({kind} 127\.0\.0\.1:\d+\)"])


def test_many_clients(peers: Peers, tcp_echo_server: StreamPeer, connect: Connect) -> None:
    proxy = peers.tcp_proxy(tcp_echo_server)
    clients = [connect(proxy) for _ in range(50)]
    for number, client in enumerate(clients):
        client.sendall(b"%d" % number)
    assert [int(client.recv(10)) for client in clients] == list(range(50))


def test_it_has_no_behaviour_of_its_own(peers: Peers, tcp_peer: StreamPeer) -> None:
    proxy = peers.tcp_proxy(tcp_peer)
    with pytest.raises(RuntimeError, match="passes on to"):
        proxy.expect(b"x")
    with pytest.raises(RuntimeError, match="passes on to"):
        proxy.serve(lambda _: None)  # type: ignore[type-var]


def test_a_close_closes_both_sides(peers: Peers, tcp_peer: StreamPeer, connect: Connect) -> None:
    with peers.tcp_proxy(tcp_peer) as proxy:
        client = connect(proxy)
        client.sendall(b"x")
        server = tcp_peer.next_connection().result()
        assert server.read(1).result() == b"x"
    count = len(proxy.events)
    assert client.recv(10) == b""
    assert server.ended.result() in ("eof", "reset")
    assert len(proxy.events) == count
    assert {event.name for event in proxy.events} >= {"connection_lost", "target_lost"}


def test_a_close_closes_what_a_clear_has_left(peers: Peers, tcp_peer: StreamPeer, connect: Connect) -> None:
    proxy = peers.tcp_proxy(tcp_peer)
    client = connect(proxy)
    tcp_peer.next_connection().result().stall().result()
    client.settimeout(0.3)
    with pytest.raises(TimeoutError):
        client.sendall(BIG)
    proxy.connection.reset().result()
    proxy.clear()
    assert proxy.connections == ()
    assert "target_lost" not in [event.name for event in proxy.events]  # that doesn't read what is to come first
    proxy.close()
    assert [event.name for event in proxy.events] == ["target_lost"]


@pytest.mark.parametrize("kind", ["echo", "refusing"])
def test_a_clear_forgets_what_is_over(peers: Peers, connect: Connect, kind: str) -> None:
    proxy = peers.tcp_proxy(peers.tcp_echo() if kind == "echo" else peers.refusing("tcp"))
    with suppress(ConnectionResetError):  # as early as that
        connect(proxy).shutdown(socket.SHUT_WR)
    connection = proxy.next_connection().result()
    assert connection.ended.exception() is not None or connection.ended.result() == "eof"
    proxy.verify()
    proxy.clear()
    assert not proxy._relays
