"""Tasks: what is left of them, and how they are ended."""

import asyncio
from collections.abc import Iterable
from typing import Any

PATIENCE = 1.0
"""Seconds that a cancelled task has to end."""


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


async def end_tasks(tasks: "Iterable[asyncio.Task[Any]]") -> list[Exception]:
    """Cancel the tasks that aren't done, and wait for their end; give an error for each that goes on."""
    left = {task for task in tasks if not task.done()} - {asyncio.current_task()}
    for task in left:
        task.cancel()
    if not left:
        return []
    _, stuck = await asyncio.wait(left, timeout=PATIENCE)
    return [RuntimeError(f"{task.get_name()} was cancelled, but did not end: {task!r}") for task in stuck]
