"""Faults beside everything else: scripts, handlers, TLS, sessions, async tests, and peers that begin anew."""

import asyncio
import re
import socket
import ssl
from contextlib import suppress
from typing import Any

import pytest

from pytest_echoserver import (
    Connection,
    Datagram,
    DatagramFaults,
    DatagramPeer,
    Peers,
    Schedule,
    ScriptMismatch,
    StreamFaults,
    StreamPeer,
    TLSAuthority,
)

from ..conftest import Client, Connect, Downstream, OpenStreams, receive
from .test_stream_faults import read_to_the_end


def test_a_script_over_a_bad_network(peers: Peers, connect: Connect) -> None:
    peer = peers.tcp(faults=StreamFaults(segment=1, delay=0.001))
    peer.expect_connection().reply(b"220\r\n")
    peer.expect(b"EHLO\r\n").reply(b"250\r\n")
    peer.expect_eof()
    with connect(peer) as client, client.makefile("rb") as lines:
        assert lines.readline() == b"220\r\n"
        client.sendall(b"EHLO\r\n")
        assert lines.readline() == b"250\r\n"


def test_an_async_handler_and_copies(peers: Peers, udp_client: Client) -> None:
    async def answer(datagram: Datagram) -> bytes:
        await asyncio.sleep(0)
        return datagram.data + b"!"

    peer = peers.udp(answer, inbound=DatagramFaults(duplicate=1.0))
    client = udp_client()
    client.sendto(b"x", peer.address)
    assert [client.recv(10) for _ in range(2)] == [b"x!", b"x!"]
    assert [peer.next_datagram().result().data for _ in range(2)] == [b"x", b"x"]


def test_tls_through_a_proxy(peers: Peers, tls_authority: TLSAuthority) -> None:
    proxy = peers.tcp_proxy(peers.tls_echo(), faults=StreamFaults(segment=100, delay=0.001))
    context = tls_authority.client_context()
    with (
        socket.create_connection(proxy.address, timeout=5) as plain,
        context.wrap_socket(plain, server_hostname="localhost") as client,
    ):
        client.sendall(b"hello" * 100)
        came = 0
        while came < 500:
            came += len(client.recv(1_000))


@pytest.mark.asyncio
async def test_an_asyncio_client(tcp_echo_server: StreamPeer, open_streams: OpenStreams) -> None:
    tcp_echo_server.faults = StreamFaults(delay=0.01, reset_after=5)
    reader, writer = await open_streams(tcp_echo_server)
    writer.write(b"hello world")
    assert await reader.readexactly(5) == b"hello"
    with pytest.raises(ConnectionResetError):
        await reader.read()


@pytest.mark.parametrize("scripted", ["script", "rule", "framing"])
@pytest.mark.parametrize("end", ["reset", "close", "stall"])
def test_what_the_network_cuts_short_is_no_mismatch(
    peers: Peers, connect: Connect, scripted: str, end: str
) -> None:
    network = getattr(StreamFaults().on(connection=1, bytes=2), end)()
    peer = peers.tcp(inbound=network, framing=b"\n" if scripted == "framing" else None)
    (peer.on if scripted == "rule" else peer.expect)(b"GET\n").reply(b"ok\n")
    first = connect(peer)
    first.sendall(b"GET\n")
    if end == "stall":
        peer.connection.read_exactly(2).result()
    else:
        assert peer.connection.ended.result() or first.recv(10) == b""
    again = connect(peer)
    again.sendall(b"GET\n")
    assert receive(again, 3) == b"ok\n"


def test_what_the_network_cuts_short_while_it_waits_has_its_turn(peers: Peers, connect: Connect) -> None:
    peer = peers.tcp(inbound=StreamFaults().on(match=b"b1", connection=2).close())
    peer.expect(b"a1").reply(b"x")
    peer.expect(b"a2").reply(b"x")
    peer.expect(b"b1")
    peer.on(re.compile(rb"b.*\n")).reply(b"PONG")
    first = connect(peer)
    first.sendall(b"a1")
    assert receive(first, 1) == b"x"
    second = connect(peer)
    second.sendall(b"b1")
    assert second.recv(1) == b""
    first.sendall(b"a2")
    assert receive(first, 1) == b"x"
    first.close()


@pytest.mark.parametrize("faults", [StreamFaults(reset_after=3), StreamFaults(close_after=3)], ids=str)
def test_what_the_network_ends_is_not_the_clients_doing(
    peers: Peers, connect: Connect, faults: StreamFaults
) -> None:
    peer = peers.tcp(faults=faults)
    client = connect(peer)
    peer.connection.send(b"12345").result()
    with suppress(ConnectionResetError):
        while client.recv(10):
            pass
    peer.connection.ended.result()
    with pytest.raises(ConnectionError, match="nothing can be sent on connection 1: its network has ended it"):
        peer.connection.send(b"more").result()
    events = [event.name for event in peer.events]
    assert "eof_received" not in events
    assert ("eof_sent" in events) is (faults.close_after is not None)


def test_the_networks_end_is_not_the_clients_that_is_expected(peers: Peers, connect: Connect) -> None:
    peer = peers.tcp(faults=StreamFaults(close_after=3))
    peer.expect(b"a").reply(b"123")
    peer.expect_eof()
    client = connect(peer)
    client.sendall(b"a")
    assert read_to_the_end(client) == (b"123", "close")
    assert peer.connection.ended.result() == "eof"
    with pytest.raises(ScriptMismatch, match="1 of the script's 2 steps was not met"):
        peer.verify()


@pytest.mark.parametrize("own", [False, True], ids=["peer", "connection"])
def test_nor_is_it_where_it_is_expected_afterwards(peers: Peers, connect: Connect, own: bool) -> None:
    peer = peers.tcp(faults=StreamFaults(close_after=3))
    connect(peer)
    connection = peer.connection
    connection.send(b"123").result()
    assert connection.ended.result() == "eof"
    (connection if own else peer).expect_eof()
    with pytest.raises(ScriptMismatch, match="the script's only step was not met"):
        peer.verify()


def test_an_end_that_has_not_passed_the_network_comes_after_ours(peers: Peers, connect: Connect) -> None:
    peer = peers.tcp(inbound=StreamFaults(delay=60.0))
    client = connect(peer)
    connection = peer.connection
    client.send(b"x")
    client.shutdown(socket.SHUT_WR)
    connection.close().result()
    names = [event.name for event in peer.events if event.name != "fault"]
    assert names == ["connection_made", "eof_sent", "connection_lost"]


def test_what_fails_while_the_network_closes_it_resets_it_all_the_same(downstream: Downstream) -> None:
    result = downstream.run(
        """
        import socket
        import pytest
        from pytest_echoserver import StreamFaults

        def test_it(peers):
            peer = peers.tcp(faults=StreamFaults(close_after=5))

            @peer.serve
            async def wrong(connection):
                await connection.read(1)
                connection.send(b"12345")
                raise LookupError("of the handler")

            with socket.create_connection(peer.address, 5) as client:
                client.sendall(b"x")
                with pytest.raises(ConnectionResetError):
                    while client.recv(10):
                        pass
            assert {event.name for event in peer.events} & {"reset_sent", "eof_sent"} == {"reset_sent"}
        """
    )
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["E*LookupError: of the handler"])


def test_over_tls_the_networks_close_is_told_too(peers: Peers, connect: Connect) -> None:
    peer = peers.tls(faults=StreamFaults(close_after=3))
    client = connect(peer)
    peer.connection.send(b"12345").result()
    with suppress(ssl.SSLError):
        while client.recv(10):
            pass
    peer.connection.ended.result()
    assert "eof_sent" in [event.name for event in peer.events]


def test_what_is_wrong_before_the_network_cuts_it_is_a_mismatch(peers: Peers, connect: Connect) -> None:
    peer = peers.tcp(inbound=StreamFaults().on(bytes=2).reset())
    peer.on(b"GET\n").reply(b"ok\n")
    connect(peer).sendall(b"PUT\n")
    with pytest.raises(ScriptMismatch, match="unexpected input on connection 1"):
        peer.connection.read_exactly(4).result()
    with pytest.raises(ScriptMismatch, match="unexpected input on connection 1"):
        peer.verify()


def test_a_script_of_datagrams_begins_anew(udp_peer: DatagramPeer, udp_client: Client) -> None:
    client = udp_client()
    client.connect(udp_peer.address)
    udp_peer.expect(b"a").reply(b"b")
    client.send(b"a")
    assert client.recv(10) == b"b"
    waiting = udp_peer.expect(b"never").met
    udp_peer.clear(script=True)
    with pytest.raises(RuntimeError, match="the script of udp-1"):
        waiting.result()
    udp_peer.expect(b"c").reply(b"d")
    client.send(b"c")
    assert client.recv(10) == b"d"
    assert len(udp_peer.received) == 1


def test_a_script_of_a_stream_gives_way_to_a_handler(tcp_peer: StreamPeer, connect: Connect) -> None:
    tcp_peer.expect(b"a").reply(b"b")
    with connect(tcp_peer) as client:
        client.sendall(b"a")
        assert client.recv(10) == b"b"
    tcp_peer.clear(script=True)

    @tcp_peer.serve
    async def greet(connection: Connection) -> None:
        await connection.send(b"hi")

    assert read_to_the_end(connect(tcp_peer)) == (b"hi", "close")


def test_a_schedule_of_both_ways_is_replayed(peers: Peers, udp_client: Client) -> None:
    def seen(faults: Any) -> tuple[list[bytes], Schedule]:
        with peers.udp_echo(name="same", faults=faults) as peer, udp_client() as client:
            client.connect(peer.address)
            for number in range(50):
                client.send(b"%d" % number)
            peer.faults = None  # all that was sent has been decided on
            client.send(b"end")
            return list(iter(lambda: client.recv(10), b"end")), peer.schedule

    inbound = DatagramFaults(loss=0.2, corrupt=0.2, seed=1).on(message=3).replace(b"zz")
    first, schedule = seen((inbound, DatagramFaults(duplicate=0.3, seed=2)))
    assert len(schedule) > 20
    again, replayed = seen(schedule)
    assert again == first
    assert str(replayed) == str(schedule)


def test_flows_keep_their_order(peers: Peers, udp_client: Client) -> None:
    peer = peers.udp_echo(outbound=DatagramFaults(delay=0.02, jitter=0.01))
    clients = [udp_client() for _ in range(50)]
    sent = [b"%d" % number for number in range(20)]
    for client in clients:
        for data in sent:
            client.sendto(data, peer.address)
    assert [[client.recv(10) for _ in sent] for client in clients] == [sent] * 50


def test_peers_of_the_session_keep_theirs(downstream: Downstream) -> None:
    result = downstream.run(
        """
        import socket
        import pytest
        from pytest_echoserver import DatagramFaults

        @pytest.fixture(scope="session")
        def server(session_peers):
            return session_peers.udp_echo(name="server", outbound=DatagramFaults(loss=1.0))

        @pytest.mark.parametrize("number", range(2))
        def test_lost(server, number):
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
                client.sendto(b"x", server.address)
                server.next_datagram().result()
                client.settimeout(0.05)
                with pytest.raises(TimeoutError):
                    client.recv(10)

        def test_a_trigger_that_waits(server):
            server.faults = DatagramFaults().on(message=99).drop()
        """
    )
    result.assert_outcomes(passed=3, errors=1)
    result.stdout.fnmatch_lines(["*FaultNotMet: server: a fault that was to happen on(message=99) never did*"])
