"""`peers.udp_proxy`: a UDP server behind a network that can be made bad."""

import gc
import re
import socket
from typing import Any

import pytest

from pytest_echoserver import DatagramFaults, DatagramPeer, Peers, Verdict
from pytest_echoserver._peers.udp_proxy import _Flow

from ..conftest import Client, Downstream


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_it_passes_on_both_ways_for_each_client(peers: Peers, udp_client: Client, host: str) -> None:
    server = peers.udp_echo(host=host)
    proxy = peers.udp_proxy(server)
    assert proxy.target == server.address
    clients = [udp_client() for _ in range(3)]
    for number, client in enumerate(clients):
        client.sendto(b"%d" % number, proxy.address)
    assert [client.recv(100) for client in clients] == [b"0", b"1", b"2"]
    assert len({datagram.source for datagram in server.received}) == 3
    clients[0].sendto(b"more", proxy.address)
    assert clients[0].recv(100) == b"more"
    assert len({datagram.source for datagram in server.received}) == 3


def test_it_records_both_sides(peers: Peers, udp_client: Client) -> None:
    client = udp_client()
    proxy = peers.udp_proxy(peers.udp_echo().address, name="between")
    client.sendto(b"x", proxy.address)
    assert client.recv(100) == b"x"
    source = ("127.0.0.1", client.getsockname()[1])
    assert [(event.name, event.args) for event in proxy.events] == [
        ("datagram_received", (b"x", source)),
        ("target_datagram_sent", (b"x", source)),
        ("target_datagram_received", (b"x", source)),
        ("datagram_sent", (b"x", source)),
    ]
    assert proxy.next_datagram().result().data == b"x"
    assert [sent.data for sent in proxy.sent] == [b"x"]
    assert str(proxy).startswith("between (udp 127.0.0.1:")


def test_faults_of_each_way(peers: Peers, udp_client: Client) -> None:
    server = peers.udp_echo()
    proxy = peers.udp_proxy(
        server, upstream=DatagramFaults().on(message=1).drop(), downstream=DatagramFaults().on(message=1).drop()
    )
    client = udp_client()
    for number in range(3):
        client.sendto(b"%d" % number, proxy.address)
    assert client.recv(100) == b"2"
    assert [datagram.data for datagram in server.received] == [b"1", b"2"]
    assert [(way, index) for way, _, index in proxy.schedule] == [("in", 0), ("out", 0)]


def test_faults_change_while_it_runs(peers: Peers, udp_client: Client) -> None:
    proxy = peers.udp_proxy(peers.udp_echo())
    client = udp_client()

    def said(data: bytes) -> bytes:
        client.sendto(data, proxy.address)
        return client.recv(100)

    assert said(b"a") == b"a"
    proxy.upstream = lambda _: Verdict(data=b"up")
    assert said(b"a") == b"up"
    proxy.downstream = lambda _: Verdict(data=b"down")
    assert said(b"a") == b"down"
    with proxy.faulty(downstream=lambda _: Verdict(data=b"block")):
        assert said(b"a") == b"block"
    assert said(b"a") == b"down"
    proxy.faults = None
    assert said(b"a") == b"a"


@pytest.mark.parametrize("names", [("inbound", "downstream"), ("upstream", "outbound"), ("inbound", "outbound")])
def test_each_way_goes_by_either_name(peers: Peers, udp_client: Client, names: tuple[str, str]) -> None:
    proxy = peers.udp_proxy(peers.udp_echo())
    ways: dict[str, Any] = {
        names[0]: lambda packet: Verdict(data=packet.data + b" up"),
        names[1]: lambda packet: Verdict(data=packet.data + b" down"),
    }
    client = udp_client()
    with proxy.faulty(**ways):
        client.sendto(b"x", proxy.address)
        assert client.recv(100) == b"x up down"


@pytest.mark.parametrize("kind", ["udp_proxy", "tcp_proxy"])
def test_faults_of_both_ways_and_of_one_are_too_many(peers: Peers, kind: str) -> None:
    says = r"for both directions, or upstream and downstream, but not all of them: got faults=\[\], upstream=\[1\]$"
    with pytest.raises(TypeError, match=says):
        getattr(peers, kind)(("127.0.0.1", 1), faults=[], upstream=[1])


@pytest.mark.parametrize("twice", [("inbound", "upstream"), ("outbound", "downstream")])
def test_a_way_has_faults_by_one_name_alone(peers: Peers, twice: tuple[str, str]) -> None:
    proxy = peers.udp_proxy(peers.udp_echo())
    given: dict[str, Any] = dict.fromkeys(twice, DatagramFaults(delay=0.1))
    with pytest.raises(TypeError, match=f"{twice[0]} and {twice[1]} are the same way: give one of them"):
        proxy.faulty(**given).__enter__()
    assert proxy.faults is None


def test_partition_and_heal(peers: Peers, udp_client: Client) -> None:
    server = peers.udp_echo()
    proxy = peers.udp_proxy(server)
    client = udp_client()
    client.sendto(b"before", proxy.address)
    assert client.recv(100) == b"before"
    for change in (proxy.partition, proxy.partition):
        change()
    client.sendto(b"lost", proxy.address)
    for change in (proxy.heal, proxy.heal):
        change()
    client.sendto(b"after", proxy.address)
    assert client.recv(100) == b"after"
    assert [datagram.data for datagram in server.received] == [b"before", b"after"]
    of_network = [event for event in proxy.events if event.name in ("partitioned", "fault", "healed")]
    assert [event.name for event in of_network] == ["partitioned", "fault", "healed"]
    assert of_network[1].args[-1] == Verdict(drop=True)


def test_what_the_target_says_of_itself(peers: Peers, udp_client: Client) -> None:
    client = udp_client()
    proxy = peers.udp_proxy(peers.refusing("udp"))
    client.sendto(b"x", proxy.address)
    proxy.next_datagram().result()
    client.sendto(b"y", proxy.address)
    proxy.next_datagram().result()
    proxy.close()
    errors = [event.args[0] for event in proxy.events if event.name == "error_received"]
    assert errors
    assert isinstance(errors[0], ConnectionRefusedError)


def test_of_a_target_that_cannot_be_had_nothing_is_left(peers: Peers, udp_client: Client) -> None:
    def flows() -> int:
        gc.collect()
        return sum(isinstance(each, _Flow) for each in gc.get_objects())

    before = flows()
    proxy = peers.udp_proxy(("255.255.255.255", 9))  # nobody may send there unless he says so: udp(7), EACCES
    for _ in range(2):
        udp_client().sendto(b"x", proxy.address)
        proxy.next_datagram().result()
    proxy.verify()
    assert [event.name for event in proxy.events] == ["datagram_received", "error_received"] * 2
    assert flows() == before


def test_a_lack_of_descriptors_is_told_once_to_each_test_that_has_it(downstream: Downstream) -> None:
    result = downstream.run_apart(
        """
        import os, resource, socket
        import pytest

        LIMITS = resource.getrlimit(resource.RLIMIT_NOFILE)

        @pytest.fixture(scope="module")
        def proxy(session_peers):
            return session_peers.udp_proxy(session_peers.udp_echo(), name="between")

        @pytest.fixture
        def clients():
            clients = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(3)]
            yield clients
            for client in clients:
                client.close()

        @pytest.mark.parametrize("number", [1, 2])
        def test_none_left(proxy, clients, number):
            os.close(lowest := os.dup(0))
            resource.setrlimit(resource.RLIMIT_NOFILE, (lowest, LIMITS[1]))
            try:
                for client in clients:
                    client.sendto(b"x", proxy.address)
                    proxy.next_datagram().result()
            finally:
                resource.setrlimit(resource.RLIMIT_NOFILE, LIMITS)

        def test_after(proxy, clients):
            clients[0].sendto(b"x", proxy.address)
            assert clients[0].recv(10) == b"x"
        """
    )
    result.assert_outcomes(passed=1, failed=2)
    error = (
        "E *OSError: [[]Errno 24] between (udp 127.0.0.1:*) keeps a socket for each client's address, and has none "
        "for 127.0.0.1 port *: Too many open files"
    )
    result.stdout.fnmatch_lines([error] * 2)
    assert str(result.stdout).count("keeps a socket") == 2


def test_it_has_no_behaviour_of_its_own(peers: Peers, udp_echo_server: DatagramPeer) -> None:
    proxy = peers.udp_proxy(udp_echo_server)
    host, port = udp_echo_server.address
    for ask in (lambda: proxy.expect(b"x"), lambda: proxy.on(b"x"), lambda: proxy.serve(lambda _: None)):
        with pytest.raises(RuntimeError, match=rf"passes on to {re.escape(host)} port {port}"):
            ask()


def test_nothing_comes_after_its_close(peers: Peers, udp_client: Client) -> None:
    server = peers.udp()
    client = udp_client()
    with peers.udp_proxy(server) as proxy:
        client.sendto(b"x", proxy.address)
        asked = server.next_datagram().result()
    count = len(proxy.events)
    server.send(b"late", asked.source).result()
    assert len(proxy.events) == count
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as again:
        again.bind(asked.source)  # its socket to the target is closed as well


def test_what_the_target_had_answered_by_its_close_is_recorded_and_passed_on(
    peers: Peers, udp_client: Client
) -> None:
    target, client = udp_client(), udp_client()
    target.bind(("127.0.0.1", 0))
    proxy = peers.udp_proxy(target.getsockname())
    client.sendto(b"x", proxy.address)
    _, flow = target.recvfrom(100)

    answers = [b"%d" % number for number in range(100)]

    def answer_and_close(_: object) -> bytes:  # on the engine: it reads nothing between these lines
        for answer in answers:
            target.sendto(answer, flow)
        proxy.close()
        return b"closed"

    beside = udp_client()
    beside.sendto(b"now", peers.udp(answer_and_close).address)
    assert beside.recv(100) == b"closed"
    assert [event.args[0] for event in proxy.events if event.name == "target_datagram_received"] == answers
    assert [sent.data for sent in proxy.sent] == answers
    assert [client.recv(100) for _ in answers] == answers


def test_a_target_of_the_other_kind_is_refused(peers: Peers) -> None:
    for make, target in (
        (peers.udp_proxy, peers.tcp()),
        (peers.udp_proxy, peers.refusing("tcp")),
        (peers.tcp_proxy, peers.udp()),
        (peers.tcp_proxy, peers.blackhole("udp")),
    ):
        with pytest.raises(TypeError, match=f"must be a peer for those, not {re.escape(str(target))}"):
            make(target)


@pytest.mark.parametrize(
    ("target", "error", "text"),
    [
        ("127.0.0.1:53", TypeError, "a proxy's target must be (host, port) or a peer on an IP address"),
        (("127.0.0.1", 0), ValueError, "the target's port must be 1 or more, not 0"),
        (("localhost", 53), ValueError, "a proxy's target must be an IP address and a port"),
        (("127.0.0.1", "53"), TypeError, "a proxy's target must be (host, port) or a peer"),
    ],
)
def test_a_wrong_target_is_named(peers: Peers, target: Any, error: type[Exception], text: str) -> None:
    for make in (peers.udp_proxy, peers.tcp_proxy):
        with pytest.raises(error, match=re.escape(text)):
            make(target)


@pytest.mark.parametrize("kind", ["udp", "tcp"])
def test_a_closed_proxy_can_be_neither_parted_nor_healed(peers: Peers, kind: str) -> None:
    proxy = getattr(peers, f"{kind}_proxy")(getattr(peers, f"{kind}_echo")())
    proxy.close()
    for change in (proxy.partition, proxy.heal):
        with pytest.raises(RuntimeError, match=rf"{change.__name__}\(\): .* is closed; what it captured is in its"):
            change()
