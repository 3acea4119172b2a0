"""``ready=``: to return when the program is ready, and to fail at once when it never will be."""

import asyncio
import os
import pickle
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from pytest_echoserver import CaptureTimeout, DatagramPeer, Process, ProcessDied, SubprocessRunner

from ..conftest import Downstream
from .conftest import python

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="the engine's loop starts no programs on Windows")

EITHER_WAY = pytest.mark.parametrize(
    "options",
    [
        pytest.param({}, id="ours"),
        pytest.param({"protocol": asyncio.SubprocessProtocol}, id="asyncio's"),
        pytest.param({"pty": True}, id="terminal"),
    ],
)
LISTEN = """
import socket, sys
family, address = ({family}, {address!r})
server = socket.socket(family)
server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
server.bind(address)
server.listen()
sys.stdin.read()
"""


@pytest.mark.parametrize("pattern", [b"ready", re.compile(rb"r.*y"), re.compile(rb"port \d+")])
@pytest.mark.parametrize("fd", [1, 2])
def test_it_has_printed_the_pattern(subprocess_runner: SubprocessRunner, pattern: Any, fd: int) -> None:
    code = f"import os; os.write({fd}, b'ready at port 80\\n'); input()"
    process = python(subprocess_runner, code, stdin=subprocess.PIPE, ready=pattern)
    name: Any = {1: "stdout", 2: "stderr"}[fd]
    assert process.read_until(b"\n", name).result() == b"ready at port 80\n"


def test_the_pattern_may_come_in_pieces(subprocess_runner: SubprocessRunner) -> None:
    code = "import os, time\nfor c in b'so ready now': os.write(1, bytes([c])); time.sleep(0.005)"
    process = python(subprocess_runner, code, ready=re.compile(rb"read\w"))
    assert process.stdout.startswith(b"so ready")


@pytest.mark.parametrize("pattern", [rb"port \d+$", rb"(?m)port 80$", rb"por\b", rb"port (?!800)\d+"])
def test_the_pattern_sees_nothing_behind_what_was_printed_up_to_a_byte(
    subprocess_runner: SubprocessRunner, pattern: bytes
) -> None:
    code = "import os; os.write(1, b'port_\\nport 8000\\nno\\n'); input()"
    python(subprocess_runner, code, stdin=subprocess.PIPE, ready=re.compile(pattern))


@pytest.mark.parametrize("pattern", [rb"ready$\n", rb"(?!ready\nno)ready\n", rb"(?m)\bready\b(?!\nno)\n"])
@pytest.mark.parametrize("said", [["so\nready\nno\n"], ["so\nready\n", "no\n"]])
def test_a_read_sees_nothing_behind_what_it_finds(
    subprocess_runner: SubprocessRunner, pattern: bytes, said: list[str]
) -> None:
    code = f"import os\nfor each in {said!r}: os.write(1, each.encode()); input()"
    process = python(subprocess_runner, code, stdin=subprocess.PIPE, ready=b"ready\n")
    process.write(b"\n\n")
    assert process.output_complete.result() is None
    assert process.read_until(re.compile(pattern)).result().span() == (3, 9)


def test_who_is_ready_and_exits_is_ready(subprocess_runner: SubprocessRunner) -> None:
    for _ in range(20):
        assert subprocess_runner("echo", "ready", ready=b"ready").stdout == b"ready\n"


@pytest.mark.parametrize("family", [socket.AF_INET, socket.AF_INET6])
def test_it_accepts_at_an_address(subprocess_runner: SubprocessRunner, reserved_port: int, family: int) -> None:
    host = "127.0.0.1" if family == socket.AF_INET else "::1"
    code = LISTEN.format(family=int(family), address=(host, reserved_port))
    python(subprocess_runner, code, stdin=subprocess.PIPE, ready=(host, reserved_port))
    socket.create_connection((host, reserved_port)).close()


@pytest.mark.parametrize("family", [socket.AF_INET, socket.AF_INET6])
def test_a_name_is_looked_up(subprocess_runner: SubprocessRunner, reserved_port: int, family: int) -> None:
    host = "127.0.0.1" if family == socket.AF_INET else "::1"
    code = LISTEN.format(family=int(family), address=(host, reserved_port))
    python(subprocess_runner, code, stdin=subprocess.PIPE, ready=("localhost", reserved_port))


def test_a_path_exists(subprocess_runner: SubprocessRunner, tmp_path: Path) -> None:
    subprocess_runner("sh", "-c", "echo x > made; cat", stdin=subprocess.PIPE, cwd=tmp_path, ready="made")
    assert (tmp_path / "made").exists()


@pytest.mark.parametrize("kind", ["SOCK_STREAM", "SOCK_DGRAM"])
def test_a_path_that_is_a_socket_accepts(
    subprocess_runner: SubprocessRunner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    monkeypatch.chdir(tmp_path)
    with socket.socket(socket.AF_UNIX) as stale:
        stale.bind("stale")
    code = (
        f"import socket, sys; s = socket.socket(socket.AF_UNIX, socket.{kind}); s.bind('fresh')\n"
        f"if {kind == 'SOCK_STREAM'}: s.listen()\n"
        "sys.stdin.read()"
    )
    python(subprocess_runner, code, stdin=subprocess.PIPE, ready=Path("fresh"))
    with pytest.raises(CaptureTimeout, match=r"the path 'stale' .* the last try gave ConnectionRefusedError"):
        subprocess_runner("cat", stdin=subprocess.PIPE, ready=Path("stale"), timeout=0.2)


def test_a_callable_is_called_until_it_is_true_and_off_every_loop(subprocess_runner: SubprocessRunner) -> None:
    threads = []

    def ready() -> bool:
        threads.append(threading.current_thread())
        return len(threads) == 3

    subprocess_runner("cat", stdin=subprocess.PIPE, ready=ready)
    assert len(threads) == 3
    assert {thread.name for thread in threads} == {"pytest-echoserver-ready"}


@pytest.mark.parametrize("error", [ZeroDivisionError, SystemExit, StopIteration, pytest.skip.Exception])
def test_what_a_callable_raises_is_raised(subprocess_runner: SubprocessRunner, error: type[BaseException]) -> None:
    def ready() -> bool:
        raise error

    with pytest.raises(error):
        subprocess_runner("cat", stdin=subprocess.PIPE, ready=ready)


def test_a_callable_that_blocks_ends_with_the_deadline(subprocess_runner: SubprocessRunner) -> None:
    release = threading.Event()
    try:
        with pytest.raises(CaptureTimeout, match=r"wait\(\) to return true.*its call number 1 has not returned"):
            subprocess_runner("cat", stdin=subprocess.PIPE, ready=release.wait, timeout=0.2)
    finally:
        release.set()
    for thread in threading.enumerate():
        if thread.name == "pytest-echoserver-ready":
            thread.join(5)


@pytest.mark.parametrize("ready", [b"never", ("127.0.0.1", 9), "/no/such", bool], ids=str)
def test_one_that_dies_first_fails_at_once_with_all_there_is(
    subprocess_runner: SubprocessRunner, tmp_path: Path, ready: Any
) -> None:
    started = time.monotonic()
    with pytest.raises(ProcessDied) as caught:
        subprocess_runner(
            "sh", "-c", "echo 'out \\\\'; echo err >&2; exit 3", cwd=tmp_path, ready=ready, timeout=60
        )
    assert time.monotonic() - started < 10
    text = str(caught.value)
    assert re.search(r"exited with 3 before it was ready \(", text)
    assert "  stdout, 6 bytes:\n    b'out \\\\\\n'\n  stderr, 4 bytes:\n    b'err\\n'\n" in text
    assert text.endswith(f"command: cd {tmp_path} && sh -c 'echo '\"'\"'out \\\\'\"'\"'; echo err >&2; exit 3'")
    assert caught.value.returncode == 3
    assert str(pickle.loads(pickle.dumps(caught.value))) == text
    assert pickle.loads(pickle.dumps(caught.value)).returncode == 3


def test_a_signal_is_told_by_its_name(subprocess_runner: SubprocessRunner) -> None:
    with pytest.raises(ProcessDied, match="exited with SIGSEGV before it was ready") as caught:
        subprocess_runner("sh", "-c", "kill -SEGV $$", ready=b"never")
    assert caught.value.returncode == -signal.SIGSEGV
    assert "exited with SIGUSR1" in repr(_ended_by(subprocess_runner, signal.SIGUSR1))
    assert "exited with signal 40" in repr(_ended_by(subprocess_runner, 40))


def _ended_by(runner: SubprocessRunner, signum: int) -> Process:
    process = runner("sleep", "60")
    process.send_signal(signum)
    process.exited.result()
    return process


def test_one_that_goes_to_the_background_is_told_what_to_do(subprocess_runner: SubprocessRunner) -> None:
    told = "goes to the background by itself is not followed: start it in the foreground"
    with pytest.raises(ProcessDied, match=rf"exited with 0 before it was ready \(.*\); a program that {told}\n"):
        subprocess_runner("true", ready=b"never")
    with pytest.raises(ProcessDied) as caught:
        subprocess_runner("false", ready=b"never")
    assert told not in str(caught.value)


@pytest.mark.parametrize("program", ["echo ready; exit 3", "echo ready; exec 2>&-; read x"], ids=["died", "silent"])
def test_where_stdout_is_not_captured_that_is_told(subprocess_runner: SubprocessRunner, program: str) -> None:
    with pytest.raises((ProcessDied, asyncio.IncompleteReadError)) as caught:
        subprocess_runner(
            "sh", "-c", program, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, ready=b"ready", timeout=60
        )
    assert "\n  stdout: not captured, whatever was printed there\n  stderr: nothing\n" in str(caught.value)


def test_one_that_dies_while_its_child_holds_the_pipe_fails_soon(subprocess_runner: SubprocessRunner) -> None:
    with pytest.raises(ProcessDied, match="b'starting"):
        subprocess_runner("sh", "-c", "echo starting; sleep 60 & exit 1", ready=b"never", timeout=60)


# Prints once its parent's end was seen, and then some: that is not what the program printed.
DAEMONIZES = """
import os, time
parent = os.getpid()
if os.fork(): os._exit(0)
while True:
    try: os.kill(parent, 0)
    except ProcessLookupError: break
    time.sleep(0.01)
time.sleep(0.3)
print("ready", flush=True)
time.sleep(60)
"""


@EITHER_WAY
@pytest.mark.parametrize("pattern", [b"ready\n", re.compile(rb"read\w")])
def test_what_a_daemon_prints_after_the_exit_of_its_program_does_not_count(
    subprocess_runner: SubprocessRunner, pattern: Any, options: Any
) -> None:
    with pytest.raises(ProcessDied, match=r"exited with 0 before it was ready .*not followed.*\n  stdout: nothing"):
        python(subprocess_runner, DAEMONIZES, ready=pattern, **options)


# Prints once the engine is held up, which goes on when this has exited.
LEAVES_MUCH = """
import os, socket, subprocess
subprocess.Popen(["sleep", "60"])
socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b"x", ("127.0.0.1", {port}))
open({held_up!r}).close()
os.write(1, b"x" * 20_000 + b"ready")
"""


@pytest.mark.parametrize("options", [{}, {"protocol": asyncio.SubprocessProtocol}], ids=["ours", "asyncio's"])
def test_what_it_printed_before_does_though_its_exit_is_seen_with_it(
    subprocess_runner: SubprocessRunner, udp_peer: DatagramPeer, tmp_path: Path, options: Any
) -> None:
    held_up = tmp_path / "held_up"
    os.mkfifo(held_up)

    @udp_peer.serve
    def hold_up_the_engine(_: object) -> None:
        held_up.write_bytes(b"")
        with suppress(ChildProcessError):  # a thread of asyncio's may be faster to collect it
            os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOWAIT)

    code = LEAVES_MUCH.format(port=udp_peer.port, held_up=str(held_up))
    python(subprocess_runner, code, ready=b"ready", **options)


@pytest.mark.parametrize("pattern", [b"never", re.compile(rb"never")])
def test_one_whose_outputs_have_ended_will_never_print_it(
    subprocess_runner: SubprocessRunner, pattern: Any
) -> None:
    started = time.monotonic()
    with pytest.raises(asyncio.IncompleteReadError, match="it still runs") as caught:
        subprocess_runner(
            "sh", "-c", "echo x; exec >&- 2>&-; read x", stdin=subprocess.PIPE, ready=pattern, timeout=60
        )
    assert time.monotonic() - started < 10
    text = str(caught.value)
    assert text.startswith("the end of stdout and stderr came before process-1 (sh -c ")
    assert "was ready (to print b'never')" in text
    assert "\n  stdout, 2 bytes:\n    b'x\\n'\n  stderr: nothing\n  command: sh -c" in text
    assert caught.value.partial == b"x\n"


def test_one_of_its_outputs_may_end(subprocess_runner: SubprocessRunner) -> None:
    subprocess_runner("sh", "-c", "exec 2>&-; echo ready; read x", stdin=subprocess.PIPE, ready=b"ready")


@pytest.mark.parametrize(
    ("stdout", "stderr", "told"),
    [
        (subprocess.DEVNULL, subprocess.DEVNULL, "stdout=DEVNULL and stderr=DEVNULL"),
        (None, subprocess.STDOUT, "stdout=None and stderr=STDOUT"),
        (subprocess.DEVNULL, None, "stdout=DEVNULL and stderr=None"),
    ],
)
def test_a_pattern_of_output_that_is_not_captured_is_an_error(
    subprocess_runner: SubprocessRunner, stdout: Any, stderr: Any, told: str
) -> None:
    for pattern in (b"ready", re.compile(rb"ready")):
        with pytest.raises(ValueError, match=rf"{told}.* leave one of them out, or give subprocess\.PIPE"):
            subprocess_runner("echo", "ready", stdout=stdout, stderr=stderr, ready=pattern)
    subprocess_runner("true", stdout=stdout, stderr=stderr, ready=Path("/"))


@pytest.mark.parametrize(
    ("ready", "told"),
    [
        (b"never", "to print b'never'): it still runs\n"),
        (
            "never",
            r"the path 'never' to exist, or accept if it is a socket): it still runs; there is no such path; ",
        ),
        (bool, "bool() to return true): it still runs; it was called "),
    ],
)
def test_one_that_is_not_ready_in_time_is_shown(subprocess_runner: SubprocessRunner, ready: Any, told: str) -> None:
    with pytest.raises(CaptureTimeout) as caught:
        subprocess_runner("sh", "-c", "echo starting; cat", stdin=subprocess.PIPE, ready=ready, timeout=0.3)
    text = str(caught.value)
    assert text.startswith("waited 0.3 s for process-1 (sh -c 'echo starting; cat') to be ready (")
    assert told in text
    assert "\n  stdout, 9 bytes:\n    b'starting\\n'\n  stderr: nothing\n  command: sh -c 'echo" in text


def test_an_address_where_nobody_accepts_tells_so(subprocess_runner: SubprocessRunner, reserved_port: int) -> None:
    with pytest.raises(CaptureTimeout, match=r"127.0.0.1 port \d+\): it still runs; .*ConnectionRefusedError"):
        subprocess_runner("cat", stdin=subprocess.PIPE, ready=("127.0.0.1", reserved_port), timeout=0.2)


@pytest.mark.asyncio
async def test_in_an_async_test(subprocess_runner: SubprocessRunner) -> None:
    process = subprocess_runner("sh", "-c", "echo ready; cat", stdin=subprocess.PIPE, ready=b"ready")
    assert await process.read_until(b"\n") == b"ready\n"
    with pytest.raises(CaptureTimeout, match="this call held up the event loop of its thread meanwhile"):
        subprocess_runner("cat", stdin=subprocess.PIPE, ready=lambda: False, timeout=0.2)


def test_the_failure_as_a_user_sees_it(downstream: Downstream) -> None:
    result = downstream.run(
        """
        def test_it(subprocess_runner):
            subprocess_runner("sh", "-c", "echo cannot bind >&2; exit 98", ready=b"listening")
        """
    )
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        [
            ">*subprocess_runner(*",
            "E*pytest_echoserver.ProcessDied: process-1 (sh -c 'echo cannot bind >&2; exit 98') exited with 98 "
            "before it was ready (to print b'listening')",
            "E*  stdout: nothing",
            "E*  stderr, 12 bytes:",
            "E*    b'cannot bind\\n'",
            "E*  command: sh -c 'echo cannot bind >&2; exit 98'",
        ]
    )


def test_no_descriptor_is_left_by_the_asking(subprocess_runner: SubprocessRunner, reserved_port: int) -> None:
    subprocess_runner("true").wait().result()  # the engine has its own by now
    before = len(list(Path("/dev/fd").iterdir()))
    with pytest.raises(ProcessDied):
        subprocess_runner("sleep", "0.3", ready=("127.0.0.1", reserved_port))
    assert len(list(Path("/dev/fd").iterdir())) == before


@pytest.mark.parametrize(
    "ready", [b"", "", 3, ("127.0.0.1",), ("127.0.0.1", 0), ("127.0.0.1", 70_000), (b"x", 3), [1], re.compile("x")]
)
def test_what_can_never_be_ready_is_an_error(subprocess_runner: SubprocessRunner, ready: Any) -> None:
    with pytest.raises((TypeError, ValueError)):
        subprocess_runner("true", ready=ready)


def test_an_async_callable_is_an_error(subprocess_runner: SubprocessRunner) -> None:
    async def ready() -> bool:
        return True

    with pytest.raises(TypeError, match="ready= must be a plain function"):
        subprocess_runner("true", ready=ready)
