"""Programs that nobody here wrote, under the runner."""

import re
import shutil
import subprocess
import sys
from http.client import HTTPConnection

import pytest

from pytest_echoserver import SubprocessRunner

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="the engine's loop starts no programs on Windows")


def test_cat(subprocess_runner: SubprocessRunner) -> None:
    process = subprocess_runner("cat", "-", stdin=subprocess.PIPE)
    process.write(b"one\n")
    assert process.read_until(b"\n").result() == b"one\n"
    process.write_eof()
    assert process.wait().result().returncode == 0


@pytest.mark.skipif(shutil.which("bc") is None, reason="bc is not installed")
def test_bc(subprocess_runner: SubprocessRunner) -> None:
    process = subprocess_runner("bc", "-q", stdin=subprocess.PIPE)
    process.write(b"2^100\n")
    assert process.read_until(b"\n").result() == b"1267650600228229401496703205376\n"
    process.write(b"1/0\n")
    assert b"zero" in process.read_until(re.compile(rb"zero.*\n"), "both").result()[0]
    process.write(b"quit\n")
    assert process.exited.result() == 0


@pytest.mark.parametrize("by", ["output", "address"])
def test_pythons_http_server(subprocess_runner: SubprocessRunner, reserved_port: int, by: str) -> None:
    process = subprocess_runner(
        *(sys.executable, "-m", "http.server", str(reserved_port), "--bind", "127.0.0.1"),
        ready=re.compile(rb"port \d+") if by == "output" else ("127.0.0.1", reserved_port),
    )
    client = HTTPConnection("127.0.0.1", reserved_port, timeout=5)
    client.request("HEAD", "/")
    assert client.getresponse().status == 200
    client.close()
    assert b"HEAD" in process.read_until(b'HTTP/1.1" 200', "stderr").result()


def test_an_interactive_python_at_a_terminal(subprocess_runner: SubprocessRunner) -> None:
    process = subprocess_runner(sys.executable, "-i", "-q", pty=True, extra_env={"TERM": "dumb"}, ready=b">>> ")
    process.read_until(b">>> ").result()
    process.write(b"import getpass, os; 6 * 7, os.isatty(0), os.get_terminal_size()\n")
    assert process.read_until(re.compile(rb"\(42, True, (.*)\)\r\n")).result()[1] == (
        b"os.terminal_size(columns=80, lines=24)"
    )
    process.read_until(b">>> ").result()
    process.write(b"getpass.getpass('say: ')\n")
    process.read_until(b"\r\nsay: ").result()
    process.write(b"friend\n")
    assert process.read_until(b"\r\n'friend'\r\n").result() == b"\r\n'friend'\r\n"
    process.read_until(b">>> ").result()
    process.write_eof()
    assert process.exited.result() == 0
