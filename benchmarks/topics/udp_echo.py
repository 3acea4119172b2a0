"""How quickly a UDP peer answers, with all that it gets kept."""

import socket
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from time import perf_counter
from typing import Any

from .. import ours, rivals
from ..child import MAPPED, in_a_child
from ..measure import Calls, Goal, Sample, Topic, Variant

PAYLOAD = bytes(64)
OUTSTANDING = 32
"""Datagrams on their way at a time, when the rate is measured."""

ASYNCIO = "asyncio's endpoint in a thread"
ASYNCIO_MAPPED = "asyncio's, in a process that has freed nothing large"
"""Then each read of asyncio's is mapped, see `benchmarks.child`; under pytest it is so or not, as it comes."""
BLOCKING = "a thread that reads and sends back (keeps nothing)"
IN_C = "a C server in another process (keeps nothing)"

Server = Callable[[], AbstractContextManager[Any]]


@contextmanager
def _ours() -> Iterator[Any]:
    with ours.peers() as peers, peers.udp_echo() as peer:
        yield peer.address


@contextmanager
def _asyncios() -> Iterator[Any]:
    with rivals.shared_loop() as run:
        transport = run(rivals.udp_endpoint())
        yield transport.get_extra_info("sockname")
        run(rivals.close(transport))


SERVERS: dict[str, Server] = {
    ours.NAME: _ours,
    ASYNCIO: _asyncios,
    BLOCKING: rivals.blocking_echo,
    IN_C: rivals.c_echo_server,
}


def round_trip(server: str, times: int) -> float:
    """The seconds that one echo takes, in the median."""
    with _client(server) as client:
        return _round_trip(client, times)


def rate(server: str, times: int) -> float:
    """Echoes a second."""
    with _client(server) as client:
        return _rate(client, times)


def _round_trip(client: socket.socket, times: int) -> float:
    def once() -> None:
        client.send(PAYLOAD)
        client.recv(2_048)

    return Calls(once)(times)


def _rate(client: socket.socket, times: int) -> float:
    before = perf_counter()
    for _ in range(OUTSTANDING):
        client.send(PAYLOAD)
    for _ in range(times):
        client.recv(2_048)
        client.send(PAYLOAD)
    taken = perf_counter() - before
    for _ in range(OUTSTANDING):
        client.recv(2_048)
    return times / taken


@contextmanager
def _client(server: str) -> Iterator[socket.socket]:
    with SERVERS[server]() as address, rivals.udp_client(address) as client:
        yield client


def _variants(
    measure: Callable[[socket.socket, int], float], alone: Callable[[str, int], float]
) -> dict[str, Variant]:
    """Each server, and asyncio's once more where each of its reads is mapped."""

    def here(server: str) -> Variant:
        @contextmanager
        def variant() -> Iterator[Sample]:
            with _client(server) as client:
                yield partial(measure, client)

        return variant

    return {name: here(name) for name in SERVERS} | {ASYNCIO_MAPPED: in_a_child(alone, ASYNCIO, MAPPED)}


TOPICS = {
    "udp-round-trip": Topic(
        "a UDP round trip of 64 bytes, with capture",
        ("µs", 1e6),
        _variants(_round_trip, round_trip),
        2_000,
        (Goal(ours.NAME, ASYNCIO_MAPPED, 1 / 1.9), Goal(ours.NAME, IN_C, 1.4)),
    ),
    "udp-rate": Topic(
        f"UDP echoes, {OUTSTANDING} outstanding, 64 bytes, with capture",
        ("echoes/s", 1.0),
        _variants(_rate, rate),
        10_000,
        (Goal(ours.NAME, ASYNCIO_MAPPED, 2.5, more=True),),
        bigger_is_better=True,
    ),
}
