"""Exit statuses that somebody else has collected: they are told to be unknown."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from pytest_echoserver import ProcessDied, SubprocessRunner

from ..conftest import Downstream
from .conftest import HoldUp

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="the engine's loop starts no programs on Windows")

WAYS = {
    "ours": {},
    "a protocol": {"protocol": asyncio.SubprocessProtocol},
    "a pipe for stdin": {"stdin": subprocess.PIPE},
    "a terminal": {"pty": True},
}
SLOW = "echo out; exec sleep 0.1"


@pytest.fixture
def no_child_is_remembered() -> Iterator[None]:
    before = signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    yield
    signal.signal(signal.SIGCHLD, before)


@pytest.mark.usefixtures("by_ourselves", "no_child_is_remembered")
def test_one_that_is_lost_is_an_error(subprocess_runner: SubprocessRunner) -> None:
    process = subprocess_runner("sh", "-c", SLOW)
    why = r"the exit status of process-1 .* was collected by somebody else: by os\.waitpid.*SIGCHLD is ignored"
    for future in (process.wait(), process.exited):
        with pytest.raises(ChildProcessError, match=why):
            future.result()
    with pytest.raises(ChildProcessError, match=why):
        process.returncode  # noqa: B018  it raises
    assert repr(process).endswith("exited with an unknown status>")
    assert process.output_complete.result() is None
    assert process.stdout.split() == [b"out"]


@pytest.mark.usefixtures("by_ourselves", "no_child_is_remembered")
def test_those_that_end_at_once_are_lost_as_well(subprocess_runner: SubprocessRunner) -> None:
    for process in [subprocess_runner("true") for _ in range(10)]:
        with pytest.raises(ChildProcessError, match="was collected by somebody else"):
            process.wait().result()


@pytest.mark.usefixtures("by_ourselves")
def test_one_that_the_test_has_collected_is_an_error(
    subprocess_runner: SubprocessRunner, hold_up_the_engine: HoldUp
) -> None:
    process = subprocess_runner("sleep", "60")
    go_on = hold_up_the_engine()
    os.kill(process.pid, signal.SIGKILL)
    assert os.waitstatus_to_exitcode(os.waitpid(process.pid, 0)[1]) == -signal.SIGKILL
    go_on.set()
    with pytest.raises(ChildProcessError, match="was collected by somebody else"):
        process.exited.result()


@pytest.mark.parametrize("options", WAYS.values(), ids=WAYS)
def test_255_is_a_status_like_any_other(subprocess_runner: SubprocessRunner, options: Any) -> None:
    process = subprocess_runner("sh", "-c", "exit 255", **options)
    assert process.wait().result().returncode == process.returncode == 255


@pytest.mark.usefixtures("by_ourselves", "no_child_is_remembered")
def test_one_that_dies_before_it_is_ready(subprocess_runner: SubprocessRunner) -> None:
    died = r"exited with an unknown status before it was ready .*; the status was collected by somebody else"
    with pytest.raises(ProcessDied, match=died) as caught:
        subprocess_runner("sh", "-c", SLOW, ready=b"never")
    assert caught.value.returncode is None


@pytest.mark.usefixtures("by_ourselves")
def test_a_report_says_that_it_is_unknown(downstream: Downstream) -> None:
    result = downstream.run(
        f"""
        import signal

        def test_it(subprocess_runner):
            before = signal.signal(signal.SIGCHLD, signal.SIG_IGN)
            process = subprocess_runner("sh", "-c", {SLOW!r})
            process.output_complete.result()
            signal.signal(signal.SIGCHLD, before)
            assert process.stdout == b"other"
        """
    )
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        ["E*assert b'out\\n' == b'other'", "process-1 (sh *; it exited with an unknown status)"]
    )
