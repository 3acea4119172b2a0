"""Clients written by others, over networks that lose and reorder."""

import asyncio
import hashlib
import socket
from pathlib import Path
from typing import Any

import dns.message
import dns.resolver
import pytest

from pytest_echoserver import DatagramFaults, Peers, TLSAuthority

from .name_server import answer


def test_dnspython_asks_again_what_was_lost(peers: Peers) -> None:
    peer = peers.udp(answer, faults=DatagramFaults(loss=0.2, seed=6))
    resolver = dns.resolver.Resolver(configure=False)
    resolver.nameservers, resolver.port = [peer.host], peer.port
    resolver.timeout, resolver.lifetime = 0.05, 10
    names = [f"name{number}.example." for number in range(10)]
    assert [str(resolver.resolve(name, "A", search=False)[0]) for name in names] == ["192.0.2.1"] * 10
    lost = [event for event in peer.events if event.name == "fault"]
    assert len(lost) > 2


@pytest.mark.asyncio
async def test_aiocoaps_confirmable_messages_arrive_at_30_percent_loss(peers: Peers) -> None:
    aiocoap: Any = pytest.importorskip("aiocoap")
    resource: Any = pytest.importorskip("aiocoap.resource")

    class Hello(resource.Resource):  # type: ignore[misc]
        async def render_get(self, request: Any) -> Any:
            return aiocoap.Message(payload=b"hello " + request.opt.uri_query[0].encode())

    tuning: Any = aiocoap.TransportTuning

    class Impatient(tuning):  # type: ignore[misc]
        ACK_TIMEOUT = 0.05
        MAX_RETRANSMIT = 8

    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as free:
        free.bind(("127.0.0.1", 0))
        address = free.getsockname()
    site = resource.Site()
    site.add_resource(["hello"], Hello())
    server = await aiocoap.Context.create_server_context(site, bind=address, transports=["simplesocketserver"])
    client = await aiocoap.Context.create_client_context(transports=["simple6"])
    proxy = peers.udp_proxy(address, faults=DatagramFaults(loss=0.3, seed=3))
    try:
        for number in range(10):
            request = aiocoap.Message(
                code=aiocoap.GET, uri=f"coap://{proxy.netloc}/hello?{number}", transport_tuning=Impatient()
            )
            response = await asyncio.wait_for(client.request(request).response, 30)
            assert response.payload == b"hello %d" % number
    finally:
        await client.shutdown()
        await server.shutdown()
    assert sum(verdict.drop for verdict in proxy.schedule.values()) > 2


@pytest.mark.asyncio
async def test_a_quic_transfer_through_a_lossy_reordering_proxy(peers: Peers, tls_authority: TLSAuthority) -> None:
    aioquic: Any = pytest.importorskip("aioquic.asyncio")
    configuration: Any = pytest.importorskip("aioquic.quic.configuration")
    data = bytes(range(256)) * 1_024
    certificate = tls_authority.server_certificate()
    serving = configuration.QuicConfiguration(is_client=False, alpn_protocols=["test"])
    serving.load_cert_chain(Path(certificate.cert_file), Path(certificate.key_file))
    asking = configuration.QuicConfiguration(is_client=True, alpn_protocols=["test"], server_name="localhost")
    asking.load_verify_locations(str(tls_authority.ca_file))

    def send(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(data)
        writer.write_eof()

    server = await aioquic.serve("127.0.0.1", 0, configuration=serving, stream_handler=send)
    try:
        address = server._transport.get_extra_info("sockname")
        proxy = peers.udp_proxy(address, faults=DatagramFaults(loss=0.03, reorder=0.05, duplicate=0.02, seed=4))
        async with aioquic.connect(proxy.host, proxy.port, configuration=asking, wait_connected=True) as client:
            reader, writer = await client.create_stream()
            writer.write(b"?")
            writer.write_eof()
            came = await asyncio.wait_for(reader.read(), 30)
    finally:
        server.close()
    assert hashlib.sha256(came).digest() == hashlib.sha256(data).digest()
    verdicts = list(proxy.schedule.values())
    assert any(verdict.drop for verdict in verdicts)
    assert any(verdict.reorder for verdict in verdicts)
