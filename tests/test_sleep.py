"""Sleeping on a loop as `asyncio.sleep` does."""

import asyncio
import time

import pytest

from pytest_echoserver._sleep import sleep


async def _twice(seconds: float, seen: list[float]) -> None:
    for _ in range(2):
        seen.append(seconds)
        await sleep(seconds)


def test_it_takes_its_time() -> None:
    before = time.monotonic()
    asyncio.run(sleep(0.05))
    assert time.monotonic() - before > 0.045  # a loop may wake a little early


@pytest.mark.parametrize("seconds", [0, -1])
def test_without_a_time_the_loop_turns_once(seconds: float) -> None:
    async def both() -> list[float]:
        seen: list[float] = []
        await asyncio.gather(_twice(seconds, seen), _twice(seconds - 1, seen))
        return seen

    assert asyncio.run(both()) == [seconds, seconds - 1] * 2


def test_it_can_be_cancelled() -> None:
    async def cancelled() -> None:
        task = asyncio.ensure_future(sleep(60))
        await sleep(0)
        task.cancel()
        await task

    with pytest.raises(asyncio.CancelledError):
        asyncio.run(cancelled())
