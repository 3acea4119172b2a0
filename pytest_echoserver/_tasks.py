"""Tasks: what is left of them, and how they are ended."""

import asyncio
from collections.abc import Collection, Iterable, Iterator
from types import FrameType
from typing import Any

from ._neighbours import real_monotonic
from ._sleep import let_turn
from ._tracebacks import is_of_users

PATIENCE = 1.0
"""Seconds that a cancelled task has to end."""


class Watched(set["asyncio.Task[Any]"]):
    """Tasks, each until it has ended; one that ends with an error that nobody has looked at stays."""

    __slots__ = ()

    def watch(self, task: "asyncio.Task[Any]") -> None:
        self.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: "asyncio.Task[Any]") -> None:
        if not failed_unseen(task):
            self.discard(task)

    def busy(self) -> "list[asyncio.Task[Any]]":
        """Those that would go on by themselves: they wait for nothing, or for what has happened."""
        here = asyncio.tasks.current_task()
        return [task for task in self if task is not here and not task.done() and not waits(task)]

    def failures(self) -> Iterator[BaseException]:
        """The errors of failed tasks that nobody has looked at so far. To take one counts as having looked."""
        for task in tuple(self):
            if failed_unseen(task) and (error := task.exception()) is not None:
                yield error


def failed_unseen(task: "asyncio.Task[Any]") -> bool:
    """Whether a task has failed, and nobody has looked at that."""
    # What asyncio itself goes by to say "exception was never retrieved". To call exception() would count as
    # having looked, and whoever awaits the task may still do so.
    return bool(getattr(task, "_log_traceback", False))


def waits(task: "asyncio.Task[Any]") -> bool:
    """Whether a task waits for something that hasn't happened yet."""
    # What a task waits for has no public name.
    awaited = getattr(task, "_fut_waiter", None)
    return awaited is not None and not awaited.done()


def frames_of_users(task: "asyncio.Task[Any]") -> list[FrameType]:
    """Where a task stands, outermost first, in code that isn't ours."""
    frames: list[FrameType] = []
    awaited: Any = task.get_coro()
    while (frame := getattr(awaited, "cr_frame", None)) is not None:
        frames.append(frame)
        awaited = awaited.cr_await
    return [frame for frame in frames if is_of_users(frame)]


async def cancel_all(tasks: "Collection[asyncio.Task[Any]]", limit: float | None = None) -> None:
    """Cancel these tasks and wait for them to end, at most ``limit`` seconds of the engine's clock, if given.

    For tasks on the engine's loop; `end_tasks` is for those on any, whose clock a test may have stopped.
    """
    for task in tasks:
        task.cancel()
    if tasks:
        await asyncio.tasks.wait(tasks, timeout=limit)


async def end_tasks(tasks: "Iterable[asyncio.Task[Any]]") -> list[Exception]:
    """Cancel the tasks that aren't done, and wait for their end; give an error for each that goes on."""
    left = {task for task in tasks if not task.done()} - {asyncio.tasks.current_task()}
    for task in left:
        task.cancel()
    if not left:
        return []
    until = real_monotonic() + PATIENCE  # a test may have stopped the clock of its loop
    while (stuck := [task for task in left if not task.done()]) and real_monotonic() < until:
        await let_turn(1)
    for task in stuck:  # it is told here: asyncio would do so once more, wherever the garbage collector comes by it
        task._log_destroy_pending = False  # type: ignore[attr-defined]
    return [RuntimeError(f"{task.get_name()} was cancelled, but did not end: {task!r}") for task in stuck]
