"""pytest-socket that lets connect to this machine alone: where peers are."""

import socket
from contextlib import suppress

import pytest
import pytest_socket
from app import SHOUT, Shouter, greet, ping


def test_there_is_no_other_host():
    with (
        pytest.warns(UserWarning, match="tried to use"),
        pytest.raises(pytest_socket.SocketConnectBlockedError),
    ):
        socket.create_connection(("192.0.2.1", 80))


def test_ping(udp_echo_server):
    assert ping(udp_echo_server.address) == b"ping"
    assert udp_echo_server.next_datagram().result().data == b"ping"


def test_greeting(tcp_peer):
    tcp_peer.expect(b"hello, I am me\n").reply(b"welcome, me\n")
    assert greet(tcp_peer.address, b"me") == b"welcome, me\n"


def test_over_a_unix_socket(unix_peer):
    unix_peer.expect(b"hello").reply(b"welcome")
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(unix_peer.address)
        client.sendall(b"hello")
        assert client.recv(100) == b"welcome"


def test_shouter(stream_harness):
    stream = stream_harness.connect(Shouter, kind="tcp")
    stream.send(b"hello\n", segments=1)
    assert stream.read_until(b"\n").result() == b"HELLO\n"


def test_shouting_program(subprocess_runner):
    assert subprocess_runner(*SHOUT, stdin=b"hello\n").wait().result().stdout == b"HELLO\n"


def test_meant_to_fail(tcp_peer):
    tcp_peer.expect(b"hello, I am you\n").reply(b"welcome, you\n")
    with suppress(ConnectionError):
        greet(tcp_peer.address, b"me")
