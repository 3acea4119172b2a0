"""dnspython's asynchronous resolver, on the protocol that it has for UDP, on `datagram_harness`."""

import asyncio
import socket
from typing import Any

import dns._asyncio_backend as backend
import dns.asyncquery
import dns.message
import dns.query
import dns.rrset
import pytest

from pytest_echoserver import DatagramHarness, HarnessedEndpoint

from ..conftest import Runner

QUERY = dns.message.make_query("example.org", "A", id=7)
PROTOCOL: Any = backend._DatagramProtocol
SOCKET: Any = backend._DatagramSocket


def ask(endpoint: HarnessedEndpoint[Any], **options: Any) -> "asyncio.Task[dns.message.Message]":
    """Have dnspython send its query from there, and wait for the answer."""
    sock = SOCKET(socket.AF_INET, endpoint.transport, endpoint.protocol)
    host, port = endpoint.address
    return asyncio.create_task(dns.asyncquery.udp(QUERY, host, port=port, sock=sock, timeout=5, **options))


def answer(query: bytes) -> bytes:
    response = dns.message.make_response(dns.message.from_wire(query))
    response.answer.append(dns.rrset.from_text("example.org.", 60, "IN", "A", "192.0.2.1"))
    return response.to_wire()


def test_a_query_is_answered(datagram_harness: DatagramHarness, run: Runner) -> None:
    async def talk() -> None:
        endpoint = await datagram_harness.connect_here(PROTOCOL)
        asking = ask(endpoint)
        endpoint.send(answer((await endpoint.next_datagram()).data))
        assert [str(record) for record in (await asking).answer[0]] == ["192.0.2.1"]
        await endpoint.close()

    run(talk())


@pytest.mark.parametrize("noise", [b"", b"\xff", QUERY.to_wire()], ids=["empty", "garbage", "a query"])
def test_noise_ahead_of_the_answer_is_skipped(datagram_harness: DatagramHarness, run: Runner, noise: bytes) -> None:
    async def talk() -> None:
        endpoint = await datagram_harness.connect_here(PROTOCOL)
        asking = ask(endpoint, ignore_errors=True)
        query = (await endpoint.next_datagram()).data
        endpoint.send(noise)
        endpoint.send(answer(query))
        assert (await asking).answer
        await endpoint.close()
        assert [event.name for event in endpoint.events].count("datagram_received") == 2

    run(talk())


def test_garbage_is_an_error_of_the_query(datagram_harness: DatagramHarness, run: Runner) -> None:
    async def talk() -> None:
        endpoint = await datagram_harness.connect_here(PROTOCOL)
        asking = ask(endpoint)
        await endpoint.next_datagram()
        endpoint.send(b"\xff")
        with pytest.raises(dns.message.ShortHeader):
            await asking

    run(talk())


def test_an_answer_of_somebody_else_is_not_taken(datagram_harness: DatagramHarness, run: Runner) -> None:
    async def talk() -> None:
        endpoint = await datagram_harness.connect_here(PROTOCOL, remote=False)
        asking = ask(endpoint)
        query = (await endpoint.next_datagram()).data
        endpoint.send(answer(query), source=("127.0.0.1", 0))
        with pytest.raises(dns.query.UnexpectedSource):
            await asking

    run(talk())


def test_a_refusal_ends_the_query(datagram_harness: DatagramHarness, run: Runner) -> None:
    async def talk() -> None:
        endpoint = await datagram_harness.connect_here(PROTOCOL)
        await endpoint.refuse()
        with pytest.raises(ConnectionRefusedError):
            await ask(endpoint)
        await endpoint.close()
        assert [event.name for event in endpoint.events].count("connection_lost") == 1

    run(talk())
