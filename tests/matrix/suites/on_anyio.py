"""anyio's plugin: each test once on asyncio, and once on trio."""

from contextlib import suppress

import anyio
import pytest
from app import SHOUT, Shouter

pytestmark = pytest.mark.anyio


async def greet(address, name):
    async with await anyio.connect_tcp(*address) as stream:
        await stream.send(b"hello, I am " + name + b"\n")
        return await stream.receive()


@pytest.fixture
async def client(udp_echo_server):
    host, port = udp_echo_server.address
    async with await anyio.create_connected_udp_socket(host, port) as client:
        yield client


async def test_ping(udp_echo_server, client):
    await client.send(b"ping")
    assert (await udp_echo_server.next_datagram()).data == b"ping"
    assert await client.receive() == b"ping"


async def test_greeting(tcp_peer):
    greeted = tcp_peer.expect(b"hello, I am me\n").reply(b"welcome, me\n")
    answers = []

    async def client():
        answers.append(await greet(tcp_peer.address, b"me"))

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(client)
        await greeted.met
    assert answers == [b"welcome, me\n"]


async def test_shouter(stream_harness):
    stream = stream_harness.connect(Shouter)
    await stream.send(b"hello\n", segments=1)
    assert await stream.read_until(b"\n") == b"HELLO\n"


async def test_shouting_program(subprocess_runner):
    done = await subprocess_runner(*SHOUT, stdin=b"hello\n").wait()
    assert (done.returncode, done.stdout) == (0, b"HELLO\n")


async def test_meant_to_fail(tcp_peer):
    tcp_peer.expect(b"hello, I am you\n").reply(b"welcome, you\n")
    with suppress(anyio.BrokenResourceError, anyio.EndOfStream):
        await greet(tcp_peer.address, b"me")
