"""The end of a test: every program gone, and told of if it had to be killed."""

import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from pytest_echoserver import SubprocessRunner

from ..conftest import Downstream, open_and_running

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="the engine's loop starts no programs on Windows")
needs_proc = pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")

IGNORES_TERM = "trap '' TERM; echo ready; while :; do sleep 60; done"
LEAVES = "setsid sh -c 'echo $$; exec sleep 60' & cat"


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def run(downstream: Downstream, script: str, options: str = "") -> pytest.RunResult:
    """Run a test that starts ``script``, reads a line of it into the file ``line``, and leaves it."""
    return downstream.run(
        f"""
        import pathlib, subprocess

        def test_it(subprocess_runner):
            process = subprocess_runner("sh", "-c", {script!r}, stdin=subprocess.PIPE, {options})
            pathlib.Path("line").write_bytes(process.read_until(b"\\n").result())
        """
    )


def test_one_that_ignores_term_is_killed_and_told_of(downstream: Downstream) -> None:
    result = run(downstream, IGNORES_TERM)
    result.assert_outcomes(passed=1, errors=1)
    result.stdout.re_match_lines(
        [
            r".*process-1 \(sh -c .*\) had to be killed: SIGTERM and 2 s did not end pid \d+ \(sh -c trap.*"
            r"if that is meant to be, start it with kill_expected=True"
        ]
    )


def test_one_is_killed_where_a_handler_holds_the_engine_up(downstream: Downstream) -> None:
    result = downstream.run_apart(
        """
        import pathlib, socket, threading

        held_up, go_on = threading.Event(), threading.Event()

        def test_it(subprocess_runner, udp_peer):
            process = subprocess_runner("sleep", "60")
            pathlib.Path("pid").write_text(str(process.pid))

            @udp_peer.serve
            def handler(datagram):
                held_up.set()
                go_on.wait(60)

            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
                client.sendto(b"x", udp_peer.address)
                held_up.wait(60)
        """
    )
    result.assert_outcomes(failed=1, errors=1)
    result.stdout.fnmatch_lines(["*process-1 (sleep 60) had to be killed: the engine, *is held up*"])
    assert not alive(int(Path(downstream.pytester.path, "pid").read_text()))


@needs_proc
@pytest.mark.skipif(shutil.which("setsid") is None, reason="setsid is not installed")
def test_so_is_what_left_its_group(subprocess_runner: SubprocessRunner) -> None:
    process = subprocess_runner("sh", "-c", LEAVES, stdin=subprocess.PIPE, ready=b"\n")
    (killed, left) = subprocess_runner._ending.abandon()
    assert "(sh -c 'setsid " in str(killed)
    assert str(killed).endswith("had to be killed: the engine, which would have ended it, is held up")
    pid = process.stdout.decode().strip()
    told = rf"left behind what had left its process group, and had to be killed: pid {pid} \((sh|sleep)[^,]*\); if"
    assert re.search(told, str(left))
    assert process.wait().result().returncode == -signal.SIGKILL


def test_an_interrupted_run_says_so_beside_what_it_killed(downstream: Downstream) -> None:
    result = downstream.run_apart(
        f"""
        import signal

        def test_it(subprocess_runner):
            subprocess_runner("sh", "-c", {IGNORES_TERM!r}, ready=b"ready")
            signal.raise_signal(signal.SIGINT)
        """
    )
    assert result.ret == pytest.ExitCode.INTERRUPTED
    result.stdout.re_match_lines([r".*KeyboardInterrupt"])
    assert re.search(r"process-1 .* had to be killed", result.stdout.str())


@needs_proc
@pytest.mark.parametrize("raises", ["raise KeyboardInterrupt", "sys.exit(3)"])
def test_what_no_finalizer_ended_is_ended(downstream: Downstream, raises: str) -> None:
    result = downstream.run_apart(
        f"""
        import pathlib, socket, sys
        import pytest

        @pytest.fixture
        def mine(subprocess_runner, tcp_echo_server):
            program = subprocess_runner("sh", "-c", {LEAVES!r})
            program.read_until(b"\\n").result()
            pathlib.Path("pids").write_text(f"{{program.pid}} {{program.stdout.decode()}}")
            yield tcp_echo_server
            {raises}

        def test_it(mine):
            pathlib.Path("port").write_text(str(mine.port))

        def test_the_next(subprocess_runner, tcp_echo_server):
            with pytest.raises(ConnectionRefusedError):
                socket.create_connection(("127.0.0.1", int(pathlib.Path("port").read_text())))
            subprocess_runner("true").wait().result()
            socket.create_connection(tcp_echo_server.address).close()
        """
    )
    left = [pid for pid in map(int, Path("pids").read_text().split()) if alive(pid)]
    for pid in left:
        os.kill(pid, signal.SIGKILL)
    assert not left
    result.stdout.re_match_lines([".*left behind what had left its process group, and had to be killed: pid"])
    if "exit" in raises:
        result.assert_outcomes(passed=2, errors=1)
    else:
        assert result.ret == pytest.ExitCode.INTERRUPTED
    result.stderr.no_fnmatch_line("*ResourceWarning*")


@needs_proc
@pytest.mark.parametrize("raises", ["KeyboardInterrupt", "SystemExit"])
def test_so_is_what_the_end_of_an_interrupted_run_did_not_end(downstream: Downstream, raises: str) -> None:
    downstream.run_apart(
        f"""
        import pathlib
        import pytest

        @pytest.fixture
        def mine(subprocess_runner):
            pathlib.Path("pid").write_text(str(subprocess_runner("sleep", "60").pid))
            yield
            raise {raises}

        def test_it(mine):
            raise KeyboardInterrupt
        """
    )
    pid = int(Path("pid").read_text())
    left = alive(pid)
    if left:
        os.kill(pid, signal.SIGKILL)
    assert not left


# By TERM it is told that the end of its test has come, and that is waited for.
INTERRUPTS = "trap 'kill -{signal} $PPID' TERM; trap '' HUP; echo $$; while :; do kill -STOP $$; done"
INTERRUPTED = """
    import asyncio, pathlib, signal, sys
    import pytest

    if {signal!r} == "ALRM":
        @pytest.fixture(scope="module", autouse=True)
        def timeout():  # as pytest-timeout has it
            before = signal.signal(signal.SIGALRM, lambda *_: pytest.fail("it takes too long"))
            yield
            signal.signal(signal.SIGALRM, before)

    def test_it(subprocess_runner):
        daemon = subprocess_runner("sh", "-c", {leaves!r})
        daemon.read_until(b"\\n").result()
        process = subprocess_runner("sh", "-c", {interrupts!r}, ready=b"\\n", {options})
        pathlib.Path("pids").write_bytes(daemon.stdout + process.stdout)
"""


@needs_proc
@pytest.mark.skipif(shutil.which("setsid") is None, reason="setsid is not installed")
@pytest.mark.parametrize(
    ("signal_name", "options"),
    [("INT", ""), ("INT", "protocol=asyncio.SubprocessProtocol"), ("INT", "pty=True"), ("ALRM", "")],
)
def test_a_tear_down_that_is_interrupted_kills_at_once(
    downstream: Downstream, signal_name: str, options: str
) -> None:
    interrupts = INTERRUPTS.format(signal=signal_name)
    result = downstream.run_apart(
        INTERRUPTED.format(signal=signal_name, leaves=LEAVES, interrupts=interrupts, options=options)
    )
    left = [pid for pid in map(int, Path("pids").read_text().split()) if alive(pid)]
    for pid in left:
        os.kill(pid, signal.SIGKILL)
    assert not left
    if signal_name == "INT":
        assert result.ret == pytest.ExitCode.INTERRUPTED
        result.stdout.re_match_lines([r".*KeyboardInterrupt"])
    else:
        result.assert_outcomes(passed=1, errors=1)
        result.stdout.re_match_lines([r"E +Failed: it takes too long"])
    assert "had to be killed" not in result.stdout.str()
    result.stderr.no_fnmatch_line("*")


@pytest.mark.parametrize("script", [IGNORES_TERM, LEAVES])
def test_it_may_be_expected(downstream: Downstream, script: str) -> None:
    run(downstream, script, "kill_expected=True").assert_outcomes(passed=1)


@needs_proc
@pytest.mark.skipif(shutil.which("setsid") is None, reason="setsid is not installed")
def test_one_that_left_its_group_is_found_killed_and_told_of(downstream: Downstream) -> None:
    result = run(downstream, LEAVES)
    result.assert_outcomes(passed=1, errors=1)
    pid = int(Path("line").read_text())
    result.stdout.re_match_lines(
        [
            r".*process-1 \(sh -c .*\) left behind what had left its process group, and had to be killed: "
            rf"pid {pid} \((sleep 60|sh -c echo .*)\); if that is meant"
        ]
    )
    assert not alive(pid)


@needs_proc
@pytest.mark.skipif(shutil.which("setsid") is None, reason="setsid is not installed")
def test_what_was_killed_is_named_as_any_terminal_can_show_it(downstream: Downstream) -> None:
    line = f": \x1b[31mred\necho $$; kill -STOP $$; : {'x' * 80}"
    result = run(downstream, f"setsid sh -c '{line}' & cat")
    result.assert_outcomes(passed=1, errors=1)
    pid = int(Path("line").read_text())
    told = re.escape(r"(sh -c : \x1b[31mred\necho $$; kill -STOP $$; : xxx")
    result.stdout.re_match_lines([rf".* had to be killed: pid {pid} {told}x+…\); if that is meant"])
    assert "\x1b" not in result.stdout.str()
    assert not alive(pid)


@needs_proc
def test_a_daemon_of_a_program_that_has_exited_is_found(downstream: Downstream) -> None:
    daemon = (
        "import os\n"
        "if os.fork(): os._exit(0)\n"
        "os.setsid()\n"
        "if os.fork(): os._exit(0)\n"
        "os.write(1, b'%d\\n' % os.getpid())\n"
        "for fd in range(3): os.close(fd)\n"
        "os.execvp('sleep', ['sleep', '60'])\n"
    )
    result = downstream.run(
        f"""
        import pathlib, sys

        def test_it(subprocess_runner):
            process = subprocess_runner(sys.executable, "-c", {daemon!r})
            completed = process.wait().result()
            pathlib.Path("line").write_bytes(completed.stdout)
        """
    )
    result.assert_outcomes(passed=1, errors=1)
    assert not alive(int(Path("line").read_text()))


@needs_proc
def test_one_that_is_just_becoming_another_program_is_found(downstream: Downstream) -> None:
    daemon = (
        "import os\n"
        "if os.fork(): os._exit(0)\n"
        "os.setsid()\n"
        "os.closerange(0, 3)\n"
        "os.execvp('sleep', ['sleep', '61.61'])\n"
    )
    downstream.run(
        f"""
        import sys, pytest

        @pytest.mark.parametrize("n", range(40))
        def test_it(subprocess_runner, n):
            subprocess_runner(sys.executable, "-c", {daemon!r}).wait().result()
        """
    ).assert_outcomes(passed=40, errors=40)


def test_several_are_told_of_one_by_one(downstream: Downstream) -> None:
    result = downstream.run(
        f"""
        def test_it(subprocess_runner):
            for _ in range(3):
                subprocess_runner("sh", "-c", {IGNORES_TERM!r}, ready=b"ready")
        """
    )
    result.assert_outcomes(passed=1, errors=1)
    told = re.findall(r"RuntimeError: (process-\d) .* had to be killed", result.stdout.str())
    assert told == ["process-3", "process-2", "process-1"]


@pytest.mark.parametrize(
    "script", ["cat", "echo; exec sleep 60", "trap 'exit 3' TERM; echo; while :; do sleep 1; done"]
)
def test_who_ends_by_eof_or_term_is_not_told_of(downstream: Downstream, script: str) -> None:
    downstream.run(
        f"""
        import subprocess

        def test_it(subprocess_runner):
            subprocess_runner("sh", "-c", {script!r}, stdin=subprocess.PIPE)
        """
    ).assert_outcomes(passed=1)


def test_who_was_killed_by_the_test_is_not_told_of(subprocess_runner: SubprocessRunner) -> None:
    process = subprocess_runner("sh", "-c", "trap '' TERM; echo ready; exec sleep 60", ready=b"ready")
    process.kill()


def test_one_that_is_stopped_ends_by_term(subprocess_runner: SubprocessRunner) -> None:
    process = subprocess_runner("sleep", "60")
    process.send_signal(signal.SIGSTOP)
    os.waitid(os.P_PID, process.pid, os.WSTOPPED | os.WNOWAIT)


def test_one_that_cleans_up_at_eof_is_let(downstream: Downstream) -> None:
    downstream.run(
        """
        import subprocess
        kept = []

        def test_it(subprocess_runner):
            kept.append(subprocess_runner("sh", "-c", "cat; echo cleaned", stdin=subprocess.PIPE))

        def test_its_words():
            assert (kept[0].returncode, kept[0].stdout) == (0, b"cleaned\\n")
        """,
        "-p",
        "no:randomly",
    ).assert_outcomes(passed=2)


def test_output_is_complete_when_a_grandchild_holds_stdin_alone(subprocess_runner: SubprocessRunner) -> None:
    process = subprocess_runner(
        "sh", "-c", "exec 3<&0; (exec sleep 60 <&3 >/dev/null 2>&1) & echo", stdin=subprocess.PIPE
    )
    assert process.wait().result().stdout == b"\n"


def test_200_at_once_end_together(downstream: Downstream) -> None:
    result = downstream.run_apart(
        """
        import time, pytest

        def test_it(subprocess_runner):
            all_ = [subprocess_runner("sh", "-c", "trap '' TERM; echo ready; exec sleep 60", kill_expected=True)
                    for _ in range(200)]
            for process in all_:
                process.read_until(b"ready").result()
        """,
        "--durations=0",
        "-vv",
    )
    result.assert_outcomes(passed=1)
    [seconds] = re.findall(r"([\d.]+)s teardown", result.stdout.str())
    assert float(seconds) < 6


@needs_proc
def test_1000_in_a_row_leave_no_zombie_and_no_descriptor(subprocess_runner: SubprocessRunner) -> None:
    subprocess_runner("true", stdin=subprocess.PIPE).wait().result()
    before = open_and_running()
    for _ in range(1000):
        subprocess_runner("true", stdin=subprocess.PIPE).wait().result()
    assert open_and_running() == before


@needs_proc
def test_the_cookie_of_a_runner_above_is_kept(
    subprocess_runner: SubprocessRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTEST_ECHOSERVER_COOKIE", "above.1.")
    [first, second] = [
        subprocess_runner("sh", "-c", "echo $PYTEST_ECHOSERVER_COOKIE").wait().result().stdout.decode()
        for _ in range(2)
    ]
    assert first.startswith("above.1.")
    assert first != second


def test_what_a_close_that_was_cut_off_has_not_ended_can_be_killed(subprocess_runner: SubprocessRunner) -> None:
    process = subprocess_runner("sh", "-c", IGNORES_TERM, ready=b"ready")
    scope, ending = subprocess_runner._scope, subprocess_runner._ending
    with pytest.raises(TimeoutError):
        scope.engine.run(scope.context, ending.close, patience=0.2)
    (error,) = ending.abandon()
    assert "had to be killed" in str(error)
    assert process.exited.result() == -signal.SIGKILL
