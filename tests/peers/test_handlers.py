"""Handlers of stream peers: how they are given, what they may do, how they end."""

import asyncio
import socket
import struct
import threading
from collections.abc import AsyncIterator
from concurrent.futures import Future
from functools import partial
from typing import Any

import pytest

from pytest_echoserver import CaptureTimeout, Connection, Datagram, DatagramPeer, Peers, StreamPeer

from ..conftest import Client, Connect, MakePeer, OpenStreams, leave, receive, receive_all, speaks_tls


async def greet(connection: Connection, greeting: bytes = b"hello") -> None:
    connection.send(greeting)


class Greeter:
    async def __call__(self, connection: Connection) -> None:
        connection.send(b"hello")


def test_as_a_decorator(tcp_peer: StreamPeer, connect: Connect) -> None:
    @tcp_peer.serve
    async def handler(connection: Connection) -> None:
        connection.send(b"hello")

    assert handler.__name__ == "handler"
    assert receive_all(connect(tcp_peer)) == b"hello"


@pytest.mark.parametrize(
    "handler",
    [greet, lambda connection: greet(connection), partial(greet, greeting=b"hello"), Greeter()],
    ids=["function", "lambda", "partial", "object"],
)
def test_as_the_behaviour(make_peer: MakePeer, connect: Connect, handler: Any) -> None:
    peer = make_peer(handler)
    assert [receive_all(connect(peer)) for _ in range(3)] == [b"hello"] * 3


@pytest.mark.asyncio
async def test_for_an_asyncio_client(make_peer: MakePeer, open_streams: OpenStreams) -> None:
    async def upper(connection: Connection) -> None:
        while True:
            connection.send((await connection.read_until(b"\n")).upper())

    reader, writer = await open_streams(make_peer(upper))
    writer.write(b"one\ntwo\n")
    assert await reader.readexactly(8) == b"ONE\nTWO\n"
    writer.close()
    await writer.wait_closed()


def test_each_connection_has_a_handler_of_its_own(make_peer: MakePeer, connect: Connect) -> None:
    async def count(connection: Connection) -> None:
        for number in range(3):
            await connection.read_exactly(1)
            connection.send(b"%d" % number)

    peer = make_peer(count)
    clients = [connect(peer) for _ in range(5)]
    for number in range(3):
        for client in clients:
            client.sendall(b"x")
            assert receive(client, 1) == b"%d" % number
    assert [receive_all(client) for client in clients] == [b""] * 5


def test_when_it_returns_all_is_drained_and_ends_in_eof(make_peer: MakePeer, connect: Connect) -> None:
    async def say_much(connection: Connection) -> None:
        await connection.read(1)
        connection.send(b"x" * 3_000_000)

    peer = make_peer(say_much)
    for _ in range(3):
        client = connect(peer)
        client.sendall(b"unread input, mostly" * 100)
        assert len(receive_all(client)) == 3_000_000


def test_given_late_it_gets_all_that_came(make_peer: MakePeer, connect: Connect) -> None:
    peer = make_peer()
    clients = [connect(peer) for _ in range(3)]
    for client in clients:
        client.sendall(b"early ")
    while len(peer.connections) < 3:
        peer.next_connection().result()
    leave(peer, clients[2])  # its words are there all the same
    assert peer.connections[2].ended.result() == "eof"
    got: list[Future[bytes]] = [Future() for _ in range(3)]

    @peer.serve
    async def handler(connection: Connection) -> None:
        number = peer.connections.index(connection)
        got[number].set_result(await connection.read_exactly(6 if number == 2 else 10))

    for client in clients[:2]:
        client.sendall(b"late")
    assert [each.result(5) for each in got] == [b"early late", b"early late", b"early "]


def test_given_late_it_gets_what_the_test_has_not_read(tcp_peer: StreamPeer, connect: Connect) -> None:
    client = connect(tcp_peer)
    client.sendall(b"mine\nyours\n")
    assert tcp_peer.connection.read_until(b"\n").result() == b"mine\n"

    @tcp_peer.serve
    async def handler(connection: Connection) -> None:
        connection.send(await connection.read_until(b"\n"))

    assert receive_all(client) == b"yours\n"


def test_given_late_it_leaves_alone_what_the_test_closed(tcp_peer: StreamPeer, connect: Connect) -> None:
    connect(tcp_peer)
    tcp_peer.connection.close().result()
    tcp_peer.serve(greet)
    assert receive_all(connect(tcp_peer)) == b"hello"
    assert tcp_peer.connections[0].sent == b""


def test_the_peer_may_be_closed_from_within(make_peer: MakePeer, connect: Connect) -> None:
    ended: Future[str] = Future()

    async def close_all(connection: Connection) -> None:
        await connection.read(1)
        peer.close()
        peer.close()
        try:
            await asyncio.sleep(100)
        finally:
            ended.set_result("cancelled")

    peer = make_peer(close_all)
    client, other = connect(peer), connect(peer)
    client.sendall(b"x")
    assert ended.result(5) == "cancelled"
    assert receive_all(client) == receive_all(other) == b""
    assert "closed" in repr(peer)
    peer.close()


def test_the_connection_may_be_had_from_within(tcp_peer: StreamPeer, connect: Connect) -> None:
    @tcp_peer.serve
    async def handler(connection: Connection) -> None:
        assert tcp_peer.connection is connection
        with pytest.raises(RuntimeError, match="would block the engine's own thread"):
            connection.read(1).result()
        connection.send(b"ok")

    assert receive_all(connect(tcp_peer)) == b"ok"


def test_it_can_do_all_that_a_test_can(tcp_peer: StreamPeer, connect: Connect) -> None:
    @tcp_peer.serve
    async def handler(connection: Connection) -> None:
        await connection.send(b"ab", segments=1)
        await connection.stall()
        await connection.unstall()
        assert await connection.read_exactly(2) == b"hi"
        await connection.send_eof()
        assert await connection.ended == "eof"
        await connection.close()

    client = connect(tcp_peer)
    assert receive(client, 2) == b"ab"
    client.sendall(b"hi")
    assert client.recv(1) == b""
    client.close()
    assert tcp_peer.connection.ended.result() == "eof"


# What is no failure; each is judged at the end of the test


def test_the_clients_clean_eof_ends_it_quietly(make_peer: MakePeer, connect: Connect) -> None:
    async def handler(connection: Connection) -> None:
        while True:
            await connection.read_until(b"\n")

    peer = make_peer(handler)
    client = connect(peer)
    client.sendall(b"one\ntwo\n")
    assert peer.connection.read_exactly(8).result()
    leave(peer, client)
    assert peer.connection.ended.result() == "eof"
    peer.verify()


def test_read_gives_nothing_at_eof(make_peer: MakePeer, connect: Connect) -> None:
    async def handler(connection: Connection) -> None:
        while data := await connection.read(10):
            connection.send(data)

    peer = make_peer(handler)
    client = connect(peer)
    client.sendall(b"ping")
    assert receive(client, 4) == b"ping"
    if not speaks_tls(peer):
        client.shutdown(socket.SHUT_WR)
        assert receive_all(client) == b""
    client.close()
    peer.verify()


@pytest.mark.parametrize("waits", ["read", "send"])
def test_the_clients_reset_ends_it_quietly(tcp_peer: StreamPeer, connect: Connect, waits: str) -> None:
    @tcp_peer.serve
    async def handler(connection: Connection) -> None:
        while True:
            await (connection.read_exactly(1) if waits == "read" else connection.send(bytes(10_000)))

    client = connect(tcp_peer)
    connection = tcp_peer.connection
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.close()
    assert connection.ended.result() == "reset"
    tcp_peer.verify()


def test_a_reset_that_a_send_meets_first_is_quiet(tcp_peer: StreamPeer, connect: Connect) -> None:
    gone = threading.Event()

    @tcp_peer.serve
    async def handler(connection: Connection) -> None:
        await connection.read_exactly(1)
        gone.wait(5)  # the engine can't notice the reset meanwhile
        for _ in range(10):
            await connection.send(b"x")

    client = connect(tcp_peer)
    assert isinstance(tcp_peer.connection, Connection)
    client.sendall(b"x")
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.close()
    gone.set()
    assert tcp_peer.next_connection().result().ended.result() == "reset"
    tcp_peer.verify()


def test_it_may_wait_when_the_test_ends(make_peer: MakePeer, connect: Connect) -> None:
    async def handler(connection: Connection) -> None:
        if not connection.received:
            await connection.read_exactly(1)
        await asyncio.sleep(1000)

    peer = make_peer(handler)
    connect(peer)
    connect(peer).sendall(b"x")


# What is one


async def fails(connection: Connection) -> None:
    await connection.read_exactly(1)
    raise LookupError("of the handler")


def test_its_error_is_raised_by_verify_once(make_peer: MakePeer, connect: Connect) -> None:
    peer = make_peer(fails)
    client = connect(peer)
    client.sendall(b"x")
    with pytest.raises(LookupError, match="of the handler"):
        peer.verify()
    peer.verify()


def test_its_error_ends_what_is_awaited_of_the_peer(tcp_peer: StreamPeer, connect: Connect) -> None:
    tcp_peer.serve(fails)
    client, other = connect(tcp_peer), connect(tcp_peer)
    connections = [tcp_peer.next_connection().result() for _ in range(2)]
    pending: list[Any] = [tcp_peer.next_connection()]
    for connection in connections:
        pending += [connection.ended, connection.read_exactly(5), connection.read_until(b"\n")]
    client.sendall(b"x")
    for future in pending:
        with pytest.raises(LookupError, match="of the handler"):
            future.result()
    with pytest.raises(ConnectionResetError):
        client.recv(1)
    with pytest.raises(LookupError):
        tcp_peer.verify()
    other.sendall(b"x")  # it is served on
    with pytest.raises(LookupError):
        tcp_peer.verify()


def test_what_it_had_asked_for_and_is_not_done_ends(tcp_peer: StreamPeer, connect: Connect) -> None:
    asked: Future[Any] = Future()

    @tcp_peer.serve
    async def handler(connection: Connection) -> None:
        await connection.read(1)
        asked.set_result(connection.close())
        raise LookupError

    connect(tcp_peer).sendall(b"x")
    with pytest.raises(ConnectionAbortedError, match="was closed before this was done"):
        asked.result(5).result()
    with pytest.raises(LookupError):
        tcp_peer.verify()


def test_eof_within_a_message_is_an_error(make_peer: MakePeer, connect: Connect) -> None:
    async def handler(connection: Connection) -> None:
        while True:
            await connection.read_until(b"\n")

    peer = make_peer(handler)
    client = connect(peer)
    client.sendall(b"one\ntw")
    assert peer.connection.read_exactly(6).result()
    leave(peer, client)
    assert peer.connection.ended.exception() is None
    with pytest.raises(asyncio.IncompleteReadError, match=r"the end came before b'\\n' .* was b'tw'"):
        peer.verify()


def test_a_handler_that_is_not_async_is_an_error(tcp_peer: StreamPeer, connect: Connect) -> None:
    plain: Any = print
    connect(tcp_peer)
    assert isinstance(tcp_peer.connection, Connection)
    tcp_peer.serve(lambda connection: plain(end=""))
    with pytest.raises(TypeError, match=r"must be an async function of its connection; .* gave None"):
        tcp_peer.verify()


@pytest.mark.parametrize("kind", [SystemExit, GeneratorExit])
def test_system_exit_and_its_like_are_errors_of_the_test(
    tcp_peer: StreamPeer, connect: Connect, kind: type[BaseException]
) -> None:
    @tcp_peer.serve
    async def handler(connection: Connection) -> None:
        await connection.read(1)
        raise kind(3)

    client = connect(tcp_peer)
    client.sendall(b"x")
    with pytest.raises(ConnectionResetError):
        client.recv(1)
    with pytest.raises(RuntimeError, match=rf"{kind.__name__} was raised .*{kind.__name__}\(3\)") as caught:
        tcp_peer.verify()
    assert caught.value.__notes__ == [f"in the handler of {tcp_peer}, on connection 1"]
    assert "exception_raised" in [event.name for event in tcp_peer.events]


@pytest.mark.parametrize("kind", [SystemExit, GeneratorExit])
def test_so_they_are_where_datagrams_are_answered_later(
    udp_peer: DatagramPeer, udp_client: Client, kind: type[BaseException]
) -> None:
    @udp_peer.serve
    async def handler(_: Datagram) -> bytes:
        raise kind(3)

    udp_client().sendto(b"x", udp_peer.address)
    udp_peer.wait_for(1).result()
    with pytest.raises(RuntimeError, match=rf"{kind.__name__} was raised .*{kind.__name__}\(3\)") as caught:
        udp_peer.verify()
    assert caught.value.__notes__[0].startswith(f"in the handler of {udp_peer}, for a datagram from ")
    assert udp_peer.events[-1].name == "exception_raised"


@pytest.mark.parametrize("answer", [b"HELLO\n", bytearray(b"y")])
def test_a_handler_that_returns_its_answer_is_told_how_to_send_it(
    tcp_peer: StreamPeer, connect: Connect, answer: object
) -> None:
    @tcp_peer.serve
    async def shout(connection: Connection) -> object:
        await connection.read(1)
        return answer

    connect(tcp_peer).sendall(b"x")
    with pytest.raises(
        TypeError, match=r"shout returned .*: a stream handler answers by connection\.send\("
    ) as raised:
        tcp_peer.connection.read_exactly(2).result()
    with pytest.raises(TypeError, match="shout returned"):
        tcp_peer.verify()
    assert repr(answer) in str(raised.value)


def test_a_handler_may_return_what_came(tcp_peer: StreamPeer, connect: Connect) -> None:
    tcp_peer.serve(lambda connection: connection.read_exactly(3))
    client = connect(tcp_peer)
    client.sendall(b"all")
    assert client.recv(1) == b""


def test_an_async_generator_is_no_handler(peers: Peers, udp_peer: DatagramPeer) -> None:
    async def wrong(_: object) -> AsyncIterator[bytes]:
        yield b""

    for take in (udp_peer.serve, peers.tcp().serve, peers.udp, peers.tcp):
        with pytest.raises(TypeError, match="has a `yield` in it, and would never run"):
            take(wrong)  # type: ignore[type-var, arg-type]


def test_a_timeout_tells_where_a_handler_blocks(peers: Peers, connect: Connect) -> None:
    peer = peers.tcp(timeout=0.2)
    free = threading.Event()

    @peer.serve
    async def handler(connection: Connection) -> None:
        free.wait(5)

    connect(peer)
    connection = peer.next_connection().result()
    with pytest.raises(CaptureTimeout) as caught:
        connection.read(1).result()
    free.set()
    assert "the engine's thread is held up in handler, " in str(caught.value)
    assert str(caught.value).endswith("free.wait(5)")
