"""What the tests of harnesses share."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from pytest_echoserver import HarnessedStream

Runner = Callable[[Coroutine[Any, Any, None]], None]


class Upper(asyncio.Protocol):
    """Answers in capitals, and remembers how it ended."""

    def __init__(self) -> None:
        self.ended_with: list[Any] = []

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.transport.write(data.upper())

    def connection_lost(self, exc: Exception | None) -> None:
        self.ended_with.append(exc)


def names(stream: HarnessedStream[Any]) -> list[str]:
    return [event.name for event in stream.events]


@pytest.fixture(params=["asyncio", "uvloop"])
def run(request: pytest.FixtureRequest) -> Runner:
    """Runs a coroutine on a loop of the test's own."""
    factory = pytest.importorskip("uvloop").new_event_loop if request.param == "uvloop" else None

    def run(coro: Coroutine[Any, Any, None]) -> None:
        with asyncio.Runner(loop_factory=factory) as runner:
            runner.run(coro)

    return run
