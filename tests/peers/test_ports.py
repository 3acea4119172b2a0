"""Reserved ports, as they come from ``reserved_port`` and ``peers.reserve_port()``."""

import asyncio
import os
import random
import signal
import socket
import subprocess
import sys
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Literal

import pytest

from pytest_echoserver import Peers
from pytest_echoserver._peers import ports
from pytest_echoserver._peers.ports import PortLock, bindable, candidates, ephemeral_range, lock_a_port

from ..conftest import Downstream
from .conftest import Opened

ROOT = Path(__file__).parents[2]
ANYWHERE = {"0.0.0.0": socket.AF_INET, "::": socket.AF_INET6, "127.0.0.1": socket.AF_INET, "::1": socket.AF_INET6}
TYPES = {"tcp": socket.SOCK_STREAM, "udp": socket.SOCK_DGRAM}

on_linux = pytest.mark.skipif(sys.platform != "linux", reason="the range is Linux's to tell")
on_posix = pytest.mark.skipif(sys.platform == "win32", reason="forks, kills and owners are POSIX's")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder of locks that no other run uses."""
    return tmp_path / "locks"


@pytest.fixture
def locked(folder: Path) -> Iterator[Callable[[int], PortLock | None]]:
    """Locks a port in ``folder``, until the end of the test."""
    locks: list[PortLock] = []

    def take(port: int) -> PortLock | None:
        ports.make_private(folder)
        lock = PortLock.take(port, folder)
        if lock is not None:
            locks.append(lock)
        return lock

    yield take
    for lock in locks:
        lock.release()


@pytest.mark.parametrize("sharing", [True, False])
@pytest.mark.parametrize("transport", TYPES)
@pytest.mark.parametrize("host", ANYWHERE)
def test_a_server_can_bind_it_with_whatever_options(
    reserved_port: int, opened: Opened, host: str, transport: str, sharing: bool
) -> None:
    server = opened(socket.socket(ANYWHERE[host], TYPES[transport]))
    server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, sharing)
    server.bind((host, reserved_port))


@pytest.mark.asyncio
async def test_an_async_server_can_bind_it(reserved_port: int) -> None:
    async def greet(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"hello")
        writer.close()

    async with await asyncio.start_server(greet, "127.0.0.1", reserved_port):
        reader, writer = await asyncio.open_connection("127.0.0.1", reserved_port)
        assert await reader.read() == b"hello"
        writer.close()
        await writer.wait_closed()


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_peers_can_bind_it(peers: Peers, reserved_port: int, host: str) -> None:
    both: tuple[Literal["tcp"], Literal["udp"]] = ("tcp", "udp")
    for transport in both:
        assert peers.refusing(transport, host=host, port=reserved_port).port == reserved_port


def test_it_is_none_that_the_system_gives_to_who_asks_for_any(peers: Peers) -> None:
    low, high = ephemeral_range()
    for _ in range(100):
        port = peers.reserve_port()
        assert 10_000 <= port <= 65_535
        assert not low <= port <= high


def test_no_number_is_given_twice_in_a_test_or_soon_after(peers: Peers, downstream: Downstream) -> None:
    given = [peers.reserve_port() for _ in range(200)]
    result = downstream.run(
        """
        given = set()

        def test_many(peers):
            for _ in range(300):
                port = peers.reserve_port()
                assert port not in given
                given.add(port)

        test_again = test_after = test_many
        """
    )
    result.assert_outcomes(passed=3)
    assert len(set(given)) == 200


def test_the_global_random_state_has_no_say_in_it(peers: Peers) -> None:
    given = []
    for _ in range(5):
        random.seed(0)
        state = random.getstate()
        given.append(peers.reserve_port())
        assert random.getstate() == state
    # From the same state they would stand in a row, each where the last one was found to be given out.
    assert max(given) - min(given) > 5


RESERVES_MANY = """
import contextvars, sys
from pytest_echoserver._engine import LOOPS, EngineHost
from pytest_echoserver._peers.ports import reserve
from pytest_echoserver._scope import Scope

host = EngineHost(LOOPS["asyncio"])
scope = Scope(host.get(), 5)
print("ready", flush=True)
sys.stdin.readline()
print(*[reserve(scope) for _ in range(400)], flush=True)
sys.stdin.readline()
scope.close()
host.stop()
"""


def test_no_two_processes_ever_have_the_same_one() -> None:
    def tell(process: "subprocess.Popen[str]") -> None:
        assert process.stdin is not None
        process.stdin.write("go on\n")
        process.stdin.flush()

    def hear(process: "subprocess.Popen[str]") -> str:
        assert process.stdout is not None
        return process.stdout.readline()

    with ExitStack() as stack:
        processes = [
            stack.enter_context(
                subprocess.Popen(
                    [sys.executable, "-c", RESERVES_MANY],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    text=True,
                    cwd=ROOT,
                )
            )
            for _ in range(4)
        ]
        for process in processes:
            stack.callback(process.kill)
        assert [hear(process) for process in processes] == ["ready\n"] * 4
        for process in processes:
            tell(process)
        given = [int(port) for process in processes for port in hear(process).split()]
        for process in processes:
            tell(process)
        assert [process.wait(30) for process in processes] == [0] * 4
    assert len(given) == len(set(given)) == 1600


def test_workers_share_the_locks(downstream: Downstream, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD")
    result = downstream.run_apart(
        """
        import pytest
        from pytest_echoserver._peers.ports import PortLock, machine_folder

        @pytest.mark.parametrize("number", range(200))
        def test_it(reserved_port, number):
            assert PortLock.take(reserved_port, machine_folder()) is None
        """,
        *("-n", "2", "-p", "no:asyncio"),
    )
    result.assert_outcomes(passed=200)


def test_nothing_of_it_outlives_the_test(
    downstream: Downstream, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ports, "machine_folder", lambda: folder)  # another run may lock the same numbers at once
    result = downstream.run(
        """
        from pytest_echoserver._peers import ports

        def test_it(peers, reserved_port):
            given = {str(reserved_port), str(peers.reserve_port())}
            assert {path.name for path in ports.machine_folder().iterdir()} == given
        """
    )
    result.assert_outcomes(passed=1)
    assert not folder.exists()


def test_a_failing_test_shows_the_number(downstream: Downstream) -> None:
    result = downstream.run(
        """
        def test_it(reserved_port):
            print("it was", reserved_port)
            assert False
        """
    )
    result.assert_outcomes(failed=1)
    (port,) = [line.split()[-1] for line in result.outlines if line.startswith("it was")]
    result.stdout.fnmatch_lines([f"*reserved_port-1 (port {port})*"])


@pytest.mark.parametrize("host", ANYWHERE)
@pytest.mark.parametrize("transport", TYPES)
def test_one_that_is_bound_is_passed_over(
    peers: Peers, opened: Opened, folder: Path, host: str, transport: str
) -> None:
    taken, free = peers.reserve_port(), peers.reserve_port()
    opened(socket.socket(ANYWHERE[host], TYPES[transport])).bind((host, taken))
    lock = lock_a_port([taken, free], folder)
    assert lock.port == free
    with pytest.raises(RuntimeError, match=r"^no port can be reserved: of the 2 from \d+ to \d+ outside .*/locks$"):
        lock_a_port([taken, free], folder)
    lock.release()
    assert not folder.exists()


def test_one_given_out_lately_is_given_again_only_if_there_is_no_other(
    peers: Peers, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lately, *others = (peers.reserve_port() for _ in range(4))
    monkeypatch.setattr(ports, "_recent", deque([lately]))
    for _ in others:
        lock = lock_a_port([lately, *others], folder)
        lock.release()
        assert lock.port != lately
    again = lock_a_port([lately], folder)
    again.release()
    assert again.port == lately


def test_a_lock_holds_until_its_release(locked: Callable[[int], PortLock | None], folder: Path) -> None:
    lock = locked(20_000)
    assert lock is not None
    assert locked(20_000) is None
    assert locked(20_001) is not None
    lock.release()
    assert locked(20_000) is not None
    lock.release()
    assert locked(20_000) is None


HOLDS_ONE = """
import sys
from pathlib import Path
from pytest_echoserver._peers.ports import PortLock, make_private

folder = Path(sys.argv[1])
make_private(folder)
lock = PortLock.take(20_000, folder)
print("locked", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def leftover(folder: Path) -> Path:
    """The lock file of a process that was killed."""
    args = [sys.executable, "-c", HOLDS_ONE, str(folder)]
    with subprocess.Popen(args, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=ROOT) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"locked\n"
        assert PortLock.take(20_000, folder) is None
        process.kill()
    return folder / "20000"


def test_what_a_killed_process_locked_can_be_locked_again(
    leftover: Path, locked: Callable[[int], PortLock | None]
) -> None:
    assert leftover.exists()
    lock = locked(20_000)
    assert lock is not None
    assert locked(20_000) is None
    lock.release()
    assert not leftover.exists()


def test_the_first_reservation_of_a_process_clears_away_what_killed_ones_left(
    leftover: Path, locked: Callable[[int], PortLock | None]
) -> None:
    assert locked(20_001)
    ports._sweep_once(leftover.parent)
    assert [path.name for path in leftover.parent.iterdir()] == ["20001"]
    assert locked(20_001) is None


@on_posix
def test_a_file_removed_between_open_and_lock_locks_nothing(
    folder: Path, locked: Callable[[int], PortLock | None], monkeypatch: pytest.MonkeyPatch
) -> None:
    first = locked(20_000)
    assert first is not None
    lock_it = ports._locked

    def released_meanwhile(descriptor: int) -> bool:
        monkeypatch.setattr(ports, "_locked", lock_it)
        first.release()
        assert locked(20_000) is not None
        return lock_it(descriptor)

    monkeypatch.setattr(ports, "_locked", released_meanwhile)
    assert locked(20_000) is None  # it got the lock of the removed file
    assert (folder / "20000").exists()


@on_posix
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_forked_child_leaves_its_parents_lock_alone(
    folder: Path, locked: Callable[[int], PortLock | None]
) -> None:
    lock = locked(20_000)
    assert lock is not None
    child = os.fork()
    if not child:
        lock.release()
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert (folder / "20000").exists()
    assert locked(20_000) is None
    lock.release()
    assert not folder.exists()


@on_posix
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_port_is_free_again_though_a_forked_child_lives_on(locked: Callable[[int], PortLock | None]) -> None:
    lock = locked(20_000)
    assert lock is not None
    child = os.fork()
    if not child:
        signal.pause()
    try:
        lock.release()
        assert locked(20_000) is not None
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


@on_posix
@pytest.mark.parametrize("wrong", ["others can write", "a link", "a file"])
def test_a_folder_that_others_could_meddle_with_is_refused(folder: Path, tmp_path: Path, wrong: str) -> None:
    if wrong == "others can write":
        folder.mkdir()
        folder.chmod(0o777)
    elif wrong == "a link":
        folder.symlink_to(tmp_path)
    else:
        folder.touch()
    with pytest.raises(
        RuntimeError, match=r"/locks, which must be a directory that user \d+ owns and no other can"
    ):
        lock_a_port([20_000], folder)


@on_posix
def test_the_folder_is_the_machines_whatever_tmpdir_says(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    before = ports.machine_folder()
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    assert ports.machine_folder() == before
    assert tmp_path not in before.parents


@on_linux
def test_the_ephemeral_range_is_the_systems(opened: Opened) -> None:
    low, high = ephemeral_range()
    for _ in range(50):
        sock = opened(socket.socket())
        sock.bind(("127.0.0.1", 0))
        assert low <= sock.getsockname()[1] <= high


@pytest.mark.parametrize(
    ("ephemeral", "lowest", "highest", "count"),
    [
        ((32_768, 60_999), 10_000, 65_535, 22_768 + 4_536),
        ((49_152, 65_535), 10_000, 49_151, 39_152),
        ((1024, 60_999), 61_000, 65_535, 4_536),
        ((1024, 2047), 10_000, 65_535, 55_536),
    ],
)
def test_candidates_are_what_the_ephemeral_range_leaves(
    ephemeral: tuple[int, int], lowest: int, highest: int, count: int
) -> None:
    left = candidates(*ephemeral)
    assert (left[0], left[-1], len(left), len(set(left))) == (lowest, highest, count, count)
    assert not [port for port in left if ephemeral[0] <= port <= ephemeral[1]]


@on_linux
def test_a_range_that_leaves_none_is_an_error(
    peers: Peers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = tmp_path / "ip_local_port_range"
    told.write_text("1024\t65535\n")
    monkeypatch.setattr(ports, "EPHEMERAL_ON_LINUX", told)
    with pytest.raises(RuntimeError, match="gives those from 1024 to 65535 to who asks for any, and none is left"):
        peers.reserve_port()


def test_where_there_is_no_ipv6_only_ipv4_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    families: set[socket.AddressFamily] = set()

    def note(port: int, family: socket.AddressFamily, kind: socket.SocketKind) -> bool:
        families.add(family)
        return True

    monkeypatch.setattr(ports, "_has_ipv6", ports._has_ipv6.__wrapped__)
    monkeypatch.setattr(ports, "_bindable", note)
    monkeypatch.setattr(socket, "has_ipv6", False)
    assert bindable(20_000)
    assert families == {socket.AF_INET}
