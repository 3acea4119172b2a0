"""The reference's table of events names all there are, with as many arguments as they have."""

import asyncio
import re
import socket
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import cast

import pytest

from pytest_echoserver import (
    DatagramFaults,
    DatagramHarness,
    Event,
    Peers,
    StreamFaults,
    StreamHarness,
    SubprocessRunner,
    TLSAuthority,
)

from .conftest import Client, receive_all

ROOT = Path(__file__).parents[1]
Table = dict[str, int]


def tables() -> dict[str, Table]:
    """Under each heading the names of events, with the number of their arguments."""
    told: dict[str, Table] = {}
    text = (ROOT / "docs" / "reference" / "events.md").read_text()
    for section in text.split("\n## ")[1:]:
        rows = re.findall(r"^\| `(\w+)` \| *([^|]*?) *\|", section, re.MULTILINE)
        told[section.splitlines()[0]] = {name: len(args.split(",")) if args else 0 for name, args in rows}
    return told


TABLES = tables()


def check(events: Iterable[Event], table: str) -> set[str]:
    """See that each is as the table says; gives the names of those that came."""
    for event in events:
        assert TABLES[table].get(event.name) == len(event.args), event
    return {event.name for event in events}


def test_all_that_is_noted_in_the_source_is_told() -> None:
    source = "".join(path.read_text() for path in (ROOT / "pytest_echoserver").rglob("*.py"))
    noted = set(re.findall(r'\b_?note(?:_and_pass_on|_datagram)?\(\s*"(\w+)"', source))
    assert len(noted) > 30
    assert noted - {"refusing"} <= {name for table in TABLES.values() for name in table}


def raises(_: object) -> None:
    raise LookupError("of the user")


def test_datagrams(peers: Peers, udp_client: Client) -> None:
    client = udp_client()
    peer = peers.udp_echo(inbound=DatagramFaults(rate=1e9).on(message=1).duplicate())
    proxy = peers.udp_proxy(peer)
    lenient = peers.udp(strict=False)
    lenient.on(b"y").reply(b"z")
    proxy.partition()
    proxy.heal()
    client.sendto(b"x", proxy.address)
    assert client.recv(10) == b"x"
    client.sendto(b"x", lenient.address)
    lenient.wait_for(1).result()
    peer.wait_for(2).result()
    failing = peers.udp(raises)
    client.sendto(b"x", failing.address)
    with pytest.raises(LookupError):
        failing.verify()
    for each in (peer, proxy, lenient, failing):
        each.close()
    seen = check([*peer.events, *proxy.events, *lenient.events, *failing.events], "Datagram peers")
    assert seen == set(TABLES["Datagram peers"]) - {"error_received"}


def test_streams(peers: Peers, tls_authority: TLSAuthority) -> None:
    echo = peers.tls_echo(outbound=StreamFaults(corrupt=1.0, rate=1e9))
    proxy = peers.tcp_proxy(echo)
    with (
        socket.create_connection(proxy.address) as raw,
        tls_authority.client_context().wrap_socket(raw, server_hostname="localhost") as client,
    ):
        client.sendall(b"hello")
        assert client.recv(10)
    echo.connection.ended.result()
    lenient = peers.tcp()
    lenient.expect(b"a").reset()
    with socket.create_connection(lenient.address) as client:
        client.sendall(b"a")
        with pytest.raises(ConnectionResetError):
            receive_all(client)
    shared = peers.tcp()
    shared.expect(b"a").reply(b"1")
    shared.expect(b"b")
    with socket.create_connection(shared.address) as client, socket.create_connection(shared.address) as waits:
        client.sendall(b"a")
        assert client.recv(1)
        waits.sendall(b"b")
        [shared.next_connection().result() for _ in range(2)][1].read_exactly(1).result()
    refused = peers.tls()
    failure = refused.expect_handshake_failure()
    with socket.create_connection(refused.address) as client:
        client.sendall(b"no TLS\r\n\r\n")
        failure.result()
    half = peers.tcp_proxy(peers.tcp_echo())
    with socket.create_connection(half.address) as client:
        client.shutdown(socket.SHUT_WR)
        assert receive_all(client) == b""
    parted = peers.tcp_proxy(peers.tcp_echo())
    with socket.create_connection(parted.address):
        parted.next_connection().result()
        parted.partition()
        parted.heal()
    nowhere = peers.tcp_proxy(peers.refusing("tcp"))
    with socket.create_connection(nowhere.address) as client, pytest.raises(ConnectionResetError):
        client.recv(10)
    failing = peers.tcp(framing=raises)
    failing.expect(b"x")
    with socket.create_connection(failing.address) as client:
        client.sendall(b"x")
        with pytest.raises(LookupError):
            failing.verify()
    seen = (echo, proxy, lenient, shared, refused, half, parted, nowhere, failing)
    events = [event for peer in seen for event in peer.events]
    assert set(TABLES["Stream peers"]) - check(events, "Stream peers") <= {"unexpected"}


class Stream(asyncio.Protocol):
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        cast(asyncio.Transport, transport).write(bytes(1_000_000))  # uvloop's is no instance of it

    def eof_received(self) -> None:
        pass


@pytest.mark.parametrize("after", ["", "set_protocol"])
def test_harnesses(
    stream_harness: StreamHarness, datagram_harness: DatagramHarness, after: str, request: pytest.FixtureRequest
) -> None:
    if after:
        request.getfixturevalue("asyncios_transports")
    stream = stream_harness.connect(Stream)
    stream.read_exactly(1_000_000).result()
    if after:
        stream.call(stream.transport.set_protocol, asyncio.Protocol()).result()
    stream.send(b"x").result()
    stream.send_eof()
    stream.lost.result()
    endpoint = datagram_harness.connect(asyncio.DatagramProtocol)
    endpoint.send(b"x")
    endpoint.next_call("datagram_received").result()
    seen = check([*stream.events, *endpoint.events], "Harnesses")
    assert {"data_received", "connection_lost", "datagram_received"} <= seen


@pytest.mark.skipif(sys.platform == "win32", reason="there are no programs there yet")
@pytest.mark.parametrize("pty", [False, True])
def test_programs(subprocess_runner: SubprocessRunner, pty: bool) -> None:
    program = subprocess_runner(sys.executable, "-c", "print(input())", stdin=subprocess.PIPE, pty=pty)
    if pty:
        program.set_terminal_size(100, 30)
    program.write(b"x\n")
    program.write_eof()
    program.wait().result()
    other = subprocess_runner("cat", stdin=subprocess.PIPE, pty=pty)
    other.terminate()
    other.wait().result()
    assert "signal_sent" in check(other.events, "Programs")
    assert {"pipe_data_received", "stdin_written"} <= check(program.events, "Programs")
