"""Programs that are started without asyncio's transport, and that they can't be told from others."""

import asyncio
import os
import select
import signal
import subprocess
import sys
import threading
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from pytest_echoserver import DatagramPeer, Event, Process, SubprocessRunner
from pytest_echoserver._process import spawned

from ..conftest import Downstream
from .conftest import HoldUp

AllEvents = Callable[[Process], Sequence[Event]]

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="the engine's loop starts no programs on Windows")

EITHER_WAY = pytest.mark.parametrize(
    "options", [pytest.param({}, id="ours"), pytest.param({"protocol": asyncio.SubprocessProtocol}, id="asyncio's")]
)


@pytest.fixture
def all_events(udp_peer: DatagramPeer) -> AllEvents:
    """Gives the events of a process that has ended: the last comes in the turn of the loop that ends the wait."""

    def of(process: Process) -> Sequence[Event]:
        process.wait().result()
        udp_peer.clear()  # in another turn
        return process.events

    return of


@EITHER_WAY
def test_its_events_come_as_from_asyncio(
    subprocess_runner: SubprocessRunner, all_events: AllEvents, options: Any
) -> None:
    process = subprocess_runner("sh", "-c", "echo out; echo err >&2; exit 3", **options)
    names = [event.name for event in all_events(process)]
    assert names[0] == "connection_made"
    assert {*names[1:]} == {"pipe_data_received", "pipe_connection_lost", "process_exited", "connection_lost"}
    assert sorted(event.args for event in process.events if event.name == "pipe_data_received") == [
        (1, b"out\n"),
        (2, b"err\n"),
    ]
    assert sorted(event.args for event in process.events if event.name == "pipe_connection_lost") == [
        (1, None),
        (2, None),
    ]
    assert "connection_lost" in names[-2:]  # uvloop may tell of a pipe's end after it
    assert (process.returncode, names.count("connection_lost")) == (3, 1)


@EITHER_WAY
def test_outputs_that_are_no_pipes_have_no_end(
    subprocess_runner: SubprocessRunner, all_events: AllEvents, options: Any
) -> None:
    process = subprocess_runner("sh", "-c", "echo out; echo err >&2", stderr=subprocess.STDOUT, **options)
    assert process.wait().result().stdout == b"out\nerr\n"
    assert [event.args for event in process.events if event.name == "pipe_connection_lost"] == [(1, None)]
    silent = subprocess_runner("true", stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, **options)
    assert silent.wait().result().returncode == 0
    assert [event.name for event in all_events(silent)] == ["connection_made", "process_exited", "connection_lost"]


@pytest.mark.usefixtures("by_ourselves")
def test_it_starts_though_a_handler_holds_up_the_engine(
    subprocess_runner: SubprocessRunner, hold_up_the_engine: HoldUp
) -> None:
    go_on = hold_up_the_engine()
    process = subprocess_runner("echo", "hello")
    assert os.getpgid(process.pid) == process.pid
    assert [event.name for event in process.events] == ["connection_made"]
    go_on.set()
    assert process.wait().result().stdout == b"hello\n"


@pytest.mark.usefixtures("by_ourselves")
def test_a_forked_child_starts_none_by_its_parents_runner(
    subprocess_runner: SubprocessRunner, tmp_path: Path
) -> None:
    made = tmp_path / "made"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Python warns of threads in the parent: that is the case here
        child = os.fork()
    if not child:
        status = 1
        try:
            with pytest.raises(RuntimeError, match="its forked child"):
                subprocess_runner("touch", str(made))
            status = 0
        finally:
            os._exit(status)
    assert os.waitpid(child, 0)[1] == 0
    subprocess_runner("true").wait().result()
    assert not made.exists()


@pytest.mark.usefixtures("by_ourselves")
@pytest.mark.parametrize("amid", ["Popen", "what comes after it"])
def test_a_signal_that_raises_amid_a_start_leaves_no_program(
    subprocess_runner: SubprocessRunner, monkeypatch: pytest.MonkeyPatch, amid: str
) -> None:
    started: list[Any] = []

    def popen(*args: Any, **options: Any) -> Any:
        started.append(subprocess.Popen(*args, **options))
        if amid == "Popen":
            raise TimeoutError("by a handler of SIGALRM")
        return started[0]

    def adopt(*_: object) -> None:
        raise TimeoutError("by a handler of SIGALRM")

    monkeypatch.setattr(spawned, "real_popen", lambda: popen)
    monkeypatch.setattr(SubprocessRunner, "_adopt", adopt)
    with pytest.raises(TimeoutError, match="by a handler of SIGALRM"):
        subprocess_runner("sleep", "60")
    (program,) = started
    if amid == "Popen":
        with program:
            assert program.wait(5) == -signal.SIGKILL
        return
    try:
        pidfd = os.pidfd_open(program.pid)
    except ProcessLookupError:  # the engine, which watches it, has seen its end
        return
    try:
        assert select.select([pidfd], [], [], 5)[0]
    finally:
        os.close(pidfd)


@pytest.mark.usefixtures("by_ourselves")
def test_none_is_started_once_its_test_is_over(downstream: Downstream) -> None:
    result = downstream.run_apart(
        """
        import pytest

        kept = []

        def test_one(subprocess_runner):
            kept.append(subprocess_runner)
            subprocess_runner("true").wait().result()

        def test_two(tmp_path):
            with pytest.raises(RuntimeError, match="the test that this is for is over"):
                kept[0]("sh", "-c", f"sleep 0.2; touch {tmp_path}/made")
            assert not list(tmp_path.iterdir())
        """
    )
    result.assert_outcomes(passed=2)


@pytest.mark.skipif(not spawned.has_pidfds, reason="asyncio has to wait for it by a thread, on Python 3.11")
def test_no_thread_waits_for_its_end(subprocess_runner: SubprocessRunner) -> None:
    subprocess_runner("true").wait().result()  # it starts the engine's thread, if there is none yet
    before = threading.active_count()
    subprocess_runner("sleep", "60")
    assert threading.active_count() <= before


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
def test_no_descriptor_is_left_once_all_has_ended(subprocess_runner: SubprocessRunner) -> None:
    def open_ones() -> list[str]:
        own = Path("/proc/self/fd")
        return sorted(str(link.readlink()) for link in own.iterdir() if link.is_symlink())

    subprocess_runner("true").wait().result()
    before = open_ones()
    for _ in range(5):
        subprocess_runner("true").wait().result()
    subprocess_runner("true").wait().result()
    assert open_ones() == before
