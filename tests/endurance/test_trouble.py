"""Things that go badly wrong within a test: a clear outcome, nothing left, and the next test unharmed."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from .conftest import LONG, Endurance

DATAGRAMS = 1_000_000 if LONG else 50_000


def test_a_flood(endurance: Endurance) -> None:
    endured = endurance.run(
        f"""
import socket

def test_it(udp_peer, note):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.connect(udp_peer.address)
        data = bytes(64)
        for _ in range({DATAGRAMS}):
            client.send(data)
        client.send(b"last")
    while udp_peer.dropped_by_kernel + len(udp_peer.received) < {DATAGRAMS} + 1:
        udp_peer.wait_for(len(udp_peer.received) + 1).result()
    note["received"], note["dropped"] = len(udp_peer.received), udp_peer.dropped_by_kernel
"""
    )
    endured.result.assert_outcomes(passed=2)
    received, dropped = endured.told["received"], endured.told["dropped"]
    assert received + dropped == DATAGRAMS + 1
    endurance.account(
        f"{DATAGRAMS:,} datagrams as fast as they can be sent",
        f"{received:,} received, {dropped:,} dropped: all told",
    )


def test_no_descriptors(endurance: Endurance) -> None:
    endured = endurance.run(
        """
import os, resource, socket
import pytest

@pytest.fixture
def few():
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (len(os.listdir("/proc/self/fd")) + 12, hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))

@pytest.fixture
def clients():
    clients = [socket.socket() for _ in range(20)]
    yield clients
    for client in clients:
        client.close()

def test_peers(peers, few):
    while True:
        peers.udp_echo()

def test_connections(tcp_echo_server, clients, few):
    for client in clients:
        client.connect(tcp_echo_server.address)
    try:
        tcp_echo_server.verify()
    finally:
        for client in clients:
            client.close()
        with socket.create_connection(tcp_echo_server.address, timeout=5) as client:
            client.sendall(b"x")
            assert client.recv(1) == b"x"

def test_a_program(subprocess_runner, few):
    kept = []
    with pytest.raises(OSError):
        while True:
            kept.append(os.dup(0))
    try:
        with pytest.raises(OSError, match="Too many open files"):
            subprocess_runner("true")
    finally:
        for fd in kept:
            os.close(fd)
    assert subprocess_runner("true").exited.result() == 0
"""
    )
    # A peer that could not accept fails its test, though it goes on once it can.
    endured.result.assert_outcomes(passed=2, failed=2)
    endured.result.stdout.fnmatch_lines(
        ["E*can't bind a UDP socket*: Too many open files", "E*OSError: * Too many open files"]
    )
    endured.result.stdout.no_fnmatch_line("*TimeoutError*")
    endurance.account(
        "no descriptors left, in a test", "OSError, at the call or beside the test; goes on once there are some"
    )


ENGINE = {
    "time.sleep(1.5)": "held up*time.sleep(1.5)",
    "threading.Event().wait(1.5)": "held up*threading.Event().wait(1.5)",
    "spin(1.5)": "held up*in spin*",
    "raise SystemExit(3)": "SystemExit: 3",
    "raise KeyboardInterrupt": "*KeyboardInterrupt*",
    "raise MemoryError": "MemoryError",
}


@pytest.mark.parametrize("code", ENGINE)
def test_the_engine_is_held_up_or_hit(endurance: Endurance, code: str) -> None:
    endured = endurance.run(
        f"""
import socket, threading, time

def spin(seconds):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        pass

def test_it(tcp_peer):
    @tcp_peer.serve
    async def handler(connection):
        {code}

    with socket.create_connection(tcp_peer.address, timeout=5):
        tcp_peer.connection.read(1).result()
""",
        "--echoserver-timeout=0.3",
    )
    endured.result.assert_outcomes(failed=1, passed=1)
    endured.result.stdout.fnmatch_lines([f"*{ENGINE[code]}*"])
    endurance.account(f"a handler that does {code}", "its test fails, and says so")


INTERRUPTED = """
import os, signal, subprocess, sys, threading
import pytest

@pytest.fixture
def shut():
    yield
    if {in_teardown}:
        os.kill(os.getpid(), signal.SIGINT)
        threading.Event().wait(5)

def test_it(shut, udp_echo_server, tcp_echo_server, unix_echo_server, stream_harness, subprocess_runner, note):
    import asyncio, socket
    client = socket.create_connection(tcp_echo_server.address)
    stream_harness.connect(asyncio.Protocol)
    code = "import time; print(1, flush=True); time.sleep(60)"
    program = subprocess_runner(sys.executable, "-c", code, ready=b"1")
    note["program"], note["path"] = program.pid, unix_echo_server.address
    client.close()
    if not {in_teardown}:
        os.kill(os.getpid(), signal.SIGINT)
        threading.Event().wait(5)
"""


@pytest.mark.parametrize("in_teardown", [False, True])
def test_an_interrupt(endurance: Endurance, in_teardown: bool) -> None:
    endured = endurance.run(INTERRUPTED.format(in_teardown=in_teardown), then="")
    assert endured.result.ret == pytest.ExitCode.INTERRUPTED
    assert not Path(endured.told["path"]).exists()
    with pytest.raises(ProcessLookupError):
        os.kill(endured.told["program"], 0)
    where = "a fixture's teardown" if in_teardown else "a test"
    endurance.account(f"SIGINT in {where}", "pytest's exit status for that; program and socket are gone")


def test_a_fork(endurance: Endurance) -> None:
    endured = endurance.run(
        """
import os, socket

def test_it(udp_echo_server, peers, request):
    def ask(peer):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
            client.settimeout(5)
            client.sendto(b"x", peer.address)
            return client.recv(1) == b"x"

    assert ask(udp_echo_server)
    pid = os.fork()
    if pid == 0:
        ok = ask(udp_echo_server)  # the parent's
        try:
            peers.udp_echo()
        except RuntimeError as error:
            ok = ok and "forked child" in str(error)
        os._exit(0 if ok else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert ask(udp_echo_server)
""",
        "-W",
        "ignore:This process .* is multi-threaded:DeprecationWarning",
    )
    endured.result.assert_outcomes(passed=2)
    endurance.account("a fork in a test", "the parent's peers go on; the child is told to open its own")


def test_a_client_that_is_killed_in_the_middle_of_a_message(endurance: Endurance) -> None:
    endured = endurance.run(
        '''
import subprocess, sys
import pytest

CLIENT = """
import socket, sys, time
with socket.create_connection(("127.0.0.1", int(sys.argv[1]))) as client:
    client.sendall(b"half a mess")
    time.sleep(60)
"""

@pytest.mark.parametrize("kind", ["read", "script"])
def test_it(tcp_peer, kind):
    if kind == "script":
        tcp_peer.expect(b"half a message").reply(b"never")
    with subprocess.Popen([sys.executable, "-c", CLIENT, str(tcp_peer.port)]) as client:
        connection = tcp_peer.connection
        assert connection.read_exactly(11).result() == b"half a mess"
        client.kill()
    assert connection.ended.result() == "eof"
    assert connection.received == b"half a mess"
'''
    )
    endured.result.assert_outcomes(passed=2, failed=1)
    endured.result.stdout.fnmatch_lines(
        ["*ScriptMismatch: *and then the end of the connection*", "*got*half a mess*"]
    )
    endurance.account(
        "a client killed in the middle of a message", "what came is in the record; a script says what is missing"
    )


def test_a_clock_that_is_stepped(endurance: Endurance) -> None:
    endured = endurance.run(
        """
import itertools, socket, sys, time
import pytest

@pytest.fixture(params=[1e9, -1e9])
def stepped(request, monkeypatch):
    now, steps = time.time, itertools.count(1)
    monkeypatch.setattr(time, "time", lambda: now() + request.param * next(steps))
    monkeypatch.setattr(time, "time_ns", lambda: int(time.time() * 1e9))

def test_it(stepped, udp_peer, tcp_peer, subprocess_runner):
    from pytest_echoserver import CaptureTimeout, DatagramFaults

    start = time.monotonic()
    with pytest.raises(CaptureTimeout):
        udp_peer.next_datagram().result(timeout=0.2)
    udp_peer.expect_silence(0.1).result()
    udp_peer.faults = DatagramFaults(delay=0.1)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.sendto(b"x", udp_peer.address)
    udp_peer.wait_for(1).result()
    tcp_peer.expect_connection().reply(b"x", after=0.1).close()
    with socket.create_connection(tcp_peer.address, timeout=5) as client:
        assert client.recv(1) == b"x"
    subprocess_runner(sys.executable, "-c", "print(1)", ready=b"1").wait().result()
    assert 0.5 <= time.monotonic() - start < 5
"""
    )
    endured.result.assert_outcomes(passed=3)
    endurance.account("the wall clock stepped by years, with every look", "no deadline goes by it")


FAILS = """
import socket

def test_it(udp_echo_server):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        for _ in range(100):
            client.sendto(bytes(1400), udp_echo_server.address)
            client.recv(2000)
    assert False, "as it has to"
"""


@pytest.fixture
def full_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system that holds next to nothing."""
    place = tmp_path / "full"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=16k", "tmpfs", str(place)]
    try:
        subprocess.run(mount, check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("to mount a small file system one has to be root")
    yield place
    subprocess.run(["umount", str(place)], check=True)


@pytest.mark.skipif(sys.platform != "linux", reason="tmpfs")
@pytest.mark.parametrize("option", ["--echoserver-pcap={}/captures", "--echoserver-html={}/page.html"])
def test_a_full_disk(endurance: Endurance, full_disk: Path, option: str) -> None:
    endured = endurance.run(FAILS, option.format(full_disk))
    endured.result.assert_outcomes(failed=1, passed=1)
    endured.result.stdout.fnmatch_lines(["*as it has to*"])
    endured.result.stdout.fnmatch_lines(["*No space left on device*"])
    what = option.partition("=")[0]
    endurance.account(f"a full disk for {what}", "the report says so; the test fails by its own error")
