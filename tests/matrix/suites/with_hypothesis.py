"""Hypothesis: one peer for all examples of a test, and the cuts of a stream as examples."""

from contextlib import suppress

from app import SHOUT, Shouter, greet, ping
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pytest_echoserver.strategies import chunkings

of_the_network = settings(
    max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], database=None
)


@of_the_network
@given(count=st.integers(1, 4))
def test_ping(udp_echo_server, count):
    udp_echo_server.clear()
    for _ in range(count):
        assert ping(udp_echo_server.address) == b"ping"
    assert len(udp_echo_server.received) == count


@of_the_network
@given(name=st.binary(min_size=1, max_size=20).filter(lambda name: b"\n" not in name))
def test_greeting(tcp_peer, name):
    tcp_peer.clear(script=True)
    tcp_peer.expect(b"hello, I am " + name + b"\n").reply(b"welcome\n")
    assert greet(tcp_peer.address, name) == b"welcome\n"


@of_the_network
@given(pieces=chunkings(b"hello\n"))
def test_shouter(stream_harness, pieces):
    stream = stream_harness.connect(Shouter)
    for piece in pieces:
        stream.send(piece, segments=[len(piece)])
    assert stream.read_until(b"\n").result() == b"HELLO\n"
    stream.close().result()


@settings(of_the_network, max_examples=3)
@given(word=st.text("abc", min_size=1))
def test_shouting_program(subprocess_runner, word):
    done = subprocess_runner(*SHOUT, stdin=word.encode() + b"\n").wait().result()
    assert done.stdout.decode().rstrip() == word.upper()


@settings(of_the_network, max_examples=3)
@given(name=st.just(b"me"))
def test_meant_to_fail(tcp_peer, name):
    tcp_peer.clear(script=True)
    tcp_peer.expect(b"hello, I am you\n").reply(b"welcome, you\n")
    with suppress(ConnectionError):
        greet(tcp_peer.address, name)
