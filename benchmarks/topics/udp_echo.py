"""How quickly a UDP peer answers, with all that it gets kept."""

import socket
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from time import perf_counter
from typing import Any

from .. import ours, rivals
from ..measure import Goal, Sample, Topic, Variant, each

PAYLOAD = bytes(64)
OUTSTANDING = 32
"""Datagrams on their way at a time, when the rate is measured."""

ASYNCIO = "asyncio's endpoint in a thread"
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


SERVERS: dict[str, Server] = {ours.NAME: _ours, ASYNCIO: _asyncios, IN_C: rivals.c_echo_server}


def _round_trip(server: Server) -> Variant:
    @contextmanager
    def variant() -> Iterator[Sample]:
        with server() as address, rivals.udp_client(address) as client:

            def once() -> None:
                client.send(PAYLOAD)
                client.recv(2_048)

            yield each(once)

    return variant


def _rate(server: Server) -> Variant:
    @contextmanager
    def variant() -> Iterator[Sample]:
        with server() as address, rivals.udp_client(address) as client:
            yield lambda times: _echoes_a_second(client, times)

    return variant


def _echoes_a_second(client: socket.socket, times: int) -> float:
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


TOPICS = {
    "udp-round-trip": Topic(
        "a UDP round trip of 64 bytes, with capture",
        ("µs", 1e6),
        {name: _round_trip(server) for name, server in SERVERS.items()},
        2_000,
        (Goal(ours.NAME, ASYNCIO, 1 / 1.9), Goal(ours.NAME, IN_C, 1.4)),
    ),
    "udp-rate": Topic(
        f"UDP echoes, {OUTSTANDING} outstanding, 64 bytes, with capture",
        ("echoes/s", 1.0),
        {name: _rate(server) for name, server in SERVERS.items()},
        10_000,
        (Goal(ours.NAME, ASYNCIO, 2.5, more=True),),
        bigger_is_better=True,
    ),
}
