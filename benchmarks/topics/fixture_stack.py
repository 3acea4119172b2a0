"""What a fixture costs a test: whole runs of many tests that each send one datagram and wait for its echo."""

import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from time import perf_counter

from .. import ours, rivals
from ..measure import Goal, Sample, Topic, Variant

STANDS = "a session server that already stands"
STANDS_FOR_EACH = "the same, handed on by a fixture of each test's"

TESTS = """
import os, socket
import pytest

@pytest.mark.parametrize("number", range(int(os.environ["TESTS"])))
def test_it(udp_echo_server, number):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.settimeout(5)
        client.sendto(b"ping", udp_echo_server.address)
        assert client.recv(100) == b"ping"
"""
OURS_OF_THE_SESSION = """
import pytest

@pytest.fixture(scope="session")
def udp_echo_server(session_peers):
    with session_peers.udp_echo() as server:
        yield server
"""
BY_HAND = """
import pytest
from benchmarks import rivals

@pytest.fixture(scope="session")
def udp_echo_server():
    with rivals.shared_loop() as run, rivals.udp_echo(run) as server:
        yield server
"""
HANDED_ON = f"""{BY_HAND.replace("def udp_echo_server", "def standing")}
@pytest.fixture(scope="session")
def setting():
    return None

@pytest.fixture
def udp_echo_server(request, setting, standing):
    return standing
"""
BY_HAND_FOR_EACH = """
import pytest
from benchmarks import rivals

@pytest.fixture(scope="session")
def run():
    with rivals.shared_loop() as run:
        yield run

@pytest.fixture
def udp_echo_server(run):
    with rivals.udp_echo(run) as server:
        yield server
"""


ASYNC_TESTS = """
import asyncio, os, socket
import pytest

@pytest.mark.MARK
@pytest.mark.parametrize("number", range(int(os.environ["TESTS"])))
async def test_it(udp_echo_server, number):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.setblocking(False)
        loop = asyncio.get_running_loop()
        await loop.sock_sendto(client, b"ping", udp_echo_server.get_extra_info("sockname"))
        assert await loop.sock_recv(client, 100) == b"ping"
"""
ASYNC = """
import pytest
from benchmarks import rivals

@pytest.fixture
def anyio_backend():
    return "asyncio"

@FIXTURE
async def udp_echo_server(REQUEST):
    transport = await rivals.udp_endpoint()
    yield transport
    transport.close()
"""
OF_PYTEST_ASYNCIO = (
    ASYNC.replace("@FIXTURE", "import pytest_asyncio\n@pytest_asyncio.fixture").replace("REQUEST", ""),
    ASYNC_TESTS.replace("MARK", "asyncio"),
)
OF_ANYIO = (
    ASYNC.replace("@FIXTURE", "@pytest.fixture").replace("REQUEST", "anyio_backend"),
    ASYNC_TESTS.replace("MARK", "anyio"),
)


def _run(conftest: str, *plugins: str, tests: str = TESTS) -> Variant:
    @contextmanager
    def variant() -> Iterator[Sample]:
        for plugin in plugins:
            rivals.imported(plugin)
        with tempfile.TemporaryDirectory() as directory:
            Path(directory, "conftest.py").write_text(conftest)
            Path(directory, "test_it.py").write_text(tests)
            command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_it.py"]
            command += [f"-p{plugin}" for plugin in plugins]
            environment = {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTHONPATH": str(Path.cwd())}

            def sample(times: int) -> float:
                environment["TESTS"] = str(times)
                before = perf_counter()
                subprocess.run(command, cwd=directory, env=environment, check=True, capture_output=True)
                return (perf_counter() - before) / times

            yield sample

    return variant


TOPICS = {
    "fixture-stack": Topic(
        "a test's share of a pytest run, with one UDP echo in each test",
        ("µs", 1e6),
        {
            ours.NAME: _run("", "pytest_echoserver"),
            STANDS: _run(BY_HAND),
            STANDS_FOR_EACH: _run(HANDED_ON),
            f"{ours.NAME}, by session_peers": _run(OURS_OF_THE_SESSION, "pytest_echoserver"),
            "a server for each, by run_coroutine_threadsafe": _run(BY_HAND_FOR_EACH),
            "pytest-asyncio: an async fixture and test": _run(
                OF_PYTEST_ASYNCIO[0], "pytest_asyncio.plugin", tests=OF_PYTEST_ASYNCIO[1]
            ),
            "anyio: an async fixture and test": _run(OF_ANYIO[0], "anyio.pytest_plugin", tests=OF_ANYIO[1]),
        },
        2000,
        (Goal(ours.NAME, STANDS, 1.25),),
    ),
}
