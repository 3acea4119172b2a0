"""The recipes that people write by hand, as they stand in many a conftest."""

import asyncio
import socket
import subprocess
import tempfile
import threading
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from shutil import which
from typing import Any

from .measure import Unavailable

LOCAL = ("127.0.0.1", 0)
C_SERVER = Path(__file__).with_name("echo.c")

Run = Callable[[Coroutine[Any, Any, Any]], Any]


class CapturingEcho(asyncio.DatagramProtocol):
    """Sends every datagram back, and remembers it."""

    def __init__(self) -> None:
        self.received: list[tuple[bytes, Any]] = []

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def datagram_received(self, data: bytes, addr: Any) -> None:
        self.received.append((data, addr))
        self.transport.sendto(data, addr)

    @property
    def address(self) -> Any:
        return self.transport.get_extra_info("sockname")


class StreamEcho(asyncio.Protocol):
    """Sends back what comes, and remembers it."""

    def __init__(self) -> None:
        self.received: list[bytes] = []

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.received.append(data)
        self.transport.write(data)


@contextmanager
def shared_loop() -> Iterator[Run]:
    """A loop in a thread, and what runs a coroutine there and waits for it."""
    loop = asyncio.SelectorEventLoop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()

    def run(coro: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(coro, loop).result(30)

    try:
        yield run
    finally:
        run(loop.shutdown_asyncgens())
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


async def udp_endpoint() -> asyncio.DatagramTransport:
    transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(CapturingEcho, local_addr=LOCAL)
    return transport


@contextmanager
def udp_echo(run: Run) -> Iterator[CapturingEcho]:
    """A server as a fixture has it, by ``run`` of a shared loop."""
    transport = run(udp_endpoint())
    yield transport.get_protocol()
    run(close(transport))


async def tcp_server() -> asyncio.Server:
    return await asyncio.get_running_loop().create_server(StreamEcho, *LOCAL)


@contextmanager
def streams(handler: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Any]) -> Iterator[Any]:
    """The address of a server of asyncio's streams, on a loop in a thread."""

    async def start() -> asyncio.Server:
        return await asyncio.start_server(handler, *LOCAL)

    with shared_loop() as run:
        server = run(start())
        yield server.sockets[0].getsockname()
        run(close(server))


async def close(closable: Any) -> None:
    closable.close()


@contextmanager
def blocking_echo() -> Iterator[Any]:
    """The address of a thread that only reads and sends back: nothing in Python and in this process is quicker."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(LOCAL)

        def serve() -> None:
            while True:
                data, source = sock.recvfrom(65_536)
                if not data:
                    return
                sock.sendto(data, source)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield sock.getsockname()
        finally:
            with udp_client(sock.getsockname()) as client:
                client.send(b"")
            thread.join()


@contextmanager
def c_echo_server() -> Iterator[tuple[str, int]]:
    """An echo server in C, in a process of its own: the limit of what can be had. Gives its address."""
    compiler = which("cc") or which("gcc") or which("clang")
    if compiler is None:
        raise Unavailable("a C compiler")
    with tempfile.TemporaryDirectory() as directory:
        program = str(Path(directory, "echo"))
        subprocess.run([compiler, "-O2", "-o", program, str(C_SERVER)], check=True)
        server = subprocess.Popen([program], stdout=subprocess.PIPE)
        assert server.stdout is not None
        try:
            yield LOCAL[0], int(server.stdout.readline())
        finally:
            server.kill()
            server.wait()
            server.stdout.close()


def http_server() -> None:
    """Start and stop the server of pytest-httpserver; its fixture keeps one for the session."""
    with imported("pytest_httpserver").HTTPServer():
        pass


def local_server() -> None:
    """What the fixture ``httpserver`` of pytest-localserver does around a test."""
    server = imported("pytest_localserver.http").ContentServer()
    server.start()
    server.stop()
    server.join()


def imported(name: str) -> Any:
    try:
        return import_module(name)
    except ImportError:
        raise Unavailable(f"pip install {name.partition('.')[0]}") from None


def udp_client(address: Any) -> socket.socket:
    """A blocking client's socket, connected to ``address``."""
    client = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    client.connect(address)
    return client
