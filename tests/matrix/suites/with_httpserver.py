"""pytest-httpserver: what is fetched from its server is reported to peers of ours."""

import urllib.request
from contextlib import suppress

import pytest
from app import SHOUT, Shouter, greet, ping


@pytest.fixture(scope="session")
def httpserver_listen_address():
    return "127.0.0.1", 0


@pytest.fixture
def name(httpserver):
    httpserver.expect_request("/name").respond_with_data("me")
    with urllib.request.urlopen(httpserver.url_for("/name")) as answer:
        return answer.read()


def test_ping(udp_echo_server, httpserver, name):
    assert ping(udp_echo_server.address) == b"ping"
    assert udp_echo_server.next_datagram().result().data == b"ping"
    httpserver.check()


def test_greeting(tcp_peer, name):
    tcp_peer.expect(b"hello, I am me\n").reply(b"welcome, me\n")
    assert greet(tcp_peer.address, name) == b"welcome, me\n"


def test_through_a_proxy_of_ours(peers, httpserver):
    httpserver.expect_request("/slow").respond_with_data("here")
    proxy = peers.tcp_proxy((httpserver.host, httpserver.port))
    with urllib.request.urlopen(f"http://{proxy.netloc}/slow") as answer:
        assert answer.read() == b"here"
    assert proxy.connection.received.startswith(b"GET /slow")


def test_shouter_and_program(stream_harness, subprocess_runner, name):
    stream = stream_harness.connect(Shouter)
    stream.send(name)
    assert stream.read_exactly(2).result() == b"ME"
    assert subprocess_runner(*SHOUT, stdin=name + b"\n").wait().result().stdout == b"ME\n"


def test_meant_to_fail(tcp_peer, name):
    tcp_peer.expect(b"hello, I am you\n").reply(b"welcome, you\n")
    with suppress(ConnectionError):
        greet(tcp_peer.address, name)
