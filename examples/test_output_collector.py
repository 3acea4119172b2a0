import sys
from typing import Any

import output_collector

from pytest_echoserver import CaptureFuture, SubprocessRunner


def test_the_protocol_collects_until_the_exit(subprocess_runner: SubprocessRunner) -> None:
    done: Any = CaptureFuture()
    process = subprocess_runner(
        sys.executable, "-c", "print('out')", protocol=lambda: output_collector.CollectorProtocol(done)
    )
    assert done.result().split() == [b"out"]
    assert process.returncode == 0


def test_the_program_as_a_whole(subprocess_runner: SubprocessRunner) -> None:
    program = subprocess_runner(sys.executable, output_collector.__file__, sys.executable, "-c", "print('out')")
    completed = program.wait().result()
    assert (completed.returncode, completed.stdout.split(), completed.stderr) == (0, [b"out"], b"")
