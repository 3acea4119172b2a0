"""``pty=``: a program at a terminal."""

import errno
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pytest_echoserver import Process, SubprocessRunner

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no pseudo-terminals of this kind")


def python(runner: SubprocessRunner, code: str, **options: Any) -> Process:
    return runner(sys.executable, "-c", code, pty=True, **options)


def test_it_is_the_controlling_terminal(subprocess_runner: SubprocessRunner) -> None:
    process = python(
        subprocess_runner,
        "import os, sys\n"
        "tty = os.open('/dev/tty', os.O_RDWR)\n"
        "os.write(tty, b'%d %d %d' % (os.tcgetpgrp(tty) == os.getpgrp(), os.getsid(0) == os.getpid(),"
        " all(map(os.isatty, (0, 1, 2)))))",
    )
    assert process.wait().result().stdout == b"1 1 1"


def test_both_outputs_are_one_stream_with_the_terminals_line_ends(subprocess_runner: SubprocessRunner) -> None:
    process = python(subprocess_runner, "import os; os.write(1, b'out\\n'); os.write(2, b'err\\n')")
    completed = process.wait().result()
    assert (completed.stdout, completed.stderr) == (b"out\r\nerr\r\n", b"")
    assert process.read_until(b"err", "both").result() == b"out\r\nerr"
    with pytest.raises(RuntimeError, match=r"has a terminal, and all by that is stdout: leave out stream="):
        process.read_until(b"err", "stderr")


def test_the_window_has_the_size_that_was_asked_for_and_set(subprocess_runner: SubprocessRunner) -> None:
    process = python(
        subprocess_runner,
        "import os, signal\n"
        "signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGWINCH])\n"  # it would be lost before a pause()
        "while True:\n"
        "    print(*os.get_terminal_size(), flush=True)\n"
        "    signal.sigwait([signal.SIGWINCH])",
    )
    process.read_until(b"80 24\r\n").result()
    process.set_terminal_size(132, 50)
    process.read_until(b"132 50\r\n").result()
    assert ("terminal_resized", (132, 50)) in [(event.name, event.args) for event in process.events]


def test_it_may_begin_with_another_size(subprocess_runner: SubprocessRunner) -> None:
    process = subprocess_runner("stty", "size", pty=os.terminal_size((100, 30)))
    assert process.wait().result().stdout == b"30 100\r\n"


@pytest.mark.parametrize("given", [{"LC_CTYPE": "C"}, {}], ids=["given", "not given"])
def test_the_locale_is_the_one_that_was_given(
    subprocess_runner: SubprocessRunner, monkeypatch: pytest.MonkeyPatch, given: dict[str, str]
) -> None:
    """Python, which becomes the program, takes another in the place of "C" (PEP 538)."""
    for name in ("LC_ALL", "LC_CTYPE", "LANG"):
        monkeypatch.delenv(name, raising=False)
    process = subprocess_runner("sh", "-c", "echo ${LC_CTYPE-none}", pty=True, extra_env=given)
    assert process.wait().result().stdout == f"{given.get('LC_CTYPE', 'none')}\r\n".encode()


def test_its_end_is_eof_and_no_error(subprocess_runner: SubprocessRunner) -> None:
    process = subprocess_runner("echo", "x", pty=True)
    process.wait().result()
    ends = [event.args for event in process.events if event.name == "pipe_connection_lost"]
    assert ends == [(1, None)]
    assert process.events[-1].name == "connection_lost"


def test_what_it_printed_last_is_not_lost(subprocess_runner: SubprocessRunner) -> None:
    size = 200_000
    process = python(subprocess_runner, f"import os\nn = {size}\nwhile n: n -= os.write(1, b'x' * n)")
    assert process.wait().result().stdout == b"x" * size


@pytest.mark.parametrize("typed", [b"line\n", b"no line end", b""])
def test_bytes_for_stdin_are_typed_and_then_eof(subprocess_runner: SubprocessRunner, typed: bytes) -> None:
    process = subprocess_runner("sh", "-c", "stty -echo; echo ready; cat | od -c | wc -l", pty=True, stdin=typed)
    assert process.wait().result().returncode == 0


def test_more_is_typed_than_the_terminal_holds(subprocess_runner: SubprocessRunner) -> None:
    process = subprocess_runner("sh", "-c", "stty -echo raw; echo ready; head -c 300000 | cksum", pty=True)
    process.read_until(b"ready").result()
    written = process.write(b"0123456789" * 30_000)
    assert process.wait().result().returncode == 0
    assert b" 300000" in process.stdout
    assert written.result() is None


def test_ctrl_c_is_typed_as_a_signal(subprocess_runner: SubprocessRunner) -> None:
    process = subprocess_runner("sleep", "60", pty=True)
    process.write(b"\x03")
    assert process.exited.result() == -signal.SIGINT


@pytest.mark.parametrize("name", ["SIGPIPE", "SIGXFSZ"])
def test_no_signal_is_ignored_for_our_sake(subprocess_runner: SubprocessRunner, name: str) -> None:
    process = subprocess_runner("sh", "-c", f"kill -{name[3:]} $$; echo survived", pty=True)
    assert process.wait().result().returncode == -getattr(signal, name)


def test_its_environment_is_the_one_that_was_given(subprocess_runner: SubprocessRunner) -> None:
    piped = subprocess_runner("/usr/bin/env", env={"A": "b"}).wait().result().stdout
    typed = subprocess_runner("/usr/bin/env", env={"A": "b"}, pty=True).wait().result().stdout
    names = [[line.split(b"=")[0] for line in printed.splitlines()] for printed in (piped, typed)]
    assert names[0] == names[1]


def test_what_cannot_be_executed_is_an_error(subprocess_runner: SubprocessRunner, tmp_path: Path) -> None:
    program = tmp_path / "no-program"
    program.write_bytes(b"\x7fELF")
    program.chmod(0o755)
    with pytest.raises(OSError, match="no-program") as caught:
        subprocess_runner(program, pty=True)
    assert caught.value.errno == errno.ENOEXEC
    assert subprocess_runner("pwd", pty=True, cwd=tmp_path).wait().result().stdout == b"%b\r\n" % os.fsencode(
        tmp_path
    )


@pytest.fixture
def hang_ups() -> Iterator[None]:
    """Programs hear of it when their terminal hangs up, though the tests be run by nohup(1)."""
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, before)


@pytest.mark.usefixtures("hang_ups")
def test_a_shell_at_a_terminal_ends_with_it(subprocess_runner: SubprocessRunner) -> None:
    shell = subprocess_runner("sh", "-i", pty=True, extra_env={"PS1": "prompt "}, ready=b"prompt ")
    assert shell.returncode is None


def test_one_that_nobody_reads_or_writes_ends_all_the_same(subprocess_runner: SubprocessRunner) -> None:
    subprocess_runner("sleep", "60", pty=True).write(b"x\n" * 500_000)


def test_stdin_is_the_terminal_whatever_was_given(subprocess_runner: SubprocessRunner) -> None:
    process = subprocess_runner("test", "-t", "0", pty=True, stdin=subprocess.DEVNULL)
    assert process.exited.result() == 0


@pytest.mark.parametrize("options", [{"stdout": subprocess.DEVNULL}, {"stderr": subprocess.DEVNULL}])
def test_an_output_elsewhere_is_an_error(subprocess_runner: SubprocessRunner, options: Any) -> None:
    with pytest.raises(ValueError, match="with pty= all output goes to the terminal"):
        subprocess_runner("true", pty=True, **options)


@pytest.mark.parametrize("pty", [1, "yes", None, (80,), (0, 24), (80, 70_000), (80.0, 24)])
def test_a_bad_size_is_an_error(subprocess_runner: SubprocessRunner, pty: Any) -> None:
    with pytest.raises((TypeError, ValueError), match="must be"):
        subprocess_runner("true", pty=pty)


def test_a_size_where_there_is_no_terminal_is_an_error(subprocess_runner: SubprocessRunner) -> None:
    with pytest.raises(RuntimeError, match=r"process-1 \(true\) has no terminal: start it with pty=True"):
        subprocess_runner("true").set_terminal_size(80, 24)
