"""What several tests of programs share."""

import sys
import threading
from collections.abc import Callable
from typing import Any

import pytest

from pytest_echoserver import DatagramPeer, Process, SubprocessRunner
from pytest_echoserver._process import spawned

from ..conftest import Client

HoldUp = Callable[[], threading.Event]


@pytest.fixture
def by_ourselves(request: pytest.FixtureRequest) -> None:
    if request.config.getoption("--echoserver-loop") == "uvloop" or not spawned.has_pidfds:
        pytest.skip("this is about programs started by ourselves")


@pytest.fixture
def hold_up_the_engine(udp_peer: DatagramPeer, udp_client: Client) -> HoldUp:
    """Has a handler block the engine's loop; it goes on when the event is set that this gives."""

    def hold_up() -> threading.Event:
        held_up, go_on = threading.Event(), threading.Event()

        @udp_peer.serve
        def block(_: object) -> None:
            held_up.set()
            go_on.wait(30)

        udp_client().sendto(b"x", udp_peer.address)
        assert held_up.wait(5)
        return go_on

    return hold_up


def python(runner: SubprocessRunner, code: str, **options: Any) -> Process:
    """Run a program in Python."""
    return runner(sys.executable, "-c", code, **options)
