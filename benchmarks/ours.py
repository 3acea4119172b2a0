"""What is measured of ours, without pytest around it: what the fixtures give, in a scope of its own."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from ssl import SSLContext

from pytest_echoserver._directory import PrivateDirectory
from pytest_echoserver._engine import Engine
from pytest_echoserver._harness.stream import StreamHarness
from pytest_echoserver._peers.defaults import Defaults
from pytest_echoserver._peers.peers import Peers
from pytest_echoserver._peers.tls import TLSAuthority
from pytest_echoserver._process.runner import SubprocessRunner
from pytest_echoserver._scope import Scope

NAME = "pytest-echoserver"
TIMEOUT = 30.0


@contextmanager
def scope() -> Iterator[Scope]:
    """A scope as a test has one, on an engine of its own."""
    engine = Engine(asyncio.SelectorEventLoop)
    made = Scope(engine, TIMEOUT)
    try:
        yield made
    finally:
        made.close()
        engine.stop()


@contextmanager
def peers() -> Iterator[Peers]:
    """What the fixture ``peers`` gives."""

    def no_context() -> SSLContext:
        raise NotImplementedError("nothing here speaks TLS")

    directory = PrivateDirectory()
    try:
        with scope() as made:
            yield Peers(made, directory, no_context, Defaults(timeout=TIMEOUT, host="127.0.0.1", strict=True))
    finally:
        directory.close()


@contextmanager
def stream_harness() -> Iterator[StreamHarness]:
    """What the fixture ``stream_harness`` gives."""
    directory = PrivateDirectory()
    try:
        with scope() as made:
            yield StreamHarness(made, "127.0.0.1", TLSAuthority(directory))
    finally:
        directory.close()


@contextmanager
def runner() -> Iterator[SubprocessRunner]:
    """What the fixture ``subprocess_runner`` gives."""
    with scope() as made:
        yield SubprocessRunner(made)
