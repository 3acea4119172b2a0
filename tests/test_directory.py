"""The run's private directory: who can see it, when it goes, and what becomes of a killed run's."""

import os
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from pytest_echoserver import _directory
from pytest_echoserver._directory import LOCK_NAME, PREFIX, PrivateDirectory, remove_leftovers

from .conftest import Downstream

posix = pytest.mark.skipif(sys.platform == "win32", reason="locks and forks")

MAKES_ONE = """
from pytest_echoserver._directory import PrivateDirectory

path = PrivateDirectory().path
(path / "sub").mkdir()
(path / "sub" / "file").touch()
print(path, flush=True)
input()
"""


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What stands for /tmp, for this process and its children: other runs on this machine have theirs in that."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    return tmp_path


@pytest.fixture
def directory(temporary: Path) -> Iterator[PrivateDirectory]:
    directory = PrivateDirectory()
    yield directory
    directory.close()


@pytest.fixture
def other_run(temporary: Path) -> Iterator["subprocess.Popen[str]"]:
    """Another process with a directory of its own, whose path is its first line of output."""
    run = subprocess.Popen(
        [sys.executable, "-c", MAKES_ONE],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])},
    )
    with run:
        yield run
        run.kill()


def path_of(run: "subprocess.Popen[str]") -> Path:
    assert run.stdout is not None
    return Path(run.stdout.readline().rstrip("\n"))


def test_it_is_made_when_it_is_asked_for(directory: PrivateDirectory, temporary: Path) -> None:
    assert list(temporary.iterdir()) == []
    assert directory.path.is_dir()
    assert list(temporary.iterdir()) == [directory.path]
    assert directory.path is directory.path


@posix
def test_nobody_else_may_look_into_it(directory: PrivateDirectory) -> None:
    assert stat.S_IMODE(directory.path.stat().st_mode) == 0o700


def test_its_name_leaves_room_for_that_of_a_socket(directory: PrivateDirectory) -> None:
    assert directory.path.name.startswith(PREFIX)
    assert len(directory.path.name) <= 16


def test_closing_it_removes_all_that_is_in_it(directory: PrivateDirectory, temporary: Path) -> None:
    outside = temporary / "outside"
    outside.mkdir()
    (outside / "kept").touch()
    path = directory.path
    (path / "sub").mkdir()
    (path / "sub" / "file").touch()
    if sys.platform != "win32":
        (path / "link").symlink_to(outside)
        with socket.socket(socket.AF_UNIX) as sock:
            sock.bind(f"{path}/s")
    directory.close()
    directory.close()
    assert not path.exists()
    assert (outside / "kept").exists()


def test_closing_it_does_not_mind_that_it_is_gone(directory: PrivateDirectory) -> None:
    (directory.path / LOCK_NAME).unlink()
    directory.path.rmdir()
    directory.close()


def test_once_closed_it_is_not_made_again(directory: PrivateDirectory, temporary: Path) -> None:
    directory.close()
    with pytest.raises(RuntimeError, match="private directory is closed"):
        _ = directory.path
    assert list(temporary.iterdir()) == []


def test_threads_share_one(directory: PrivateDirectory, temporary: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    both_make = threading.Barrier(2)
    make = _directory._make

    def at_once() -> _directory._Made:
        both_make.wait(5)
        return make()

    monkeypatch.setattr(_directory, "_make", at_once)
    with ThreadPoolExecutor(2) as threads:
        first, second = (threads.submit(lambda: directory.path) for _ in range(2))
    assert first.result() == second.result()
    assert list(temporary.iterdir()) == [first.result()]


@posix
def test_what_a_killed_run_left_is_removed_by_the_next(
    directory: PrivateDirectory, temporary: Path, other_run: "subprocess.Popen[str]"
) -> None:
    left = path_of(other_run)
    other_run.send_signal(signal.SIGKILL)
    other_run.wait(5)
    assert (left / "sub" / "file").exists()
    assert list(temporary.iterdir()) == [left]
    assert directory.path != left
    assert list(temporary.iterdir()) == [directory.path]


@posix
def test_what_a_live_run_has_is_left_alone(directory: PrivateDirectory, other_run: "subprocess.Popen[str]") -> None:
    theirs = path_of(other_run)
    assert directory.path != theirs
    assert (theirs / "sub" / "file").exists()


def test_a_directory_of_this_run_is_left_alone(directory: PrivateDirectory) -> None:
    path = directory.path
    remove_leftovers()
    assert path.is_dir()


@posix
def test_nothing_is_left_of_one_for_which_there_is_no_descriptor(downstream: Downstream, temporary: Path) -> None:
    result = downstream.run_apart(
        """
        import os, resource, tempfile
        import pytest

        def test_it(peers):
            peers.tcp().close()  # what it needs is loaded
            tempfile.gettempdir()
            _, most = limits = resource.getrlimit(resource.RLIMIT_NOFILE)
            lowest = os.dup(0)
            os.close(lowest)
            resource.setrlimit(resource.RLIMIT_NOFILE, (lowest, most))
            try:
                with pytest.raises(OSError, match="Too many open files"):
                    peers.unix()
            finally:
                resource.setrlimit(resource.RLIMIT_NOFILE, limits)
        """
    )
    result.assert_outcomes(passed=1)
    assert list(temporary.glob(f"{PREFIX}*")) == []


def test_what_only_has_a_name_like_ours_is_left_alone(directory: PrivateDirectory, temporary: Path) -> None:
    (temporary / f"{PREFIX}no-lock").mkdir()
    (temporary / f"{PREFIX}no-lock" / "file").touch()
    (temporary / f"{PREFIX}file").touch()
    assert directory.path.is_dir()
    assert (temporary / f"{PREFIX}no-lock" / "file").exists()
    assert (temporary / f"{PREFIX}file").exists()


@posix
def test_a_leftover_that_a_link_points_to_is_left_alone(directory: PrivateDirectory, temporary: Path) -> None:
    elsewhere = temporary / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / LOCK_NAME).touch()
    (elsewhere / "file").touch()
    (temporary / f"{PREFIX}link").symlink_to(elsewhere)
    assert directory.path.is_dir()
    assert (elsewhere / "file").exists()


# In a process without threads: Python warns of a fork beside them.
FORKS = """
import os, pathlib, sys, tempfile
from pytest_echoserver._directory import PrivateDirectory, remove_leftovers

directory = PrivateDirectory()
ours = directory.path
siblings = lambda: set(pathlib.Path(tempfile.gettempdir()).iterdir())

def child():
{child}

pid = os.fork()
if pid == 0:
    try:
        child()
        os._exit(0)
    finally:
        os._exit(1)
assert os.waitpid(pid, 0)[1] == 0
remove_leftovers()
assert siblings() == {{ours}}, siblings()
directory.close()
assert siblings() == set(), siblings()
"""


@posix
@pytest.mark.parametrize(
    "child",
    [
        pytest.param("    directory.close()", id="closes it"),
        pytest.param(
            "    theirs = directory.path; assert len(siblings()) == 2; assert theirs != ours; directory.close()",
            id="makes its own",
        ),
        pytest.param("    directory.path", id="leaves its own behind"),
    ],
)
def test_a_forked_child_does_its_parents_directory_no_harm(temporary: Path, child: str) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", FORKS.format(child=child)],
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_the_session_has_one_and_removes_it_at_its_end(downstream: Downstream, temporary: Path) -> None:
    result = downstream.run(
        """
        import pathlib, tempfile

        made = []

        def test_first(_echoserver_session):
            made.append(_echoserver_session.directory.path)

        def test_second(_echoserver_session):
            assert made == [_echoserver_session.directory.path]
            assert made[0].is_dir()
        """
    )
    result.assert_outcomes(passed=2)
    assert list(temporary.glob(f"{PREFIX}*")) == []


def test_it_is_there_until_the_sessions_peers_are_closed(downstream: Downstream) -> None:
    downstream.pytester.makeconftest(
        """
        from pathlib import Path

        def pytest_echoserver_peer_closed(peer):
            assert Path(peer.address).parent.is_dir()
        """
    )
    result = downstream.run("def test_it(session_peers): session_peers.unix()")
    result.assert_outcomes(passed=1)
