"""Faults at a place: on datagrams, and what is told of those that never happened."""

import copy
import pickle
import re
import socket
import time
from typing import Any

import pytest

from pytest_echoserver import DatagramFaults, Packet, Peers, StreamFaults, Verdict

from ..conftest import Client, Connect, Downstream, receive


def talk(client: socket.socket, peer: Any, *said: bytes) -> list[bytes]:
    """Send all, and give what comes back in a moment."""
    client.connect(peer.address)
    for data in said:
        client.send(data)
    client.settimeout(0.4)
    came = []
    try:
        while True:
            came.append(client.recv(100))
    except TimeoutError:
        return came


@pytest.mark.parametrize(
    ("faults", "came"),
    [
        (DatagramFaults().on(message=2).drop(), [b"a", b"c"]),
        (DatagramFaults().on(message=1).duplicate(3), [b"a", b"a", b"a", b"b", b"c"]),
        (DatagramFaults().on(match=b"b").replace(b"B"), [b"a", b"B", b"c"]),
        (DatagramFaults().on(match=re.compile(b"[ab]"), message=2).drop(), [b"a", b"c"]),
        (DatagramFaults().on(match=b"a").reorder(), [b"b", b"a", b"c"]),
        (DatagramFaults().on(match=b"a").late().on(match=b"b").delay(0.06), [b"b", b"a", b"c"]),
        (DatagramFaults().on(message=2).stale(), [b"a", b"a", b"c"]),
        (DatagramFaults(loss=1.0).on(message=3).delay(0.0), [b"c"]),
        (DatagramFaults(duplicate=1.0).on(message=2).drop(), [b"a", b"a", b"c", b"c"]),
        (DatagramFaults(duplicate=1.0).on(message=2).replace(b"B"), [b"a", b"a", b"B", b"B", b"c", b"c"]),
        (DatagramFaults().on(message=2).duplicate().on(match=b"b").replace(b"B"), [b"a", b"B", b"B", b"c"]),
        (DatagramFaults().on(match=b"b").replace(b"1").on(message=2).replace(b"2"), [b"a", b"1", b"c"]),
    ],
)
def test_on_answers(peers: Peers, udp_client: Client, faults: DatagramFaults, came: list[bytes]) -> None:
    assert talk(udp_client(), peers.udp_echo(outbound=faults), b"a", b"b", b"c") == came


def test_corrupt_flips_a_bit_of_that_one(peers: Peers, udp_client: Client) -> None:
    peer = peers.udp_echo(outbound=DatagramFaults(seed=1).on(message=2).corrupt())
    came = talk(udp_client(), peer, b"\0\0\0\0", b"\0\0\0\0")
    assert [int.from_bytes(data, "big").bit_count() for data in came] == [0, 1]


def test_both_ways_each_counts_for_itself(peers: Peers, udp_client: Client) -> None:
    peer = peers.udp_echo(faults=DatagramFaults().on(message=2).drop())
    assert talk(udp_client(), peer, b"a", b"b", b"c", b"d") == [b"a", b"d"]
    assert [datagram.data for datagram in peer.received] == [b"a", b"c", b"d"]


def test_clients_count_together(peers: Peers, udp_client: Client) -> None:
    peer = peers.udp_echo(inbound=DatagramFaults().on(message=1).drop())
    assert talk(udp_client(), peer, b"lost") == []
    assert talk(udp_client(), peer, b"again") == [b"again"]


def test_late_is_later_than_a_figures_reorder(peers: Peers, udp_client: Client) -> None:
    peer = peers.udp_echo(outbound=DatagramFaults(reorder=1.0).on(message=1).late())
    assert talk(udp_client(), peer, b"a") == []


def test_delays_add_up(peers: Peers, udp_client: Client, connect: Connect) -> None:
    datagrams = DatagramFaults(delay=0.01).on(message=1).delay(0.02).on(match=b"x").delay(0.04)
    peer = peers.udp_echo(outbound=datagrams)
    assert talk(udp_client(), peer, b"x") == [b"x"]
    stream = peers.tcp_echo(outbound=StreamFaults(delay=0.01).on(bytes=0).delay(0.02).on(match=b"x").delay(0.04))
    client = connect(stream)
    before = time.monotonic()
    client.sendall(b"x")
    assert client.recv(10) == b"x"
    assert time.monotonic() - before >= 0.07
    for schedule in (peer.schedule, stream.schedule):
        assert list(schedule) == [("out", 0, 0)]
        assert schedule["out", 0, 0].delay == pytest.approx(0.07)


def test_a_callable_is_asked_where_a_trigger_happens_to_a_stream(peers: Peers, connect: Connect) -> None:
    seen: list[Packet] = []
    peer = peers.tcp_echo(outbound=[seen.append, StreamFaults(seed=1).on(match=b"hello").corrupt()])
    client = connect(peer)
    client.sendall(b"hello")
    assert (int.from_bytes(client.recv(10), "big") ^ int.from_bytes(b"hello", "big")).bit_count() == 1
    assert [packet.data for packet in seen] == [b"hello"]


def test_a_stream_ends_once_at_a_place(peers: Peers, connect: Connect) -> None:
    faults = StreamFaults(close_after=5).on(bytes=5).reset().on(match=b"hello").stall()
    peer = peers.tcp_echo(outbound=faults)
    client = connect(peer)
    client.sendall(b"hello, hello")
    assert client.recv(10) == b"hello"
    with pytest.raises(ConnectionResetError):
        client.recv(10)
    with pytest.raises(AssertionError, match=r"on\(match=b'hello'\) never did: Verdict\(end='stall'\)$"):
        peer.verify()


def test_a_stale_one_has_happened_though_the_other_way_there_was_none_before(
    peers: Peers, udp_client: Client
) -> None:
    peer = peers.udp(faults=DatagramFaults().on(match=b"q").stale())
    peer.serve(lambda _: b"q" if len(peer.received) == 2 else None)
    assert talk(udp_client(), peer, b"a", b"q") == [b"q"]  # the first that goes out
    assert [datagram.data for datagram in peer.received] == [b"a", b"a"]
    peer.verify()


def test_faults_go_on_after_others_were_in_force(peers: Peers, udp_client: Client) -> None:
    peer = peers.udp_echo(inbound=DatagramFaults().on(message=1).drop().on(message=3).drop())
    client = udp_client()
    assert talk(client, peer, b"a", b"b") == [b"b"]
    with peer.faulty(DatagramFaults()):
        assert talk(client, peer, b"c") == [b"c"]
    assert talk(client, peer, b"d", b"e") == [b"e"]


def test_so_do_those_of_a_stream(peers: Peers, connect: Connect) -> None:
    faults = StreamFaults(rate=1e6, segment=7).on(bytes=2).corrupt().on(match=b"yz").corrupt().on(bytes=10).close()
    peer = peers.tcp_echo(outbound=faults)
    client = connect(peer)

    def differs(data: bytes) -> list[int]:
        """In how many bits each byte of its echo does."""
        client.sendall(data)
        return [(sent ^ got).bit_count() for sent, got in zip(data, receive(client, len(data)), strict=True)]

    assert differs(b"abcy") == [0, 0, 1, 0]
    with peer.faulty(StreamFaults(rate=2e6, segment=8)):
        assert differs(b"efg") == [0, 0, 0]
    assert (peer.schedule.rates["out"], peer.schedule.segments["out"]) == (1e6, 7)
    assert differs(b"zyz") == [0, 0, 1]
    assert client.recv(10) == b""


@pytest.mark.parametrize(
    ("kind", "place", "written", "verbs"),
    [
        (
            "udp",
            DatagramFaults(loss=0.1).on(message=1),
            "DatagramFaults(loss=0.1).on(message=1)",
            ".corrupt(), .delay(), .drop(), .duplicate(), .late(), .reorder(), .replace(), .send_from() or "
            ".stale()",
        ),
        (
            "tcp",
            StreamFaults().on(bytes=3, connection=2),
            "StreamFaults().on(bytes=3, connection=2)",
            ".close(), .corrupt(), .delay(), .reset() or .stall()",
        ),
    ],
)
def test_a_place_alone_is_no_fault(peers: Peers, kind: str, place: Any, written: str, verbs: str) -> None:
    assert repr(place) == written
    text = f"{written} says only where: what is to happen there has to follow, by {verbs}"
    for given, name in ((place, "faults"), ([place], "faults"), ((None, place), "faults[1]")):
        with pytest.raises(TypeError, match=re.escape(f"{name}: {text}")):
            getattr(peers, kind)(faults=given)


def test_what_happens_needs_a_place() -> None:
    faults: Any = DatagramFaults()
    with pytest.raises(AttributeError, match=r"has no attribute 'drop': say where first, as in \.on\(.*\)\.drop\("):
        faults.drop()
    stream: Any = StreamFaults(delay=0.1)
    with pytest.raises(AttributeError, match=r"has no attribute 'reset': say where first, as in \.on\("):
        stream.reset()
    with pytest.raises(AttributeError, match=r"^'StreamFaults' object has no attribute 'drop'$"):
        stream.drop()
    assert copy.deepcopy(stream) == pickle.loads(pickle.dumps(stream)) == stream


def test_one_that_never_fires_fails_the_test(downstream: Downstream) -> None:
    result = downstream.run(
        """
        import socket
        from pytest_echoserver import DatagramFaults, StreamFaults

        def test_datagrams(peers):
            peers.udp_echo(faults=DatagramFaults().on(message=2).drop())

        def test_streams(peers):
            peers.tcp(faults=StreamFaults().on(match=b"never").reset())

        def test_in_a_block(udp_echo_server):
            with udp_echo_server.faulty(DatagramFaults().on(match=b"no").delay(1)):
                pass

        def test_one_direction_is_enough(peers):
            peer = peers.udp_echo(faults=DatagramFaults().on(match=b"x").drop())
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
                client.sendto(b"x", peer.address)
        """
    )
    result.assert_outcomes(failed=3, passed=1)
    result.stdout.fnmatch_lines(
        [
            "*FaultNotMet: udp_echo-1: a fault that was to happen on(message=2) never did: Verdict(drop=True)",
            "*FaultNotMet: tcp-1: a fault that was to happen on(match=b'never') never did: Verdict(end='reset')",
            "*FaultNotMet: udp_echo-1: a fault that was to happen on(match=b'no') never did: Verdict(delay=1)",
        ]
    )


def test_verify_tells_of_it_once(peers: Peers) -> None:
    peer = peers.udp_echo(faults=DatagramFaults().on(message=2).drop())
    with pytest.raises(AssertionError, match="never did"):
        peer.verify()


def test_a_callable_that_goes_wrong_fails_the_test(downstream: Downstream) -> None:
    result = downstream.run(
        """
        import socket
        from pytest_echoserver import Verdict
        import pytest

        @pytest.mark.parametrize("judge", [
            lambda packet: 1 / 0,
            lambda packet: "drop",
            lambda packet: Verdict(end="reset"),
            lambda packet: Verdict(source=("", 0)),
        ], ids=["raises", "string", "ends", "elsewhere"])
        def test_datagram(peers, judge):
            peer = peers.udp_echo(inbound=judge)
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
                client.sendto(b"x", peer.address)
                peer.wait_for(1).result()

        def test_stream(peers):
            peer = peers.tcp_echo(faults=lambda packet: Verdict(copies=2))
            with socket.create_connection(peer.address) as client:
                client.sendall(b"x")
                assert client.recv(10) in (b"", b"x")
        """
    )
    result.assert_outcomes(failed=5)
    for text in (
        "*ZeroDivisionError*",
        "*TypeError: *gave 'drop', which is neither a Verdict nor None",
        "*ValueError: *a datagram can't end a connection, there is none",
        "*ValueError: *only what the peer sends can come from elsewhere",
        "*gave Verdict(copies=2): copies can't be on a stream*",
    ):
        result.stdout.fnmatch_lines([text])


def test_a_verdict_of_passing_is_no_event(peers: Peers, udp_client: Client) -> None:
    peer = peers.udp_echo(faults=lambda _: Verdict())
    assert talk(udp_client(), peer, b"a") == [b"a"]
    assert "fault" not in [event.name for event in peer.events]
    assert len(peer.schedule) == 0
