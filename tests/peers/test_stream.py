"""`StreamPeer`: with real clients, plain and asynchronous, of every kind."""

import asyncio
import gc
import os
import socket
import ssl
import threading
import weakref
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pytest_echoserver import CaptureTimeout, Connection, Peers, StreamPeer, TLSAuthority

from ..conftest import (
    Connect,
    MakePeer,
    OpenStreams,
    forked_child,
    open_and_running,
    receive,
    receive_all,
    speaks_tls,
)

KINDS = ["tcp", "unix", "tls"]


@pytest.mark.parametrize("kind", KINDS)
def test_a_direct_fixture_echoes(kind: str, request: pytest.FixtureRequest, connect: Connect) -> None:
    peer: StreamPeer = request.getfixturevalue(f"{kind}_echo_server")
    client = connect(peer)
    client.sendall(b"ping")
    assert receive(client, 4) == b"ping"
    assert (peer.connection.received, peer.connection.sent) == (b"ping", b"ping")


@pytest.mark.parametrize("kind", KINDS)
def test_a_direct_fixture_without_behaviour_only_records(
    kind: str, request: pytest.FixtureRequest, connect: Connect
) -> None:
    peer: StreamPeer = request.getfixturevalue(f"{kind}_peer")
    client = connect(peer)
    client.sendall(b"anything")
    assert peer.connection.read_exactly(8).result() == b"anything"
    assert peer.connection.sent == b""


def test_it_echoes_and_ends_after_its_client(make_peer: MakePeer, connect: Connect) -> None:
    peer = make_peer("echo")
    client = connect(peer)
    client.sendall(b"one")
    assert receive(client, 3) == b"one"
    client.sendall(b"two")
    assert receive(client, 3) == b"two"
    if not speaks_tls(peer):
        client.shutdown(socket.SHUT_WR)
        assert client.recv(1) == b""
    client.close()
    assert peer.connection.ended.result() == "eof"


@pytest.mark.asyncio
async def test_it_echoes_to_asyncio(make_peer: MakePeer, open_streams: OpenStreams) -> None:
    peer = make_peer("echo")
    reader, writer = await open_streams(peer)
    writer.write(b"ping")
    assert await reader.readexactly(4) == b"ping"
    connection = await peer.next_connection()
    assert await connection.read_exactly(4) == b"ping"
    assert peer.connection is connection
    writer.close()
    await writer.wait_closed()
    assert await connection.ended == "eof"


@pytest.mark.asyncio
async def test_an_echo_of_megabytes_is_whole(make_peer: MakePeer, open_streams: OpenStreams) -> None:
    peer = make_peer("echo")
    payload = bytes(range(256)) * 20_000
    reader, writer = await open_streams(peer)
    writer.write(payload)
    if not speaks_tls(peer):
        writer.write_eof()
        assert await reader.read() == payload
    else:
        assert await reader.readexactly(len(payload)) == payload
    assert peer.connection.sent == payload
    writer.close()
    await writer.wait_closed()


def test_under_trio(make_peer: MakePeer, tls_authority: TLSAuthority) -> None:
    trio = pytest.importorskip("trio")
    peer, nobody = make_peer("echo"), make_peer()

    async def main() -> None:
        if peer.family == socket.AF_UNIX:
            stream = await trio.open_unix_socket(peer.address)
        else:
            stream = await trio.open_tcp_stream(peer.host, peer.port)
        if speaks_tls(peer):
            context = tls_authority.client_context()
            stream = trio.SSLStream(stream, context, server_hostname="localhost", https_compatible=True)
        async with stream:
            await stream.send_all(b"ping")
            connection = await peer.next_connection()
            assert await connection.read_exactly(4) == b"ping"
            assert bytes(await stream.receive_some(10)) == b"ping"
        with pytest.raises(RuntimeError, match=r"connection would block the thread of .*next_connection"):
            assert isinstance(nobody.connection, Connection)

    trio.run(main)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=30)
@given(pieces=st.lists(st.binary(min_size=1, max_size=300), max_size=10))
def test_whatever_is_sent_comes_back(tcp_echo_server: StreamPeer, pieces: list[bytes]) -> None:
    with socket.create_connection(tcp_echo_server.address, timeout=5) as client:
        for piece in pieces:
            client.sendall(piece)
        client.shutdown(socket.SHUT_WR)
        assert receive_all(client) == b"".join(pieces)
    assert tcp_echo_server.next_connection().result().received == b"".join(pieces)


@pytest.mark.parametrize(("host", "netloc"), [("127.0.0.1", "127.0.0.1:{}"), ("::1", "[::1]:{}")])
def test_its_address_in_every_form(peers: Peers, host: str, netloc: str) -> None:
    peer = peers.tcp(host=host)
    assert peer.address == (host, peer.port)
    assert (peer.host, peer.netloc) == (host, netloc.format(peer.port))
    assert peer.family == (socket.AF_INET6 if ":" in host else socket.AF_INET)


def test_the_address_of_a_unix_peer_is_a_path(unix_peer: StreamPeer) -> None:
    assert isinstance(unix_peer.address, str)
    assert Path(unix_peer.address).is_socket()
    for name in ("host", "port", "netloc"):
        with pytest.raises(AttributeError, match=f"a Unix socket has no {name}; its address is the path"):
            getattr(unix_peer, name)


def test_a_unix_peer_may_be_given_its_path(
    peers: Peers, connect: Connect, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)  # the path of that may be too long for a socket's
    path = Path("s")
    options: Any = {"path": path}
    for _ in range(2):  # it is free again after close()
        with peers.unix_echo(**options) as peer:
            assert peer.address == str(path)
            client = connect(peer)
            client.sendall(b"x")
            assert client.recv(1) == b"x"
        assert not path.exists()


def test_a_unix_path_may_be_relative(
    peers: Peers, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = tmp_path_factory.mktemp("a"), tmp_path_factory.mktemp("b")
    monkeypatch.chdir(first)
    peer = peers.unix(path="s")
    monkeypatch.chdir(second)
    (second / "s").touch()
    peer.close()
    assert not (first / "s").exists()
    assert (second / "s").exists()


@pytest.mark.parametrize("used", [False, True])
def test_a_unix_peer_leaves_what_others_have_put_at_its_path(
    used: bool, peers: Peers, connect: Connect, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    peer = peers.unix(path="s")
    if used:
        connect(peer)
        peer.next_connection().result()
    Path("s").unlink()
    with socket.socket(socket.AF_UNIX) as theirs:
        theirs.bind("s")
        peer.close()
        assert Path("s").is_socket()


@pytest.mark.parametrize("path", ["a\0b", "\0abstract", Path("a\0b")])
def test_a_unix_path_holds_no_nul(peers: Peers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, path: Any) -> None:
    monkeypatch.chdir(tmp_path)  # the system takes "a\0b" for "a"
    with pytest.raises(ValueError, match="path must be one of a file, without a NUL, not "):
        peers.unix(path=path)
    assert not list(tmp_path.iterdir())


def test_the_connection_waits_for_the_accept(make_peer: MakePeer, connect: Connect) -> None:
    for _ in range(20):
        with make_peer() as peer:
            connect(peer)
            assert peer.connection in peer.connections


def test_the_connection_knows_its_client(make_peer: MakePeer, connect: Connect) -> None:
    peer = make_peer()
    client = connect(peer)
    name = client.getsockname()
    assert peer.connection.peername == (name[:2] if isinstance(name, tuple) else "")
    assert str(peer.connection) == f"connection 1 of {peer}"


def test_no_connection_is_a_timeout_that_says_so(peers: Peers) -> None:
    peer = peers.tcp(timeout=0.01, name="server")
    text = r"waited 0.01 s for a connection on server \(tcp 127.0.0.1:\d+\): no connection was made$"
    with pytest.raises(CaptureTimeout, match=text):
        assert isinstance(peer.connection, Connection)


def test_no_next_connection_is_a_timeout_that_tells_of_those_before(peers: Peers, connect: Connect) -> None:
    peer = peers.tcp(timeout=0.01)
    connect(peer)
    peer.next_connection().result(timeout=5)
    with pytest.raises(CaptureTimeout, match=r"the next connection on tcp-1 .*: 1 connection was made$"):
        peer.next_connection().result()


def test_a_timeout_tells_of_an_unfinished_handshake(peers: Peers) -> None:
    peer = peers.tls()
    with socket.create_connection(peer.address, timeout=5):
        with pytest.raises(CaptureTimeout, match=r"no connection was made, and 1 got no further than a TLS"):
            peer.next_connection().result(timeout=0.2)
        peer.close()


def test_several_connections_are_an_error(tcp_peer: StreamPeer, connect: Connect) -> None:
    for _ in range(2):
        connect(tcp_peer)
        tcp_peer.next_connection().result()
    with pytest.raises(RuntimeError, match=r"tcp-1 .* has 2 connections: take them from `connections`"):
        assert isinstance(tcp_peer.connection, Connection)


@pytest.mark.asyncio
async def test_the_connection_does_not_block_a_running_loop(tcp_peer: StreamPeer) -> None:
    with pytest.raises(RuntimeError, match=r"tcp-1.connection would block the thread of a running event loop"):
        assert isinstance(tcp_peer.connection, Connection)
    _, writer = await asyncio.open_connection(*tcp_peer.address)
    connection = await tcp_peer.next_connection()
    assert tcp_peer.connection is connection
    writer.close()
    await writer.wait_closed()


def test_next_connection_takes_each_once_in_order(tcp_peer: StreamPeer, connect: Connect) -> None:
    before = tcp_peer.next_connection()
    given_up, timed_out = tcp_peer.next_connection(), tcp_peer.next_connection()
    given_up.cancel()
    with pytest.raises(CaptureTimeout):
        timed_out.result(timeout=0)
    clients = [connect(tcp_peer) for _ in range(3)]
    made = [before.result(), tcp_peer.next_connection().result(), tcp_peer.next_connection().result()]
    assert [each.peername for each in made] == [client.getsockname() for client in clients]
    assert list(tcp_peer.connections) == made


@pytest.mark.parametrize("kind", ["tcp", "tls"])
def test_events_tell_everything_in_order(kind: str, peers: Peers, connect: Connect) -> None:
    peer: StreamPeer = getattr(peers, f"{kind}_echo")()
    client = connect(peer)
    client.sendall(b"x")
    assert client.recv(1) == b"x"
    connection = peer.connection
    client.close()
    assert connection.ended.result() == "eof"
    peer.close()
    name = connection.peername
    told: list[tuple[str, tuple[object, ...]]] = [("connection_made", (1, name))]
    if kind == "tls":
        told += [("handshake_completed", (1, "TLSv1.3"))]
    told += [("data_received", (1, b"x")), ("data_sent", (1, b"x"))]
    told += [("eof_received", (1,)), ("connection_lost", (1, None))]
    assert [(event.name, event.args) for event in peer.events] == told
    assert sorted(event.time for event in peer.events) == [event.time for event in peer.events]


def test_whoever_has_the_reply_finds_both_in_the_record(make_peer: MakePeer, connect: Connect) -> None:
    peer = make_peer("echo")
    client = connect(peer)
    for number in range(1, 101):
        client.sendall(b"x")
        assert client.recv(1) == b"x"
        assert len(peer.connection.received) == len(peer.connection.sent) == number


def test_clear_forgets_what_was_and_who_has_gone(tcp_peer: StreamPeer, connect: Connect) -> None:
    first, second = connect(tcp_peer), connect(tcp_peer)
    gone, stays = tcp_peer.next_connection().result(), tcp_peer.next_connection().result()
    second.sendall(b"before")
    stays.read_exactly(1).result()
    stays.read_exactly(5).result()
    gone.close().result()
    first.close()
    tcp_peer.clear()
    assert tcp_peer.connections == (stays,)
    assert (stays.received, list(tcp_peer.events)) == (b"", [])
    second.sendall(b"after")
    assert stays.read_exactly(5).result() == b"after"
    assert stays.received == b"after"
    third = connect(tcp_peer)
    assert tcp_peer.next_connection().result().peername == third.getsockname()
    assert [str(each).split(" of ")[0] for each in tcp_peer.connections] == ["connection 2", "connection 3"]


def test_clear_leaves_a_next_connection_to_who_waits(tcp_peer: StreamPeer, connect: Connect) -> None:
    waiting = tcp_peer.next_connection()
    tcp_peer.clear()
    client = connect(tcp_peer)
    assert waiting.result().peername == client.getsockname()


def test_clear_lets_go_of_whom_a_rule_has_answered(tcp_peer: StreamPeer, connect: Connect) -> None:
    tcp_peer.on(b"quote").reply(b"to be")
    client = connect(tcp_peer)
    client.sendall(b"quote")
    assert receive(client, 5) == b"to be"
    client.close()
    connection = weakref.ref(tcp_peer.connection)
    tcp_peer.connection.ended.result()
    tcp_peer.connection.close().result()
    tcp_peer.clear()
    gc.collect()
    assert connection() is None


def test_clear_keeps_the_script_of_a_connection_that_ended(tcp_peer: StreamPeer, connect: Connect) -> None:
    connect(tcp_peer)
    connection = tcp_peer.connection
    connection.expect(b"never")
    connection.close().result()
    tcp_peer.clear()
    with pytest.raises(AssertionError, match="never"):
        tcp_peer.verify()


# The end


@pytest.mark.parametrize("with_unread", [True, False])
def test_closing_is_eof_for_the_clients(make_peer: MakePeer, connect: Connect, with_unread: bool) -> None:
    for _ in range(10):
        peer = make_peer()
        clients = [connect(peer) for _ in range(3)]
        for _ in clients:
            peer.next_connection().result()
        if with_unread:
            clients[1].sendall(bytes(50_000))
        peer.close()
        assert [client.recv(1) for client in clients] == [b""] * 3
        for connection in peer.connections:
            with pytest.raises(ConnectionAbortedError):
                connection.ended.result()


def test_what_has_arrived_is_recorded_before_a_peer_closes(make_peer: MakePeer, connect: Connect) -> None:
    for number in range(20):
        peer = make_peer()
        client = connect(peer)
        client.sendall(b"last words" * number)
        peer.close()
        assert [each.received for each in peer.connections] == [b"last words" * number]
        assert client.recv(1) == b""


def test_a_client_that_was_not_yet_accepted_counts(tcp_peer: StreamPeer, connect: Connect) -> None:
    def connect_many_and_close() -> list[socket.socket]:  # on the engine's thread: nobody is accepted meanwhile
        clients = [connect(tcp_peer) for _ in range(100)]
        for number, client in enumerate(clients):
            client.sendall(b"%d" % number)
        return clients

    clients = tcp_peer._scope.call(connect_many_and_close)
    tcp_peer.close()
    assert [int(each.received) for each in tcp_peer.connections] == list(range(100))
    assert [client.recv(1) for client in clients] == [b""] * 100


def test_one_that_nobody_used_comes_and_goes_without_the_engine(peers: Peers) -> None:
    engine = peers._scope.engine
    if not engine.readers.from_any_thread:
        pytest.skip("here the engine does it")
    peers.unix().close()  # the first makes a directory for all, which stays
    before = open_and_running()
    release = threading.Event()
    engine.post(peers._scope.context, release.wait)
    try:
        with peers.tcp_echo() as tcp, peers.unix() as unix:
            waiting = unix.next_connection()
        assert open_and_running() <= before
        assert not Path(unix.address).exists()
        assert waiting.exception(timeout=0)
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(tcp.address, timeout=5)
    finally:
        release.set()


@pytest.mark.parametrize("kind", ["tcp", "unix"])
def test_a_client_counts_that_waits_when_another_thread_closes(kind: str, peers: Peers, connect: Connect) -> None:
    for number in range(20):
        peer: StreamPeer = getattr(peers, kind)()
        held, release = threading.Event(), threading.Event()

        def hold(held: threading.Event = held, release: threading.Event = release) -> None:
            held.set()
            assert release.wait(20)

        peer._scope.post(hold)
        assert held.wait(5)
        client = connect(peer)
        client.sendall(b"%d" % number)
        closer = threading.Thread(target=peer.close)
        closer.start()
        release.set()
        closer.join(5)
        assert not closer.is_alive()
        assert [each.received for each in peer.connections] == [b"%d" % number]
        assert client.recv(1) == b""


def test_closing_twice_and_as_a_context(make_peer: MakePeer, connect: Connect) -> None:
    with make_peer() as peer:
        connect(peer)
        assert isinstance(peer.connection, Connection)
    peer.close()
    peer.close()
    assert "closed" in repr(peer)
    assert len(peer.connections) == 1


def test_a_closed_peer_refuses(make_peer: MakePeer, connect: Connect) -> None:
    peer = make_peer()
    connect(peer)
    assert isinstance(peer.connection, Connection)
    peer.close()
    with pytest.raises((ConnectionRefusedError, FileNotFoundError)):
        connect(peer)


def test_the_port_is_free_at_once(peers: Peers, connect: Connect) -> None:
    port = 0
    for _ in range(20):
        with peers.tcp(port=port) as peer:
            port = peer.port
            connect(peer).sendall(b"unread")
            assert isinstance(peer.connection, Connection)


def test_closing_in_the_middle_of_a_handshake(tls_peer: StreamPeer) -> None:
    with socket.create_connection(tls_peer.address, timeout=5) as client:
        with pytest.raises(CaptureTimeout, match="1 got no further than a TLS handshake"):
            tls_peer.next_connection().result(timeout=0.1)
        tls_peer.close()
        assert client.recv(1) == b""
    assert [event.name for event in tls_peer.events] == ["connection_made"]


@pytest.mark.parametrize("kind", KINDS)
def test_a_client_that_sends_without_end_does_not_hold_it_up(kind: str, peers: Peers, connect: Connect) -> None:
    peer: StreamPeer = getattr(peers, kind)()
    client = connect(peer)
    sender = threading.Thread(target=send_until_it_fails, args=(client,))
    sender.start()
    peer.connection.read_exactly(100_000).result()
    peer.close()
    sender.join(5)
    assert not sender.is_alive()


def send_until_it_fails(client: socket.socket) -> None:
    try:
        while True:
            client.sendall(bytes(100_000))
    except OSError:
        pass


def test_closing_ends_the_waits_for_it(tcp_peer: StreamPeer) -> None:
    waiting = tcp_peer.next_connection()
    tcp_peer.close()
    with pytest.raises(RuntimeError, match=r"tcp-1 .* was closed while this was awaited"):
        waiting.result()


def test_nothing_is_left_open(make_peer: MakePeer, connect: Connect) -> None:
    with make_peer("echo") as peer:  # the certificate, the modules
        connect(peer).close()
    before = open_and_running()
    peer = make_peer("echo")
    clients = [connect(peer) for _ in range(10)]
    for client in clients:
        client.sendall(b"x")
        assert client.recv(1) == b"x"
        client.close()
    peer.close()
    assert open_and_running() <= before


# What is refused


@pytest.mark.parametrize(
    "asked",
    [
        lambda peer: peer.next_connection(),
        lambda peer: peer.connection,
        lambda peer: peer.serve(serve_nobody),
        lambda peer: peer.expect(b"x"),
        lambda peer: peer.expect_connection(),
        lambda peer: peer.expect_eof(),
        lambda peer: peer.on(b"x"),
    ],
)
def test_what_is_asked_of_a_closed_peer_is_an_error_at_the_call(tcp_peer: StreamPeer, asked: Any) -> None:
    tcp_peer.close()
    with pytest.raises(RuntimeError, match=r"tcp-1 .* is closed; what it captured is in its `connections`"):
        asked(tcp_peer)


async def serve_nobody(connection: Connection) -> None:
    raise NotImplementedError


def test_what_cannot_be_called_is_no_handler(tcp_peer: StreamPeer, peers: Peers) -> None:
    bad: Any = 5
    with pytest.raises(TypeError, match="a handler must be callable, not 5"):
        tcp_peer.serve(bad)
    with pytest.raises(TypeError, match="a handler must be callable, not 5"):
        peers.tcp(bad)


def test_a_coroutine_is_no_handler(tcp_peer: StreamPeer, peers: Peers) -> None:
    coroutines: list[Any] = [serve_nobody(None), serve_nobody(None)]  # type: ignore[arg-type]
    text = "pass the function itself, not <coroutine object serve_nobody"
    with pytest.raises(TypeError, match=text):
        tcp_peer.serve(coroutines[0])
    with pytest.raises(TypeError, match=text):
        peers.unix(coroutines[1])


def test_a_second_behaviour_is_refused(tcp_peer: StreamPeer, tcp_echo_server: StreamPeer) -> None:
    tcp_peer.serve(serve_nobody)
    with pytest.raises(RuntimeError, match=r"serve\(\): tcp-1 .* is served by serve_nobody already"):
        tcp_peer.serve(serve_nobody)
    with pytest.raises(RuntimeError, match=r"serve\(\): tcp_echo-1 .* echoes already"):
        tcp_echo_server.serve(serve_nobody)


def test_a_handler_and_a_script_exclude_each_other(tcp_peer: StreamPeer, unix_peer: StreamPeer) -> None:
    tcp_peer.serve(serve_nobody)
    for asked in (tcp_peer.expect, tcp_peer.on):
        with pytest.raises(RuntimeError, match=r"is served by serve_nobody, so it can't follow a script as well"):
            asked(b"x")
    unix_peer.on(b"x")
    with pytest.raises(RuntimeError, match=r"follows a script, so no handler can serve it as well"):
        unix_peer.serve(serve_nobody)


def test_a_bad_host_or_port_is_refused(peers: Peers) -> None:
    with pytest.raises(ValueError, match=r"host '10.0.0.1' isn't a loopback address"):
        peers.tcp(host="10.0.0.1")
    with pytest.raises(ValueError, match=r"port must be 0 .* not 65536"):
        peers.tcp(port=65536)
    with peers.tcp() as peer, pytest.raises(OSError, match=rf"127.0.0.1 port {peer.port}"):
        peers.tls(port=peer.port)


@pytest.mark.parametrize("path", ["", "x" * 108])
def test_a_unix_path_that_is_none_is_refused(peers: Peers, path: str) -> None:
    with pytest.raises(ValueError, match=f"path must have 1 to 10[37] bytes, .* not {len(path)}: '{path}'"):
        peers.unix(path=path)


def test_a_unix_path_in_use_is_named(peers: Peers, unix_peer: StreamPeer) -> None:
    with pytest.raises(OSError, match=f"can't bind a Unix socket to {unix_peer.address}: Address already in use"):
        peers.unix(path=unix_peer.address)


@pytest.mark.parametrize(
    ("options", "error", "text"),
    [
        ({"receive_buffer": 0}, ValueError, "receive_buffer must be 1 or more, not 0"),
        ({"receive_buffer": 2**31}, ValueError, "receive_buffer must be 2147483647 or less, not 2147483648"),
        ({"receive_buffer": "4k"}, TypeError, "receive_buffer must be an int, not '4k'"),
        ({"timeout": -1}, ValueError, "timeout must be a finite number of seconds, 0 or more, not -1"),
        ({"name": b"x"}, TypeError, "name must be a string, not b'x'"),
        ({"strict": 1}, TypeError, "strict must be True or False, not 1"),
        ({"tls": "yes"}, TypeError, "tls must be True, False or an ssl.SSLContext, not 'yes'"),
        ({"tls": ssl.create_default_context()}, ValueError, "tls must be a context for a server"),
    ],
)
def test_a_bad_option_is_refused_and_nothing_is_left(
    peers: Peers, options: Any, error: type[Exception], text: str
) -> None:
    peers.udp()
    before = open_and_running()
    for make in (peers.tcp, peers.unix):
        with pytest.raises(error, match=text):
            make(**options)
    assert open_and_running() == before


def test_a_failure_handshake_is_only_for_tls(tcp_peer: StreamPeer) -> None:
    with pytest.raises(RuntimeError, match=r"tcp-1 .* speaks no TLS"):
        tcp_peer.expect_handshake_failure()


@pytest.mark.parametrize("used", [True, False])
def test_a_forked_child_keeps_no_closed_peer_listening(make_peer: MakePeer, connect: Connect, used: bool) -> None:
    peer = make_peer("echo")
    address = peer.address
    if isinstance(address, str):  # the close removes the peer's own
        address = f"{peer.address}.link"
        os.link(peer.address, address)
    if used:
        connect(peer)
    with forked_child():
        peer.close()
        with socket.socket(peer.family) as client, pytest.raises(ConnectionRefusedError):
            client.connect(address)
        if not isinstance(address, str):
            with socket.socket(peer.family) as other:
                other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                other.bind(address)
    if isinstance(address, str):
        Path(address).unlink()
