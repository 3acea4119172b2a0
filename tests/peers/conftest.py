"""What several tests of peers share."""

import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from pytest_echoserver import DatagramPeer, ScriptMismatch, StreamPeer

Opened = Callable[[socket.socket], socket.socket]


@pytest.fixture
def opened() -> Iterator[Opened]:
    """Closes a socket with the test."""
    with ExitStack() as stack:
        yield stack.enter_context


def mismatch(peer: DatagramPeer | StreamPeer) -> str:
    """What is wrong with the peer's script, which the test isn't failed for then."""
    with pytest.raises(ScriptMismatch) as caught:
        peer.verify()
    return str(caught.value)
