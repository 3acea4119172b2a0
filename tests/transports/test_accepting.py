"""The acceptor: who connected before it was closed is accepted, whichever thread closes it."""

import errno
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from contextvars import Context
from typing import Any

import pytest

from pytest_echoserver._engine import Engine
from pytest_echoserver._readers import LoopReaders, Readers
from pytest_echoserver._transports.accepting import Acceptor
from pytest_echoserver._transports.listening import bound_stream_socket, listen

NoDescriptors = Callable[[], AbstractContextManager[None]]


@pytest.fixture
def no_descriptors() -> NoDescriptors:
    """Within this, nobody gets a new descriptor."""
    resource = pytest.importorskip("resource")

    @contextmanager
    def none_left() -> Iterator[None]:
        limits = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (0, limits[1]))
        try:
            yield
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, limits)

    return none_left


@pytest.fixture
def nested_poller(engine: Engine) -> None:
    """Skips where the engine can't be done without."""
    if not engine.readers.from_any_thread:
        pytest.skip("only a nested poller takes sockets from any thread, and that is an epoll")


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with bound_stream_socket(socket.AF_INET, "127.0.0.1", 0) as sock:
        listen(sock, 10)
        yield sock


@pytest.fixture
def accepted() -> Iterator[list[socket.socket]]:
    made: list[socket.socket] = []
    yield made
    for each in made:
        each.close()


def acceptor(readers: Readers, listener: socket.socket, accepted: list[socket.socket]) -> Acceptor:
    def failed(error: OSError) -> None:
        raise error

    def came(sock: socket.socket, _: Any) -> None:
        accepted.append(sock)

    return Acceptor(listener, readers, Context(), accepted=came, failed=failed)


@pytest.mark.usefixtures("nested_poller")
def test_one_that_nobody_used_is_closed_on_any_thread(
    engine: Engine, listener: socket.socket, accepted: list[socket.socket]
) -> None:
    unused = acceptor(engine.readers, listener, accepted)
    release = threading.Event()
    engine.post(Context(), release.wait)  # and without the loop's help
    try:
        assert unused.close_unused()
        assert unused.close_unused()
    finally:
        release.set()
    assert listener.fileno() < 0


@pytest.mark.usefixtures("nested_poller")
def test_one_with_a_client_in_its_queue_is_left_to_the_loop(
    engine: Engine, listener: socket.socket, accepted: list[socket.socket]
) -> None:
    awaited = acceptor(engine.readers, listener, accepted)
    release = threading.Event()
    engine.post(Context(), release.wait)
    try:
        with socket.create_connection(listener.getsockname(), timeout=5) as client:
            assert not awaited.close_unused()
            release.set()
            engine.call(Context(), awaited.close)
            assert [each.getpeername() for each in accepted] == [client.getsockname()]
    finally:
        release.set()
    assert not awaited.close_unused()


@pytest.mark.usefixtures("nested_poller")
def test_one_that_accepts_just_now_is_left_to_the_loop(
    engine: Engine, listener: socket.socket, accepted: list[socket.socket]
) -> None:
    reached, release = threading.Event(), threading.Event()

    def came(sock: socket.socket, _: Any) -> None:
        accepted.append(sock)
        reached.set()
        assert release.wait(20)

    def failed(error: OSError) -> None:
        raise error

    busy = Acceptor(listener, engine.readers, Context(), accepted=came, failed=failed)
    try:
        with socket.create_connection(listener.getsockname(), timeout=5):
            assert reached.wait(5)
            assert not busy.close_unused()
    finally:
        release.set()
    engine.call(Context(), busy.close)


def test_only_the_loop_closes_where_it_alone_can_tell(
    engine: Engine, listener: socket.socket, accepted: list[socket.socket]
) -> None:
    plain = engine.call(Context(), lambda: acceptor(LoopReaders(engine.loop), listener, accepted))
    assert not plain.close_unused()
    engine.call(Context(), plain.close)
    assert listener.fileno() < 0


def test_one_that_can_accept_no_more_says_so(
    engine: Engine, listener: socket.socket, accepted: list[socket.socket], no_descriptors: NoDescriptors
) -> None:
    errors: list[OSError] = []
    told = threading.Event()

    def failed(error: OSError) -> None:
        errors.append(error)
        told.set()

    def came(sock: socket.socket, _: Any) -> None:
        accepted.append(sock)

    engine.call(Context(), lambda: Acceptor(listener, engine.readers, Context(), accepted=came, failed=failed))
    with socket.socket() as client, no_descriptors():
        client.connect(listener.getsockname())
        assert told.wait(5)
    assert {type(error) for error in errors} == {OSError}


def test_one_that_can_accept_no_more_is_closed_all_the_same(
    engine: Engine, listener: socket.socket, accepted: list[socket.socket], no_descriptors: NoDescriptors
) -> None:
    errors: list[OSError] = []

    def came(sock: socket.socket, _: Any) -> None:
        accepted.append(sock)

    made = engine.call(
        Context(), lambda: Acceptor(listener, engine.readers, Context(), accepted=came, failed=errors.append)
    )
    with socket.socket() as client:
        with no_descriptors():
            client.connect(listener.getsockname())
            engine.call(Context(), made.close)
        assert listener.fileno() < 0
        with pytest.raises(ConnectionResetError):
            client.recv(1)
    assert not accepted
    assert {error.errno for error in errors} == {errno.EMFILE}


def test_one_that_was_asked_to_accept_while_it_could_not_does_so_later(
    engine: Engine, listener: socket.socket, accepted: list[socket.socket], no_descriptors: NoDescriptors
) -> None:
    came, asked, release = threading.Event(), threading.Event(), threading.Event()
    errors: list[OSError] = []

    def accept(sock: socket.socket, _: Any) -> None:
        accepted.append(sock)
        came.set()

    def ask() -> None:
        made.accept()
        asked.set()

    made = engine.call(
        Context(), lambda: Acceptor(listener, engine.readers, Context(), accepted=accept, failed=errors.append)
    )
    with socket.socket() as client:
        with no_descriptors():
            engine.post(Context(), release.wait)  # so that nobody else has seen the client
            engine.post(Context(), ask)
            client.connect(listener.getsockname())
            release.set()
            assert asked.wait(5)
        assert came.wait(5)
    assert {error.errno for error in errors} == {errno.EMFILE}
    engine.call(Context(), made.close)
