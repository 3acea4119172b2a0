"""What a proxy without faults costs a TCP transfer, between bare sockets and over HTTP."""

import asyncio
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from time import perf_counter
from typing import Any

from .. import ours, rivals
from ..measure import Goal, Sample, Topic, Variant

MIB = 1 << 20
DIRECT = "the same without a proxy"
RELAY = "a relay of asyncio's streams (keeps nothing)"

Address = tuple[str, int]
Through = Callable[[Any, Address], AbstractContextManager[Address]]
"""Gives the address by which to reach a server."""


@contextmanager
def _direct(_: Any, address: Address) -> Iterator[Address]:
    yield address


@contextmanager
def _proxy(peers: Any, address: Address) -> Iterator[Address]:
    with peers.tcp_proxy(address) as proxy:
        yield proxy.address


@contextmanager
def _relay(_: Any, address: Address) -> Iterator[Address]:
    async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65_536):
            writer.write(data)
            await writer.drain()
        writer.close()

    async def accepted(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection(*address)
        await asyncio.gather(pump(reader, back), pump(there, writer), return_exceptions=True)

    with rivals.streams(accepted) as relay:
        yield relay


def _bare(through: Through) -> Variant:
    @contextmanager
    def variant() -> Iterator[Sample]:
        with socket.create_server(rivals.LOCAL) as server:

            def sample(times: int) -> float:
                sending = threading.Thread(target=_send, args=(server, times))
                sending.start()
                with ours.peers() as peers, through(peers, server.getsockname()) as address:
                    rate = _timed(_receive, address, times)
                sending.join()
                return rate

            yield sample

    return variant


def _send(server: socket.socket, times: int) -> None:
    connection, _ = server.accept()
    with connection:
        for _ in range(times):
            connection.sendall(bytes(MIB))


def _receive(address: Address, times: int) -> None:
    buffer = bytearray(MIB)
    with socket.create_connection(address) as client:
        left = times * MIB
        while left:
            left -= client.recv_into(buffer)


def _http(through: Through) -> Variant:
    @contextmanager
    def variant() -> Iterator[Sample]:
        server = ThreadingHTTPServer(rivals.LOCAL, _Download)
        serving = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        serving.start()

        def sample(times: int) -> float:
            with ours.peers() as peers, through(peers, ("127.0.0.1", server.server_address[1])) as address:
                return _timed(_download, address, times)

        yield sample
        server.shutdown()
        serving.join()
        server.server_close()

    return variant


class _Download(BaseHTTPRequestHandler):
    """Gives as many MiB as its path says."""

    def do_GET(self) -> None:
        body = bytes(int(self.path[1:]) * MIB)
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None: ...  # noqa: A002  its name in the base class


def _download(address: Address, times: int) -> None:
    client = HTTPConnection(*address)
    client.request("GET", f"/{times}")
    assert len(client.getresponse().read()) == times * MIB
    client.close()


def _timed(transfer: Callable[[Address, int], None], address: Address, times: int) -> float:
    before = perf_counter()
    transfer(address, times)
    return times / (perf_counter() - before)


def _topic(title: str, make: Callable[[Through], Variant]) -> Topic:
    return Topic(
        title,
        ("MiB/s", 1.0),
        {ours.NAME: make(_proxy), DIRECT: make(_direct), RELAY: make(_relay)},
        64,
        (Goal(ours.NAME, DIRECT, 0.5, more=True),),
        bigger_is_better=True,
    )


TOPICS = {
    "proxy-bare": _topic("a TCP transfer between bare sockets, through a proxy without faults", _bare),
    "proxy-http": _topic("a download by http.client from http.server, through a proxy without faults", _http),
}
