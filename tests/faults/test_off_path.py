"""Answers that real clients must not take: from elsewhere, too late, to the question before."""

import socket
from collections.abc import Callable
from typing import Any

import dns.exception
import dns.message
import dns.query
import pytest

from pytest_echoserver import DatagramFaults, DatagramPeer, Peers, Schedule, Verdict
from pytest_echoserver._peers import faulty_datagrams
from pytest_echoserver._transports.datagram import bound_datagram_socket

from ..conftest import Client, Downstream
from .name_server import answer


def ask(peer: DatagramPeer, name: str = "example.org.", **options: Any) -> dns.message.Message:
    query = dns.message.make_query(name, "A")
    return dns.query.udp(query, peer.host, port=peer.port, timeout=1.0, **options)


@pytest.mark.parametrize("host", ["", "127.0.0.2"])
def test_an_answer_from_elsewhere(peers: Peers, host: str) -> None:
    peer = peers.udp(answer, outbound=DatagramFaults().on(message=1).send_from(host))
    with pytest.raises(dns.query.UnexpectedSource):
        ask(peer)
    assert ask(peer).answer


def test_where_it_comes_from(peers: Peers, udp_client: Client) -> None:
    client = udp_client()
    peer = peers.udp_echo(outbound=DatagramFaults().on(message=1).send_from("127.0.0.3"))
    for _ in range(2):
        client.sendto(b"x", peer.address)
    sources = [client.recvfrom(10)[1] for _ in range(2)]
    assert sources[0][0] == "127.0.0.3"
    assert sources[1] == peer.address


@pytest.mark.parametrize("host", ["no address", "\0", "127.0.0.2 ", "localhost"])
def test_a_source_that_is_no_address_is_refused(host: str) -> None:
    with pytest.raises(ValueError, match="the host of source must be an IP address"):
        DatagramFaults().on(message=1).send_from(host)


@pytest.mark.parametrize(
    ("own", "host", "text"),
    [
        ("127.0.0.1", "::1", "nothing can come from ::1 on a peer over IPv4"),
        ("::1", "127.0.0.2", "nothing can come from 127.0.0.2 on a peer over IPv6"),
        ("127.0.0.1", "192.0.2.7", "nothing can come from 192.0.2.7 here: can't bind"),
    ],
)
def test_a_source_that_a_peer_cannot_have_is_refused_where_it_is_given(
    peers: Peers, own: str, host: str, text: str
) -> None:
    faults = DatagramFaults().on(message=1).send_from(host)
    with pytest.raises(ValueError, match=text):
        peers.udp_echo(host=own, outbound=faults)
    with pytest.raises(ValueError, match=text):
        peers.udp_echo(host=own, faults=Schedule({("out", 0, 0): faults.triggers[0].verdict}))
    peer = peers.udp_echo(host=own)
    with pytest.raises(ValueError, match=text):
        peer.faults = faults
    assert peer.faults is None


def test_a_source_is_tried_once(peers: Peers, monkeypatch: pytest.MonkeyPatch) -> None:
    tried = []

    def bound(family: Any, host: str, port: int) -> socket.socket:
        tried.append(host)
        return bound_datagram_socket(family, host, port)

    faulty_datagrams._bind_once.cache_clear()
    monkeypatch.setattr(faulty_datagrams, "bound_datagram_socket", bound)
    here, nowhere = Verdict(source=("127.0.0.7", 0)), Verdict(source=("192.0.2.8", 0))
    peer = peers.udp_echo(outbound=[Schedule({("out", 0, 0): here}), Schedule({("out", 0, 1): here})])
    for _ in range(3):
        with peer.faulty(outbound=Schedule({("out", 1, 0): here})), pytest.raises(ValueError, match="192"):
            peer.faults = [Schedule({("out", 0, 0): here}), Schedule({("out", 0, 1): nowhere})]
    assert tried == ["127.0.0.7"] + ["192.0.2.8"] * 3


def test_a_source_that_cannot_be_had_is_noted(peers: Peers, udp_client: Client) -> None:
    client = udp_client()
    peer = peers.udp(outbound=lambda _: Verdict(source=("192.0.2.7", 0)))
    client.bind(("127.0.0.1", 0))
    with pytest.raises(OSError, match=r"192\.0\.2\.7"):
        peer.send(b"x", client.getsockname()).result()
    assert "error_received" in [event.name for event in peer.events]


def test_an_answer_to_the_question_before(peers: Peers) -> None:
    peer = peers.udp(answer, outbound=DatagramFaults().on(message=2).stale())
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.setblocking(False)
        assert ask(peer, "one.example.", sock=sock).answer
        with pytest.raises(dns.query.BadResponse):
            ask(peer, "two.example.", sock=sock)
        assert ask(peer, "three.example.", sock=sock).answer


def test_so_it_is_if_each_question_comes_from_a_new_port(peers: Peers) -> None:
    peer = peers.udp(answer, outbound=DatagramFaults().on(message=2).stale())
    assert ask(peer, "one.example.").answer
    with pytest.raises(dns.query.BadResponse):
        ask(peer, "two.example.")
    assert ask(peer, "three.example.").answer


def test_without_a_question_before_it_has_not_happened(downstream: Downstream) -> None:
    result = downstream.run(
        """
        import socket
        from pytest_echoserver import DatagramFaults

        def test_it(peers):
            peer = peers.udp_echo(outbound=DatagramFaults().on(message=1).stale())
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
                client.sendto(b"x", peer.address)
                assert client.recv(10) == b"x"
        """
    )
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["E*pytest_echoserver.FaultNotMet: *on(message=1) never did*"])
    result.stdout.no_fnmatch_line("*copy of the one before*")


def test_a_late_answer_comes_after_the_next(peers: Peers) -> None:
    peer = peers.udp(answer, outbound=DatagramFaults().on(message=1).late())
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.setblocking(False)
        with pytest.raises(dns.exception.Timeout):
            ask(peer, "one.example.", sock=sock)
        assert ask(peer, "two.example.", sock=sock).answer
        with pytest.raises(dns.query.BadResponse):  # the late one
            ask(peer, "three.example.", sock=sock)


@pytest.mark.parametrize("judge", [lambda packet: Verdict(late=packet.index == 0)])
def test_a_late_one_that_none_follows_is_noted_at_the_close(
    peers: Peers, udp_client: Client, judge: Callable[[Any], Verdict]
) -> None:
    client = udp_client()
    with peers.udp_echo(outbound=judge) as peer:
        client.sendto(b"x", peer.address)
        peer.next_datagram().result()
    faults = [event.args[-1] for event in peer.events if event.name == "fault"]
    assert faults == [Verdict(late=True), Verdict(drop=True)]
