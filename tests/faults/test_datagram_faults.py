"""What figures make of datagrams, as their client sees it."""

import math
import socket
import statistics
import time
from itertools import pairwise
from typing import Any

import pytest

from pytest_echoserver import (
    CaptureTimeout,
    DatagramFaults,
    DatagramPeer,
    Packet,
    Peers,
    Schedule,
    Verdict,
)

from ..conftest import Client, Downstream

COUNT = 20_000
SYNC = b"sync"


def spare_sync(packet: Packet) -> Verdict | None:
    """Let pass what tells the client that all before it was dealt with."""
    return Verdict() if packet.data == SYNC else None


def echoes(peer: DatagramPeer, client: socket.socket, count: int, batch: int = 100) -> list[bytes]:
    """Send so many datagrams, numbered, no more at a time than buffers hold; give what comes back, in order."""
    client.connect(peer.address)
    came: list[bytes] = []
    for start in range(0, count, batch):
        for number in range(start, min(start + batch, count)):
            client.send(number.to_bytes(8, "big"))
        client.send(SYNC)
        came += iter(lambda: client.recv(100), SYNC)
    return came


def numbers(datagrams: list[bytes]) -> list[int]:
    return [int.from_bytes(data, "big") for data in datagrams]


def is_likely(count: int, probability: float, of: int = COUNT) -> bool:
    """Whether so many are within the 99.9 % interval of the binomial distribution."""
    return abs(count - of * probability) <= 3.291 * math.sqrt(of * probability * (1 - probability)) + 0.5


@pytest.fixture
def client(udp_client: Client) -> socket.socket:
    return udp_client()


@pytest.mark.parametrize("way", ["inbound", "outbound"])
@pytest.mark.parametrize("loss", [0.01, 0.3])
def test_loss(peers: Peers, client: socket.socket, way: str, loss: float) -> None:
    given: dict[str, Any] = {way: [spare_sync, DatagramFaults(loss=loss, seed=1)]}
    peer = peers.udp_echo(**given)
    came = numbers(echoes(peer, client, COUNT))
    assert is_likely(COUNT - len(came), loss)
    assert came == sorted(set(came))
    assert sum(verdict.drop for verdict in peer.schedule.values()) == COUNT - len(came)
    heard = COUNT if way == "outbound" else len(came)
    assert len(peer.received) == heard + COUNT // 100
    assert sum(event.name == "fault" for event in peer.events) == COUNT - len(came)


def test_duplicate(peers: Peers, client: socket.socket) -> None:
    peer = peers.udp_echo(outbound=[spare_sync, DatagramFaults(duplicate=0.2, seed=2)])
    came = numbers(echoes(peer, client, COUNT))
    assert is_likely(len(came) - COUNT, 0.2)
    assert list(dict.fromkeys(came)) == list(range(COUNT))
    assert sum(one == two for one, two in pairwise(came)) == len(came) - COUNT


def test_reorder(peers: Peers, client: socket.socket, monkeypatch: pytest.MonkeyPatch) -> None:
    # On a busy machine the next of a flow may come later than in 50 ms: then none is overtaken.
    monkeypatch.setattr("pytest_echoserver._faults.datagrams.REORDERED_WITHIN", 5.0)
    peer = peers.udp_echo(outbound=[spare_sync, DatagramFaults(reorder=0.1, seed=3)])
    came = numbers(echoes(peer, client, COUNT, batch=200))
    assert sorted(came) == list(range(COUNT))
    late, highest = 0, -1
    for number in came:
        late += number < highest
        highest = max(highest, number)
    last_of_batch = sum(verdict.reorder for (_, _, index), verdict in peer.schedule.items() if index % 201 == 199)
    assert late + last_of_batch >= sum(verdict.reorder for verdict in peer.schedule.values())
    assert is_likely(sum(verdict.reorder for verdict in peer.schedule.values()), 0.1)


def test_corrupt_flips_one_bit(peers: Peers, client: socket.socket) -> None:
    peer = peers.udp_echo(outbound=[spare_sync, DatagramFaults(corrupt=0.05, seed=4)])
    came = numbers(echoes(peer, client, COUNT))
    flipped = [(sent ^ got).bit_count() for sent, got in zip(range(COUNT), came, strict=True)]
    assert set(flipped) == {0, 1}
    assert is_likely(sum(flipped), 0.05)


def test_a_delay_is_never_early_and_hardly_late(peers: Peers, client: socket.socket) -> None:
    peer = peers.udp_echo(outbound=DatagramFaults(delay=0.01))
    client.connect(peer.address)
    later_than_a_sleep = []
    for _ in range(5):
        taken, slept = [], []
        for _ in range(20):
            before = time.monotonic()
            time.sleep(0.01)
            between = time.monotonic()
            client.send(b"x")
            client.recv(10)
            slept.append(between - before)
            taken.append(time.monotonic() - between)
        assert min(taken) >= 0.01
        later_than_a_sleep.append(statistics.median(taken) - statistics.median(slept))
    assert min(later_than_a_sleep) <= 0.0015  # on a busy machine a bare sleep is late, too


def test_jitter_spreads_evenly_and_keeps_the_order(peers: Peers, client: socket.socket) -> None:
    peer = peers.udp_echo(inbound=[spare_sync, DatagramFaults(delay=0.004, jitter=0.002, seed=5)])
    assert numbers(echoes(peer, client, 2_000)) == list(range(2_000))
    delays = [verdict.delay for verdict in peer.schedule.values()]
    assert 0.002 <= min(delays) < 0.0021
    assert 0.0059 < max(delays) <= 0.006
    assert abs(statistics.mean(delays) - 0.004) < 0.0001


def test_rate(peers: Peers, client: socket.socket) -> None:
    peer = peers.udp_echo(outbound=DatagramFaults(rate=100_000))
    client.connect(peer.address)
    taken = []
    for _ in range(3):
        before = time.monotonic()
        for _ in range(25):
            client.send(bytes(1_000))
        for _ in range(25):
            client.recv(2_000)
        taken.append(time.monotonic() - before)
    assert min(taken) >= 0.25
    assert min(taken) <= 0.2625


@pytest.mark.parametrize("way", ["in", "out"])
def test_a_rate_is_told_once(peers: Peers, client: socket.socket, way: str) -> None:
    given: Any = {f"{way}bound": DatagramFaults(rate=1, delay=0.5)}
    peer = peers.udp(lambda _: [b"answer"] * 5, **given)
    client.connect(peer.address)
    for _ in range(5 if way == "in" else 1):
        client.send(b"slow")
    peer.verify()  # all were decided on
    told = [event for event in peer.events if event.name in ("fault", "rate_limited")]
    assert [event.args[3] for event in told if event.name == "fault"] == [Verdict(delay=0.5)] * 5
    assert [(at, event.args) for at, event in enumerate(told) if event.name == "rate_limited"] == [(1, (way, 1))]
    assert list(peer.schedule.values()) == [Verdict(delay=0.5)] * 5
    peer.faults = None  # what comes now waits for none
    client.send(b"again")
    peer.verify()
    assert len([event for event in peer.events if event.name in ("fault", "rate_limited")]) == 6


def test_a_rate_that_nothing_waits_for_is_told_once_too(peers: Peers, client: socket.socket) -> None:
    slow = DatagramFaults(rate=1e9)
    peer = peers.udp_echo(faults=([DatagramFaults().on(message=1).drop(), slow], slow))
    client.connect(peer.address)
    client.send(b"lost")

    def echo() -> None:
        client.send(b"hello")
        assert client.recv(10) == b"hello"

    for _ in range(20):
        echo()
    with peer.faulty(None):
        echo()
    echo()  # what acts again is told again
    told = [(event.name, event.args) for event in peer.events if event.name in ("fault", "rate_limited")]
    assert told == [
        ("fault", ("in", b"lost", client.getsockname(), Verdict(drop=True))),
        *[("rate_limited", (way, 1e9)) for way in ("in", "out")] * 2,
    ]


def test_another_rate_is_of_another_link(peers: Peers, udp_client: Client) -> None:
    peer = peers.udp_echo(inbound=DatagramFaults(rate=1e-9))
    first, second = udp_client(), udp_client()
    first.sendto(b"for ever", peer.address)
    peer.verify()  # it is on its way
    peer.faults = DatagramFaults(rate=1e6)
    second.sendto(b"now", peer.address)
    assert second.recv(10) == b"now"


def test_a_delay_that_varies_is_never_longer_than_one_may_be(peers: Peers, client: socket.socket) -> None:
    peer = peers.udp(inbound=DatagramFaults(delay=1e9, jitter=1e9, seed=1))
    client.connect(peer.address)
    for _ in range(20):
        client.send(b"x")
    peer.verify()
    delays = [verdict.delay for verdict in peer.schedule.values()]
    assert len(delays) == 20
    assert max(delays) == 1e9


def test_the_last_of_a_reorder_is_not_held_for_ever(peers: Peers, client: socket.socket) -> None:
    peer = peers.udp_echo(outbound=DatagramFaults(reorder=1.0))
    client.connect(peer.address)
    before = time.monotonic()
    client.send(b"alone")
    assert client.recv(10) == b"alone"
    assert time.monotonic() - before >= 0.05


def test_ten_thousand_on_their_way_cost_one_timer(peers: Peers, client: socket.socket) -> None:
    peer = peers.udp(inbound=DatagramFaults(delay=0.5))
    client.connect(peer.address)
    loop: Any = peer._scope.engine.loop

    def timers() -> int:
        return peer._scope.call(lambda: len(getattr(loop, "_scheduled", ())))

    before = timers()
    for number in range(10_000):
        client.send(number.to_bytes(8, "big"))
        if number % 100 == 99:
            assert timers() <= before + 1
    assert peer.wait_for(10_000).result()[-1].data == (9_999).to_bytes(8, "big")


def test_a_lost_answer_counts_as_said(peers: Peers, client: socket.socket) -> None:
    peer = peers.udp_echo(outbound=DatagramFaults(loss=1.0))
    client.sendto(b"x", peer.address)
    peer.next_datagram().result()
    peer.send(b"y", client.getsockname()).result()
    assert [sent.data for sent in peer.sent] == [b"x", b"y"]
    assert [event.name for event in peer.events] == [
        "datagram_received",
        "datagram_sent",
        "fault",
        "datagram_sent",
        "fault",
    ]


def test_copies_are_never_unexpected(peers: Peers, client: socket.socket) -> None:
    peer = peers.udp(inbound=DatagramFaults(duplicate=1.0))
    peer.expect(b"once").reply(b"and once")
    peer.expect(b"twice").reply(b"said once")
    client.connect(peer.address)
    client.send(b"once")
    assert client.recv(100) == b"and once"
    client.send(b"twice")
    assert client.recv(100) == b"said once"
    peer.expect_silence(0.01).result()


def test_a_copy_breaks_no_silence_and_is_not_left_over_by_a_late_script(
    peers: Peers, client: socket.socket
) -> None:
    peer = peers.udp(inbound=DatagramFaults().on(message=1).duplicate())
    client.sendto(b"join", peer.address)
    assert [datagram.data for datagram in peer.wait_for(2).result()] == [b"join", b"join"]
    assert peer.next_datagram().result().data == b"join"
    peer.expect_silence(0.01).result()
    peer.clear()
    peer.faults = DatagramFaults(duplicate=1.0)
    client.sendto(b"late", peer.address)
    peer.wait_for(2).result()
    peer.expect(b"late")
    peer.verify()
    peer.expect_silence(0.01).result()


def test_faults_change_while_it_runs(peers: Peers, client: socket.socket) -> None:
    peer = peers.udp_echo()
    client.connect(peer.address)
    with peer.faulty(inbound=lambda _: Verdict(data=b"changed")):
        client.send(b"x")
        assert client.recv(100) == b"changed"
    client.send(b"x")
    assert client.recv(100) == b"x"
    peer.faults = DatagramFaults(loss=1.0)
    client.send(b"lost")
    peer.faults = None
    client.send(b"there")
    assert client.recv(100) == b"there"


def test_the_first_that_decides_wins(peers: Peers, client: socket.socket) -> None:
    def first(packet: Packet) -> Verdict | None:
        return {0: Verdict(data=b"first"), 1: Verdict()}.get(packet.index)

    peer = peers.udp_echo(
        inbound=[first, Schedule({("in", 0, 2): Verdict(data=b"kept")}), lambda _: Verdict(drop=True)]
    )
    client.connect(peer.address)
    for _ in range(5):
        client.send(b"x")
    assert [client.recv(100) for _ in range(3)] == [b"first", b"x", b"kept"]
    peer.wait_for(3).result()
    assert len(peer.received) == 3


def test_what_is_on_its_way_at_a_close_is_noted(peers: Peers, client: socket.socket) -> None:
    peer = peers.udp_echo(outbound=DatagramFaults(delay=60))
    client.sendto(b"x", peer.address)
    sending = peer.send(b"y", client.getsockname())
    peer.next_datagram().result()
    peer.close()
    assert isinstance(sending.exception(), ConnectionAbortedError)
    assert [event.args[-1] for event in peer.events if event.name == "fault"][-2:] == [Verdict(drop=True)] * 2


def test_a_wait_in_vain_tells_what_the_network_keeps(peers: Peers, client: socket.socket) -> None:
    def network(packet: Packet) -> Verdict | None:
        return {b"lost": Verdict(drop=True), b"late": Verdict(delay=60)}.get(packet.data)

    peer = peers.udp(inbound=network)
    for data in (b"lost", b"lost"):
        client.sendto(data, peer.address)
    client.sendto(SYNC, peer.address)
    assert peer.next_datagram().result().data == SYNC
    with pytest.raises(CaptureTimeout, match=r"1 datagram had come by then, .* s ago; its network has lost 2$"):
        peer.next_datagram().result(0)
    client.sendto(b"late", peer.address)
    with pytest.raises(CaptureTimeout, match=r"ago; its network has lost 2 and holds 1 back$"):
        peer.wait_for(2).result(0.2)
    peer.clear()
    with pytest.raises(CaptureTimeout, match=r"no datagram came; its network holds 1 back$"):
        peer.wait_for(1).result(0)
    peer.clear(script=True)
    with pytest.raises(CaptureTimeout, match=r"no datagram came$"):
        peer.wait_for(1).result(0)


def test_over_ipv6_a_client_is_one_flow_whoever_sends_to_it(peers: Peers) -> None:
    seen: list[Packet] = []
    peer = peers.udp_echo(host="::1", outbound=seen.append)
    with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as client:
        client.settimeout(5)
        client.connect(peer.address)
        client.send(b"echo")
        assert client.recv(100) == b"echo"
        peer.send(b"sent", client.getsockname()[:2])
        assert client.recv(100) == b"sent"
    assert [(packet.data, packet.flow, packet.index) for packet in seen] == [(b"echo", 0, 0), (b"sent", 0, 1)]


def test_what_was_to_happen_later_is_let_go_of_at_the_close(downstream: Downstream) -> None:
    # Apart: in this process pytester records the calls of hooks, and keeps what they got.
    result = downstream.run_apart(
        """
        import gc, socket, weakref
        import pytest
        from pytest_echoserver import DatagramFaults, StreamFaults

        KNOWN = []

        def know(peer):
            KNOWN.extend([weakref.ref(peer), weakref.ref(peer._scope)])

        @pytest.mark.parametrize("way", ["inbound", "outbound"])
        def test_datagrams(peers, way):
            peer = peers.udp_echo(**{way: DatagramFaults(delay=3600)})
            know(peer)
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
                client.sendto(b"x", peer.address)

        def test_silence(udp_peer):
            know(udp_peer)
            udp_peer.expect_silence(3600)

        @pytest.mark.parametrize("way", ["inbound", "outbound"])
        def test_streams(peers, way):
            peer = peers.tcp_echo(**{way: StreamFaults(delay=3600)})
            know(peer)
            with socket.create_connection(peer.address) as client:
                client.sendall(b"x")
                peer.next_connection().result()

        def test_none_is_left():
            gc.collect()
            assert len(KNOWN) == 10
            assert [ref() for ref in KNOWN if ref() is not None] == []
        """
    )
    result.assert_outcomes(passed=6)
