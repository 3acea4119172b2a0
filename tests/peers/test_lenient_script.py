"""Scripts of peers that are not strict: what nothing matches is passed over, and only recorded."""

import itertools
import re
import socket

from hypothesis import given
from hypothesis import strategies as st

from pytest_echoserver import Peers, StreamPeer

SAID = b"noise PI PING\nmoreUSER joe\nrest"


def passed_over(peer: StreamPeer) -> list[bytes]:
    return [event.args[1] for event in peer.events if event.name == "unexpected"]


def hold_the_conversation(peers: Peers, *pieces: bytes) -> None:
    with peers.tcp(strict=False) as peer:
        peer.expect(b"PING\n").reply(b"PONG\n")
        user = peer.expect(re.compile(rb"USER (\w+)\n")).reply(lambda match: match[1])
        with socket.create_connection(peer.address, timeout=5) as client:
            for piece in pieces:
                client.sendall(piece)
            client.shutdown(socket.SHUT_WR)
            with client.makefile("rb") as answers:
                assert answers.read() == b"PONG\njoe"
        assert user.met.result()[1] == b"joe"
        assert b"|".join(passed_over(peer)) == b"noise PI |more|rest"


def test_what_nothing_matches_is_passed_over_and_recorded(peers: Peers) -> None:
    hold_the_conversation(peers, SAID)


@given(st.lists(st.integers(0, len(SAID)), max_size=5))
def test_however_it_was_cut(session_peers: Peers, cuts: list[int]) -> None:
    places = [0, *sorted(cuts), len(SAID)]
    pieces = [SAID[a:b] for a, b in itertools.pairwise(places)]
    hold_the_conversation(session_peers, *pieces)


def test_what_follows_a_match_makes_no_difference(peers: Peers) -> None:
    with peers.tcp(strict=False) as peer:
        peer.expect(re.compile(rb"(?!PING\nmore)PING$\n")).reply(b"PONG\n")
        with socket.create_connection(peer.address, timeout=5) as client:
            client.sendall(SAID)
            assert client.recv(5) == b"PONG\n"


def test_whole_messages_are_passed_over_where_there_are_any(peers: Peers) -> None:
    peer = peers.tcp(strict=False, framing=b"\n")
    peer.expect(b"b\n").reply(b"B\n")
    with socket.create_connection(peer.address, timeout=5) as client:
        client.sendall(b"a\nb\nc\n")
        client.shutdown(socket.SHUT_WR)
        with client.makefile("rb") as answers:
            assert answers.read() == b"B\n"
    assert passed_over(peer) == [b"a\n", b"c\n"]


def test_a_megabyte_that_nothing_matches_is_passed_over_at_once(peers: Peers) -> None:
    peer = peers.tcp(strict=False)
    peer.expect(b"end").reply(b".")
    with socket.create_connection(peer.address, timeout=5) as client:
        client.sendall(b"e" * 1_000_000 + b"end")
        assert client.recv(1) == b"."
    assert [len(data) for data in passed_over(peer)] == [1_000_000]
