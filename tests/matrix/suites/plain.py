"""Sync tests, and peers of all kinds: what changes how tests are run changes nothing about them."""

from contextlib import suppress

import pytest
from app import SHOUT, Shouter, greet, ping


def test_ping(udp_echo_server):
    seen = udp_echo_server.next_datagram()
    assert ping(udp_echo_server.address) == b"ping"
    assert seen.result().data == b"ping"


@pytest.fixture(scope="module")
def relay(session_peers):
    with session_peers.tcp_echo() as relay:
        yield relay


class TestGreeting:
    def test_the_greeter(self, tcp_peer):
        tcp_peer.expect(b"hello, I am me\n").reply(b"welcome, me\n")
        assert greet(tcp_peer.address, b"me") == b"welcome, me\n"

    def test_by_relay(self, relay):
        assert greet(relay.address, b"me") == b"hello, I am me\n"


def test_shouter(stream_harness):
    stream = stream_harness.connect(Shouter)
    stream.send(b"hello\n", segments=1)
    assert stream.read_until(b"\n").result() == b"HELLO\n"


def test_shouting_program(subprocess_runner):
    done = subprocess_runner(*SHOUT, stdin=b"hello\n").wait().result()
    assert (done.returncode, done.stdout) == (0, b"HELLO\n")


def test_meant_to_fail(tcp_peer):
    tcp_peer.expect(b"hello, I am you\n").reply(b"welcome, you\n")
    with suppress(ConnectionError):
        greet(tcp_peer.address, b"me")
