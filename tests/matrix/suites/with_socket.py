"""pytest-socket: there is no network but for the tests that say so, and those have peers."""

import socket
from contextlib import suppress

import pytest
import pytest_socket
from app import SHOUT, Shouter, greet, ping

by_network = pytest.mark.enable_socket


def test_there_is_no_network():
    with pytest.warns(UserWarning, match="tried to use"), pytest.raises(pytest_socket.SocketBlockedError):
        socket.create_connection(("192.0.2.1", 80))


@by_network
def test_ping(udp_echo_server):
    assert ping(udp_echo_server.address) == b"ping"
    assert udp_echo_server.next_datagram().result().data == b"ping"


@by_network
def test_greeting(tcp_peer):
    tcp_peer.expect(b"hello, I am me\n").reply(b"welcome, me\n")
    assert greet(tcp_peer.address, b"me") == b"welcome, me\n"


@by_network
def test_shouter(stream_harness):
    stream = stream_harness.connect(Shouter, kind="tcp")
    stream.send(b"hello\n", segments=1)
    assert stream.read_until(b"\n").result() == b"HELLO\n"


@by_network
def test_shouting_program(subprocess_runner):
    assert subprocess_runner(*SHOUT, stdin=b"hello\n").wait().result().stdout == b"HELLO\n"


@by_network
def test_meant_to_fail(tcp_peer):
    tcp_peer.expect(b"hello, I am you\n").reply(b"welcome, you\n")
    with suppress(ConnectionError):
        greet(tcp_peer.address, b"me")
