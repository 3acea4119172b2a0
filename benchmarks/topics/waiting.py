"""What it costs to wait for what a peer sees."""

import queue
import statistics
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from time import perf_counter, sleep
from typing import Any

from pytest_echoserver import CaptureFuture

from .. import ours
from ..measure import Goal, Limit, Sample, Topic, Variant

PLAIN = "concurrent.futures.Future"
WAIT = 0.001
"""Seconds that a test waits before it is woken: so long that its thread sleeps."""


def _woken(make: Callable[[], "Future[Any]"]) -> Variant:
    @contextmanager
    def variant() -> Iterator[Sample]:
        asked: queue.SimpleQueue[Future[Any] | None] = queue.SimpleQueue()

        def fulfil() -> None:
            while (future := asked.get()) is not None:
                sleep(WAIT)
                future.set_result(perf_counter())

        thread = threading.Thread(target=fulfil)
        thread.start()

        def once() -> float:
            future = make()
            asked.put(future)
            fulfilled_at: float = future.result(10)
            return perf_counter() - fulfilled_at

        def sample(times: int) -> float:
            return statistics.median(once() for _ in range(times))

        yield sample
        asked.put(None)
        thread.join()

    return variant


def _fulfilled(make: Callable[[], "Future[Any]"]) -> Variant:
    @contextmanager
    def variant() -> Iterator[Sample]:
        def sample(times: int) -> float:
            futures = [make() for _ in range(times)]
            for future in futures:
                future.set_result(None)
            before = perf_counter()
            for future in futures:
                future.result()
            return (perf_counter() - before) / times

        yield sample

    return variant


MAKERS: dict[str, Callable[[], "Future[Any]"]] = {ours.NAME: CaptureFuture, PLAIN: Future}

TOPICS = {
    "waking": Topic(
        "from the fulfilment of a future to the test that waited for it",
        ("µs", 1e6),
        {name: _woken(make) for name, make in MAKERS.items()},
        300,
        (Goal(ours.NAME, PLAIN, 0.7),),
    ),
    "fulfilled": Topic(
        "the result of a future that is fulfilled",
        ("µs", 1e6),
        {name: _fulfilled(make) for name, make in MAKERS.items()},
        5_000,
        (Limit(ours.NAME, 2e-6),),
    ),
}
