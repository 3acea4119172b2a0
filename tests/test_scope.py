"""The scope: closes all that was opened in it, and keeps what went wrong until the judgement."""

import asyncio
import contextvars
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from pytest_echoserver import Peers, StreamHarness, SubprocessRunner, TLSAuthority
from pytest_echoserver._adopted import Member
from pytest_echoserver._directory import PrivateDirectory
from pytest_echoserver._engine import Engine
from pytest_echoserver._peers.defaults import Defaults
from pytest_echoserver._record import RowRecord
from pytest_echoserver._scope import Scope
from pytest_echoserver._traffic import PeerTraffic

from .conftest import open_and_running


def nothing() -> PeerTraffic:
    return PeerTraffic("any", "none", None, ())


def test_it_closes_the_newest_first_even_if_one_close_fails(engine: Engine) -> None:
    scope = Scope(engine, 5)
    closed: list[str] = []

    def adopt(name: str) -> None:
        async def close() -> None:
            closed.append(name)
            if name != "first":
                raise OSError(f"of the {name}")

        scope.adopt(Member(nothing, RowRecord(), close))

    for name in ("first", "second", "third"):
        adopt(name)
    with pytest.raises(ExceptionGroup, match="2 errors at the end of what was opened") as caught:
        scope.close()
    assert closed == ["third", "second", "first"]
    assert caught.group_contains(OSError, match="of the second")
    assert engine.owners == []


def test_a_task_that_refuses_to_end_is_told(engine: Engine) -> None:
    scope = Scope(engine, 5)
    released = asyncio.Event()

    async def refuses() -> None:
        while not released.is_set():
            try:
                await released.wait()
            except asyncio.CancelledError:
                continue

    scope.call(lambda: asyncio.ensure_future(refuses()))
    with pytest.raises(RuntimeError, match=r"was cancelled, but did not end.*refuses"):
        scope.close()
    engine.call(contextvars.Context(), released.set)


def test_an_engine_that_is_held_up_is_an_error_of_the_judgement(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    scope = Scope(engine, 5)

    async def close() -> None:
        pass

    async def never_settles() -> None:
        await asyncio.sleep(3600)

    scope.adopt(Member(nothing, RowRecord(), close))
    run = engine.run
    monkeypatch.setattr(engine, "run", lambda context, function: run(context, never_settles, patience=0.01))
    assert [type(error) for error in scope.judge()] == [TimeoutError]
    monkeypatch.undo()
    scope.close()


def test_where_the_engine_is_held_up_a_close_does_what_it_can_by_itself(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pytest_echoserver._scope.ANSWER", 0.2)
    scope, go_on = Scope(engine, 5), threading.Event()
    left = RuntimeError("had to be killed")

    async def close() -> None:
        pass

    scope.adopt(Member(nothing, RowRecord(), close, abandon=lambda: [left]))
    scope.post(go_on.wait, 30)
    try:
        with pytest.raises(ExceptionGroup) as caught:
            scope.close()
    finally:
        go_on.set()
    unfinished, also = caught.value.exceptions
    assert "the engine did not finish its work within 0.2 s" in str(unfinished)
    assert also is left
    assert engine.owners == []


def test_errors_after_the_judgement_are_nobodys(engine: Engine) -> None:
    scope = Scope(engine, 5)
    scope.blame(LookupError("before"))
    assert [str(error) for error in scope.judge()] == ["before"]
    scope.blame(LookupError("after"))
    scope.close()
    assert [str(error) for error in scope.errors] == ["before"]


# Without the engine


@contextmanager
def held_up(scope: Scope) -> Iterator[Callable[[], None]]:
    """The engine's thread, in code of somebody else's until it is released."""
    held, release = threading.Event(), threading.Event()

    def hold() -> None:
        held.set()
        release.wait(20)

    scope.engine.post(contextvars.Context(), hold)
    assert held.wait(5)
    try:
        yield release.set
    finally:
        release.set()


def needs_no_engine(scope: Scope) -> None:
    if not scope.engine.readers.from_any_thread:
        pytest.skip("here the engine does it all")


def send(kind: str, address: tuple[str, int]) -> socket.socket:
    client = socket.socket(socket.AF_INET, socket.SOCK_DGRAM if kind == "udp" else socket.SOCK_STREAM)
    client.settimeout(5)
    client.connect(address)
    client.send(b"x")
    return client


def test_peers_at_rest_are_judged_and_closed_without_the_engine(peers: Peers) -> None:
    scope = peers._scope
    needs_no_engine(scope)
    echo, silent, listening = peers.udp_echo(), peers.udp(), peers.tcp()
    with send("udp", echo.address) as client:
        assert client.recv(10) == b"x"
    with send("udp", silent.address):
        silent.next_datagram().result()
    with peers.udp_echo(), held_up(scope):
        assert scope.judge() == []
        scope.close()
        assert [peer._closed for peer in (echo, silent, listening)] == [True] * 3
    scope.engine.owners.append(scope)  # the fixture closes it once more


@pytest.mark.parametrize("kind", ["udp", "tcp"])
def test_what_has_arrived_is_read_before_the_judgement(peers: Peers, kind: str) -> None:
    scope = peers._scope
    peer = peers.udp_echo() if kind == "udp" else peers.tcp_echo()
    judged: list[int] = []

    def judge() -> None:
        scope.judge()
        judged.append(len(peer.events))

    with held_up(scope) as release, send(kind, peer.address):
        judging = threading.Thread(target=judge)
        judging.start()
        judging.join(0.1)  # for one that doesn't wait to be seen
        release()
        judging.join(5)
    assert judged == [len(("received", "sent")) if kind == "udp" else len(("made", "received", "sent"))]


def test_what_has_arrived_on_a_connection_is_read_before_the_judgement(peers: Peers) -> None:
    scope = peers._scope
    peer = peers.tcp_echo()
    judged: list[bytes] = []

    def judge() -> None:
        scope.judge()
        judged.append(peer.connection.received)

    with send("tcp", peer.address) as client:
        assert client.recv(1) == b"x"
        with held_up(scope) as release:
            client.send(b"y")
            judging = threading.Thread(target=judge)
            judging.start()
            judging.join(0.1)
            release()
            judging.join(5)
    assert judged == [b"xy"]


def test_what_is_just_being_dealt_with_is_waited_for(peers: Peers) -> None:
    scope = peers._scope
    peer = peers.udp()
    reached, release = threading.Event(), threading.Event()

    def late(_: object) -> None:
        reached.set()
        assert release.wait(20)
        scope.blame(LookupError("late"))

    peer.next_datagram().add_done_callback(late)
    judged: list[list[Exception]] = []
    judging = threading.Thread(target=lambda: judged.append(scope.judge()))
    with send("udp", peer.address):
        assert reached.wait(5)  # it was read, and nothing waits
        judging.start()
        judging.join(0.1)  # for one that doesn't wait to be seen
        release.set()
        judging.join(5)
    assert [str(error) for errors in judged for error in errors] == ["late"]
    scope.errors.clear()


def test_what_was_posted_comes_before_the_judgement(peers: Peers) -> None:
    scope = peers._scope
    peers.udp_echo()
    with held_up(scope) as release:
        scope.post(lambda: 1 // 0)
        judged: list[list[Exception]] = []
        judging = threading.Thread(target=lambda: judged.append(scope.judge()))
        judging.start()
        release()
        judging.join(5)
    assert [type(error) for errors in judged for error in errors] == [ZeroDivisionError]
    scope.errors.clear()


def test_what_a_handler_leaves_behind_comes_before_the_judgement(peers: Peers) -> None:
    scope = peers._scope
    reached, release = threading.Event(), threading.Event()

    def late() -> None:
        reached.set()
        assert release.wait(20)
        raise LookupError("late")

    def leaves_something(_: object) -> None:
        asyncio.get_running_loop().call_soon(late)

    peer = peers.udp(leaves_something)
    judged: list[list[Exception]] = []
    judging = threading.Thread(target=lambda: judged.append(scope.judge()))
    with send("udp", peer.address):
        assert reached.wait(5)
        judging.start()
        judging.join(0.1)  # for one that doesn't wait to be seen
        release.set()
        judging.join(5)
    assert [str(error) for errors in judged for error in errors] == ["late"]
    scope.errors.clear()


def test_an_error_may_be_blamed_on_it_amid_whatever_it_does(engine: Engine) -> None:
    """As by a finalizer: the garbage collector may run wherever a function is entered."""
    scope = Scope(engine, 5)
    with scope._lock:
        assert scope._lock.acquire(blocking=False)
        scope._lock.release()
    scope.close()


class ClosedMeanwhile(Scope):
    """Closed by another thread as soon as something was named that is opened in it."""

    def name_for(self, kind: str, given: str | None = None) -> str:
        name = super().name_for(kind, given)
        self.close()
        return name


def harness_of(peers: Peers) -> StreamHarness:
    return StreamHarness(peers._scope, "127.0.0.1", TLSAuthority(peers._directory))


@pytest.mark.parametrize(
    "open_it",
    [
        pytest.param(lambda peers, _: peers.udp_echo(), id="udp"),
        pytest.param(lambda peers, _: peers.tcp(), id="tcp"),
        pytest.param(lambda peers, path: peers.unix(path=str(path)), id="unix"),
        pytest.param(lambda peers, _: peers.refusing("tcp"), id="dead"),
        pytest.param(lambda peers, _: peers.reserve_port(), id="port"),
        pytest.param(lambda peers, _: harness_of(peers).pair(), id="pair"),
        pytest.param(lambda peers, _: harness_of(peers).connect(asyncio.Protocol), id="harness"),
        pytest.param(lambda peers, _: SubprocessRunner(peers._scope)("sleep", "60"), id="program"),
        pytest.param(lambda peers, _: SubprocessRunner(peers._scope)("sleep", "60", pty=True), id="on a terminal"),
    ],
)
def test_what_is_opened_while_it_is_closed_is_closed_again(
    engine: Engine, tmp_path: Path, open_it: Callable[[Peers, Path], object]
) -> None:
    with closing(PrivateDirectory()) as directory:
        engine.call(contextvars.Context(), int)
        before = open_and_running()
        defaults = Defaults(timeout=5, host="127.0.0.1", strict=True)
        peers = Peers(ClosedMeanwhile(engine, 5), directory, ssl.create_default_context, defaults)
        with pytest.raises(RuntimeError, match="the test that this is for is over"):
            open_it(peers, tmp_path / "socket")
        deadline = time.monotonic() + 5
        while open_and_running() != before and time.monotonic() < deadline:
            engine.call(contextvars.Context(), int)  # the loop sees the end of what was killed
        assert open_and_running() == before
        assert not list(tmp_path.iterdir())
