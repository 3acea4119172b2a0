"""How quickly a handler answers a line over TCP, with all that comes and goes kept."""

import asyncio
import socket
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

from pytest_echoserver import Connection

from .. import ours, rivals
from ..measure import Calls, Sample, Topic, Variant

LINE = b"a line of sixty-four bytes, like a command of many a protocol.\r\n"


@contextmanager
def _ours() -> Iterator[Any]:
    async def answer(connection: Connection) -> None:
        while True:
            connection.send((await connection.read_until(b"\n")).upper())

    with ours.peers() as peers, peers.tcp(answer) as peer:
        yield peer.address


@contextmanager
def _streams() -> Iterator[Any]:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while line := await reader.readline():
            writer.write(line.upper())
        writer.close()

    with rivals.streams(answer) as address:
        yield address


def _through(serve: Callable[[], AbstractContextManager[Any]]) -> Variant:
    @contextmanager
    def variant() -> Iterator[Sample]:
        with serve() as address, socket.create_connection(address) as client:
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

            def once() -> None:
                client.sendall(LINE)
                client.recv(2_048)

            yield Calls(once)

    return variant


TOPICS = {
    "handler": Topic(
        "a line sent to a handler over TCP, and its answer",
        ("µs", 1e6),
        {
            ours.NAME: _through(_ours),
            "asyncio's streams in a thread (keep nothing)": _through(_streams),
        },
        2_000,
    ),
}
