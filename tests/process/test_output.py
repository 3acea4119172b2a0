"""What a program prints: in order, whole, and not kept twice."""

import asyncio
import re
import resource
import subprocess
import sys
from typing import Any

import pytest

from pytest_echoserver import CaptureTimeout, SubprocessRunner
from pytest_echoserver._process import pipes

from ..conftest import Downstream
from .conftest import python

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="the engine's loop starts no programs on Windows")

MIB = 2**20


TURNS = "import os\nfor n in range(3): os.write(1, b'out%d\\n' % n); input(); os.write(2, b'err%d\\n' % n); input()"


@pytest.mark.parametrize("asked", ["before", "amidst", "after"])
def test_both_is_one_stream_in_order_of_arrival(subprocess_runner: SubprocessRunner, asked: str) -> None:
    process = python(subprocess_runner, TURNS, stdin=subprocess.PIPE)
    reads = []
    if asked == "before":
        reads = [process.read_until(b"\n", "both") for _ in range(6)]
    for n in range(3):
        if asked == "amidst" and n == 1:
            reads = [process.read_until(b"\n", "both") for _ in range(6)]
        process.read_until(b"out%d\n" % n).result()
        process.write(b"\n")
        process.read_until(b"err%d\n" % n, "stderr").result()
        process.write(b"\n")
    if asked == "after":
        process.wait().result()
        reads = [process.read_until(b"\n", "both") for _ in range(6)]
    assert [read.result() for read in reads] == [
        b"%b%d\n" % (name, n) for n in range(3) for name in (b"out", b"err")
    ]
    with pytest.raises(asyncio.IncompleteReadError):
        process.read_until(b"more", "both").result()


def test_a_regex_waits_for_the_end_of_a_very_long_line(subprocess_runner: SubprocessRunner) -> None:
    process = python(subprocess_runner, f"print('a' * {32 * MIB})")
    assert process.read_until(re.compile(rb"(a|b)\n")).result().end() == 32 * MIB + 1


def test_both_where_there_is_but_one(subprocess_runner: SubprocessRunner) -> None:
    process = subprocess_runner("sh", "-c", "echo a; echo b >&2", stderr=subprocess.STDOUT)
    assert process.read_until(b"b\n").result() == b"a\nb\n"
    assert process.read_until(b"b\n", "both").result() == b"a\nb\n"


def test_neither(subprocess_runner: SubprocessRunner) -> None:
    process = subprocess_runner("true", stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    with pytest.raises(RuntimeError, match=r"neither output of process-1 \(true\) is a pipe"):
        process.read_until(b"x", "both")
    assert process.wait().result().returncode == 0


def test_events_have_the_bytes_that_came(subprocess_runner: SubprocessRunner) -> None:
    process = python(subprocess_runner, TURNS, stdin=b"\n" * 6)
    process.wait().result()
    pieces = [event.args for event in process.events if event.name == "pipe_data_received"]
    assert b"".join(data for fd, data in pieces if fd == 1) == process.stdout == b"out0\nout1\nout2\n"
    assert b"".join(data for fd, data in pieces if fd == 2) == process.stderr
    times = [event.time for event in process.events]
    assert times == sorted(times)


def test_a_read_that_fails_shows_the_output_and_where_it_began(subprocess_runner: SubprocessRunner) -> None:
    process = subprocess_runner(
        "sh", "-c", "echo why >&2; echo one; echo two; echo three; cat", stdin=subprocess.PIPE, timeout=0.5
    )
    process.read_until(b"why\n", "stderr").result()
    process.read_until(b"two").result()
    shown = (
        "stdout so far, 14 bytes, searched from byte 7 (>):\n"
        "    b'one\\n'\n    b'two'\n  > b'\\n'\n  > b'three\\n'\n"
        "  stderr so far, 4 bytes:\n    b'why\\n'"
    )
    with pytest.raises(CaptureTimeout, match="it still runs; what came, and wasn't read before, was") as caught:
        process.read_until(b"four").result()
    assert shown in str(caught.value)
    process.write_eof()
    with pytest.raises(asyncio.IncompleteReadError, match="the end came before b'four' on stdout") as ended:
        process.read_until(b"four").result()
    assert shown in str(ended.value)


def test_binary_output_is_kept_and_shown(subprocess_runner: SubprocessRunner) -> None:
    process = python(subprocess_runner, "import os; os.write(1, bytes(range(256)) * 4)")
    assert process.wait().result().stdout == bytes(range(256)) * 4
    with pytest.raises(asyncio.IncompleteReadError, match=re.escape(r"\x00\x01\x02")):
        process.read_until(b"not there").result()


FLOOD = (
    "import os\n"
    "for n in range(256):\n"
    "    left = b'%07d\\n' % n * 131072\n"
    "    while left: left = left[os.write(1, left):]"
)


@pytest.mark.skipif(not pipes.can_widen, reason="pipes can't be widened here, or are not to be")
@pytest.mark.parametrize("fd", [1, 2])
def test_a_pipe_that_is_full_is_made_wider(subprocess_runner: SubprocessRunner, fd: int) -> None:
    flood = f"import os\nleft = bytes({16 * MIB})\nwhile left: left = left[os.write({fd}, left):]"
    process = python(subprocess_runner, flood)
    process.wait().result()
    pieces = [event.args[1] for event in process.events if event.name == "pipe_data_received"]
    assert sum(map(len, pieces)) == 16 * MIB
    assert max(map(len, pieces)) > 65_536


def test_what_was_shown_stays_as_it_was(subprocess_runner: SubprocessRunner) -> None:
    process = subprocess_runner("cat", stdin=subprocess.PIPE)
    shown = []
    for _ in range(3):
        process.write(b"x\n" * 10_000)
        shown.append(process.stdout)
    process.write_eof()
    process.wait().result()
    whole = b"x\n" * 30_000
    assert all(whole.startswith(part) for part in shown)
    assert process.stdout == whole
    assert process.stdout is process.wait().result().stdout
    assert process.read_until(b"x\n").result() == b"x\n"
    assert process.stdout == whole


def test_256_mib_are_captured_whole_and_but_once(downstream: Downstream) -> None:
    result = downstream.run_apart(
        f"""
        import hashlib, re, resource, sys

        def test_it(subprocess_runner):
            before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
            process = subprocess_runner(sys.executable, "-c", {FLOOD!r}, timeout=60)
            process.output_complete.result()
            more = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
            print("MIB", more // 1024)
            assert more < 256 * 1024 * 1.35
            size = position = 0
            for event in process.events:
                if event.name == "pipe_data_received":
                    size += len(event.args[1])
            assert size == 256 * 2**20
            read = process.read_until(re.compile(rb"0000255\\n"))
            assert read.result().end() == 255 * 2**20 + 8
        """,
        "-s",
    )
    result.assert_outcomes(passed=1)


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
def test_a_failure_beside_much_output_is_told_in_little_memory(downstream: Downstream) -> None:
    result = downstream.run_apart(
        f"""
        import re, sys
        from pathlib import Path

        def test_it(subprocess_runner):
            process = subprocess_runner(sys.executable, "-c", {FLOOD!r}, timeout=60)
            process.read_until(b"0000256", "stdout").result()

        def test_memory():
            # Not ru_maxrss: that begins with what the process had that started this one.
            peak = re.search(r"VmHWM:\\s+(\\d+) kB", Path("/proc/self/status").read_text())
            assert int(peak[1]) < (2 * 256 + 200) * 1024
        """
    )
    result.assert_outcomes(passed=1, failed=1)
    # As one message, but for what was read after the program had been seen to exit.
    result.stdout.re_match_lines([r".*<-  2\d\d,\d{3},\d{3} bytes  stdout", r" *b'0000000\\n'"])


@pytest.mark.parametrize("limit", [1, 2, 10, 1000, 100_000])
@pytest.mark.parametrize("size", [1, 9, 1001, 700_000])
def test_a_limit_keeps_head_and_tail(subprocess_runner: SubprocessRunner, limit: int, size: int) -> None:
    whole = (b"0123456789" * (size // 10 + 1))[:size]
    process = subprocess_runner("cat", stdin=whole, capture_limit=limit)
    kept = process.wait().result().stdout
    if size <= limit:
        assert kept == whole
        return
    head, tail = limit // 2, limit - limit // 2
    note = b"\n[... %d bytes left out: capture_limit=%d ...]\n" % (size - limit, limit)
    assert kept == whole[:head] + note + whole[-tail:]


def test_a_search_finds_what_passes_a_limit(subprocess_runner: SubprocessRunner) -> None:
    count = 400_000
    process = python(
        subprocess_runner, f"for n in range({count}): print('line', n)", capture_limit=1000, timeout=30
    )
    lines = [process.read_until(b"line %d\n" % (n * 1000)) for n in range(count // 1000)]
    assert all(line.result().endswith(b"line %d\n" % (n * 1000)) for n, line in enumerate(lines))
    process.wait().result()
    process.read_until(b"line 399999\n").result()
    with pytest.raises(asyncio.IncompleteReadError):
        process.read_until(b"line 5000\n", "stdout").result()


def test_what_a_limit_left_out_is_told_by_a_late_search(subprocess_runner: SubprocessRunner) -> None:
    process = python(subprocess_runner, "print('banner'); print('x' * 2_000_000); print('end')", capture_limit=1000)
    process.wait().result()
    assert process.read_until(b"banner\n").result() == b"banner\n"
    assert b" bytes left out: capture_limit=1000 ...]" in process.read_until(b"end\n").result()
    assert process.read_until(b"end\n", "both").result().startswith(b"banner\n")


def test_a_late_search_of_both_outputs_tells_in_few_places_what_a_limit_left_out(
    subprocess_runner: SubprocessRunner,
) -> None:
    code = "import os\nfor n in range(100): os.write(1 + n % 2, b'%d' % (n % 10) * 999 + b'\\n')"
    process = python(subprocess_runner, code, capture_limit=2000)
    process.wait().result()
    told = process.read_until(b"9" * 999 + b"\n", "both").result()
    left_out = [int(count) for count in re.findall(rb"\.\.\. (\d+) bytes left out", told)]
    assert len(left_out) <= 3, "a head and a tail of each are kept"
    assert len(re.sub(rb"\n\[.*\]\n", b"", told)) + sum(left_out) <= 100_000


def test_events_tell_what_a_limit_left_out(subprocess_runner: SubprocessRunner) -> None:
    process = subprocess_runner("cat", stdin=b"x" * 1_000_000, capture_limit=1000)
    process.wait().result()
    pieces = [event.args[1] for event in process.events if event.name == "pipe_data_received"]
    assert pieces[0].startswith(b"x" * 500 + b"\n[...")
    assert pieces[-1].endswith(b" bytes left out: capture_limit=1000 ...]\n" + b"x" * 500)


def test_a_limit_bounds_the_memory(subprocess_runner: SubprocessRunner) -> None:
    subprocess_runner("true").wait().result()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    process = python(subprocess_runner, FLOOD, capture_limit=MIB, timeout=60)
    process.output_complete.result()
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 20 * 1024
    assert process.stdout.endswith(b"0000255\n" * 1000)


@pytest.mark.parametrize("limit", [0, -1, 1.5, "1", True])
def test_a_bad_limit_is_an_error(subprocess_runner: SubprocessRunner, limit: Any) -> None:
    with pytest.raises((TypeError, ValueError), match="capture_limit must be"):
        subprocess_runner("true", capture_limit=limit)


def test_a_program_that_reads_nothing_hangs_nothing(subprocess_runner: SubprocessRunner) -> None:
    subprocess_runner("sleep", "60", stdin=b"x" * 10_000_000)


def test_a_program_that_closes_its_stdin_early(subprocess_runner: SubprocessRunner) -> None:
    process = subprocess_runner("sh", "-c", "exec <&-; echo closed; sleep 60", stdin=subprocess.PIPE)
    process.read_until(b"closed\n").result()
    with pytest.raises(BrokenPipeError):
        process.write(b"x" * 1_000_000).result()


def test_a_program_that_closes_its_outputs_early(subprocess_runner: SubprocessRunner) -> None:
    process = subprocess_runner("sh", "-c", "echo last; exec >&- 2>&-; cat", stdin=subprocess.PIPE)
    assert process.read_until(b"last\n").result() == b"last\n"
    process.write_eof()
    assert process.wait().result().stdout == b"last\n"
