"""The tasks that a protocol starts on a loop of the test's, and what it raises there outside of its calls."""

import asyncio
from collections.abc import Callable, Coroutine
from contextvars import Context, copy_context
from typing import Any, TypeVar

from .._engine import OWNER, owner_of
from .._tasks import Watched, end_tasks
from .._tracebacks import without_our_frames

T = TypeVar("T")


class ProtocolTasks:
    """The tasks that come of a protocol's calls, told from all others by the context in which those are made.

    To be made on the loop, and ended there.
    """

    def __init__(self, blame: Callable[[BaseException], object]) -> None:
        self._blame = blame
        self._loop = asyncio.events.get_running_loop()
        self._tasks = Watched()
        self.context: Context = copy_context()
        self.context.run(OWNER.set, self)
        self._watching = _Watching.on(self._loop)
        self.ended = False
        """Whether no more of them are watched."""

    async def run(self, coro: Coroutine[Any, Any, T]) -> T:
        """Run what puts the protocol on a transport."""
        return await self._loop.create_task(coro, context=self.context)

    def blame(self, error: BaseException) -> None:
        self._blame(error)

    def watch(self, task: "asyncio.Task[Any]") -> None:
        self._tasks.watch(task)

    def blame_failed(self) -> None:
        """Blame those that have failed, and nobody has looked at that."""
        for error in self._tasks.failures():
            self._blame(error)

    async def end(self) -> list[Exception]:
        """End what is left of them, and blame those that have failed; give an error for each that goes on."""
        self._leave_loop()
        left = await end_tasks(self._tasks)
        self.blame_failed()
        self._tasks.clear()
        return left

    def cancel(self) -> None:
        """Cancel what is left of them."""
        self._leave_loop()
        for task in self._tasks:
            task.cancel()

    def _leave_loop(self) -> None:
        if not self.ended:
            self.ended = True
            self._watching.release()


class _Watching:
    """A loop's task factory: has tasks made as they were before, and tells their owners of them.

    And its exception handler, unless the test has set one: tells them what their callbacks and tasks have raised.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._before = loop.get_task_factory()
        self._users = 0

    @classmethod
    def on(cls, loop: asyncio.AbstractEventLoop) -> "_Watching":
        """That of ``loop``, put there if there is none."""
        before = loop.get_task_factory()
        watching = before if isinstance(before, cls) else cls(loop)
        if watching is not before:
            loop.set_task_factory(watching)
            if loop.get_exception_handler() is None:
                loop.set_exception_handler(watching.on_error)
        watching._users += 1
        return watching

    def release(self) -> None:
        self._users -= 1
        here: Any = self._loop.get_task_factory()
        if self._users:
            return
        if here is self:
            self._loop.set_task_factory(self._before)
        if self._loop.get_exception_handler() == self.on_error:
            self._loop.set_exception_handler(None)

    def on_error(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        owner, error = owner_of(context), context.get("exception")
        # Once the owner has ended, its test was judged: what comes after that is for the loop's default handler.
        if isinstance(owner, ProtocolTasks) and not (owner.ended or error is None or _is_uvloops_own(error)):
            owner.blame(error)
        else:
            loop.default_exception_handler(context)

    def __call__(self, loop: asyncio.AbstractEventLoop, coro: Any, **options: Any) -> "asyncio.Future[Any]":
        make: Any = self._before or asyncio.tasks.Task
        task: asyncio.Future[Any] = make(loop=loop, coro=coro, **options)
        owner = OWNER.get(None)
        if owner is not None and isinstance(task, asyncio.tasks.Task):
            owner.watch(task)
        return task


def _is_uvloops_own(error: BaseException) -> bool:
    """Whether it is what uvloop raises within itself where a TLS handshake was cancelled."""
    closed = isinstance(error, RuntimeError) and str(error).endswith("; the handler is closed")
    return closed and without_our_frames(error.__traceback__) is None
