"""What can't work beside a neighbour is told, with the way out."""

import os
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from ..conftest import Downstream

PING = """
    import asyncio, socket
    import pytest

    def ping(address, family=socket.AF_INET, kind=socket.SOCK_DGRAM):
        with socket.socket(family, kind) as client:
            client.settimeout(30)
            client.connect(address)
            client.send(b"ping")
            assert client.recv(100) == b"ping"
"""
BLOCKED = (
    "E * RuntimeError: pytest-socket (--disable-socket) blocks the sockets that peers are made of: mark this test "
    "with @pytest.mark.enable_socket, or run with --allow-hosts=127.0.0.1,::1, which blocks other hosts alone"
)
IN_A_THREAD = "`await deferToThread(future.result)` leaves Twisted's reactor free meanwhile"


def test_that_pytest_socket_blocks_sockets(downstream: Downstream) -> None:
    pytest.importorskip("pytest_socket")
    result = downstream.run_apart(
        PING
        + """
    def test_udp(udp_echo_server):
        pass

    def test_session(session_peers):
        session_peers.tcp()

    def test_program(subprocess_runner):
        pass

    @pytest.mark.enable_socket
    def test_enabled(udp_echo_server):
        ping(udp_echo_server.address)
    """,
        "--disable-socket",
        "-p",
        "pytest_socket",
    )
    result.assert_outcomes(passed=1, errors=3)
    result.stdout.fnmatch_lines([BLOCKED] * 3)
    result.stdout.no_fnmatch_line("*unclosed*")


def test_that_pytest_socket_blocks_sockets_from_here_on(downstream: Downstream) -> None:
    pytest.importorskip("pytest_socket")
    result = downstream.run_apart(
        PING
        + """
    def test_before(session_peers):
        pass

    @pytest.mark.disable_socket
    def test_harness(stream_harness):
        stream_harness.connect(asyncio.Protocol)

    @pytest.mark.disable_socket
    def test_harness_by_tcp(stream_harness):
        stream_harness.connect(asyncio.Protocol, kind="tcp")

    @pytest.mark.disable_socket
    def test_pair(stream_harness):
        stream_harness.pair()

    @pytest.mark.disable_socket
    def test_port(reserved_port):
        pass

    @pytest.mark.disable_socket
    def test_peer(peers):
        peers.tcp()
    """,
        "-p",
        "pytest_socket",
    )
    result.assert_outcomes(passed=1, failed=4, errors=1)
    result.stdout.fnmatch_lines([BLOCKED] * 5)
    result.stdout.no_fnmatch_line("*unclosed*")


def test_sockets_that_are_open_when_pytest_socket_blocks_others(downstream: Downstream) -> None:
    pytest.importorskip("pytest_socket")
    result = downstream.run_apart(
        PING
        + """
    import sys
    import pytest_socket

    CLIENT = (
        "import socket, sys; s = socket.create_connection(('127.0.0.1', int(sys.argv[1])), 30); s.send(b'ping'); "
        "print(s.recv(4))"
    )

    @pytest.fixture
    def no_more():
        yield pytest_socket.disable_socket
        pytest_socket.enable_socket()

    @pytest.mark.parametrize("kind", ["socketpair", "tcp"])
    def test_segments(stream_harness, kind, no_more):
        stream = stream_harness.connect(asyncio.Protocol, kind=kind)
        no_more()
        stream.send(b"abc", segments=1)
        got = [stream.next_call("data_received").result().args[0] for _ in range(3)]
        assert got == [b"a", b"b", b"c"]

    def test_program(tcp_echo_server, subprocess_runner, no_more):
        no_more()
        program = subprocess_runner(sys.executable, "-c", CLIENT, str(tcp_echo_server.port))
        assert program.wait().result().stdout == b"b'ping'\\n"
    """,
        "-p",
        "pytest_socket",
    )
    result.assert_outcomes(passed=3)


def test_that_pytest_socket_blocks_all_but_unix_sockets(downstream: Downstream) -> None:
    pytest.importorskip("pytest_socket")
    result = downstream.run_apart(
        PING
        + """
    def test_udp(udp_echo_server):
        pass

    def test_harness_by_tcp(stream_harness):
        stream_harness.connect(asyncio.Protocol, kind="tcp")

    def test_harness(stream_harness):
        stream_harness.connect(asyncio.Protocol).send(b"hello").result()

    def test_unix(unix_echo_server):
        ping(unix_echo_server.address, socket.AF_UNIX, socket.SOCK_STREAM)
    """,
        "--disable-socket",
        "--allow-unix-socket",
        "-p",
        "pytest_socket",
    )
    result.assert_outcomes(passed=2, failed=1, errors=1)
    result.stdout.fnmatch_lines([BLOCKED] * 2)


def test_that_pytest_socket_allows_other_hosts_than_peers(downstream: Downstream) -> None:
    pytest.importorskip("pytest_socket")
    result = downstream.run_apart(
        PING
        + """
    def test_tcp(tcp_echo_server):
        ping(tcp_echo_server.address, kind=socket.SOCK_STREAM)

    def test_unix(unix_echo_server):
        ping(unix_echo_server.address, socket.AF_UNIX, socket.SOCK_STREAM)

    def test_harness_by_tcp(stream_harness):
        stream_harness.connect(asyncio.Protocol, kind="tcp")

    def test_without_peers():
        ping(("192.0.2.1", 80))
    """,
        "--allow-hosts=192.0.2.2",
        "-p",
        "pytest_socket",
    )
    result.assert_outcomes(failed=4)
    hint = (
        "E * pytest-socket blocks this; it lets tests connect to peers with --allow-hosts=127.0.0.1,::1, and with "
        "--allow-unix-socket to those on a Unix socket, or with @pytest.mark.enable_socket"
    )
    result.stdout.fnmatch_lines([hint] * 3)
    assert result.stdout.str().count("pytest-socket blocks this") == 3


@pytest.mark.parametrize("reactor", ["default", "asyncio"])
def test_that_a_coroutine_of_twisteds_cannot_await(downstream: Downstream, reactor: str) -> None:
    pytest.importorskip("pytest_twisted")
    result = downstream.run_apart(
        """
        import pytest_twisted

        @pytest_twisted.ensureDeferred
        async def test_it(udp_echo_server):
            await udp_echo_server.next_datagram()
        """,
        f"--reactor={reactor}",
        "-p",
        "pytest_twisted",
    )
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(f"E * a coroutine of Twisted's can't await a CaptureFuture: {IN_A_THREAD}")


@pytest.mark.parametrize(
    ("reactor", "told"),
    [
        ("default", "CaptureTimeout: waited 0.2 s for the next datagram on *: no datagram came; "),
        ("asyncio", "RuntimeError: result() would block the thread of a running event loop, and with it what *: "),
    ],
)
def test_that_a_wait_holds_up_the_reactor(downstream: Downstream, reactor: str, told: str) -> None:
    pytest.importorskip("pytest_twisted")
    result = downstream.run_apart(
        """
        def test_it(udp_echo_server):
            udp_echo_server.next_datagram().result(timeout=0.2)
        """,
        f"--reactor={reactor}",
        "-p",
        "pytest_twisted",
    )
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(f"E *{told}{IN_A_THREAD}")


def test_that_a_coroutine_of_twisteds_cannot_await_before_the_reactor_runs(downstream: Downstream) -> None:
    pytest.importorskip("twisted")
    result = downstream.run_apart(
        """
        import pytest
        from twisted.internet import reactor
        from twisted.trial.unittest import TestCase

        class Test(TestCase):
            @pytest.fixture(autouse=True)
            def peer(self, udp_peer):
                self.peer = udp_peer

            async def test_it(self):
                assert not reactor.running
                await self.peer.next_datagram()
        """
    )
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        "E * no event loop of asyncio's or trio's runs here, to await a CaptureFuture on; under Twisted, "
        f"{IN_A_THREAD}"
    )


ENOUGH = 5
"""Seconds for a test to come to where it hangs, on a busy machine as well."""
HANGS = (
    PING
    + """
    def test_it(udp_peer, unix_peer, subprocess_runner):
        program = subprocess_runner("sleep", "60")
        with open("pid", "w") as file:
            file.write(str(program.pid))
        ping(udp_peer.address)

    def test_after_it(udp_echo_server):
        ping(udp_echo_server.address)
"""
)


def test_a_timeout_by_signal_ends_all_of_its_test(downstream: Downstream) -> None:
    pytest.importorskip("pytest_timeout")
    result = downstream.run_apart(HANGS, "-p", "pytest_timeout", f"--timeout={ENOUGH}", "--timeout-method=signal")
    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines(
        [f"E * Failed: Timeout (>{ENOUGH:.1f}s) from pytest-timeout.", "udp-1 *", "*b'ping'*"]
    )
    with pytest.raises(ProcessLookupError):
        os.kill(int((downstream.pytester.path / "pid").read_text()), 0)


@pytest.fixture
def short_path() -> Iterator[Path]:
    """A directory that leaves room for the path of a Unix socket."""
    with tempfile.TemporaryDirectory() as path:
        yield Path(path)


def test_a_timeout_by_thread_ends_the_run_and_the_next_one_tidies_up(
    downstream: Downstream, monkeypatch: pytest.MonkeyPatch, short_path: Path
) -> None:
    pytest.importorskip("pytest_timeout")
    monkeypatch.setenv("TMPDIR", str(short_path))
    options = ("-p", "pytest_timeout", f"--timeout={ENOUGH}", "--timeout-method=thread")
    result = downstream.run_apart(HANGS, *options)
    # pytest-timeout asks nobody: what of the documentation's page on programs escapes, escapes here.
    os.kill(int((downstream.pytester.path / "pid").read_text()), signal.SIGKILL)
    assert result.ret == 1
    result.stdout.no_fnmatch_line("*in test_after_it*")
    assert len(list(short_path.glob("echosrv-*"))) == 1
    downstream.run_apart("def test_it(unix_peer): pass", *options).assert_outcomes(passed=1)
    assert list(short_path.glob("echosrv-*")) == []
