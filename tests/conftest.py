"""What many tests share."""

import asyncio
import os
import signal
import socket
import ssl
import struct
import sys
import threading
import warnings
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import hypothesis
import pytest
import trustme  # noqa: F401  before a run within this process imports it, and takes it away: it can't be had twice

from pytest_echoserver import Peers, StreamPeer, TLSAuthority
from pytest_echoserver._engine import Engine

pytest.register_assert_rewrite("tests.golden")

# How long an example takes says something of the machine's load, and nothing of what is tested.
hypothesis.settings.register_profile("suite", deadline=None)
hypothesis.settings.load_profile("suite")

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # A script's background job ignores it, and so would all that it starts: nothing could be interrupted.
    signal.signal(signal.SIGINT, signal.default_int_handler)

Client = Callable[..., socket.socket]
Connect = Callable[[StreamPeer], socket.socket]
Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]
OpenStreams = Callable[[StreamPeer], Awaitable[Streams]]
MakePeer = Callable[..., StreamPeer]

needs_uvloop = pytest.mark.skipif(find_spec("uvloop") is None, reason="uvloop isn't installed")
EITHER_LOOP = ["asyncio", pytest.param("uvloop", marks=needs_uvloop)]
"""Parameters: each loop that the engine can run."""


@pytest.fixture
def udp_client() -> Iterator[Client]:
    """Makes blocking UDP sockets, with a deadline."""
    clients: list[socket.socket] = []

    def make(family: int = socket.AF_INET) -> socket.socket:
        client = socket.socket(family, socket.SOCK_DGRAM)
        clients.append(client)
        client.settimeout(5)
        return client

    yield make
    for client in clients:
        client.close()


@pytest.fixture
def connect(tls_authority: TLSAuthority) -> Iterator[Connect]:
    """Makes blocking clients of stream peers of any kind, with a deadline."""
    clients: list[socket.socket] = []

    def make(peer: StreamPeer) -> socket.socket:
        client = socket.socket(peer.family)
        clients.append(client)
        client.settimeout(5)
        client.connect(peer.address)
        if speaks_tls(peer):
            client = tls_authority.client_context().wrap_socket(client, server_hostname="localhost")
            clients.append(client)
        return client

    yield make
    for client in clients:
        client.close()


@pytest.fixture
def open_streams(tls_authority: TLSAuthority) -> OpenStreams:
    """Makes asyncio clients of stream peers of any kind, which the test closes."""

    async def make(peer: StreamPeer) -> Streams:
        if peer.family == socket.AF_UNIX:
            return await asyncio.open_unix_connection(peer.address)
        context: ssl.SSLContext | None = tls_authority.client_context() if speaks_tls(peer) else None
        return await asyncio.open_connection(peer.host, peer.port, ssl=context)

    return make


@pytest.fixture(params=["tcp", "tcp6", "unix", "tls"])
def make_peer(request: pytest.FixtureRequest, peers: Peers) -> MakePeer:
    """Makes stream peers of each kind: ``make_peer()``, ``make_peer("echo")``, ``make_peer(handler)``."""
    kind = "tcp" if request.param == "tcp6" else str(request.param)
    given: dict[str, Any] = {"host": "::1"} if request.param == "tcp6" else {}

    def make(behaviour: Any = None, **options: Any) -> StreamPeer:
        peer: StreamPeer
        if behaviour == "echo":
            peer = getattr(peers, f"{kind}_echo")(**given, **options)
        else:
            peer = getattr(peers, kind)(behaviour, **given, **options)
        return peer

    return make


@pytest.fixture
def engine() -> Iterator[Engine]:
    """An engine of asyncio's, beside that of the run."""
    engine = Engine(asyncio.SelectorEventLoop)
    yield engine
    engine.stop()


@pytest.fixture
def asyncios_transports(pytestconfig: pytest.Config) -> None:
    """Skips where the engine's loop is another's, whose transports take no attributes of ours."""
    if pytestconfig.getoption("--echoserver-loop") not in (None, "asyncio"):
        pytest.skip("only asyncio's own transports can be followed at any time")


def speaks_tls(peer: StreamPeer) -> bool:
    return " (tls " in str(peer)


def leave(peer: StreamPeer, client: socket.socket) -> None:
    """Close the client of the peer's last connection, with nothing unread: TLS 1.3 sends tickets unasked for."""
    if speaks_tls(peer):
        peer.connections[-1].send(b".")
        assert client.recv(1) == b"."
    client.close()


def reset(client: socket.socket) -> None:
    """Close a client by a RST."""
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.close()


def receive(client: socket.socket, count: int) -> bytes:
    """Exactly so many bytes, or fewer if EOF comes first."""
    got = b""
    while len(got) < count and (data := client.recv(count - len(got))):
        got += data
    return got


def receive_all(client: socket.socket) -> bytes:
    """All up to EOF."""
    got = bytearray()
    while data := client.recv(100_000):
        got += data
    return bytes(got)


@dataclass
class Downstream:
    """A suite as a user of the plugin has it, run by a pytest of its own with warnings as errors."""

    pytester: pytest.Pytester

    def run(self, test_file: str, *args: str, plugins: tuple[str, ...] = ()) -> pytest.RunResult:
        """Run one test file in this process, with our plugin and ``plugins`` alone."""
        self.pytester.makepyfile(test_file)
        return self.pytester.runpytest_inprocess(*self._args(plugins), *args)

    def run_apart(self, test_file: str, *args: str, plugins: tuple[str, ...] = ()) -> pytest.RunResult:
        """Run it in a process of its own: for what would disturb this one, or is disturbed by it."""
        self.pytester.makepyfile(test_file)
        return self.pytester.runpytest_subprocess(*self._args(plugins), *args, timeout=120)

    def run_file(self, name: str, *args: str) -> pytest.RunResult:
        """Run a test file that is there already, in this process."""
        return self.pytester.runpytest_inprocess(*self._args(()), *args, name)

    def run_file_apart(self, name: str, *args: str, plugins: tuple[str, ...] = ()) -> pytest.RunResult:
        """Run it in a process of its own."""
        return self.pytester.runpytest_subprocess(*self._args(plugins), *args, name, timeout=120)

    def _args(self, plugins: tuple[str, ...]) -> list[str]:
        args = ["-W", "error", "-p", "no:cacheprovider"]
        for plugin in ("pytest_echoserver", *plugins):
            args += ["-p", plugin]
        return args


@pytest.fixture
def pytester(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    """What it runs reports the same in CI as at a desk, however wide the terminal is there."""
    monkeypatch.setenv("COLUMNS", "80")
    for name in ("CI", "BUILD_NUMBER", "GITHUB_ACTIONS"):
        monkeypatch.delenv(name, raising=False)
    return pytester


@pytest.fixture
def downstream(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> Downstream:
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    return Downstream(pytester)


@contextmanager
def forked_child() -> Iterator[None]:
    """Within this there is a child that does nothing, and has a copy of each descriptor that was open."""
    if not hasattr(os, "fork"):
        pytest.skip("forks")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Python warns of threads in the parent, which the child has no use for
        child = os.fork()
    if not child:
        signal.pause()
    try:
        yield
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


def open_and_running() -> set[str]:
    """The descriptors, threads and child processes of this process, each by a name."""
    for thread in threading.enumerate():
        if "waitpid-" in thread.name:  # Python 3.11's child watcher, about to end
            thread.join(5)
    threads = {f"thread {thread.name}" for thread in threading.enumerate()}
    return {*_descriptors(), *threads, *_children()}


def _descriptors() -> Iterator[str]:
    folder = Path("/proc/self/fd") if sys.platform == "linux" else Path("/dev/fd")
    for entry in folder.iterdir():
        try:
            yield f"descriptor {entry.name} {entry.readlink()}"
        except OSError:  # the one that lists
            continue


def _children() -> Iterator[str]:
    if sys.platform == "linux":
        for children in Path("/proc/self/task").glob("*/children"):
            with suppress(FileNotFoundError):  # the thread has ended
                yield from (f"child process {pid}" for pid in children.read_text().split())
