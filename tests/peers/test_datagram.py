"""`DatagramPeer`, as it comes from ``udp_echo_server`` and ``peers.udp_echo()``."""

import asyncio
import concurrent.futures
import socket
import sys
import threading
import time
import warnings
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pytest_echoserver import CaptureFuture, CaptureTimeout, Datagram, DatagramPeer, Peers
from pytest_echoserver._cursors import Cursor

from ..conftest import Client, Downstream

FAMILIES = {"127.0.0.1": socket.AF_INET, "::1": socket.AF_INET6}
LARGEST = {"127.0.0.1": 65_507, "::1": 65_527}


def test_it_echoes(udp_echo_server: DatagramPeer, udp_client: Client) -> None:
    client = udp_client()
    client.sendto(b"ping", udp_echo_server.address)
    assert client.recvfrom(100) == (b"ping", udp_echo_server.address)


def test_whoever_has_the_reply_finds_request_and_reply_in_the_record(
    udp_echo_server: DatagramPeer, udp_client: Client
) -> None:
    client = udp_client()
    before = time.monotonic()
    client.sendto(b"ping", udp_echo_server.address)
    client.recv(100)
    (received,), (sent,) = udp_echo_server.received, udp_echo_server.sent
    assert (received.data, received.source) == (b"ping", ("127.0.0.1", client.getsockname()[1]))
    assert (sent.data, sent.to) == (b"ping", received.source)
    assert before <= received.time <= sent.time <= time.monotonic()
    assert [event.name for event in udp_echo_server.events] == ["datagram_received", "datagram_sent"]
    assert udp_echo_server.events[0].args == (b"ping", received.source)


@pytest.mark.parametrize("host", FAMILIES)
@pytest.mark.parametrize("size", [0, 1, 1472, 9000, 65_507])
def test_every_size_is_echoed(peers: Peers, udp_client: Client, host: str, size: int) -> None:
    peer = peers.udp_echo(host=host)
    client = udp_client(peer.family)
    data = bytes(i % 251 for i in range(size))
    client.sendto(data, peer.address)
    assert client.recv(65_536) == data
    assert peer.received[0].data == data
    assert peer.received[0].source == peer.sent[0].to == (host, client.getsockname()[1])


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50)
@given(st.lists(st.binary(max_size=2000), max_size=20))
def test_whatever_is_sent_comes_back_in_order(
    udp_echo_server: DatagramPeer, udp_client: Client, payloads: list[bytes]
) -> None:
    client = udp_client()
    for payload in payloads:
        client.sendto(payload, udp_echo_server.address)
    assert [client.recv(4096) for _ in payloads] == payloads


@pytest.mark.parametrize(("host", "netloc"), [("127.0.0.1", "127.0.0.1:{}"), ("::1", "[::1]:{}")])
def test_its_address_in_every_form(peers: Peers, host: str, netloc: str) -> None:
    peer = peers.udp_echo(host=host)
    assert peer.address == (peer.host, peer.port) == (host, peer.port)
    assert peer.netloc == netloc.format(peer.port)
    assert peer.family == FAMILIES[host]


def test_localhost_is_127_0_0_1(peers: Peers) -> None:
    assert peers.udp_echo(host="localhost").host == "127.0.0.1"


def test_next_datagram_takes_each_one_once_in_order(udp_echo_server: DatagramPeer, udp_client: Client) -> None:
    early = udp_echo_server.next_datagram()
    client = udp_client()
    for data in (b"1", b"2", b"3"):
        client.sendto(data, udp_echo_server.address)
        client.recv(10)
    late = [udp_echo_server.next_datagram() for _ in range(2)]
    assert [future.result().data for future in (early, *late)] == [b"1", b"2", b"3"]


@pytest.mark.parametrize("how", ["timeout", "cancel"])
def test_one_that_gave_up_gives_its_place_back(udp_echo_server: DatagramPeer, udp_client: Client, how: str) -> None:
    first, second = udp_echo_server.next_datagram(), udp_echo_server.next_datagram()
    if how == "cancel":
        first.cancel()
    else:
        assert isinstance(first.exception(timeout=0), CaptureTimeout)
    udp_client().sendto(b"1", udp_echo_server.address)
    assert second.result().data == b"1"


def test_a_callback_of_one_may_ask_for_the_next(udp_echo_server: DatagramPeer, udp_client: Client) -> None:
    asked: concurrent.futures.Future[Any] = concurrent.futures.Future()
    udp_echo_server.next_datagram().add_done_callback(lambda _: asked.set_result(udp_echo_server.next_datagram()))
    client = udp_client()
    client.sendto(b"1", udp_echo_server.address)
    client.sendto(b"2", udp_echo_server.address)
    assert asked.result(5).result().data == b"2"


def test_wait_for_gives_received_itself_once_it_holds_so_many(
    udp_echo_server: DatagramPeer, udp_client: Client
) -> None:
    three, two = udp_echo_server.wait_for(3), udp_echo_server.wait_for(2)
    client = udp_client()
    for data in (b"1", b"2"):
        client.sendto(data, udp_echo_server.address)
    assert two.result() is udp_echo_server.received
    assert not three.done()
    client.sendto(b"3", udp_echo_server.address)
    assert [datagram.data for datagram in three.result()] == [b"1", b"2", b"3"]


def test_a_timeout_tells_what_came_instead(udp_echo_server: DatagramPeer, udp_client: Client) -> None:
    client = udp_client()
    client.sendto(b"only", udp_echo_server.address)
    client.recv(10)
    port = client.getsockname()[1]
    with pytest.raises(
        CaptureTimeout,
        match=rf"^waited 0 s for 2 datagrams on udp_echo-1 \(udp 127\.0\.0\.1:\d+\): 1 datagram had come by then, "
        rf"the last 4 bytes b'only' from 127\.0\.0\.1 port {port}, \S+ s ago$",
    ):
        udp_echo_server.wait_for(2).result(timeout=0)


def test_send_reaches_a_client_that_asked_for_nothing(udp_echo_server: DatagramPeer, udp_client: Client) -> None:
    client = udp_client()
    client.bind(("127.0.0.1", 0))
    assert udp_echo_server.send(b"news", client.getsockname()).result() is None
    assert client.recv(10) == b"news"
    assert udp_echo_server.sent[0].data == b"news"


def test_what_was_sent_before_a_close_leaves(peers: Peers, udp_client: Client) -> None:
    client = udp_client()
    client.bind(("127.0.0.1", 0))
    for number in range(100):
        peer = peers.udp()
        peer.send(b"%d" % number, client.getsockname())
        peer.close()
        assert client.recv(10) == b"%d" % number
        assert len(peer.sent) == 1


def test_sends_that_nobody_waits_for_happen_in_order(udp_echo_server: DatagramPeer, udp_client: Client) -> None:
    client = udp_client()
    client.bind(("127.0.0.1", 0))
    for number in range(100):
        udp_echo_server.send(b"%d" % number, client.getsockname())
    assert [client.recv(10) for _ in range(100)] == [b"%d" % number for number in range(100)]


def test_an_error_of_the_system_reaches_who_sent(udp_echo_server: DatagramPeer) -> None:
    sending = udp_echo_server.send(b"x", ("255.255.255.255", 9))
    assert isinstance(sending.exception(), PermissionError)
    assert [event.name for event in udp_echo_server.events] == ["datagram_sent", "error_received"]


@pytest.mark.asyncio
async def test_in_an_async_test(udp_echo_server: DatagramPeer, udp_client: Client) -> None:
    seen = udp_echo_server.next_datagram()
    udp_client().sendto(b"ping", udp_echo_server.address)
    assert (await seen).data == b"ping"


def test_after_close_the_port_is_free_and_the_record_stays(peers: Peers, udp_client: Client) -> None:
    client = udp_client()
    with peers.udp_echo() as peer:
        client.sendto(b"ping", peer.address)
        client.recv(10)
    peers.udp_echo(port=peer.port)
    client.sendto(b"to the other", peer.address)
    client.recv(100)
    peer.close()
    assert [datagram.data for datagram in peer.received] == [b"ping"]
    assert peer.dropped_by_kernel in (0, None)
    assert "closed" in repr(peer)


def test_closing_ends_the_waits_for_it(udp_echo_server: DatagramPeer) -> None:
    waiting: list[CaptureFuture[Any]] = [udp_echo_server.next_datagram(), udp_echo_server.wait_for(1)]
    udp_echo_server.close()
    for future in waiting:
        with pytest.raises(RuntimeError, match=r"udp_echo-1 .* was closed while this was awaited"):
            future.result()


@pytest.mark.parametrize("kind", ["udp", "tcp"])
def test_a_close_on_another_thread_ends_a_wait_that_begins_just_then(
    peers: Peers, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    peer = getattr(peers, kind)()
    ask = peer.next_datagram if kind == "udp" else peer.next_connection
    monkeypatch.setattr(peer, "_refuse_if_closed", lambda _: peer.close())
    with pytest.raises(RuntimeError, match="was closed while this was awaited"):
        ask().result()


def test_what_is_asked_of_a_closed_peer_is_an_error_at_the_call(
    udp_echo_server: DatagramPeer, udp_client: Client
) -> None:
    client = udp_client()
    client.sendto(b"ping", udp_echo_server.address)
    client.recv(10)
    udp_echo_server.close()
    for ask in (
        udp_echo_server.next_datagram,
        lambda: udp_echo_server.wait_for(1),
        lambda: udp_echo_server.send(b"x", client.getsockname()),
    ):
        with pytest.raises(RuntimeError, match="is closed; what it captured is in its `received`"):
            ask()
    assert udp_echo_server.received[0].data == b"ping"


def test_received_is_a_live_sequence(udp_echo_server: DatagramPeer, udp_client: Client) -> None:
    received = udp_echo_server.received
    assert received == []
    client = udp_client()
    for data in (b"1", b"2", b"3"):
        client.sendto(data, udp_echo_server.address)
        client.recv(10)
    assert len(received) == 3
    assert received[-1].data == b"3"
    assert [datagram.data for datagram in received[1:]] == [b"2", b"3"]
    assert received == list(received)
    assert received != [Datagram(b"1", ("127.0.0.1", 1), 0.0)]
    unlike: object = "123"
    assert received != unlike
    assert repr(received).startswith("[Datagram(data=b'1'")


@pytest.mark.parametrize("count", [0, -1])
def test_wait_for_less_than_one_is_refused(udp_echo_server: DatagramPeer, count: int) -> None:
    with pytest.raises(ValueError, match=f"count must be 1 or more, not {count}"):
        udp_echo_server.wait_for(count)


@pytest.mark.parametrize("count", ["1", 1.0, True])
def test_wait_for_what_is_no_number_is_refused(udp_echo_server: DatagramPeer, count: Any) -> None:
    with pytest.raises(TypeError, match="count must be an int, not"):
        udp_echo_server.wait_for(count)


@pytest.mark.parametrize("data", ["text", None, 3])
def test_sending_what_is_no_bytes_is_refused(udp_echo_server: DatagramPeer, data: Any) -> None:
    with pytest.raises(TypeError, match=r"data must be bytes, not"):
        udp_echo_server.send(data, ("127.0.0.1", 9))


@pytest.mark.parametrize("host", LARGEST)
def test_sending_more_than_a_datagram_holds_is_refused(peers: Peers, host: str) -> None:
    peer = peers.udp_echo(host=host)
    with pytest.raises(ValueError, match=f"the largest datagram here has {LARGEST[host]}"):
        peer.send(bytes(LARGEST[host] + 1), (host, 9))


@pytest.mark.skipif(sys.version_info < (3, 13), reason="Python doesn't call it loopback")
def test_what_goes_over_ipv4_holds_no_more_by_another_name(peers: Peers) -> None:
    peer = peers.udp_echo(host="::ffff:127.0.0.1")
    with pytest.raises(ValueError, match=f"the largest datagram here has {LARGEST['127.0.0.1']}"):
        peer.send(bytes(LARGEST["127.0.0.1"] + 1), ("::ffff:127.0.0.1", 9))


@pytest.mark.parametrize("to", ["127.0.0.1:9", ("127.0.0.1",), (9, "127.0.0.1"), ("127.0.0.1", True), None])
def test_sending_to_what_is_no_address_is_refused(udp_echo_server: DatagramPeer, to: Any) -> None:
    with pytest.raises(TypeError, match=r"to must be a \(host, port\) tuple"):
        udp_echo_server.send(b"x", to)


@pytest.mark.parametrize("host", ["example.org", "a\0b", ""])
def test_sending_to_a_name_is_refused(udp_echo_server: DatagramPeer, host: str) -> None:
    with pytest.raises(ValueError, match="to must name an IP address"):
        udp_echo_server.send(b"x", (host, 9))


def test_a_name_that_is_no_string_is_refused(peers: Peers) -> None:
    bad: Any = 5
    with pytest.raises(TypeError, match="name must be a string, not 5"):
        peers.udp_echo(name=bad)


@pytest.mark.parametrize("port", [0, -1, 65_536])
def test_sending_to_no_port_is_refused(udp_echo_server: DatagramPeer, port: int) -> None:
    with pytest.raises(ValueError, match="port from 1 to 65535"):
        udp_echo_server.send(b"x", ("127.0.0.1", port))


@pytest.mark.parametrize("host", ["0.0.0.0", "192.0.2.1", "::"])
def test_a_host_that_is_not_loopback_is_refused(peers: Peers, host: str) -> None:
    with pytest.raises(ValueError, match=rf"host '{host}' isn't a loopback address.*with allow_remote=True$"):
        peers.udp_echo(host=host)


def test_a_host_that_is_not_loopback_is_warned_of(peers: Peers) -> None:
    match = r"listens on 0\.0\.0\.0, where others can reach it"
    with pytest.warns(UserWarning, match=match) as warned:  # noqa: PT031  of both
        peers.udp_echo(host="0.0.0.0", allow_remote=True)
        peers.tcp_proxy(("127.0.0.1", 1), host="0.0.0.0", allow_remote=True)
    assert {warning.filename for warning in warned} == {__file__}


def test_if_that_warning_is_an_error_nothing_is_opened(peers: Peers) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(UserWarning, match="others can reach it"):
            peers.udp_echo(host="0.0.0.0", allow_remote=True)


@pytest.mark.parametrize("host", ["example.org", "", "127.0.0.1:80"])
def test_a_host_that_is_no_address_is_refused(peers: Peers, host: str) -> None:
    with pytest.raises(ValueError, match="host must be an IP address"):
        peers.udp_echo(host=host)


def test_a_host_that_is_no_string_is_refused(peers: Peers) -> None:
    bad: Any = 127
    with pytest.raises(TypeError, match="host must be a string like"):
        peers.udp_echo(host=bad)


def test_a_port_in_use_names_the_address(peers: Peers) -> None:
    port = peers.udp_echo().port
    with pytest.raises(OSError, match=rf"can't bind a UDP socket to 127\.0\.0\.1 port {port}: "):
        peers.udp_echo(port=port)


@pytest.mark.parametrize(("port", "error"), [(-1, ValueError), (65_536, ValueError), ("80", TypeError)])
def test_a_port_that_is_none_is_refused(peers: Peers, port: Any, error: type[Exception]) -> None:
    with pytest.raises(error, match="port must be"):
        peers.udp_echo(port=port)


@pytest.mark.parametrize("timeout", [-1, float("nan"), "5"])
def test_a_bad_timeout_is_refused(peers: Peers, timeout: Any) -> None:
    with pytest.raises((TypeError, ValueError), match="timeout must be"):
        peers.udp_echo(timeout=timeout)


def test_a_peer_has_the_timeout_and_the_name_it_was_given(peers: Peers) -> None:
    peer = peers.udp_echo(timeout=0.01, name="time server")
    with pytest.raises(CaptureTimeout, match=r"^waited 0\.01 s for the next datagram on time server \(udp"):
        peer.next_datagram().result()


@pytest.mark.skipif(sys.platform != "linux", reason="SO_MEMINFO is Linux's")
def test_of_a_burst_all_is_received_or_told_as_dropped(udp_echo_server: DatagramPeer, udp_client: Client) -> None:
    client = udp_client()
    count = 10_000
    for number in range(count):
        client.sendto(b"%d" % number, udp_echo_server.address)
    wait_until_read(udp_echo_server, count)
    dropped = udp_echo_server.dropped_by_kernel
    numbers = [int(datagram.data) for datagram in udp_echo_server.received]
    assert numbers == sorted(set(numbers))
    assert len(numbers) + (dropped or 0) == count
    assert len(udp_echo_server.sent) == len(numbers)


@pytest.mark.skipif(sys.platform != "linux", reason="SO_MEMINFO is Linux's")
def test_what_has_arrived_is_read_before_a_peer_closes(peers: Peers, udp_client: Client) -> None:
    peer = peers.udp_echo()
    client = udp_client()

    def send_and_close_before_it_is_read() -> None:
        for number in range(500):
            client.sendto(b"%d" % number, peer.address)
        peer.close()

    peer._scope.call(send_and_close_before_it_is_read)
    assert peer.dropped_by_kernel is not None
    assert len(peer.received) + peer.dropped_by_kernel == 500
    assert len(peer.received) > 100


@pytest.mark.skipif(sys.platform != "linux", reason="SO_MEMINFO is Linux's")
def test_what_the_kernel_dropped_is_told(peers: Peers, udp_client: Client) -> None:
    peer = peers.udp_echo()
    client = udp_client()
    count = 0

    def flood() -> None:
        nonlocal count
        while not peer.dropped_by_kernel:  # the engine can't read: it is here
            client.sendto(bytes(1000), peer.address)
            count += 1

    peer._scope.call(flood)
    assert peer.dropped_by_kernel
    wait_until_read(peer, count)
    peer.close()
    assert len(peer.received) + peer.dropped_by_kernel == count


@pytest.mark.parametrize("make", ["peers.udp(print)", "peers.udp_proxy(udp_echo_server)"])
def test_one_whose_handler_cannot_be_loaded_leaves_no_socket(downstream: Downstream, make: str) -> None:
    """To load a module takes a descriptor; this one is loaded with the first such peer, after its socket."""
    pytest.importorskip("resource")
    downstream.run_apart(
        f"""
        import gc, os, resource, sys
        import pytest

        def test_it(peers, udp_echo_server):
            import pytest_echoserver._peers.udp_proxy
            assert "pytest_echoserver._peers.datagram_handler" not in sys.modules
            limits = resource.getrlimit(resource.RLIMIT_NOFILE)
            os.close(lowest := os.dup(0))
            resource.setrlimit(resource.RLIMIT_NOFILE, (lowest + 1, limits[1]))
            try:
                with pytest.raises(OSError, match="Too many open files"):
                    {make}
            finally:
                resource.setrlimit(resource.RLIMIT_NOFILE, limits)
            gc.collect()
            {make}
        """
    ).assert_outcomes(passed=1)


def wait_until_read(peer: DatagramPeer, sent: int) -> None:
    """Wait until the peer has read what was sent to it. On loopback it has arrived, or been dropped, by then."""
    assert peer.dropped_by_kernel is not None
    peer.wait_for(sent - peer.dropped_by_kernel).result()


def test_a_peer_can_be_made_on_the_engine_thread(peers: Peers, udp_client: Client) -> None:
    scope: Any = peers._scope
    peer = scope.call(peers.udp_echo)
    client = udp_client()
    client.sendto(b"x", peer.address)
    assert client.recv(10) == b"x"


def test_many_clients_at_once(udp_echo_server: DatagramPeer) -> None:
    async def client(number: int) -> bytes:
        loop = asyncio.get_running_loop()
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.setblocking(False)
            await loop.sock_sendto(sock, b"%d" % number, udp_echo_server.address)
            return await loop.sock_recv(sock, 10)

    async def main() -> list[bytes]:
        return await asyncio.wait_for(asyncio.gather(*map(client, range(200))), 10)

    assert asyncio.run(main()) == [b"%d" % number for number in range(200)]


def test_an_error_shows_what_was_to_be_sent_in_short(udp_peer: DatagramPeer) -> None:
    with pytest.raises(TypeError, match=r"data must be bytes, not 'aaaa.*… \(10000002 characters\)") as caught:
        udp_peer.send("a" * 10_000_000, udp_peer.address)  # type: ignore[arg-type]
    assert len(str(caught.value)) < 2_000


def test_whether_others_may_reach_it_is_yes_or_no(peers: Peers) -> None:
    with pytest.raises(TypeError, match=r"allow_remote must be True or False, not \[\]"):
        peers.udp(allow_remote=[])  # type: ignore[arg-type]


@pytest.mark.parametrize("option", ["kind", "known", "options", "backlog"])
@pytest.mark.parametrize("make", ["udp_echo", "tcp_echo", "unix_echo"])
def test_an_option_that_there_is_not_is_refused(peers: Peers, make: str, option: str) -> None:
    with pytest.raises(
        TypeError, match=rf"peers\.{make}\(\) got an unexpected keyword argument '{option}'; it takes "
    ):
        getattr(peers, make)(**{option: 1})


def test_of_waits_that_begin_at_once_none_is_lost(
    udp_peer: DatagramPeer, udp_client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits: list[CaptureFuture[Any]] = []
    ask = Cursor.ask

    def ask_after_another(cursor: Cursor, *args: Any) -> Any:
        monkeypatch.setattr(Cursor, "ask", ask)
        waits.append(udp_peer.wait_for(1))  # as on another thread
        return ask(cursor, *args)

    monkeypatch.setattr(Cursor, "ask", ask_after_another)
    waits.append(udp_peer.wait_for(1))
    udp_client().sendto(b"x", udp_peer.address)
    assert [len(wait.result()) for wait in waits] == [1, 1]


def test_one_closes_while_the_handler_of_another_waits_for_the_test(peers: Peers, udp_client: Client) -> None:
    if not peers._scope.engine.readers.from_any_thread:
        pytest.skip("there the engine closes it, which the handler holds up")
    idle, busy, begun, closed = peers.udp(), peers.udp(), threading.Event(), threading.Event()

    @busy.serve
    def handler(_: Datagram) -> bytes:
        begun.set()
        return b"closed" if closed.wait(10) else b"not yet"

    client = udp_client()
    client.sendto(b"?", busy.address)
    assert begun.wait(10)
    idle.close()
    closed.set()
    assert client.recv(100) == b"closed"


def test_who_hears_of_a_close_may_wait_for_another_peer(peers: Peers, udp_client: Client) -> None:
    if not peers._scope.engine.readers.from_any_thread:
        pytest.skip("there it hears of that on the engine, which may not wait")
    ending, other, client = peers.udp(), peers.udp_echo(), udp_client()
    heard: list[bytes] = []

    def hear(_: object) -> None:
        client.sendto(b"ping", other.address)
        heard.append(client.recv(100))

    ending.next_datagram().add_done_callback(hear)
    ending.close()
    assert heard == [b"ping"]


def test_who_gets_what_is_drained_at_a_close_may_close_it_as_well(peers: Peers, udp_client: Client) -> None:
    client, closing = udp_client(), peers.udp()
    ending = peers.udp(lambda _: ending.close())

    @closing.serve
    def close(_: Datagram) -> bytes:
        client.sendto(b"last", ending.address)  # the engine is here, and reads that when it closes
        ending.close()
        return b"closed"

    client.sendto(b"!", closing.address)
    assert client.recv(100) == b"closed"
    assert [each.data for each in ending.received] == [b"last"]
    assert [event.name for event in ending.events] == ["datagram_received", "connection_lost"]
