"""pytest-timeout: a deadline for all that a test does, from a timer that is set beside ours."""

from contextlib import suppress

import pytest
from app import SHOUT, Shouter, greet, ping

from pytest_echoserver import CaptureTimeout


@pytest.mark.timeout(20)
def test_ping(udp_echo_server):
    assert ping(udp_echo_server.address) == b"ping"
    assert udp_echo_server.next_datagram().result().data == b"ping"


@pytest.mark.timeout(20)
def test_our_deadline_comes_first(udp_echo_server):
    with pytest.raises(CaptureTimeout):
        udp_echo_server.next_datagram().result(timeout=0.05)


def test_greeting(tcp_peer):
    tcp_peer.expect(b"hello, I am me\n").reply(b"welcome, me\n")
    assert greet(tcp_peer.address, b"me") == b"welcome, me\n"


def test_shouter(stream_harness):
    stream = stream_harness.connect(Shouter)
    stream.send(b"hello\n", segments=1)
    assert stream.read_until(b"\n").result() == b"HELLO\n"


def test_shouting_program(subprocess_runner):
    assert subprocess_runner(*SHOUT, stdin=b"hello\n").wait().result().stdout == b"HELLO\n"


def test_meant_to_fail(tcp_peer):
    tcp_peer.expect(b"hello, I am you\n").reply(b"welcome, you\n")
    with suppress(ConnectionError):
        greet(tcp_peer.address, b"me")
