"""pytest-repeat: the same test time after time, with peers of its own each time."""

from contextlib import suppress

import pytest
from app import SHOUT, Shouter, greet, ping


@pytest.mark.repeat(5)
def test_ping(udp_echo_server):
    assert ping(udp_echo_server.address) == b"ping"
    assert len(udp_echo_server.received) == 1


@pytest.mark.repeat(5)
def test_greeting(tcp_peer):
    tcp_peer.expect(b"hello, I am me\n").reply(b"welcome, me\n")
    assert greet(tcp_peer.address, b"me") == b"welcome, me\n"


@pytest.mark.repeat(5)
def test_shouter(stream_harness):
    stream = stream_harness.connect(Shouter)
    stream.send(b"hello\n", segments=1)
    assert stream.read_until(b"\n").result() == b"HELLO\n"


@pytest.mark.repeat(2)
def test_shouting_program(subprocess_runner):
    assert subprocess_runner(*SHOUT, stdin=b"hello\n").wait().result().stdout == b"HELLO\n"


@pytest.mark.repeat(2)
def test_meant_to_fail(tcp_peer):
    tcp_peer.expect(b"hello, I am you\n").reply(b"welcome, you\n")
    with suppress(ConnectionError):
        greet(tcp_peer.address, b"me")
