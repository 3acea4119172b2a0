"""pytest-trio: its nursery and its fixtures."""

from contextlib import suppress

import pytest
import trio
from app import SHOUT, Shouter

pytestmark = pytest.mark.trio


async def greet(address, name):
    async with await trio.open_tcp_stream(*address) as stream:
        await stream.send_all(b"hello, I am " + name + b"\n")
        return await stream.receive_some()


@pytest.fixture
async def client(udp_echo_server):
    with trio.socket.socket(trio.socket.AF_INET, trio.socket.SOCK_DGRAM) as client:
        await client.connect(udp_echo_server.address)
        yield client


async def test_ping(udp_echo_server, client):
    await client.send(b"ping")
    assert (await udp_echo_server.next_datagram()).data == b"ping"
    assert await client.recv(100) == b"ping"


async def test_greeting(tcp_peer, nursery):
    greeted = tcp_peer.expect(b"hello, I am me\n").reply(b"welcome, me\n")
    nursery.start_soon(greet, tcp_peer.address, b"me")
    assert await greeted.met == b"hello, I am me\n"


async def test_shouter(stream_harness):
    stream = stream_harness.connect(Shouter)
    await stream.send(b"hello\n", segments=1)
    assert await stream.read_until(b"\n") == b"HELLO\n"


async def test_shouting_program(subprocess_runner):
    done = await subprocess_runner(*SHOUT, stdin=b"hello\n").wait()
    assert (done.returncode, done.stdout) == (0, b"HELLO\n")


async def test_meant_to_fail(tcp_peer):
    tcp_peer.expect(b"hello, I am you\n").reply(b"welcome, you\n")
    with suppress(trio.BrokenResourceError):
        await greet(tcp_peer.address, b"me")
