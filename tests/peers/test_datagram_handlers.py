"""Handlers of datagram peers: what they give goes back, what they raise fails the test."""

import asyncio
import socket
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from pytest_echoserver import CaptureFuture, Datagram, DatagramPeer, Peers

from ..conftest import Client

FAMILIES = {"127.0.0.1": socket.AF_INET, "::1": socket.AF_INET6}


@pytest.mark.parametrize("host", FAMILIES)
def test_what_a_handler_gives_goes_back(peers: Peers, udp_client: Client, host: str) -> None:
    peer = peers.udp(lambda datagram: datagram.data.upper(), host=host)
    client = udp_client(peer.family)
    client.sendto(b"ping", peer.address)
    assert client.recvfrom(10)[0] == b"PING"
    assert peer.sent[0].to == peer.received[0].source == (host, client.getsockname()[1])


def test_serve_is_a_decorator_too(udp_peer: DatagramPeer, udp_client: Client) -> None:
    @udp_peer.serve
    def handler(datagram: Datagram) -> bytes:
        return b"from %d" % datagram.source[1]

    client = udp_client()
    client.sendto(b"x", udp_peer.address)
    assert client.recv(100) == b"from %d" % client.getsockname()[1]
    assert handler(Datagram(b"", ("::1", 9), 0.0)) == b"from 9"


def generates(datagram: Datagram) -> Iterator[bytes]:
    yield b"1"
    yield datagram.data


async def later(datagram: Datagram) -> list[bytes]:
    await asyncio.sleep(0)
    return [b"1", datagram.data]


@pytest.mark.parametrize(
    ("handler", "answers"),
    [
        (lambda datagram: None, []),
        (lambda datagram: [], []),
        (lambda datagram: b"", [b""]),
        (lambda datagram: bytearray(b"1"), [b"1"]),
        (lambda datagram: (b"1", memoryview(b"2")), [b"1", b"2"]),
        (generates, [b"1", b"x"]),
        (later, [b"1", b"x"]),
    ],
)
def test_it_may_give_nothing_one_or_several(
    udp_peer: DatagramPeer, udp_client: Client, handler: Any, answers: list[bytes]
) -> None:
    udp_peer.serve(handler)
    client = udp_client()
    client.sendto(b"x", udp_peer.address)
    assert [client.recv(10) for _ in answers] == answers
    udp_peer.verify()
    assert [sent.data for sent in udp_peer.sent] == answers


def test_async_handlers_run_beside_each_other(udp_peer: DatagramPeer, udp_client: Client) -> None:
    second_came: list[asyncio.Event] = []

    @udp_peer.serve
    async def handler(datagram: Datagram) -> bytes:
        if not second_came:
            second_came.append(asyncio.Event())
            await second_came[0].wait()
        second_came[0].set()
        return datagram.data

    client = udp_client()
    client.sendto(b"1", udp_peer.address)
    client.sendto(b"2", udp_peer.address)
    assert {client.recv(10), client.recv(10)} == {b"1", b"2"}


@pytest.mark.asyncio
async def test_in_an_async_test(udp_peer: DatagramPeer, udp_client: Client) -> None:
    udp_peer.serve(later)
    udp_client().sendto(b"x", udp_peer.address)
    assert (await udp_peer.next_datagram()).data == b"x"


def test_a_late_handler_gets_what_the_test_has_not_read(udp_peer: DatagramPeer, udp_client: Client) -> None:
    client = udp_client()
    for data in (b"1", b"2", b"3"):
        client.sendto(data, udp_peer.address)
    assert udp_peer.next_datagram().result().data == b"1"
    udp_peer.serve(lambda datagram: datagram.data)
    assert [client.recv(10), client.recv(10)] == [b"2", b"3"]


def raises(datagram: Datagram) -> bytes:
    raise LookupError("of the handler")


async def raises_later(datagram: Datagram) -> bytes:
    await asyncio.sleep(0)
    raise LookupError("of the handler")


def generates_and_raises(datagram: Datagram) -> Iterator[bytes]:
    yield b"1"
    raise LookupError("of the handler")


@pytest.mark.parametrize("handler", [raises, raises_later, generates_and_raises])
def test_what_it_raises_fails_the_test_and_ends_what_waits(
    udp_peer: DatagramPeer, udp_client: Client, handler: Any
) -> None:
    udp_peer.serve(handler)
    waiting: list[CaptureFuture[Any]] = [udp_peer.wait_for(9), udp_peer.wait_for(8)]
    udp_client().sendto(b"x", udp_peer.address)
    error = waiting[0].exception()
    assert isinstance(error, LookupError)
    assert waiting[1].exception() is error
    with pytest.raises(LookupError, match="of the handler"):
        udp_peer.verify()
    udp_peer.verify()


@pytest.mark.parametrize(
    ("answer", "error", "text"),
    [
        ("text", TypeError, "an answer must be bytes, several of them, or None, not 'text', which .*lambda> gave"),
        (3, TypeError, "an answer must be bytes, several of them, or None, not 3"),
        ([b"1", "text"], TypeError, "must be bytes, not 'text'"),
        (bytes(65_508), ValueError, "65508 bytes; the largest datagram here has 65507"),
    ],
)
def test_a_wrong_answer_fails_the_test(
    udp_peer: DatagramPeer, udp_client: Client, answer: Any, error: type[Exception], text: str
) -> None:
    udp_peer.serve(lambda datagram: answer)
    udp_client().sendto(b"x", udp_peer.address)
    with pytest.raises(error, match=text):
        udp_peer.verify()
    assert udp_peer.sent == []


@pytest.mark.parametrize("handler", ["text", None, 3])
def test_what_cannot_be_called_is_refused(udp_peer: DatagramPeer, handler: Any) -> None:
    with pytest.raises(TypeError, match="a handler must be callable, not"):
        udp_peer.serve(handler)


def test_a_coroutine_is_refused(udp_peer: DatagramPeer, peers: Peers) -> None:
    makers: list[Callable[[Any], object]] = [udp_peer.serve, peers.udp]
    for make in makers:
        with pytest.raises(TypeError, match="pass the function itself, not <coroutine object later"):
            make(later(Datagram(b"", ("::1", 9), 0.0)))


def test_there_is_one_behaviour_a_peer(udp_peer: DatagramPeer, udp_echo_server: DatagramPeer) -> None:
    udp_peer.serve(raises)
    with pytest.raises(RuntimeError, match=r"serve\(\): udp-1 .* is served by raises already"):
        udp_peer.serve(later)
    with pytest.raises(RuntimeError, match=r"serve\(\): udp_echo-1 .* echoes already"):
        udp_echo_server.serve(later)
    with pytest.raises(
        RuntimeError, match=r"expect\(\): udp-1 .* is served by raises, so it can't follow a script"
    ):
        udp_peer.expect(b"x")
    with pytest.raises(RuntimeError, match=r"on\(\): udp_echo-1 .* echoes, so it can't follow a script"):
        udp_echo_server.on(b"x")


def test_a_closed_peer_takes_no_handler(udp_peer: DatagramPeer) -> None:
    udp_peer.close()
    with pytest.raises(RuntimeError, match="is closed"):
        udp_peer.serve(raises)
