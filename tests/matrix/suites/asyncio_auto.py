"""pytest-asyncio that takes all that is async, fixtures included."""

import asyncio
from contextlib import suppress

import pytest
from app import SHOUT, Shouter


async def greet(address, name):
    reader, writer = await asyncio.open_connection(*address)
    try:
        writer.write(b"hello, I am " + name + b"\n")
        return await reader.readline()
    finally:
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()


class Pinger(asyncio.DatagramProtocol):
    def connection_made(self, transport):
        self.answer = asyncio.get_running_loop().create_future()
        transport.sendto(b"ping")

    def datagram_received(self, data, addr):
        self.answer.set_result(data)


@pytest.fixture
async def pinger(udp_echo_server):
    loop = asyncio.get_running_loop()
    transport, pinger = await loop.create_datagram_endpoint(Pinger, remote_addr=udp_echo_server.address)
    yield pinger
    transport.close()


class TestAll:
    async def test_ping(self, udp_echo_server, pinger):
        assert await pinger.answer == b"ping"
        assert (await udp_echo_server.next_datagram()).data == b"ping"

    async def test_greeting(self, tcp_peer):
        greeted = tcp_peer.expect(b"hello, I am me\n").reply(b"welcome, me\n")
        client = asyncio.create_task(greet(tcp_peer.address, b"me"))
        await greeted.met
        assert await client == b"welcome, me\n"

    async def test_shouter(self, stream_harness):
        stream = stream_harness.connect(Shouter)
        await stream.send(b"hello\n", segments=1)
        assert await stream.read_until(b"\n") == b"HELLO\n"
        await stream.close()

    async def test_shouter_on_the_tests_loop(self, stream_harness):
        stream = await stream_harness.connect_here(Shouter)
        stream.send(b"hello\n")
        assert await stream.read_until(b"\n") == b"HELLO\n"

    async def test_shouting_program(self, subprocess_runner):
        done = await subprocess_runner(*SHOUT, stdin=b"hello\n").wait()
        assert (done.returncode, done.stdout) == (0, b"HELLO\n")

    async def test_meant_to_fail(self, tcp_peer):
        tcp_peer.expect(b"hello, I am you\n").reply(b"welcome, you\n")
        with suppress(ConnectionError):
            await greet(tcp_peer.address, b"me")
