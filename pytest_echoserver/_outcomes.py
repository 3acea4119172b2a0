"""Giving a future its outcome, where it may have timed out or been cancelled before."""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from concurrent.futures import Future, InvalidStateError
from contextlib import suppress
from typing import Any, TypeVar

T = TypeVar("T")


def fulfil(future: Future[T], value: T) -> bool:
    """Give ``future`` its value; false if it was done before."""
    try:
        future.set_result(value)
    except InvalidStateError:
        return False
    return True


def fail(future: Future[Any], error: BaseException) -> None:
    """Give ``future`` its exception, unless it was done before."""
    with suppress(InvalidStateError):
        future.set_exception(error)


def copy_outcome(task: "asyncio.Task[T]", future: Future[T]) -> None:
    """Give ``future`` the outcome of ``task``, which is done."""
    if task.cancelled():
        future.cancel()
    elif (error := task.exception()) is not None:
        fail(future, error)
    else:
        fulfil(future, task.result())


def start(future: Future[T], function: Callable[..., Coroutine[Any, Any, T]], *args: Any) -> "asyncio.Task[T]":
    """Run a coroutine function as a task of the running loop; ``future`` gets its outcome."""
    task = asyncio.tasks.ensure_future(_beside_the_loop(future, function, args))
    task.add_done_callback(lambda _: copy_outcome(task, future))
    return task


async def _beside_the_loop(future: Future[Any], function: Callable[..., Any], args: tuple[Any, ...]) -> Any:
    """Run it, and give a SystemExit or KeyboardInterrupt to ``future`` alone.

    A task that ended with one would have its loop raise it as well, and so end.
    """
    __tracebackhide__ = True
    try:
        return await function(*args)
    except (SystemExit, KeyboardInterrupt) as error:
        if future.done():  # nobody else would hear of it
            raise
        fail(future, error)


def end_with(future: Future[None], error: BaseException | None) -> None:
    """Give ``future`` the error that something ended with, or the word that it ended without."""
    if error is None:
        fulfil(future, None)
    else:
        fail(future, error)


def as_exception(error: BaseException) -> Exception:
    """Give ``error``, or an exception to stand in for a SystemExit or its like.

    Raised in the test or on the loop as it is, that would end the whole run; and a StopIteration would end the
    generator or coroutine that it is raised in.
    """
    if isinstance(error, Exception) and not isinstance(error, StopIteration):
        return error
    stand_in = RuntimeError(f"{type(error).__name__} was raised in a callback: {error!r}")
    stand_in.__cause__ = error
    return stand_in


def raise_together(errors: Sequence[Exception], what: str) -> None:
    """Raise one error as it is, several as a group, none not at all."""
    # A group has to keep a frame: pytest before 9.1 can't show one that has none.
    __tracebackhide__ = len(errors) == 1
    if len(errors) == 1:
        raise errors[0]
    if errors:
        raise ExceptionGroup(f"{len(errors)} {what}", errors)
