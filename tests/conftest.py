"""What many tests share."""

import socket
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

Client = Callable[..., socket.socket]


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

    def _args(self, plugins: tuple[str, ...]) -> list[str]:
        args = ["-W", "error", "-p", "no:cacheprovider"]
        for plugin in ("pytest_echoserver", *plugins):
            args += ["-p", plugin]
        return args


@pytest.fixture
def downstream(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> Downstream:
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    for name in ("CI", "BUILD_NUMBER"):  # pytest shows more where one is set
        monkeypatch.delenv(name, raising=False)
    return Downstream(pytester)


def open_and_running() -> set[str]:
    """The descriptors, threads and child processes of this process, each by a name."""
    for thread in threading.enumerate():
        if thread.name.startswith("waitpid-"):  # Python 3.11's child watcher, about to end
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
            yield from (f"child process {pid}" for pid in children.read_text().split())
