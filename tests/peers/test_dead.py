"""`DeadPeer`, as it comes from ``peers.refusing()`` and ``peers.blackhole()``."""

import asyncio
import errno
import socket
import sys
from typing import Any, Literal

import pytest

from pytest_echoserver import DeadPeer, Peers
from pytest_echoserver._peers import dead
from pytest_echoserver._transports.listening import bound_stream_socket, listen

from ..conftest import Client, Downstream, forked_child
from .conftest import Opened

Transport = Literal["tcp", "udp"]

FAMILIES = {"127.0.0.1": socket.AF_INET, "::1": socket.AF_INET6}
WILDCARDS = {"127.0.0.1": "0.0.0.0", "::1": "::"}
TYPES = {"tcp": socket.SOCK_STREAM, "udp": socket.SOCK_DGRAM}
SHARING = {"no option": 0, "SO_REUSEADDR": socket.SO_REUSEADDR, "SO_REUSEPORT": getattr(socket, "SO_REUSEPORT", 0)}
HANGS = 0.3
"""Seconds without an answer: over loopback one comes within a millisecond."""

on_linux = pytest.mark.skipif(sys.platform != "linux", reason="reads how Linux's own backlog behaves")
no_blackhole = pytest.mark.skipif(sys.platform == "win32", reason="Windows refuses where the backlog is full")
by_host = pytest.mark.parametrize("host", FAMILIES)


def connecting(peer: DeadPeer, timeout: float = 5) -> None:
    with socket.socket(peer.family) as client:
        client.settimeout(timeout)
        client.connect(peer.address)


def make(peers: Peers, kind: str, transport: Transport, **options: Any) -> DeadPeer:
    method = {"refusing": peers.refusing, "blackhole": peers.blackhole}[kind]
    return method(transport, **options)


@by_host
def test_a_refusing_tcp_address_refuses_every_connection(peers: Peers, host: str) -> None:
    peer = peers.refusing("tcp", host=host)
    for _ in range(3):
        with pytest.raises(ConnectionRefusedError):
            connecting(peer)


@pytest.mark.asyncio
@by_host
async def test_a_refusing_tcp_address_refuses_an_async_client(peers: Peers, host: str) -> None:
    peer = peers.refusing("tcp", host=host)
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection(*peer.address)


@by_host
def test_a_refusing_udp_address_refuses_every_datagram(peers: Peers, udp_client: Client, host: str) -> None:
    peer = peers.refusing("udp", host=host)
    client = udp_client(peer.family)
    client.connect(peer.address)
    for _ in range(3):
        client.send(b"anybody?")
        with pytest.raises(ConnectionRefusedError):
            client.recv(10)


@pytest.mark.asyncio
async def test_a_refusing_udp_address_refuses_an_async_client(peers: Peers) -> None:
    refused: asyncio.Future[Exception] = asyncio.get_running_loop().create_future()

    class Client(asyncio.DatagramProtocol):
        def error_received(self, exc: Exception) -> None:
            refused.set_result(exc)

    peer = peers.refusing("udp")
    transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(Client, remote_addr=peer.address)
    transport.sendto(b"anybody?")
    async with asyncio.timeout(5):
        assert isinstance(await refused, ConnectionRefusedError)
    transport.close()


@no_blackhole
@by_host
def test_a_tcp_blackhole_leaves_every_connection_unanswered(peers: Peers, host: str) -> None:
    peer = peers.blackhole("tcp", host=host)
    for _ in range(3):
        with pytest.raises(TimeoutError):
            connecting(peer, timeout=HANGS)


@no_blackhole
def test_a_tcp_blackhole_answers_none_of_many_from_the_start(peers: Peers, opened: Opened) -> None:
    for _ in range(50):
        peer = peers.blackhole("tcp")
        for _ in range(4):
            client = opened(socket.socket())
            client.setblocking(False)
            assert client.connect_ex(peer.address) == errno.EINPROGRESS
            with pytest.raises(OSError) as not_connected:
                client.getpeername()
            assert not_connected.value.errno == errno.ENOTCONN


@no_blackhole
@pytest.mark.asyncio
async def test_a_tcp_blackhole_leaves_an_async_client_to_its_timeout(peers: Peers) -> None:
    peer = peers.blackhole("tcp")
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(HANGS):
            await asyncio.open_connection(*peer.address)


@no_blackhole
def test_a_tcp_blackhole_refuses_once_it_is_closed(peers: Peers) -> None:
    with peers.blackhole("tcp") as peer:
        pass
    with pytest.raises(ConnectionRefusedError):
        connecting(peer)


@no_blackhole
def test_a_forked_child_keeps_no_closed_blackhole(peers: Peers) -> None:
    peer = peers.blackhole("tcp")
    with forked_child():
        peer.close()
        with pytest.raises(ConnectionRefusedError):
            connecting(peer, HANGS)


@no_blackhole
def test_a_blackhole_that_a_forked_child_closes_goes_on(downstream: Downstream) -> None:
    result = downstream.run_apart(
        """
        import os, socket, warnings
        import pytest

        def test_it(peers):
            peer = peers.blackhole("tcp")
            for _ in range(2):  # the second is one of a process that has forked
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")  # Python warns of threads in the parent
                    child = os.fork()
                if not child:
                    peer.close()
                    os._exit(0)
                os.waitpid(child, 0)
            with pytest.raises(TimeoutError):
                socket.create_connection(peer.address, 0.3)
        """
    )
    result.assert_outcomes(passed=1)


@by_host
def test_a_udp_blackhole_swallows_what_is_sent(peers: Peers, udp_client: Client, host: str) -> None:
    peer = peers.blackhole("udp", host=host)
    client = udp_client(peer.family)
    client.connect(peer.address)
    client.settimeout(HANGS)
    for _ in range(3):
        client.send(b"anybody?")
    with pytest.raises(TimeoutError):
        client.recv(10)


def test_a_udp_blackhole_swallows_more_than_its_buffer_holds(peers: Peers, udp_client: Client) -> None:
    peer = peers.blackhole("udp")
    client = udp_client()
    client.connect(peer.address)
    for _ in range(500):
        client.send(bytes(60_000))
    client.setblocking(False)
    with pytest.raises(BlockingIOError):
        client.recv(10)


@no_blackhole
@by_host
@pytest.mark.parametrize("transport", TYPES)
@pytest.mark.parametrize("kind", ["refusing", "blackhole"])
@pytest.mark.parametrize("sharing", SHARING)
@pytest.mark.parametrize("on", ["its own address", "all addresses"])
def test_nobody_else_can_bind_the_port_whatever_they_set(
    peers: Peers, opened: Opened, kind: str, transport: Transport, host: str, sharing: str, on: str
) -> None:
    peer = make(peers, kind, transport, host=host)
    other = opened(socket.socket(peer.family, TYPES[transport]))
    if SHARING[sharing]:
        other.setsockopt(socket.SOL_SOCKET, SHARING[sharing], 1)
    with pytest.raises(OSError) as refused:
        other.bind((host if on == "its own address" else WILDCARDS[host], peer.port))
    assert refused.value.errno == errno.EADDRINUSE


@no_blackhole
@pytest.mark.parametrize("transport", TYPES)
@pytest.mark.parametrize("kind", ["refusing", "blackhole"])
def test_closing_gives_the_port_back_at_once(peers: Peers, opened: Opened, kind: str, transport: Transport) -> None:
    for _ in range(20):
        with make(peers, kind, transport) as peer:
            assert "closed" not in repr(peer)
        opened(socket.socket(peer.family, TYPES[transport])).bind(peer.address)
        assert repr(peer) == f"<DeadPeer {peer} closed>"
        peer.close()


@no_blackhole
@pytest.mark.parametrize("transport", TYPES)
@pytest.mark.parametrize("kind", ["refusing", "blackhole"])
def test_it_takes_the_port_that_it_is_told(
    peers: Peers, reserved_port: int, kind: str, transport: Transport
) -> None:
    peer = make(peers, kind, transport, port=reserved_port)
    assert peer.port == reserved_port


@no_blackhole
@pytest.mark.parametrize("kind", ["refusing", "blackhole"])
def test_it_takes_over_from_a_server_whose_connections_wait_out_their_time(peers: Peers, kind: str) -> None:
    address = in_time_wait()
    peer = make(peers, kind, "tcp", port=address[1])
    with pytest.raises(ConnectionRefusedError if kind == "refusing" else TimeoutError):
        connecting(peer, HANGS)


@on_linux
@pytest.mark.parametrize("sharing", SHARING)
def test_a_port_taken_over_is_as_well_kept(peers: Peers, opened: Opened, sharing: str) -> None:
    peer = peers.refusing("tcp", port=in_time_wait()[1])
    other = opened(socket.socket())
    if SHARING[sharing]:
        other.setsockopt(socket.SOL_SOCKET, SHARING[sharing], 1)
    with pytest.raises(OSError, match="in use"):
        other.bind(peer.address)


@on_linux
def test_a_server_can_come_back_to_its_port(opened: Opened) -> None:
    host, port = in_time_wait()
    again = opened(bound_stream_socket(socket.AF_INET, host, port))
    listen(again, 5)
    again.settimeout(5)
    opened(socket.create_connection((host, port), 5))
    opened(again.accept()[0])


@on_linux
def test_to_listen_where_another_does_is_an_error_that_names_the_address(opened: Opened) -> None:
    first, second = (opened(socket.socket()) for _ in range(2))
    for sock in (first, second):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    first.bind(("127.0.0.1", 0))
    second.bind(first.getsockname())
    first.listen()
    with pytest.raises(OSError, match=r"can't listen on 127\.0\.0\.1 port \d+: Address already in use"):
        listen(second, 5)


@no_blackhole
@pytest.mark.parametrize("transport", TYPES)
@pytest.mark.parametrize("kind", ["refusing", "blackhole"])
@by_host
def test_its_address_in_every_form(peers: Peers, kind: str, transport: Transport, host: str) -> None:
    peer = make(peers, kind, transport, host=host)
    assert isinstance(peer, DeadPeer)
    assert peer.address == (peer.host, peer.port) == (host, peer.port)
    assert peer.netloc == (f"{host}:{peer.port}" if host == "127.0.0.1" else f"[::1]:{peer.port}")
    assert peer.family == FAMILIES[host]
    assert str(peer) == f"{kind}_{transport}-1 ({transport} {peer.netloc})"


def test_it_can_be_named(peers: Peers) -> None:
    assert str(peers.refusing("tcp", name="database")).startswith("database (tcp ")


@pytest.mark.parametrize("transport", TYPES)
@pytest.mark.parametrize("kind", ["refusing", "blackhole"])
def test_a_port_in_use_is_an_error_that_names_the_address(
    peers: Peers, opened: Opened, kind: str, transport: Transport
) -> None:
    taken = opened(socket.socket(type=TYPES[transport]))
    taken.bind(("127.0.0.1", 0))
    port = taken.getsockname()[1]
    with pytest.raises(OSError, match=rf"can't bind a {transport.upper()} socket to 127\.0\.0\.1 port {port}: ."):
        make(peers, kind, transport, port=port)


@pytest.mark.parametrize("kind", ["refusing", "blackhole"])
@pytest.mark.parametrize(("transport", "error"), [("sctp", ValueError), ("TCP", ValueError), (6, TypeError)])
def test_another_transport_is_refused(peers: Peers, kind: str, transport: Any, error: type[Exception]) -> None:
    with pytest.raises(error, match=f"transport must be 'tcp' or 'udp', not {transport!r}"):
        make(peers, kind, transport)


@pytest.mark.parametrize(
    ("options", "error", "text"),
    [
        ({"host": "192.0.2.1"}, ValueError, "isn't a loopback address"),
        ({"host": 5}, TypeError, "host must be a string"),
        ({"port": 65_536}, ValueError, "port must be 0"),
        ({"port": "80"}, TypeError, "port must be an int"),
        ({"name": 5}, TypeError, "name must be a string, not 5"),
    ],
)
@pytest.mark.parametrize("kind", ["refusing", "blackhole"])
def test_other_arguments_are_checked_as_those_of_any_peer(
    peers: Peers, kind: str, options: dict[str, Any], error: type[Exception], text: str
) -> None:
    with pytest.raises(error, match=text):
        make(peers, kind, "tcp", **options)


@no_blackhole
def test_all_are_closed_with_the_test(downstream: Downstream) -> None:
    result = downstream.run(
        """
        import socket
        import pytest

        made = []

        @pytest.mark.parametrize("kind", ["refusing", "blackhole"])
        @pytest.mark.parametrize("transport", ["tcp", "udp"])
        def test_it(peers, kind, transport):
            made.append((getattr(peers, kind)(transport), transport))

        def test_after():
            assert len(made) == 4
            for peer, transport in made:
                with socket.socket(type=socket.SOCK_STREAM if transport == "tcp" else socket.SOCK_DGRAM) as sock:
                    sock.bind(peer.address)
        """,
        "-p",
        "no:randomly",
    )
    result.assert_outcomes(passed=5)


@no_blackhole
@by_host
def test_a_backlog_of_unknown_length_is_filled_until_nothing_answers(opened: Opened, host: str) -> None:
    listener = opened(bound_stream_socket(FAMILIES[host], host, 0))
    listen(listener, 7)
    for own in dead._fill_all_places(listener):
        opened(own)
    with opened(socket.socket(FAMILIES[host])) as client:
        client.settimeout(HANGS)
        with pytest.raises(TimeoutError):
            client.connect(listener.getsockname())


def test_a_system_that_refuses_when_the_backlog_is_full_has_no_blackhole(opened: Opened) -> None:
    refusing = opened(bound_stream_socket(socket.AF_INET, "127.0.0.1", 0))
    with pytest.raises(OSError, match=r"can't make a TCP blackhole at 127\.0\.0\.1 port \d+: it refuses"):
        dead._fill_all_places(refusing)


@on_linux
def test_a_blackhole_that_cannot_be_filled_is_an_error(opened: Opened, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dead, "FULL_WITHIN", 0.1)
    unreached = opened(socket.socket())
    unreached.bind(("127.0.0.1", 0))
    unreached.listen(0)
    with monkeypatch.context() as patched:
        patched.setattr(dead, "_connecting", lambda listener: opened(socket.socket()))
        with pytest.raises(TimeoutError, match=r"no connection reached 127\.0\.0\.1 port \d+ within 0\.1 s"):
            dead._fill_the_one_place(unreached)


@on_linux
def test_a_blackhole_that_finds_too_few_descriptors_leaves_no_socket(downstream: Downstream) -> None:
    downstream.run_apart(
        """
        import gc, os, resource
        import pytest

        @pytest.mark.parametrize("left", [1, 2])
        def test_it(peers, left):
            peers.blackhole("tcp")
            limits = resource.getrlimit(resource.RLIMIT_NOFILE)
            free = [os.dup(0) for _ in range(left)]
            for number in free:
                os.close(number)
            resource.setrlimit(resource.RLIMIT_NOFILE, (max(free) + 1, limits[1]))
            try:
                with pytest.raises(OSError, match="Too many open files"):
                    peers.blackhole("tcp")
            finally:
                resource.setrlimit(resource.RLIMIT_NOFILE, limits)
            gc.collect()
        """
    ).assert_outcomes(passed=2)


def in_time_wait() -> tuple[str, int]:
    """The address of a server of ours that has closed a connection first, and then itself."""
    with bound_stream_socket(socket.AF_INET, "127.0.0.1", 0) as server:
        listen(server, 5)
        address: tuple[str, int] = server.getsockname()
        with socket.create_connection(address, 5) as client:
            server.setblocking(True)
            server.accept()[0].close()
            assert client.recv(10) == b""
    return address


@pytest.mark.parametrize("make", ["refusing", "tcp_proxy"])
def test_a_port_that_is_taken_uses_up_no_name(peers: Peers, make: str) -> None:
    """Faults are decided by the name."""
    taken = peers.tcp().port
    with pytest.raises(OSError, match=str(taken)):
        peers.refusing("tcp", port=taken) if make == "refusing" else peers.tcp_proxy(("127.0.0.1", 9), port=taken)
    peer = peers.refusing("tcp") if make == "refusing" else peers.tcp_proxy(("127.0.0.1", 9))
    assert "-1 (" in str(peer)
