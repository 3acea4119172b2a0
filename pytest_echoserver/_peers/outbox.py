"""`Outbox`: things to do in order, each begun when the one before it has ended."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any

from .._futures import CaptureFuture
from .._neighbours import real_monotonic
from .._outcomes import fail, fulfil
from .._sleep import sleep

__tracebackhide__ = True

Step = Callable[[], Awaitable[None]]


class Outbox:
    """Lives on the engine's loop. While it is idle, whoever has something short to do may do it right away."""

    told: str = ""
    """What is waited for, as errors say it; empty if nothing is, or only that what has left is read."""

    def __init__(self) -> None:
        self._steps: deque[tuple[Step, CaptureFuture[None] | None, bool, str]] = deque()
        self._current: CaptureFuture[None] | None = None
        self._worker: asyncio.Task[None] | None = None

    @property
    def idle(self) -> bool:
        return self._worker is None

    def do(self, function: Callable[..., object], *args: Any, future: CaptureFuture[None] | None = None) -> None:
        """Call ``function``, which takes no time, after all before it; if it never is, ``future`` gets an error."""
        if self._worker is None:
            function(*args)
            return

        async def step() -> None:
            function(*args)

        self._put(step, future, fulfils=False)

    def put(self, step: Step, future: CaptureFuture[None] | None = None, told: str = "") -> None:
        """Do ``step``, ``told`` as that, after all before it; ``future`` gets its outcome."""
        self._put(step, future, fulfils=True, told=told)

    def pause(self, seconds: float) -> None:
        """Let so much time pass before what comes next."""
        self.put(lambda: _at_least(seconds), told=f"a pause of {seconds:g} s comes first")

    def cancel(self) -> None:
        """Drop what hasn't been done."""
        if self._worker is not None:
            self._worker.cancel()
            self._worker.add_done_callback(lambda _: self._drop())  # it may not even have begun

    def _put(self, step: Step, future: CaptureFuture[None] | None, *, fulfils: bool, told: str = "") -> None:
        self._steps.append((step, future, fulfils, told))
        if self._worker is None:
            self._worker = asyncio.tasks.ensure_future(self._work())

    async def _work(self) -> None:
        try:
            while self._steps:
                step, self._current, fulfils, self.told = self._steps.popleft()
                future = self._current
                try:
                    await step()
                except Exception as error:
                    if future is None:
                        raise
                    fail(future, error)
                else:
                    if future is not None and fulfils:
                        fulfil(future, None)
                    self._current = None
        finally:
            self._drop()

    def _drop(self) -> None:
        self._worker = None
        self.told = ""
        undone = [self._current, *(later for _, later, *_ in self._steps)]
        self._current = None
        self._steps.clear()
        for future in undone:
            if future is not None:
                fail(future, ConnectionAbortedError("the connection was closed before this was done"))


async def _at_least(seconds: float) -> None:
    """Let so much time pass: a loop may wake a little early, and uvloop's counts from when it last looked."""
    until = real_monotonic() + seconds
    while (left := until - real_monotonic()) > 0:
        await sleep(left)
