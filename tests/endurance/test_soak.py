"""Thousands of tests, with all fixtures: what the process holds does not grow with them."""

import statistics
from pathlib import Path

import pytest

from ..conftest import EITHER_LOOP
from .conftest import LONG, Endurance

TESTS = 20_000 if LONG else 640
ROUNDS = 25 if LONG else 8
SUITE = (Path(__file__).parent / "suites" / "soak.py").read_text()
KINDS = SUITE.count("    def test_")
FLAT = 64 if LONG else 20_000
"""Bytes a test that the process may have grown by.

64 are but 1 MB in all, and less than any object of ours. In the short form the allocator's megabytes decide.
"""


@pytest.mark.parametrize("loop", EITHER_LOOP if LONG else ["asyncio"])
def test_nothing_grows(endurance: Endurance, monkeypatch: pytest.MonkeyPatch, loop: str) -> None:
    monkeypatch.setenv("ECHOSERVER_SOAK", str(TESTS // KINDS // ROUNDS))
    monkeypatch.setenv("ECHOSERVER_ROUNDS", str(ROUNDS))
    # Once a process, libuv opens a pipe for signals, and never closes it.
    endured = endurance.run(
        SUITE,
        "-q",
        "-q",
        f"--echoserver-loop={loop}",
        then="",
        timeout=1_500,
        kept="pipe:" if loop == "uvloop" else "",
    )
    assert endured.result.ret == pytest.ExitCode.OK
    assert endured.told["count"] == TESTS
    samples = endured.told["samples"]
    told = []
    for what in ("descriptors", "threads", "tasks"):
        held = [sample[what] for sample in samples]
        assert len(set(held[1:])) == 1, f"{what}: {held}"
        told.append(f"{held[-1]} {what}")
    memory = [sample["kilobytes"] for sample in samples[ROUNDS // 5 :]]
    growth = statistics.linear_regression(range(len(memory)), memory).slope * 1024 / (TESTS / ROUNDS)
    assert growth < FLAT, memory
    told.append(f"{memory[-1] / 1024:.1f} MB, after {memory[0] / 1024:.1f} MB in the first fifth")
    endurance.account(f"{TESTS:,} tests over all fixtures, {loop}", ", ".join(told), endured.left)
