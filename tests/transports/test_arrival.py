"""Telling when what was sent has arrived, and when it was read."""

import asyncio
import socket
import struct
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress

import pytest

from pytest_echoserver._transports.arrival import still_to_come, until_arrived, until_read
from pytest_echoserver._transports.writing import until_taken

pytestmark = [
    pytest.mark.asyncio,
    pytest.mark.skipif(sys.platform != "linux", reason="elsewhere it is given a moment"),
]
Pair = tuple[socket.socket, socket.socket]
MakePair = Callable[[], Pair]


@pytest.fixture(params=["127.0.0.1", "::1", "unix"])
def make_pair(request: pytest.FixtureRequest) -> Iterator[MakePair]:
    made: list[socket.socket] = []

    def make() -> Pair:
        if request.param == "unix":
            pair = socket.socketpair()
        else:
            family = socket.AF_INET6 if ":" in request.param else socket.AF_INET
            with socket.create_server((request.param, 0), family=family) as server:
                near = socket.create_connection(server.getsockname()[:2])
                pair = near, server.accept()[0]
        made.extend(pair)
        return pair

    yield make
    for sock in made:
        sock.close()


async def test_it_is_read_once_it_was_read(make_pair: MakePair) -> None:
    near, far = make_pair()
    for _ in range(50):
        near.sendall(b"xy")
        assert await until_arrived(near, 5)
        assert not await until_read(near, 0)
        far.recv(1)
        if near.family != socket.AF_UNIX:  # that counts whole buffers
            assert not await until_read(near, 0)
        far.recv(1)
        assert await until_read(near, 5)


async def test_nothing_sent_is_read(make_pair: MakePair) -> None:
    near, _ = make_pair()
    assert await until_read(near, 0)
    assert await until_arrived(near, 0)


async def test_other_connections_do_not_count(make_pair: MakePair) -> None:
    pairs = [make_pair() for _ in range(3)]
    for near, _ in pairs:
        near.sendall(b"x")
    pairs[1][1].recv(1)
    assert await until_read(pairs[1][0], 5)
    assert not await until_read(pairs[0][0], 0)
    assert not await until_read(pairs[2][0], 0)


async def test_the_other_direction_does_not_count(make_pair: MakePair) -> None:
    near, far = make_pair()
    far.sendall(b"unread")
    near.sendall(b"x")
    far.recv(1)
    assert await until_read(near, 5)


async def test_what_waits_for_room_has_not_arrived(make_pair: MakePair) -> None:
    near, far = make_pair()
    if near.family == socket.AF_UNIX:
        pytest.skip("there it is on the other side at once")
    near.setblocking(False)
    count = 0
    with suppress(BlockingIOError):
        while True:
            count += near.send(bytes(100_000))
    assert not await until_arrived(near, 0.05)
    arriving = asyncio.create_task(until_arrived(near, 5))
    while count:
        count -= len(await asyncio.to_thread(far.recv, 1_000_000))
    assert await arriving
    assert await until_read(near, 5)


async def test_it_waits_while_others_work(make_pair: MakePair) -> None:
    near, far = make_pair()
    near.sendall(b"x")
    waiting = asyncio.create_task(until_read(near, 5))
    await asyncio.sleep(0.05)
    assert not waiting.done()
    far.recv(1)
    assert await waiting


@pytest.mark.parametrize("how", ["eof", "reset", "here"])
async def test_if_one_end_is_gone_nothing_is_waited_for(make_pair: MakePair, how: str) -> None:
    near, far = make_pair()
    near.sendall(b"x")
    if how == "reset":
        far.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    (near if how == "here" else far).close()
    if how != "here":
        with suppress(OSError):
            near.send(b"y")
    assert await until_read(near, 1)
    assert await until_arrived(near, 1)


async def test_all_is_taken_once_the_system_has_room(make_pair: MakePair) -> None:
    near, far = make_pair()
    near.setblocking(False)
    await until_taken(near)
    with suppress(BlockingIOError):
        while True:
            near.send(bytes(100_000))
    waiting = asyncio.create_task(until_taken(near))
    await asyncio.sleep(0.02)
    assert not waiting.done()
    while not waiting.done():
        far.setblocking(False)
        with suppress(BlockingIOError):
            far.recv(1_000_000)
        await asyncio.sleep(0)
    near.close()
    await until_taken(near)


async def test_a_listener_is_not_taken_for_an_end_that_is_gone() -> None:
    tcp_repair = 19  # linux/tcp.h; closed with it, a socket is gone without a word
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()) as near:
        far = server.accept()[0]
        with far:
            try:
                far.setsockopt(socket.IPPROTO_TCP, tcp_repair, 1)
            except PermissionError:
                pytest.skip("only root may have a socket go without a word")
        assert not still_to_come(near)
