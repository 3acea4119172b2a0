"""The tasks that a protocol starts on a loop of the test's."""

import asyncio
from collections.abc import Callable, Coroutine
from contextvars import Context, copy_context
from typing import Any, TypeVar

from .._engine import OWNER
from .._tasks import Watched, end_tasks

T = TypeVar("T")


class ProtocolTasks:
    """The tasks that come of a protocol's calls, told from all others by the context in which those are made.

    To be made on the loop, and ended there.
    """

    def __init__(self, blame: Callable[[BaseException], object]) -> None:
        self._blame = blame
        self._loop = asyncio.get_running_loop()
        self._tasks = Watched()
        self.context: Context = copy_context()
        self.context.run(OWNER.set, self)
        self._factory = _Watching.on(self._loop)
        self._ended = False

    async def run(self, coro: Coroutine[Any, Any, T]) -> T:
        """Run what puts the protocol on the loop."""
        return await self._loop.create_task(coro, context=self.context)

    def blame(self, error: BaseException) -> None:
        self._blame(error)

    def watch(self, task: "asyncio.Task[Any]") -> None:
        self._tasks.watch(task)

    async def end(self) -> list[Exception]:
        """End what is left of them, and blame those that have failed; give an error for each that goes on."""
        if not self._ended:
            self._ended = True
            self._factory.release()
        left = await end_tasks(self._tasks)
        for error in self._tasks.failures():
            self._blame(error)
        self._tasks.clear()
        return left


class _Watching:
    """A loop's task factory: has tasks made as they were before, and tells their owners of them."""

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
        watching._users += 1
        return watching

    def release(self) -> None:
        self._users -= 1
        here: Any = self._loop.get_task_factory()
        if not self._users and here is self:
            self._loop.set_task_factory(self._before)

    def __call__(self, loop: asyncio.AbstractEventLoop, coro: Any, **options: Any) -> "asyncio.Future[Any]":
        make: Any = self._before or asyncio.Task
        task: asyncio.Future[Any] = make(loop=loop, coro=coro, **options)
        owner = OWNER.get(None)
        if owner is not None and isinstance(task, asyncio.Task):
            owner.watch(task)
        return task
