"""What a proxy without faults costs a TCP transfer."""

import asyncio
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from time import perf_counter
from typing import Any

from .. import ours, rivals
from ..measure import Goal, Sample, Topic, Variant

MIB = 1 << 20
RELAY = "a relay of asyncio's streams (keeps nothing)"
DIRECT = "the same without a proxy"


def _transfer(through: Callable[[Any, Any], Any]) -> Variant:
    """From a plain server to a plain client, by the address that ``through`` gives for the server's."""

    @contextmanager
    def variant() -> Iterator[Sample]:
        with ours.peers() as peers, socket.create_server(("127.0.0.1", 0)) as server:

            def sample(times: int) -> float:
                sending = threading.Thread(target=_send, args=(server, times))
                sending.start()
                with through(peers, server.getsockname()) as address, socket.create_connection(address) as client:
                    before = perf_counter()
                    _receive(client, times * MIB)
                    taken = perf_counter() - before
                sending.join()
                return times / taken

            yield sample

    return variant


@contextmanager
def _direct(_: Any, address: Any) -> Iterator[Any]:
    yield address


@contextmanager
def _proxy(peers: Any, address: Any) -> Iterator[Any]:
    with peers.tcp_proxy(address) as proxy:
        yield proxy.address


@contextmanager
def _relay(_: Any, address: Any) -> Iterator[Any]:
    async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65_536):
            writer.write(data)
            await writer.drain()
        writer.close()

    async def accepted(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection(*address)
        await asyncio.gather(pump(reader, back), pump(there, writer), return_exceptions=True)

    async def start() -> asyncio.Server:
        return await asyncio.start_server(accepted, *rivals.LOCAL)

    with rivals.shared_loop() as run:
        server = run(start())
        yield server.sockets[0].getsockname()
        run(rivals.close(server))


def _send(server: socket.socket, times: int) -> None:
    connection, _ = server.accept()
    with connection:
        for _ in range(times):
            connection.sendall(bytes(MIB))


def _receive(client: socket.socket, size: int) -> None:
    buffer = bytearray(MIB)
    while size:
        size -= client.recv_into(buffer)


TOPICS = {
    "tcp-proxy": Topic(
        "a TCP transfer, through a proxy without faults and directly",
        ("MiB/s", 1.0),
        {ours.NAME: _transfer(_proxy), DIRECT: _transfer(_direct), RELAY: _transfer(_relay)},
        64,
        (Goal(ours.NAME, DIRECT, 0.5, more=True),),
        bigger_is_better=True,
    )
}
