"""What is done to the plugin here, and a table of how it took that, at the end of the run."""

import json
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from ..conftest import Downstream
from .watching import TOLD

LONG = os.environ.get("ECHOSERVER_ENDURANCE") == "long"
PROPERTY = "endurance"
NEXT = """

def test_the_next_is_unharmed(udp_echo_server, tcp_peer, stream_harness, subprocess_runner):
    import asyncio, socket, sys

    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.settimeout(5)
        client.sendto(b"ping", udp_echo_server.address)
        assert client.recv(10) == b"ping"
    tcp_peer.expect(b"hello\\n").reply(b"hello yourself\\n").close()
    with socket.create_connection(tcp_peer.address, timeout=5) as client:
        client.sendall(b"hello\\n")
        assert client.makefile("rb").read() == b"hello yourself\\n"
    stream = stream_harness.connect(asyncio.Protocol)
    stream.send(b"x").result()
    stream.close().result()
    assert subprocess_runner(sys.executable, "-c", "print(1)").wait().result(timeout=30).stdout.split() == [b"1"]
"""
"""A test of its own, which comes after what was done and needs all to be well."""


@dataclass
class Endured:
    """What became of a suite."""

    result: pytest.RunResult
    told: dict[str, Any]

    @property
    def left(self) -> list[str]:
        left: list[str] = self.told["left"]
        return left


@dataclass
class Endurance:
    """Runs suites that do something harsh, in processes of their own, and keeps account of it."""

    downstream: Downstream
    record: Callable[[str, object], None]

    def run(self, suite: str, *args: str, then: str = NEXT, timeout: float = 120, kept: str = "") -> Endured:
        """Run a suite, and after its tests ``then``; nothing may be left, but for what is known to be ``kept``."""
        pytester = self.downstream.pytester
        pytester.makepyfile(test_endured=suite + then)
        plugins = [part for name in ("pytest_echoserver", "tests.endurance.watching") for part in ("-p", name)]
        result = pytester.runpytest_subprocess(
            "-W", "error", "-p", "no:cacheprovider", *plugins, "-v", *args, timeout=timeout
        )
        told = [line for line in result.outlines if line.startswith(TOLD)]
        assert told, "the run did not come to its end"
        endured = Endured(result, json.loads(told[-1].removeprefix(TOLD)))
        assert [one for one in endured.left if not (kept and kept in one)] == []
        return endured

    def account(self, what: str, happened: str, left: list[str] | None = None) -> None:
        """Add a line to the table: what was done, and what happened."""
        self.record(PROPERTY, (what, happened, ", ".join(left or ()) or "nothing"))


@pytest.fixture
def endurance(
    downstream: Downstream,
    record_property: Callable[[str, object], None],
    monkeypatch: pytest.MonkeyPatch,
    request: pytest.FixtureRequest,
) -> Endurance:
    monkeypatch.setenv("PYTHONPATH", str(request.config.rootpath))
    return Endurance(downstream, record_property)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    rows = list(_rows(terminalreporter))
    if rows:
        terminalreporter.section("what was endured")
        for row in (("what was done", "what happened", "what was left"), *rows):
            terminalreporter.write_line(" | ".join(row))


def _rows(terminalreporter: pytest.TerminalReporter) -> Iterator[tuple[str, ...]]:
    for report in terminalreporter.getreports("passed"):
        for name, value in report.user_properties:
            if name == PROPERTY:
                yield tuple(value)
