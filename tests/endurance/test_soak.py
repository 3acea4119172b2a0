"""Thousands of tests, with all fixtures: what the process holds does not grow with them."""

import statistics
from pathlib import Path

import pytest

from .conftest import LONG, Endurance

TESTS = 20_000 if LONG else 600
SUITE = (Path(__file__).parent / "suites" / "soak.py").read_text()
SAMPLES = 20


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"] if LONG else ["asyncio"])
def test_nothing_grows(endurance: Endurance, monkeypatch: pytest.MonkeyPatch, loop: str) -> None:
    if loop == "uvloop":
        pytest.importorskip("uvloop")
    monkeypatch.setenv("ECHOSERVER_SOAK", str(TESTS))
    monkeypatch.setenv("ECHOSERVER_SAMPLE_EVERY", str(TESTS // SAMPLES))
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
    memory = [sample["kilobytes"] for sample in samples[SAMPLES // 2 :]]
    growth = statistics.linear_regression(range(len(memory)), memory).slope * 1024 / (TESTS / SAMPLES)
    # pytest's own share of it is some 1,000 bytes: it keeps each test as long as the session, and what lies between
    # them in memory. What tests with peers leave is told by `tracemalloc`: nothing of ours.
    assert growth < (6_000 if LONG else 20_000), memory
    told.append(f"{memory[-1] / 1024:.0f} MB, growing by {growth:.0f} bytes a test, pytest's own included")
    endurance.account(f"{TESTS:,} tests over all fixtures, {loop}", ", ".join(told), endured.left)
