"""Waits for the end of an output that something holds open, which its program had started."""

import asyncio
import re
import subprocess
import sys
from typing import Any

import pytest

from pytest_echoserver import CaptureTimeout, Process, SubprocessRunner

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")

EITHER_WAY = pytest.mark.parametrize(
    "options", [pytest.param({}, id="ours"), pytest.param({"protocol": asyncio.SubprocessProtocol}, id="asyncio's")]
)
QUIET = "stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL"


@pytest.fixture(autouse=True)
def not_on_uvloop(request: pytest.FixtureRequest) -> None:
    if request.config.getoption("--echoserver-loop") == "uvloop":
        pytest.skip("uvloop doesn't tell by which pipes it reads")


def leaving(runner: SubprocessRunner, *left: str, **options: Any) -> tuple[Process, list[str]]:
    """A program that has exited, and the ids of what it has left, started with these arguments of Popen's."""
    code = "".join(f"print(subprocess.Popen(['sleep', '60'], {each}).pid)\n" for each in left)
    process = runner(sys.executable, "-c", f"import os, subprocess\n{code}", **options)
    assert process.exited.result() == 0
    return process, [process.read_until(b"\n").result().decode().strip() for _ in left]


@EITHER_WAY
@pytest.mark.parametrize("asked", [Process.wait, lambda process: process.output_complete])
def test_who_holds_the_outputs_is_named(subprocess_runner: SubprocessRunner, asked: Any, options: Any) -> None:
    process, [pid] = leaving(subprocess_runner, "", **options)
    named = rf": it exited with 0; pid {pid} \(sleep 60\), which it started, still holds its stdout and stderr; "
    with pytest.raises(CaptureTimeout, match=named):
        asked(process).result(timeout=0)


@pytest.mark.parametrize(
    ("given", "held"),
    [
        ("stderr=subprocess.DEVNULL", "stdout"),
        ("stdout=2", "stderr"),
        (f"{QUIET}, pass_fds=[os.dup(1)]", "stdout"),
    ],
)
def test_what_it_holds_is_told(subprocess_runner: SubprocessRunner, given: str, held: str) -> None:
    process, [pid] = leaving(subprocess_runner, given)
    with pytest.raises(
        CaptureTimeout, match=rf"pid {pid} \(sleep 60\), which it started, still holds its {held}; "
    ):
        process.wait().result(timeout=0)


def test_one_that_has_left_the_group_is_named(subprocess_runner: SubprocessRunner) -> None:
    process, [pid] = leaving(subprocess_runner, "start_new_session=True", kill_expected=True)
    with pytest.raises(CaptureTimeout, match=rf"pid {pid} \(sleep 60\), which it started, still holds its stdout"):
        process.wait().result(timeout=0)


def test_who_holds_its_stdin_alone_is_not(subprocess_runner: SubprocessRunner) -> None:
    process, [_, pid] = leaving(subprocess_runner, QUIET, "stdin=subprocess.DEVNULL", stdin=subprocess.PIPE)
    with pytest.raises(CaptureTimeout) as caught:
        process.wait().result(timeout=0)
    assert re.findall(r"pid (\d+)", str(caught.value)) == [pid]


def test_of_many_some_are_named(subprocess_runner: SubprocessRunner) -> None:
    process, pids = leaving(subprocess_runner, *[""] * 5)
    with pytest.raises(CaptureTimeout) as caught:
        process.wait().result(timeout=0)
    assert {*re.findall(r"pid (\d+)", str(caught.value))} < {*pids}
    assert "still holds its stdout and stderr; so do 2 more; " in str(caught.value)


def test_a_read_names_it_too(subprocess_runner: SubprocessRunner) -> None:
    process, [pid] = leaving(subprocess_runner, "")
    with pytest.raises(CaptureTimeout, match=rf"for b'more' .*; pid {pid} \(sleep 60\), which it started"):
        process.read_until(b"more").result(timeout=0)


def test_while_it_runs_nobody_is_named(subprocess_runner: SubprocessRunner) -> None:
    process = subprocess_runner("sh", "-c", "sleep 60 & echo; wait", ready=b"\n")
    with pytest.raises(CaptureTimeout, match="it still runs; what came"):
        process.wait().result(timeout=0)
