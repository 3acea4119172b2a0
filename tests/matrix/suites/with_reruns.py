"""pytest-rerunfailures: a test that a peer failed is run again, with new peers."""

from contextlib import suppress

import pytest
from app import SHOUT, Shouter, greet, ping

names = [b"you", b"me"]


def test_ping(udp_echo_server):
    assert ping(udp_echo_server.address) == b"ping"
    assert udp_echo_server.next_datagram().result().data == b"ping"


@pytest.mark.flaky(reruns=2)
def test_greeting_at_the_second_time(tcp_peer):
    tcp_peer.expect(b"hello, I am me\n").reply(b"welcome, me\n")
    with suppress(ConnectionError):
        greet(tcp_peer.address, names.pop(0))
    assert len(tcp_peer.connections) == 1


def test_shouter(stream_harness):
    stream = stream_harness.connect(Shouter)
    stream.send(b"hello\n", segments=1)
    assert stream.read_until(b"\n").result() == b"HELLO\n"


def test_shouting_program(subprocess_runner):
    assert subprocess_runner(*SHOUT, stdin=b"hello\n").wait().result().stdout == b"HELLO\n"


@pytest.mark.flaky(reruns=2)
def test_meant_to_fail(tcp_peer):
    tcp_peer.expect(b"hello, I am you\n").reply(b"welcome, you\n")
    with suppress(ConnectionError):
        greet(tcp_peer.address, b"me")
