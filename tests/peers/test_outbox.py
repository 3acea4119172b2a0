"""The outbox: what is to be done in order, and no earlier than it may be."""

import asyncio
import time
from collections.abc import Callable

import pytest

from pytest_echoserver._engine import LOOPS
from pytest_echoserver._peers.outbox import Outbox

from ..conftest import EITHER_LOOP

SHORT = 0.0014
"""Seconds: uvloop makes whole milliseconds of them."""


@pytest.fixture(params=EITHER_LOOP)
def new_loop(request: pytest.FixtureRequest) -> Callable[[], asyncio.AbstractEventLoop]:
    return LOOPS[request.param]


def test_a_pause_is_no_shorter_than_it_should_be(new_loop: Callable[[], asyncio.AbstractEventLoop]) -> None:
    async def pauses() -> list[float]:
        outbox, times = Outbox(), []
        for _ in range(50):
            done = asyncio.Event()
            began = time.monotonic()
            outbox.pause(SHORT)
            outbox.do(lambda began=began: times.append(time.monotonic() - began))
            outbox.do(done.set)
            await done.wait()
        return times

    with asyncio.Runner(loop_factory=new_loop) as runner:
        assert min(runner.run(pauses())) >= SHORT
