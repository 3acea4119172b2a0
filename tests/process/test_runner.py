"""`subprocess_runner`: real programs, everything captured."""

import asyncio
import io
import os
import re
import shutil
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextvars import Context
from pathlib import Path
from typing import Any

import pytest

from pytest_echoserver import CaptureTimeout, DatagramPeer, Process, SubprocessRunner
from pytest_echoserver._engine import LOOPS, Engine
from pytest_echoserver._process import escaped, group
from pytest_echoserver._process.environment import COVERAGE
from pytest_echoserver._process.output import Outputs
from pytest_echoserver._process.protocol import CapturingProtocol
from pytest_echoserver._process.shim import exec_by_shim
from pytest_echoserver._record import RowRecord

from ..conftest import Downstream, needs_uvloop
from .conftest import python

pytestmark = pytest.mark.skipif(
    sys.platform == "win32", reason="the engine's selector loop runs no subprocesses on Windows"
)

PYTHON = sys.executable
COOKIE = escaped.NAME.encode()


def test_what_a_program_prints_is_captured(subprocess_runner: SubprocessRunner) -> None:
    process = python(subprocess_runner, "import sys; print('out'); print('err', file=sys.stderr); sys.exit(3)")
    completed = process.wait().result()
    assert (completed.returncode, completed.stdout, completed.stderr) == (3, b"out\n", b"err\n")
    assert completed.args == [PYTHON, "-c", process.args[2]]
    assert (process.returncode, process.stdout, process.stderr) == (3, b"out\n", b"err\n")


def test_bytes_for_stdin_are_fed_and_then_eof(subprocess_runner: SubprocessRunner) -> None:
    assert subprocess_runner("cat", stdin=b"hello").wait().result().stdout == b"hello"


def test_without_stdin_it_reads_eof_at_once(subprocess_runner: SubprocessRunner) -> None:
    assert subprocess_runner("cat").wait().result().stdout == b""


def test_a_conversation_by_stdin_and_stdout(subprocess_runner: SubprocessRunner) -> None:
    process = subprocess_runner("cat", stdin=subprocess.PIPE)
    for line in (b"one\n", b"two\n"):
        process.write(line)
        assert process.read_until(b"\n").result() == line
    process.write_eof()
    assert process.exited.result() == 0
    assert process.output_complete.result() is None


def test_a_large_stdin_is_written_whole(subprocess_runner: SubprocessRunner) -> None:
    payload = os.urandom(1000) * 5000
    process = subprocess_runner("cat", stdin=subprocess.PIPE)
    written = process.write(payload)
    process.write_eof().result()
    assert written.done()
    assert process.wait().result().stdout == payload


def test_read_until_a_regex_searches_for_it(subprocess_runner: SubprocessRunner) -> None:
    process = python(subprocess_runner, "print('starting'); print('port 123'); print('port 456'); input()")
    port = re.compile(rb"port (\d+)\n")
    assert process.read_until(port).result()[1] == b"123"
    assert process.read_until(port).result()[1] == b"456"


def test_each_stream_has_a_cursor_of_its_own(subprocess_runner: SubprocessRunner) -> None:
    process = python(subprocess_runner, "import sys; print('ab'); print('ab', file=sys.stderr)")
    assert process.read_until(b"b", "stderr").result() == b"ab"
    assert process.read_until(b"b").result() == b"ab"


def test_the_end_of_the_output_ends_a_read(subprocess_runner: SubprocessRunner) -> None:
    process = python(subprocess_runner, "print('all there is')")
    with pytest.raises(asyncio.IncompleteReadError) as caught:
        process.read_until(b"more").result()
    assert caught.value.partial == b"all there is\n"


def test_a_timeout_tells_state_and_output(subprocess_runner: SubprocessRunner) -> None:
    process = subprocess_runner("cat", stdin=subprocess.PIPE, timeout=0.3)
    process.write(b"this\n")
    with pytest.raises(
        CaptureTimeout,
        match=r"for b'that' on stdout on process-1 \(cat\): it still runs; what came, .* was b'this\\n'$",
    ):
        process.read_until(b"that").result()
    with pytest.raises(CaptureTimeout, match=r"^waited 0.3 s for the exit on process-1 \(cat\): it still runs"):
        process.exited.result()


def test_a_wait_that_timed_out_spoils_no_other(subprocess_runner: SubprocessRunner) -> None:
    process = subprocess_runner("cat", stdin=subprocess.PIPE)
    with pytest.raises(CaptureTimeout):
        process.exited.result(timeout=0)
    process.write_eof()
    assert process.exited.result() == 0


@pytest.mark.asyncio
async def test_in_an_async_test(subprocess_runner: SubprocessRunner) -> None:
    process = subprocess_runner("cat", stdin=subprocess.PIPE)
    await process.write(b"one\n")
    assert await process.read_until(b"\n") == b"one\n"
    process.write_eof()
    assert (await process.wait()).returncode == 0


@pytest.mark.parametrize(
    ("end", "status"),
    [
        (Process.terminate, -signal.SIGTERM),
        (Process.kill, -9),
        (lambda process: process.send_signal(signal.SIGUSR1), -signal.SIGUSR1),
    ],
)
def test_it_can_be_ended_by_a_signal(subprocess_runner: SubprocessRunner, end: Any, status: int) -> None:
    process = subprocess_runner("sleep", "60")
    end(process)
    assert process.exited.result() == status
    end(process)
    assert "exited with" in repr(process)


def test_exited_does_not_wait_for_a_grandchild_that_holds_the_pipe(subprocess_runner: SubprocessRunner) -> None:
    process = subprocess_runner("sh", "-c", "sleep 60 & echo started")
    assert process.exited.result() == 0
    assert process.read_until(b"started\n").result() == b"started\n"
    assert not process.output_complete.done()


@pytest.mark.parametrize("pty", [False, True])
def test_programs_are_real_whatever_has_taken_the_place_of_popen(
    subprocess_runner: SubprocessRunner, monkeypatch: pytest.MonkeyPatch, pty: bool
) -> None:
    fake = object()
    monkeypatch.setattr(subprocess, "Popen", fake)
    assert subprocess_runner("echo", "hello", pty=pty).wait().result().stdout.rstrip() == b"hello"
    with pytest.raises(FileNotFoundError):
        subprocess_runner("./no-such-program", pty=pty)
    assert subprocess.Popen is fake


def test_two_programs_that_start_at_once_leave_the_fake_in_place(
    subprocess_runner: SubprocessRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake = object()
    monkeypatch.setattr(subprocess, "Popen", fake)
    with ThreadPoolExecutor(4) as threads:
        programs = list(threads.map(lambda _: subprocess_runner("echo", "hello"), range(16)))
    assert [program.wait().result().stdout for program in programs] == [b"hello\n"] * 16
    assert subprocess.Popen is fake


def test_a_fake_that_is_taken_away_while_a_program_starts_does_not_come_back(
    subprocess_runner: SubprocessRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, fake = subprocess.Popen, object()
    seen: list[object] = []

    class Meddles(asyncio.SubprocessProtocol):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            seen.append(subprocess.Popen)
            monkeypatch.undo()

    monkeypatch.setattr(subprocess, "Popen", fake)
    assert subprocess_runner("true", protocol=Meddles).exited.result() == 0
    assert seen == [fake]
    assert subprocess.Popen is real


def test_its_environment_is_ours_and_what_is_added(
    subprocess_runner: SubprocessRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OURS", "inherited")
    process = subprocess_runner("env", extra_env={"ADDED": "more"})
    lines = process.wait().result().stdout.splitlines()
    assert {b"OURS=inherited", b"ADDED=more", b"PYTHONUNBUFFERED=1"} <= set(lines)


def test_env_replaces_the_environment(subprocess_runner: SubprocessRunner, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in COVERAGE:
        monkeypatch.delenv(name, raising=False)
    process = subprocess_runner("/usr/bin/env", env={"ONLY": "this"})
    lines = process.wait().result().stdout.splitlines()
    assert [line for line in lines if not line.startswith(COOKIE)] == [b"PYTHONUNBUFFERED=1", b"ONLY=this"]


@pytest.mark.parametrize("options", [{}, {"env": {}}, {"env": {"A": "b"}, "extra_env": {"C": "d"}}])
def test_the_variables_that_measure_coverage_survive(
    subprocess_runner: SubprocessRunner, monkeypatch: pytest.MonkeyPatch, options: Any
) -> None:
    monkeypatch.setenv("COVERAGE_PROCESS_START", "/some/.coveragerc")
    lines = subprocess_runner("/usr/bin/env", **options).wait().result().stdout.splitlines()
    assert b"COVERAGE_PROCESS_START=/some/.coveragerc" in lines


@pytest.mark.parametrize("options", [{"env": {"PYTHONUNBUFFERED": ""}}, {"extra_env": {"PYTHONUNBUFFERED": ""}}])
def test_python_may_buffer_if_that_is_asked(subprocess_runner: SubprocessRunner, options: Any) -> None:
    lines = subprocess_runner("/usr/bin/env", **options).wait().result().stdout.splitlines()
    assert b"PYTHONUNBUFFERED=" in lines


def test_an_environment_needn_t_be_utf_8(subprocess_runner: SubprocessRunner) -> None:
    value = os.fsdecode(b"\xff\xfe")
    lines = subprocess_runner("env", extra_env={"ODD": value}).wait().result().stdout.splitlines()
    assert b"ODD=\xff\xfe" in lines


def test_it_starts_in_the_directory_that_was_asked(subprocess_runner: SubprocessRunner, tmp_path: Path) -> None:
    assert subprocess_runner("pwd", cwd=tmp_path).wait().result().stdout == b"%b\n" % os.fsencode(tmp_path)


def test_stderr_can_go_to_stdout(subprocess_runner: SubprocessRunner) -> None:
    process = subprocess_runner("sh", "-c", "echo out; echo err >&2", stderr=subprocess.STDOUT)
    assert process.wait().result().stdout == b"out\nerr\n"


def test_an_argument_may_be_a_path(subprocess_runner: SubprocessRunner, tmp_path: Path) -> None:
    script = tmp_path / "a script"
    script.write_text("#!/bin/sh\necho ran")
    script.chmod(0o755)
    assert subprocess_runner(script).wait().result().stdout == b"ran\n"


class Collecting(asyncio.SubprocessProtocol):
    """As its author would write it: collects what comes, by whatever pipe."""

    def __init__(self) -> None:
        self.output = bytearray()
        self.calls: list[str] = []

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        self.calls.append("connection_made")

    def pipe_data_received(self, fd: int, data: bytes) -> None:
        self.output += data

    def process_exited(self) -> None:
        self.calls.append("process_exited")

    def connection_lost(self, exc: Exception | None) -> None:
        self.calls.append("connection_lost")


def test_the_callers_own_protocol_runs_and_is_recorded(
    subprocess_runner: SubprocessRunner, udp_peer: DatagramPeer
) -> None:
    mine = Collecting()
    process = subprocess_runner("sh", "-c", "echo out; echo err >&2", protocol=lambda: mine)
    completed = process.wait().result()
    udp_peer.clear()  # after the turn of the loop that has ended the wait: connection_lost comes in that
    assert mine.output == b"out\n"
    assert mine.calls == ["connection_made", "process_exited", "connection_lost"]
    assert (completed.stdout, completed.stderr) == (b"out\n", b"err\n")
    names = [event.name for event in process.events]
    assert names[0] == "connection_made"
    assert "connection_lost" in names[-2:]  # uvloop may tell of a pipe's end after it
    assert ("pipe_data_received", (1, b"out\n")) in [(event.name, event.args) for event in process.events]


class Collects(asyncio.SubprocessProtocol):
    def __init__(self, output: bytearray) -> None:
        self.output = output

    def pipe_data_received(self, fd: int, data: bytes) -> None:
        self.output += data


def test_the_callers_own_protocol_gets_all_of_much_output(subprocess_runner: SubprocessRunner) -> None:
    output = bytearray()
    code = "import sys; sys.stdout.write(''.join(f'{n:07}\\n' for n in range(1_000_000)))"
    done = subprocess_runner(sys.executable, "-c", code, protocol=lambda: Collects(output)).wait().result()
    assert output == done.stdout == b"".join(b"%07d\n" % n for n in range(1_000_000))


def test_it_hears_of_stderr_if_that_was_asked_for(subprocess_runner: SubprocessRunner) -> None:
    mine = Collecting()
    process = subprocess_runner("sh", "-c", "echo err >&2", protocol=lambda: mine, stderr=subprocess.PIPE)
    process.wait().result()
    assert mine.output == process.stderr == b"err\n"


def test_an_exception_of_the_callers_protocol_fails_the_test(downstream: Downstream) -> None:
    result = downstream.run(
        """
        import asyncio

        class Fails(asyncio.SubprocessProtocol):
            def pipe_data_received(self, fd, data):
                assert data == b"other\\n"

        def test_it(subprocess_runner):
            process = subprocess_runner("echo", "this", protocol=Fails)
            assert process.wait().result().stdout == b"this\\n"
        """
    )
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["E*assert b'this\\n' == b'other\\n'"])


def test_no_program_is_an_error(subprocess_runner: SubprocessRunner) -> None:
    with pytest.raises(ValueError, match="no program was given"):
        subprocess_runner()
    with pytest.raises(ValueError, match="the program's name is empty"):
        subprocess_runner("")


def test_a_shell_line_is_an_error_that_shows_how_to_pass_it(subprocess_runner: SubprocessRunner) -> None:
    with pytest.raises(ValueError, match=r"'ls -l /' reads like a shell's.*subprocess_runner\('ls', '-l', '/'\)"):
        subprocess_runner("ls -l /")
    with pytest.raises(ValueError, match="reads like a shell's command line"):
        subprocess_runner("ls -l " + "/tmp " * 1000)


def test_a_name_that_is_too_long_is_of_nothing_that_is_there(subprocess_runner: SubprocessRunner) -> None:
    with pytest.raises(FileNotFoundError, match="there is no such program"):
        subprocess_runner("/" + "a" * 5000, "-l")
    with pytest.raises(NotADirectoryError, match="cwd is no directory that is there"):
        subprocess_runner("ls", cwd="a" * 5000)


def test_a_program_that_is_not_there_is_an_error(subprocess_runner: SubprocessRunner) -> None:
    with pytest.raises(FileNotFoundError, match=r"there is no such program in PATH .*'no-such-program'"):
        subprocess_runner("no-such-program")
    with pytest.raises(FileNotFoundError, match="there is no such program: '/no/such/program'"):
        subprocess_runner("/no/such/program")


def test_a_file_that_is_no_program_is_an_error(subprocess_runner: SubprocessRunner) -> None:
    with pytest.raises(PermissionError, match="this file is no program that can be run"):
        subprocess_runner(__file__)


@pytest.mark.parametrize("options", [{}, {"pty": True}])
def test_a_script_whose_interpreter_is_missing_tells_of_that(
    subprocess_runner: SubprocessRunner, tmp_path: Path, options: Any
) -> None:
    for line in (b"#!/no/such/python -u", b"#!/bin/sh\r"):
        script = tmp_path / "script"
        script.write_bytes(line + b"\necho\n")
        script.chmod(0o700)
        with pytest.raises(FileNotFoundError) as caught:
            subprocess_runner(script, **options)
        assert str(line)[1:-1] in str(caught.value)
        assert "interpreter" in str(caught.value)
        assert caught.value.filename == str(script)


def test_a_relative_path_starts_from_cwd(subprocess_runner: SubprocessRunner) -> None:
    assert subprocess_runner("./true", cwd=Path(shutil.which("true") or "").parent).exited.result() == 0


def test_a_directory_that_is_not_there_is_an_error(subprocess_runner: SubprocessRunner) -> None:
    with pytest.raises(NotADirectoryError, match="cwd is no directory that is there: '/no/such'"):
        subprocess_runner("ls", cwd="/no/such")


@pytest.mark.parametrize("argv", [(b"ls",), ("ls", b"-l"), ("ls", 3), (["ls", "-l"],), (None,)])
def test_arguments_that_are_no_str_are_an_error(subprocess_runner: SubprocessRunner, argv: Any) -> None:
    with pytest.raises(TypeError, match="program and arguments must be str or paths, not"):
        subprocess_runner(*argv)


@pytest.mark.parametrize("env", [{b"A": "x"}, {"A": 1}])
def test_an_environment_that_is_no_str_is_an_error(subprocess_runner: SubprocessRunner, env: Any) -> None:
    with pytest.raises(TypeError, match="the environment must be of str, not"):
        subprocess_runner("ls", extra_env=env)


@pytest.mark.parametrize("env", [{"": "x"}, {"A=B": "x"}, {"A\0": "x"}, {"A": "\0"}])
def test_what_no_environment_can_hold_is_an_error(subprocess_runner: SubprocessRunner, env: Any) -> None:
    with pytest.raises(ValueError, match="in the environment can't"):
        subprocess_runner("ls", env=env)


@pytest.mark.parametrize("made", [None, Collecting, asyncio.Protocol()])
def test_a_factory_that_gives_no_subprocess_protocol_is_an_error(
    subprocess_runner: SubprocessRunner, made: Any
) -> None:
    with pytest.raises(TypeError, match=r"has to give an asyncio\.SubprocessProtocol, not"):
        subprocess_runner("ls", protocol=lambda: made)


def test_a_protocol_in_the_place_of_its_factory_is_an_error(subprocess_runner: SubprocessRunner) -> None:
    bad: Any = Collecting()
    with pytest.raises(TypeError, match="a factory of subprocess protocols is called to make one"):
        subprocess_runner("ls", protocol=bad)


@pytest.mark.parametrize("timeout", [-1, float("nan"), "5"])
def test_a_bad_timeout_is_an_error(subprocess_runner: SubprocessRunner, timeout: Any) -> None:
    with pytest.raises((TypeError, ValueError), match="timeout must be"):
        subprocess_runner("ls", timeout=timeout)


def test_bad_reads_and_writes_are_errors(subprocess_runner: SubprocessRunner) -> None:
    process = subprocess_runner("cat", stdin=subprocess.PIPE)
    bad: Any = "text"
    with pytest.raises(TypeError, match="data must be bytes"):
        process.write(bad)
    with pytest.raises(TypeError, match="a pattern must be bytes"):
        process.read_until(bad)
    with pytest.raises(ValueError, match="stream must be 'stdout', 'stderr', 'both', not 'stdin'"):
        process.read_until(b"x", "stdin")  # type: ignore[call-overload]
    process.write_eof()
    with pytest.raises(RuntimeError, match=r"write\(\) to process-1 \(cat\) after write_eof\(\)"):
        process.write(b"x")


def test_reading_where_there_is_no_pipe_is_an_error(subprocess_runner: SubprocessRunner) -> None:
    process = subprocess_runner("echo", "x", stdout=subprocess.DEVNULL)
    with pytest.raises(
        RuntimeError, match=r"the stdout of process-1 \(echo x\) is no pipe, so nothing of it is captured"
    ):
        process.read_until(b"x")


def test_an_argument_with_a_nul_is_an_error(subprocess_runner: SubprocessRunner) -> None:
    with pytest.raises(ValueError, match="no argument can hold a NUL"):
        subprocess_runner("echo", "a\0b")


def test_a_list_of_arguments_is_an_error_that_shows_how_to_pass_it(subprocess_runner: SubprocessRunner) -> None:
    argv: Any = ["ls", "-l"]
    with pytest.raises(TypeError, match=r"pass them apart, as in subprocess_runner\(\*argv\)"):
        subprocess_runner(argv)


@needs_uvloop
def test_short_programs_with_a_pipe_for_stdin(downstream: Downstream) -> None:
    result = downstream.run_apart(
        """
        import subprocess
        import pytest

        @pytest.mark.parametrize("number", range(60))
        def test_it(subprocess_runner, number):
            assert subprocess_runner("true", stdin=subprocess.PIPE).exited.result() == 0
        """,
        "--echoserver-loop=uvloop",
        "-q",
    )
    result.assert_outcomes(passed=60)


def test_writing_where_there_is_no_pipe_is_an_error(subprocess_runner: SubprocessRunner) -> None:
    with pytest.raises(
        RuntimeError, match=r"write\(\): the stdin of process-1 \(cat\) is no pipe.*stdin=subprocess.PIPE"
    ):
        subprocess_runner("cat").write(b"x")


def test_writing_to_one_that_is_gone_fails_the_future(subprocess_runner: SubprocessRunner) -> None:
    process = subprocess_runner("true", stdin=subprocess.PIPE)
    process.wait().result()
    with pytest.raises(BrokenPipeError, match="nothing can be written to stdin: the program has exited"):
        process.write(b"x").result()


def test_term_goes_to_the_whole_group_at_once(downstream: Downstream) -> None:
    result = downstream.run(
        """
        kept = []

        def test_it(subprocess_runner):
            kept.append(subprocess_runner("sh", "-c", "trap 'exit 7' TERM; (echo ready; exec sleep 60)"))
            kept[0].read_until(b"ready").result()

        def test_the_program_could_end_by_itself_for_its_child_was_gone():
            assert kept[0].returncode == 7
        """
    )
    result.assert_outcomes(passed=2)


@pytest.mark.skipif(sys.platform != "linux", reason="asks /proc")
def test_a_zombie_does_not_count_as_living() -> None:
    with subprocess.Popen(["true"], process_group=0) as zombie:
        os.waitid(os.P_PID, zombie.pid, os.WEXITED | os.WNOWAIT)
        assert group.signal_group(zombie.pid, 0)
        assert group.living([zombie.pid]) == {}
    assert not group.signal_group(zombie.pid, 0)


LEAVES = """
    import pathlib

    pids = pathlib.Path("pids")

    def alive(pid):
        try:
            state = pathlib.Path(f"/proc/{{pid}}/stat").read_text().rpartition(")")[2].split()[0]
        except OSError:
            return False
        return state != "Z"

    def test_leaves_it_running(subprocess_runner):
        process = subprocess_runner("sh", "-c", {script!r}, kill_expected=True)
        line = process.read_until(b"\\n").result()
        pids.write_bytes(line)

    def test_nothing_is_left():
        assert [pid for pid in pids.read_text().split() if alive(pid)] == []
"""


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
@pytest.mark.parametrize(
    "script",
    [
        pytest.param("echo $$; exec sleep 60", id="a program"),
        pytest.param("sleep 60 & echo $$ $!; wait", id="a program and its child"),
        pytest.param("sleep 60 & echo $!", id="the child of a program that has exited"),
        pytest.param("(trap '' TERM; sleep 60 & echo $!; wait) & wait", id="a child that ignores TERM"),
        pytest.param("trap '' TERM; echo $$; while :; do sleep 60; done", id="a program that ignores TERM"),
    ],
)
def test_nothing_of_a_program_outlives_the_test(downstream: Downstream, script: str) -> None:
    result = downstream.run(LEAVES.format(script=script), "-p", "no:randomly")
    result.assert_outcomes(passed=2)


@pytest.mark.parametrize(
    ("given", "error", "text"),
    [
        ({"env": ["A=1"]}, TypeError, r"env must be a mapping of str to str, not \['A=1'\]"),
        ({"extra_env": 0}, TypeError, "extra_env must be a mapping of str to str, not 0"),
        ({"extra_env": {"A": "\ud800"}}, ValueError, "a value in the environment must be of characters that"),
        (
            {"stdin": "text"},
            TypeError,
            "stdin must be bytes, subprocess.PIPE, DEVNULL, an open file or its descriptor, not 'text': encode it$",
        ),
        ({"stdin": 0.5}, TypeError, r"stdin must be bytes, subprocess.PIPE, .* descriptor, not 0\.5$"),
        ({"stdout": 65_535}, ValueError, "stdout must be an open file or its descriptor, not 65535: .*descriptor"),
        ({"stdout": 10**30}, ValueError, "stdout must be an open file or its descriptor, not 1000"),
        ({"stdout": io.BytesIO()}, ValueError, "stdout must be an open file or its descriptor, not <_io.BytesIO"),
        ({"stderr": True}, TypeError, "stderr must be subprocess.PIPE, DEVNULL, an open file"),
        ({"cwd": 5}, TypeError, "cwd must be a str or a path of str, not 5"),
        ({"cwd": ""}, ValueError, "cwd must be the path of a directory, not ''"),
        ({"kill_expected": "no"}, TypeError, "kill_expected must be True or False, not 'no'"),
    ],
)
def test_what_a_program_can_not_have_is_refused(
    subprocess_runner: SubprocessRunner, given: dict[str, Any], error: type[Exception], text: str
) -> None:
    with pytest.raises(error, match=text):
        subprocess_runner("true", **given)


def test_an_argument_that_the_system_can_not_have_is_refused(subprocess_runner: SubprocessRunner) -> None:
    with pytest.raises(
        ValueError, match=r"an argument must be of characters that the system can have, not '\\ud800'"
    ):
        subprocess_runner("true", "\ud800")


def test_a_signal_is_no_name_and_the_error_says_how_to_have_it(subprocess_runner: SubprocessRunner) -> None:
    wrong: Any = "SIGTERM"
    with pytest.raises(TypeError, match=r"signum, such as signal\.SIGTERM, must be an int, not 'SIGTERM'"):
        subprocess_runner("true").send_signal(wrong)


@pytest.mark.parametrize(
    ("signum", "error"), [(-1, ValueError), (10**30, ValueError), (1_000, ValueError), (1.5, TypeError)]
)
def test_what_is_no_signal_is_refused(
    subprocess_runner: SubprocessRunner, signum: Any, error: type[Exception]
) -> None:
    with pytest.raises(error, match=r"signum, such as signal\.SIGTERM, must be"):
        subprocess_runner("true").send_signal(signum)


@needs_uvloop
def test_on_uvloop_a_program_that_cannot_be_executed_is_gone_before_that_is_told() -> None:

    async def start() -> None:
        record = RowRecord()
        capture = CapturingProtocol(
            record, Outputs(record, None), None, print, forward_stderr=False, on_terminal=False
        )
        await exec_by_shim(capture, ["/no/such/program"], {"env": dict(os.environ)}, terminal=False)

    for _ in range(10):
        engine = Engine(LOOPS["uvloop"])
        with pytest.raises(FileNotFoundError):
            engine.run(Context(), start)
        engine.stop()  # it would be told of an exit that comes afterwards


def test_a_failure_tells_how_a_program_has_ended_that_has_just_ended(downstream: Downstream) -> None:
    result = downstream.run(
        """
        def test_it(subprocess_runner):
            program = subprocess_runner("sh", "-c", "echo up; exec >&- 2>&-; sleep 0.02; exit 7", ready=b"up")
            program.read_until(b"never").result()
        """
    )
    result.stdout.fnmatch_lines(["E*pytest_echoserver.EndOfStream: *", "process-1 (sh *; it exited with 7)"])


def test_so_it_does_where_a_loop_runs_pytest(downstream: Downstream) -> None:
    script = downstream.pytester.path / "run.py"
    script.write_text(
        "import asyncio, pytest\n"
        "async def main():\n"
        "    pytest.main(['-p', 'no:cacheprovider', '-p', 'pytest_echoserver', 'test_so.py'])\n"
        "asyncio.run(main())\n"
    )
    downstream.pytester.makepyfile(
        test_so="""
        from concurrent.futures import wait

        def test_it(subprocess_runner):
            program = subprocess_runner("sh", "-c", "echo up; exec >&- 2>&-; sleep 60", ready=b"up")
            wait([program.read_until(b"never")], timeout=5)  # result() would hold up the loop
            assert False
        """
    )
    result = downstream.pytester.runpython(script)
    result.stdout.fnmatch_lines(["process-1 (sh *; it still runs)", "*b'up*"])
