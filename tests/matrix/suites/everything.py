"""A suite with all plugins that are installed, as its user has them, and async tests beside sync ones."""

import asyncio
from contextlib import suppress

import pytest
from app import SHOUT, Shouter, greet, ping


def test_ping(udp_echo_server):
    assert ping(udp_echo_server.address) == b"ping"
    assert udp_echo_server.next_datagram().result().data == b"ping"


@pytest.mark.asyncio
async def test_ping_by_asyncio(udp_echo_server):
    seen = udp_echo_server.next_datagram()
    assert await asyncio.to_thread(ping, udp_echo_server.address) == b"ping"
    assert (await seen).data == b"ping"


@pytest.mark.anyio
async def test_shouter_by_anyio(stream_harness):
    stream = stream_harness.connect(Shouter)
    stream.send(b"hello\n", segments=1)
    assert await stream.read_until(b"\n") == b"HELLO\n"


def test_greeting(tcp_peer):
    tcp_peer.expect(b"hello, I am me\n").reply(b"welcome, me\n")
    assert greet(tcp_peer.address, b"me") == b"welcome, me\n"


def test_shouting_program(subprocess_runner):
    assert subprocess_runner(*SHOUT, stdin=b"hello\n").wait().result().stdout == b"HELLO\n"


def test_meant_to_fail(tcp_peer):
    tcp_peer.expect(b"hello, I am you\n").reply(b"welcome, you\n")
    with suppress(ConnectionError):
        greet(tcp_peer.address, b"me")
