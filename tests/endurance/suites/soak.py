"""All fixtures, over and over; `ECHOSERVER_SOAK` says how often in a round."""

import asyncio
import os
import socket

import pytest

EACH = int(os.environ["ECHOSERVER_SOAK"])


class Upper(asyncio.Protocol):
    def connection_made(self, transport):
        self.transport = transport

    def data_received(self, data):
        self.transport.write(data.upper())


def talk(peer, data, wrapped=lambda sock: sock):
    with socket.socket(peer.family) as sock:
        sock.settimeout(10)
        sock.connect(peer.address)
        with wrapped(sock) as client:
            client.sendall(data)
            return client.recv(100)


def ask(peer, data):
    with socket.socket(peer.family, socket.SOCK_DGRAM) as client:
        client.settimeout(10)
        client.sendto(data, peer.address)
        return client.recv(100)


@pytest.fixture(scope="session")
def quotes(session_peers):
    with session_peers.tcp() as server:
        server.on(b"quote\n").reply(b"to be\n")
        yield server


@pytest.mark.parametrize("number", range(EACH))
class TestAll:
    def test_udp(self, udp_echo_server, udp_peer, number):
        udp_peer.expect(b"x").reply(b"y")
        assert (ask(udp_echo_server, b"x"), ask(udp_peer, b"x")) == (b"x", b"y")

    def test_tcp(self, tcp_echo_server, tcp_peer, number):
        @tcp_peer.serve
        async def upper(connection):
            connection.send((await connection.read_until(b"\n")).upper())

        assert (talk(tcp_echo_server, b"x"), talk(tcp_peer, b"x\n")) == (b"x", b"X\n")

    def test_unix(self, unix_echo_server, unix_peer, number):
        unix_peer.expect(b"x").reply(b"y")
        assert (talk(unix_echo_server, b"x"), talk(unix_peer, b"x")) == (b"x", b"y")

    def test_tls(self, tls_echo_server, tls_peer, tls_authority, number):
        def wrapped(sock):
            return tls_authority.client_context().wrap_socket(sock, server_hostname="localhost")

        tls_peer.expect(b"x").reply(b"y")
        assert (talk(tls_echo_server, b"x", wrapped), talk(tls_peer, b"x", wrapped)) == (b"x", b"y")

    def test_peers(self, peers, quotes, reserved_port, number):
        from pytest_echoserver import DatagramFaults, StreamFaults

        target = peers.tcp_echo(port=reserved_port)
        assert talk(peers.tcp_proxy(target, faults=StreamFaults(segment=1)), b"x") == b"x"
        assert ask(peers.udp_proxy(peers.udp_echo(host="::1"), faults=DatagramFaults(delay=0.001)), b"x") == b"x"
        with pytest.raises(ConnectionRefusedError):
            talk(peers.refusing("tcp"), b"x")
        peers.blackhole("udp")
        assert talk(quotes, b"quote\n") == b"to be\n"
        quotes.clear()

    def test_stream_harness(self, stream_harness, number):
        stream = stream_harness.connect(Upper, kind=("socketpair", "tcp", "tls")[number % 3])
        stream.send(b"x")
        assert stream.read_exactly(1).result() == b"X"

    def test_datagram_harness(self, datagram_harness, number):
        endpoint = datagram_harness.connect(asyncio.DatagramProtocol)
        endpoint.send(b"x")
        endpoint.next_call("datagram_received").result()

    def test_programs(self, subprocess_runner, number):
        assert subprocess_runner("cat", stdin=b"x", pty=False).wait().result().stdout == b"x"
