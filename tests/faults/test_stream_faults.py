"""What faults make of streams, as their client sees it."""

import hashlib
import itertools
import re
import socket
import ssl
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest

from pytest_echoserver import CaptureTimeout, Connection, Packet, Peers, Schedule, StreamFaults, StreamPeer, Verdict
from pytest_echoserver._faults.peer import PeerFaults
from pytest_echoserver._faults.streams import StreamLane

from ..conftest import Connect, receive, reset

SIZES = [0, 1, 2, 1_023, 1_024, 1_025, 100_000, 1 << 20]


def read_until_it_stalls(client: socket.socket, size: int) -> tuple[bytes, str]:
    """So many bytes, however long they take, and what comes in a moment after them."""
    came = b""
    while len(came) < size and (data := client.recv(size - len(came))):
        came += data
    client.settimeout(0.1)
    more, end = read_to_the_end(client)
    return came + more, end


def read_to_the_end(client: socket.socket, _: int = 0) -> tuple[bytes, str]:
    """What comes, and how that ends: by EOF, by a reset, or not at all."""
    came = bytearray()
    try:
        while data := client.recv(65_536):
            came += data
    except ConnectionResetError:
        return bytes(came), "reset"
    except TimeoutError:
        return bytes(came), "stall"
    return bytes(came), "close"


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("end", ["reset", "close", "stall"])
def test_so_many_bytes_pass_before_the_end(peers: Peers, connect: Connect, end: str, size: int) -> None:
    given: Any = {f"{end}_after": size}
    peer = peers.tcp(faults=StreamFaults(**given))
    client = connect(peer)
    peer.connection.send(b"x" * (size + 5_000))
    read = read_until_it_stalls if end == "stall" else read_to_the_end
    assert read(client, size) == (b"x" * size, end)
    assert [event.args[-1] for event in peer.events if event.name == "fault"] == [Verdict(end=end, at=size)]  # type: ignore[arg-type]


def test_one_that_sends_nothing_ends_where_nothing_is_to_pass(peers: Peers, connect: Connect) -> None:
    assert read_to_the_end(connect(peers.tcp(faults=StreamFaults(reset_after=0)))) == (b"", "reset")


def test_a_reset_counts_plain_text_over_tls(peers: Peers, connect: Connect) -> None:
    peer = peers.tls(faults=StreamFaults(reset_after=5_000))
    client = connect(peer)
    peer.connection.send(b"x" * 9_000)
    came, _ = read_to_the_end(client)  # up to Python 3.12 the ssl module takes a reset for an EOF
    assert came == b"x" * 5_000
    assert peer.connection.ended.result() == "reset"


def test_the_networks_reset_is_nobodys_fault(tcp_peer: StreamPeer, connect: Connect) -> None:
    @tcp_peer.serve
    async def answers(connection: Connection) -> None:
        while line := await connection.read_until(b"\n"):
            await connection.send(line)

    tcp_peer.faults = StreamFaults(reset_after=3)
    client = connect(tcp_peer)
    client.sendall(b"one\n")
    assert read_to_the_end(client) == (b"one", "reset")


@pytest.mark.parametrize("way", ["inbound", "outbound"])
@pytest.mark.parametrize("figures", [{"delay": 0.02}, {"delay": 0.01, "jitter": 0.01}, {"rate": 4_000_000}])
def test_all_arrives_in_order(peers: Peers, connect: Connect, way: str, figures: dict[str, float]) -> None:
    data = bytes(itertools.islice(itertools.cycle(range(251)), 400_000))
    faults: Any = {way: StreamFaults(**figures, seed=7)}  # type: ignore[arg-type]
    client = connect(peers.tcp_echo(**faults))
    before = time.monotonic()

    def send() -> None:
        client.sendall(data)
        client.shutdown(socket.SHUT_WR)

    sending = threading.Thread(target=send)
    sending.start()
    came, end = read_to_the_end(client)
    sending.join()
    assert (hashlib.sha256(came).digest(), end) == (hashlib.sha256(data).digest(), "close")
    assert time.monotonic() - before >= (0.1 if "rate" in figures else 0.01)


@pytest.mark.parametrize("way", ["inbound", "outbound"])
def test_a_rate_is_told_once(peers: Peers, connect: Connect, way: str) -> None:
    given: Any = {way: StreamFaults(rate=1e6)}
    peer = peers.tcp_echo(**given)
    client = connect(peer)
    for _ in range(3):
        client.sendall(bytes(20_000))
        receive(client, 20_000)
    with peer.faulty(None):
        client.sendall(b"plain")
        receive(client, 5)
    client.sendall(b"slow")
    receive(client, 4)
    assert "fault" not in [event.name for event in peer.events]
    assert [event.args for event in peer.events if event.name == "rate_limited"] == [
        (1, way.removesuffix("bound"), 0, 1e6),
        (1, way.removesuffix("bound"), 60_005, 1e6),
    ]
    assert len(peer.schedule) == 0


def test_a_delay_that_comes_back_is_told_again(peers: Peers, connect: Connect) -> None:
    peer = peers.tcp_echo()
    client = connect(peer)
    for said in (b"one", b"two"):
        with peer.faulty(outbound=StreamFaults(delay=0.001)):
            client.sendall(said)
            assert receive(client, 3) == said
    faults = [event.args for event in peer.events if event.name == "fault"]
    assert faults == [(1, "out", 0, Verdict(delay=0.001)), (1, "out", 3, Verdict(delay=0.001))]


@pytest.mark.parametrize("way", ["inbound", "outbound"])
def test_segments(peers: Peers, connect: Connect, way: str) -> None:
    given: Any = {way: StreamFaults(segment=2)}
    peer = peers.tcp_echo(**given)
    client = connect(peer)
    client.sendall(b"hello")
    client.shutdown(socket.SHUT_WR)
    reads = list(iter(lambda: client.recv(100), b""))
    assert b"".join(reads) == b"hello"
    if way == "outbound":
        assert reads == [b"he", b"ll", b"o"]
    else:
        assert [event.args[1] for event in peer.events if event.name == "data_received"] == [b"he", b"ll", b"o"]


def test_corrupt_flips_a_bit_here_and_there(peers: Peers, connect: Connect) -> None:
    peer = peers.tcp(outbound=StreamFaults(corrupt=0.5, seed=3))
    client = connect(peer)
    peer.connection.send(bytes(100 * 1_024)).result()
    peer.connection.close()
    came, _ = read_to_the_end(client)
    flipped = [sum(byte.bit_count() for byte in came[at : at + 1_024]) for at in range(0, len(came), 1_024)]
    assert set(flipped) == {0, 1}
    assert 30 < sum(flipped) < 70


def test_decisions_do_not_depend_on_how_it_was_cut(peers: Peers, connect: Connect) -> None:
    faults = StreamFaults(corrupt=0.5, seed=3)
    schedules = []
    for size in (1, 1_000, 50_000):
        peer = peers.tcp(outbound=faults, name="same")
        client = connect(peer)
        for start in range(0, 50_000, size) if size > 1 else range(0, 50_000, 777):
            peer.connection.send(bytes(min(size if size > 1 else 777, 50_000 - start)))
        peer.connection.close()
        came, _ = read_to_the_end(client)
        schedules.append((came, str(peer.schedule)))
    assert schedules[0] == schedules[1] == schedules[2]


@pytest.mark.parametrize("cuts", [[b"hello world"], [b"h", b"ello wor", b"ld"], [b"hel", b"lo world"]])
@pytest.mark.parametrize("pattern", [b"lo", re.compile(rb"l+o"), re.compile(rb"l+(?!o w)o")])
def test_a_match_is_found_however_it_is_cut(
    tcp_echo_server: StreamPeer, connect: Connect, cuts: list[bytes], pattern: Any
) -> None:
    tcp_echo_server.faults = (None, StreamFaults().on(match=pattern).reset())
    client = connect(tcp_echo_server)
    tcp_echo_server.connection.send(b"".join(cuts), segments=[len(cut) for cut in cuts])
    assert read_to_the_end(client) == (b"hello", "reset")


def test_triggers_at_bytes_and_connections(peers: Peers, connect: Connect) -> None:
    faults = StreamFaults().on(bytes=3).corrupt().on(connection=2).close()
    peer = peers.tcp_echo(outbound=faults)
    first = connect(peer)
    first.sendall(b"\0\0\0\0\0")
    came = first.recv(100)
    assert [byte.bit_count() for byte in came] == [0, 0, 0, 1, 0]
    assert read_to_the_end(connect(peer)) == (b"", "close")
    first.sendall(b"still there")
    assert first.recv(100) == b"still there"


def test_a_delay_at_a_match(peers: Peers, connect: Connect) -> None:
    peer = peers.tcp_echo(inbound=StreamFaults().on(match=b"slow").delay(0.1))
    client = connect(peer)
    before = time.monotonic()
    client.sendall(b"slow")
    assert client.recv(100) == b"slow"
    assert time.monotonic() - before >= 0.1


@pytest.mark.parametrize(
    "faults",
    [
        StreamFaults(reset_after=2_048),
        StreamFaults(close_after=0),
        StreamFaults(corrupt=0.5, seed=9, segment=900),
        StreamFaults().on(match=b"\x07").reset().on(bytes=3).corrupt(),
        StreamFaults(seed=1).on(bytes=1_030).corrupt().on(bytes=1_035).corrupt(),
        StreamFaults(corrupt=1.0, seed=1).on(bytes=5).corrupt().on(match=b"\x07").corrupt().on(bytes=9).delay(0.01),
    ],
    ids=str,
)
def test_a_schedule_is_replayed_to_the_letter(peers: Peers, connect: Connect, faults: StreamFaults) -> None:
    def seen(given: Any) -> tuple[Any, Schedule]:
        peer = peers.tcp(outbound=given)
        client = connect(peer)
        peer.connection.send(bytes(3_000) + bytes(range(10)))
        peer.connection.close()
        return read_to_the_end(client), peer.schedule

    first, schedule = seen(faults)
    again, replayed = seen(Schedule.parse(str(schedule)))
    assert again == first
    assert replayed == schedule
    assert str(replayed) == str(schedule)


def test_faults_change_on_a_connection_that_stands(tcp_echo_server: StreamPeer, connect: Connect) -> None:
    client = connect(tcp_echo_server)

    def said(data: bytes) -> bytes:
        client.sendall(data)
        return client.recv(100)

    assert said(b"one") == b"one"
    with tcp_echo_server.faulty(inbound=lambda _: Verdict(data=b"two")):
        assert said(b"changed") == b"two"
    assert said(b"three") == b"three"


def test_a_stall_holds_back_who_sends(peers: Peers, connect: Connect) -> None:
    peer = peers.tcp(outbound=StreamFaults(stall_after=10))
    client = connect(peer)
    connection = peer.connection
    assert connection.send(bytes(1_000)).exception(timeout=0.1)
    assert read_until_it_stalls(client, 10) == (bytes(10), "stall")
    with suppress(TimeoutError):
        client.sendall(bytes(64 << 20))
    assert len(connection.received) < 16 << 20


def test_bytes_count_from_when_faults_were_given(tcp_echo_server: StreamPeer, connect: Connect) -> None:
    client = connect(tcp_echo_server)
    for faults in (StreamFaults(delay=0.001), StreamFaults(close_after=2)):
        client.sendall(b"before")
        assert client.recv(100) == b"before"
        tcp_echo_server.faults = faults
    client.sendall(b"after")
    assert read_to_the_end(client) == (b"af", "close")


def test_given_for_both_ways_bytes_count_what_the_peer_sends(peers: Peers, connect: Connect) -> None:
    peer = peers.tcp(faults=StreamFaults().on(bytes=3).reset())
    client = connect(peer)
    client.sendall(b"hello")
    assert peer.connection.read_exactly(5).result() == b"hello"
    peer.connection.send(b"hello")
    assert read_to_the_end(client) == (b"hel", "reset")


def test_a_list_for_each_way_of_a_pair_counts_in_each(peers: Peers, connect: Connect) -> None:
    faults: list[Any] = [StreamFaults(close_after=3)]
    peer = peers.tcp(inbound=faults, outbound=faults)
    connect(peer).sendall(b"hello")
    assert peer.connection.read(-1).result() == b"hel"
    assert list(peer.schedule) == [("in", 0, 0)]


def test_a_list_may_change_after_it_was_given(peers: Peers, connect: Connect) -> None:
    faults: list[Any] = [StreamFaults()]
    peer = peers.tcp_echo(outbound=faults)
    faults.append(StreamFaults(close_after=0))
    for _ in range(2):
        client = connect(peer)
        client.sendall(b"hello")
        assert client.recv(100) == b"hello"
        peer.clear(script=True)  # it decides anew
    assert peer.faults == (None, [StreamFaults()])


@pytest.mark.parametrize("end", [lambda _: None, socket.socket.close, reset])
@pytest.mark.parametrize("way", ["inbound", "outbound"])
def test_a_test_may_end_with_bytes_on_their_way(
    peers: Peers, connect: Connect, way: str, end: Callable[[socket.socket], None]
) -> None:
    given: Any = {way: StreamFaults(delay=60)}
    client = connect(peers.tcp_echo(**given))
    client.sendall(b"never to arrive")
    end(client)


def test_a_client_that_never_stops_does_not_hold_up_a_close(peers: Peers, connect: Connect) -> None:
    peer = peers.tcp(outbound=StreamFaults(close_after=1))
    client = connect(peer)
    client.settimeout(0.05)

    def flood() -> None:
        with suppress(OSError):
            while True:
                client.send(bytes(1 << 20))

    flooding = threading.Thread(target=flood)
    flooding.start()
    peer.connection.send(b"xx")
    assert peer.connection.ended.result() in ("eof", "reset")
    flooding.join()


def test_nothing_may_stand_in_the_place_of_a_block(tcp_echo_server: StreamPeer, connect: Connect) -> None:
    tcp_echo_server.faults = lambda packet: Verdict(data=b"") if packet.direction == "in" else None
    client = connect(tcp_echo_server)
    client.sendall(b"x")
    tcp_echo_server.faults = None
    client.sendall(b"y")
    assert client.recv(100) == b"y"


def test_who_sends_waits_for_the_network(peers: Peers, connect: Connect) -> None:
    peer = peers.tcp(outbound=StreamFaults(delay=0.1))
    client = connect(peer)
    before = time.monotonic()
    peer.connection.send(b"x").result()
    assert time.monotonic() - before >= 0.1
    peer.connection.send(b"last words")
    peer.connection.close().result()
    assert read_to_the_end(client) == (b"xlast words", "close")


def test_a_full_network_holds_the_client_back(peers: Peers, connect: Connect) -> None:
    peer = peers.tcp(inbound=StreamFaults(delay=60), receive_buffer=4_096)
    client = connect(peer)
    client.settimeout(0.3)
    sent = 0
    with suppress(TimeoutError):
        while sent < 64 << 20:
            sent += client.send(bytes(1 << 20))
    assert sent < 16 << 20


def test_tls(peers: Peers, connect: Connect) -> None:
    peer = peers.tls_echo(faults=StreamFaults(delay=0.01, segment=3))
    client = connect(peer)
    client.sendall(b"hello")
    assert b"".join(client.recv(100) for _ in range(2)) == b"hello"


def test_a_unix_socket_has_faults_too(peers: Peers, connect: Connect) -> None:
    peer = peers.unix_echo(outbound=StreamFaults(close_after=3))
    client = connect(peer)
    client.sendall(b"hello")
    assert read_to_the_end(client) == (b"hel", "close")


@pytest.mark.parametrize("says_so", [False, True])
def test_over_tls_a_client_may_leave_amid_the_segments(peers: Peers, connect: Connect, says_so: bool) -> None:
    peer = peers.tls(outbound=StreamFaults(segment=2))
    peer.on(b"hello\r\n").reply(b"hello\r\n")
    for _ in range(20):
        with connect(peer) as client:
            client.sendall(b"hello\r\n")
            assert client.recv(1) == b"h"
            if says_so:
                assert isinstance(client, ssl.SSLSocket)
                client.settimeout(0)
                with suppress(OSError):  # its close_notify has left; that of the peer it doesn't wait for
                    client.unwrap()
        assert peer.next_connection().result().ended.result() in ("eof", "reset")


class Counted(bytes):
    """Bytes that count how many are copied by taking slices of them."""

    copied = 0

    def __getitem__(self, at: Any) -> Any:
        taken = super().__getitem__(at)
        if not isinstance(at, slice):
            return taken
        Counted.copied += len(taken)
        return Counted(taken)


@pytest.mark.parametrize(
    "source",
    [StreamFaults(corrupt=1e-9), StreamFaults().on(match=b"\xff").delay(0.0), lambda _: None],
    ids=["figures", "matches", "callable"],
)
def test_what_is_copied_of_a_large_send_grows_as_it_does(monkeypatch: pytest.MonkeyPatch, source: Any) -> None:
    monkeypatch.setattr(Counted, "copied", 0)
    came = bytearray()

    def ignore(*_: object) -> None: ...

    lane = StreamLane(
        "out",
        0,
        deliver=lambda data, _: came.extend(data),
        finish=ignore,
        end=ignore,
        at=ignore,
        note=ignore,
        fail=ignore,
        start=ignore,
    )
    faults = PeerFaults("stream", "peer", lambda: b"seed")
    faults.give(source)
    lane.have(faults.outbound)  # type: ignore[arg-type]
    data = (b"\xff" + bytes(511)) * 2_048
    lane.carry(Counted(data))
    assert came == data
    assert Counted.copied < 10 * len(data)  # and not its square: that is some 500 times as much and more


def test_a_callable_sees_all_of_a_large_send_as_bytes(peers: Peers, connect: Connect) -> None:
    seen: list[Packet] = []
    peer = peers.tcp(outbound=seen.append)
    client = connect(peer)
    data = bytes(range(256)) * 16_384
    peer.connection.send(data)
    peer.connection.close()
    assert read_to_the_end(client) == (data, "close")
    assert b"".join(packet.data for packet in seen) == data
    assert {type(packet.data) for packet in seen} == {bytes}


@pytest.mark.parametrize("end", ["reset", "close", "stall"])
@pytest.mark.parametrize("way", ["inbound", "outbound"])
@pytest.mark.parametrize(
    ("index", "at", "passes"),
    [(0, None, 0), (0, 0, 0), (0, 2, 2), (1, None, 1_024), (1, 3, 1_024), (1, 1_500, 1_500)],
)
def test_a_callable_ends_a_stream(
    peers: Peers, connect: Connect, way: str, end: Any, index: int, at: int | None, passes: int
) -> None:
    given: Any = {way: lambda packet: Verdict(end=end, at=at) if packet.index == index else None}
    peer = peers.tcp_echo(**given)
    client = connect(peer)
    client.sendall(bytes(3_000))
    assert read_until_it_stalls(client, passes) == (bytes(passes), end)
    assert [event.args[1:] for event in peer.events if event.name == "fault"] == [
        (way.removesuffix("bound"), passes, Verdict(end=end, at=passes))
    ]
    again = peers.tcp_echo(faults=Schedule.parse(str(peer.schedule)))
    client = connect(again)
    client.sendall(bytes(3_000))
    assert read_until_it_stalls(client, passes) == (bytes(passes), end)


@pytest.mark.parametrize(("at", "passes"), [(None, bytes(1_024)), (1_027, bytes(1_024) + b"changed")])
def test_what_is_changed_before_an_end_is_what_passes(
    peers: Peers, connect: Connect, at: int | None, passes: bytes
) -> None:
    peer = peers.tcp(
        inbound=lambda packet: Verdict(data=b"changed", end="close", at=at) if packet.index == 1 else None
    )
    for each in (peer, peers.tcp(faults=peer.schedule)):
        connect(each).sendall(bytes(3_000))
        assert each.connection.read(-1).result() == passes


def test_a_wait_in_vain_tells_what_the_network_keeps(peers: Peers, connect: Connect) -> None:
    peer = peers.tcp(inbound=StreamFaults(delay=60))
    connect(peer).sendall(b"hello")
    with pytest.raises(CaptureTimeout, match=r"nothing came; its network holds 5 bytes back$"):
        peer.connection.read(5).result(0.2)
    peer.faults = lambda packet: Verdict(end="stall")
    connect(peer).sendall(b"hello")
    connection = peer.next_connection().result(), peer.next_connection().result()
    with pytest.raises(CaptureTimeout, match=r"nothing came; its network lets nothing pass$"):
        connection[1].read(5).result(0.2)
