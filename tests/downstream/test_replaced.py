"""What tests replace in the whole process, for the code under test alone."""

import sys

import pytest

from ..conftest import EITHER_LOOP, Downstream

BACK_OFF = """
    import asyncio
    from unittest import mock

    async def fetch(address):
        for delay in (1, 2, 4):
            try:
                reader, writer = await asyncio.open_connection(*address)
                writer.write(b"get\\n")
                line = await reader.readline()
                writer.close()
                if line:
                    return line
            except OSError:
                pass
            await asyncio.sleep(delay)

    def test_it(monkeypatch, tcp_peer):
        sleep = mock.AsyncMock()
        monkeypatch.setattr(asyncio, "sleep", sleep)
        tcp_peer.expect(b"get\\n").close()
        tcp_peer.expect(b"get\\n").reply(b"fine\\n", after=0.05)
        assert asyncio.run(fetch(tcp_peer.address)) == b"fine\\n"
        assert sleep.await_args_list == [mock.call(1)]
"""
NO_SLEEP = """
    import asyncio, re, socket, sys
    import pytest
    from pytest_echoserver import StreamFaults

    @pytest.fixture(autouse=True)
    def no_sleep(monkeypatch):
        async def at_once(delay, result=None):
            return result

        monkeypatch.setattr(asyncio, "sleep", at_once)

    def connect(peer):
        return socket.create_connection(peer.address, timeout=5)
"""


def test_the_sleeps_of_a_back_off_are_those_of_the_test_alone(downstream: Downstream) -> None:
    downstream.run_apart(BACK_OFF).assert_outcomes(passed=1)


@pytest.mark.parametrize("loop", EITHER_LOOP)
def test_peers_settle_though_sleep_is_replaced(downstream: Downstream, loop: str) -> None:
    result = downstream.run_apart(
        NO_SLEEP
        + """
    @pytest.mark.parametrize("turn", range(5))
    def test_unexpected_datagram(udp_peer, turn):
        udp_peer.on(b"a")
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
            for _ in range(100):
                client.sendto(b"a", udp_peer.address)
            client.sendto(b"b", udp_peer.address)

    def test_unexpected_behind_a_proxy(tcp_peer, peers):
        tcp_peer.on(b"a\\n")
        with connect(peers.tcp_proxy(tcp_peer)) as client:
            client.sendall(b"a\\n" * 1000 + b"b\\n")
    """,
        f"--echoserver-loop={loop}",
    )
    result.assert_outcomes(failed=6)
    result.stdout.fnmatch_lines(["E*ScriptMismatch: *unexpected datagram*", "E*ScriptMismatch: *unexpected input*"])


@pytest.mark.parametrize("loop", EITHER_LOOP)
def test_what_takes_time_takes_it_though_sleep_is_replaced(downstream: Downstream, loop: str) -> None:
    downstream.run_apart(
        NO_SLEEP
        + """
    def test_handler(tcp_peer):
        @tcp_peer.serve
        async def handler(connection):
            async for line in connection.lines():
                assert line == b"a\\n"

        with connect(tcp_peer) as client:
            client.sendall(b"a\\n" * 1000)

    def test_an_answer_that_waits_holds_up_no_other_peer(peers):
        slow, quick = peers.tcp(), peers.tcp_echo()
        asked = slow.expect(b"a").reply(b"b", after=2)
        with connect(slow) as at_slow, connect(quick) as at_quick:
            at_slow.sendall(b"a")
            asked.met.result()
            at_quick.sendall(b"x")
            assert at_quick.recv(1) == b"x"
            at_slow.setblocking(False)
            with pytest.raises(BlockingIOError):
                at_slow.recv(1)

    def test_segments(tcp_peer):
        with connect(tcp_peer) as client:
            sent = tcp_peer.connection.send(b"abcdef", segments=2)
            assert [client.recv(10) for _ in range(3)] == [b"ab", b"cd", b"ef"]
            sent.result()

    @pytest.mark.parametrize("kind", ["socketpair", "tcp", "tls"])
    def test_harness(stream_harness, kind):
        stream = stream_harness.connect(asyncio.Protocol, kind=kind)
        stream.send(b"x")
        stream.close()
        assert stream.lost.result() is None

    def test_program(subprocess_runner, tmp_path):
        code = "import pathlib, time; pathlib.Path('there').touch(); time.sleep(100)"
        subprocess_runner(sys.executable, "-c", code, cwd=tmp_path, ready="there")
    """,
        f"--echoserver-loop={loop}",
    ).assert_outcomes(passed=7)


@pytest.mark.skipif(sys.platform == "win32", reason="no signals")
@pytest.mark.parametrize("stdin", ["None", "subprocess.PIPE"])
def test_programs_get_their_signals_though_kill_is_replaced(downstream: Downstream, stdin: str) -> None:
    downstream.run_apart(
        f"""
    import os, signal, subprocess
    from unittest import mock

    import pytest

    @pytest.fixture(autouse=True)
    def replaced(monkeypatch):
        kill, killpg = mock.Mock(), mock.Mock()
        monkeypatch.setattr(os, "kill", kill)
        monkeypatch.setattr(os, "killpg", killpg)
        yield
        assert not kill.mock_calls and not killpg.mock_calls

    def test_it(subprocess_runner):
        program = subprocess_runner("sleep", "100", stdin={stdin})
        program.terminate()
        assert program.exited.result() == -signal.SIGTERM

    def test_at_the_end(subprocess_runner):
        subprocess_runner("sleep", "100", stdin={stdin})
    """
    ).assert_outcomes(passed=2)


@pytest.mark.parametrize("loop", EITHER_LOOP)
def test_peers_and_programs_go_by_the_real_clock(downstream: Downstream, loop: str) -> None:
    downstream.run_apart(
        """
    import asyncio, socket, sys, time
    from unittest import mock

    import pytest
    from pytest_echoserver import DatagramFaults

    @pytest.fixture(autouse=True, params=[{"side_effect": [0.0, 10.0]}, {"return_value": 100.0}])
    def replaced(request, monkeypatch):
        real, clock = time.monotonic, mock.Mock(**request.param)
        for module in [module for name, module in sys.modules.items() if name.startswith("pytest_echoserver")]:
            for name, value in list(vars(module).items()):
                if value is real:  # as freezegun does it
                    monkeypatch.setattr(module, name, clock)
        monkeypatch.setattr(time, "monotonic", clock)
        yield
        assert not clock.mock_calls

    def test_an_answer_that_waits(tcp_peer):
        tcp_peer.expect(b"hi").reply(b"ho", after=0.01)
        with socket.socket() as client:
            client.settimeout(5)
            client.connect(tcp_peer.address)
            client.sendall(b"hi")
            assert client.recv(2) == b"ho"

    def test_delay_and_silence(peers):
        peer = peers.udp_echo(faults=DatagramFaults(delay=0.01))
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
            client.settimeout(5)
            client.sendto(b"hi", peer.address)
            assert client.recv(2) == b"hi"
        peer.next_datagram().result()
        peer.expect_silence(0.01).result()

    def test_harness(stream_harness):
        stream = stream_harness.connect(asyncio.Protocol)
        stream.send(b"x")
        stream.close()
        assert stream.lost.result() is None

    def test_program(subprocess_runner):
        subprocess_runner(sys.executable, "-c", "import time; print('up'); time.sleep(100)", ready=b"up")
    """,
        f"--echoserver-loop={loop}",
    ).assert_outcomes(passed=8)


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere no file is read")
@pytest.mark.parametrize("what", ["builtins.open", "pathlib.Path.open", "pathlib.Path.read_text"])
def test_programs_end_though_files_are_replaced(downstream: Downstream, what: str) -> None:
    result = downstream.run_apart(
        f"""
    import sys
    from unittest import mock

    import pytest
    from pytest_echoserver import CaptureTimeout

    @pytest.fixture(autouse=True)
    def replaced():
        with mock.patch("{what}", mock.mock_open(read_data="a = 1")) as replaced:
            yield
            assert not replaced.mock_calls

    def test_holder(subprocess_runner):
        program = subprocess_runner(sys.executable, "-c", "import os, signal; os.fork() or signal.pause()")
        program.exited.result()
        with pytest.raises(CaptureTimeout, match="which it started, still holds its stdout"):
            program.output_complete.result(timeout=0.01)

    def test_escaped(subprocess_runner):
        code = "import os, signal; os.fork() or (os.setsid(), print('up', flush=True), signal.pause())"
        subprocess_runner(sys.executable, "-c", code).read_until(b"up").result()
    """
    )
    result.assert_outcomes(passed=2, errors=1)
    result.stdout.fnmatch_lines(["E*RuntimeError: *left its process group, and had to be killed: pid * (*"])


@pytest.mark.parametrize("loop", EITHER_LOOP)
@pytest.mark.parametrize(
    "name", ["ensure_future", "get_running_loop", "current_task", "gather", "wait", "timeout", "Event", "Task"]
)
def test_no_peer_goes_by_what_code_that_starts_tasks_calls(downstream: Downstream, name: str, loop: str) -> None:
    downstream.run(
        f"""
    import asyncio, socket
    from unittest import mock

    import pytest

    @pytest.fixture(autouse=True)
    def replaced(monkeypatch, udp_peer):  # by which uvloop is loaded: it keeps what it finds then
        theirs = mock.Mock(side_effect=AssertionError("of the code under test"))
        monkeypatch.setattr(asyncio, {name!r}, theirs)
        yield
        monkeypatch.undo()
        assert not theirs.mock_calls

    def talk_to(server):
        with socket.socket(server.family) as client:
            client.settimeout(5)
            client.connect(server.address)
            client.sendall(b"x\\n")
            assert client.recv(1) == b"x"

    def test_handler(tcp_peer, peers):
        @tcp_peer.serve
        async def handler(connection):
            async for line in connection.lines():
                connection.send(line)

        talk_to(peers.tcp_proxy(tcp_peer))

    def test_script(tcp_peer):
        tcp_peer.expect(b"x\\n").reply(b"x", after=0.01)
        talk_to(tcp_peer)

    def test_harness(stream_harness):
        stream = stream_harness.connect(asyncio.Protocol)
        stream.send(b"x")
        stream.close()

    def test_on_the_tests_loop(stream_harness):
        async def talk():
            stream = await stream_harness.connect_here(asyncio.Protocol)
            stream.send(b"x")
            await stream.close()

        asyncio.run(talk())
    """,
        f"--echoserver-loop={loop}",
    ).assert_outcomes(passed=4)
