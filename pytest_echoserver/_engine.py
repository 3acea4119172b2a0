"""The engine: the one thread and event loop of this process in which all peers live."""

import asyncio
import os
import socket
import sys
import threading
import traceback
from collections.abc import Callable, Coroutine, Generator
from concurrent.futures import Future
from contextlib import ExitStack
from contextvars import Context, ContextVar
from pathlib import Path
from types import FrameType
from typing import Any, Protocol, TypeVar

from ._neighbours import real_monotonic, refuse_if_blocked
from ._outcomes import fail, fulfil, start
from ._readers import Readers, best_readers
from ._sleep import let_turn
from ._tasks import PATIENCE, cancel_all
from ._timetable import Timetable

__tracebackhide__ = True

T = TypeVar("T")

THREAD_NAME = "pytest-echoserver"
ANSWER = 5.0
"""Seconds that the engine has for what is asked of it, unless the caller knows of more to wait for."""

_running: "set[Engine]" = set()
_pid = os.getpid()


def _notice_fork() -> None:
    """A forked child has none of the engines' threads, and one of its own threads may get the ident of such."""
    global _pid
    _pid = os.getpid()
    _running.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_notice_fork)


class Owner(Protocol):
    """Whose work the engine is doing: whoever is to blame for what goes wrong in it."""

    def blame(self, error: BaseException) -> object: ...

    def watch(self, task: "asyncio.Task[Any]") -> None: ...


OWNER: ContextVar[Owner] = ContextVar("pytest_echoserver_owner")


class Engine:
    """A daemon thread that runs one event loop. Started by being made; `stop` ends it.

    Work comes in by `call`, `run` and `post`, from any thread, each in a `contextvars.Context` that says whose
    it is; callbacks and tasks that come of it inherit that, so an error finds its owner.
    """

    def __init__(self, new_loop: Callable[[], asyncio.AbstractEventLoop]) -> None:
        self.loop: asyncio.AbstractEventLoop = new_loop()
        self._debug = self.loop.get_debug()
        self.reclaim_loop()
        if getattr(type(self.loop), "time", None) is asyncio.BaseEventLoop.time:
            self.loop.time = real_monotonic  # type: ignore[method-assign]  # its own calls what a test may replace
        self.timetable: Timetable = Timetable(self.loop)
        self.owners: list[Owner] = []
        self._unowned: list[BaseException] = []
        self.stuck: bool = False
        self._pid = _pid
        self._ident = 0
        self._retired = self._ended = False
        self._thread = threading.Thread(target=self._serve, name=THREAD_NAME, daemon=True)
        with ExitStack() as undone:  # where there is no descriptor left, say, or no thread to be had
            undone.callback(self.loop.close)
            self._readers = best_readers(self.loop)
            undone.callback(self._readers.close)
            self._thread.start()
            undone.pop_all()
        _running.add(self)

    def reclaim_loop(self) -> None:
        """Be told of the loop's errors and tasks, whatever a handler or a protocol has set there for its test."""
        loop = self.loop
        if loop.get_exception_handler() != self._on_error:
            loop.set_exception_handler(self._on_error)
        if loop.get_task_factory() is not _watched_task:
            loop.set_task_factory(_watched_task)
        if loop.get_debug() is not self._debug:
            loop.set_debug(self._debug)

    @property
    def forked(self) -> bool:
        """Whether this is a forked child of the process that the thread runs in."""
        return self._pid != _pid

    @property
    def here(self) -> bool:
        """Whether the code that asks runs on the engine's thread."""
        return threading.get_ident() == self._ident and self._pid == _pid

    @property
    def readers(self) -> Readers:
        """What tells when sockets can be read on the loop."""
        if self._pid != _pid:
            self.refuse_if_forked()
        return self._readers

    def post(self, context: Context, function: Callable[..., object], *args: Any) -> None:
        """Have ``function`` called on the loop, in order, without waiting for it."""
        self.refuse_if_forked()
        if self.here:  # the loop is awake
            self.loop.call_soon(function, *args, context=context)
        else:
            self.loop.call_soon_threadsafe(function, *args, context=context)

    def call(self, context: Context, function: Callable[..., T], *args: Any) -> T:
        """Call ``function`` on the loop and give what it gives.

        Raises:
            TimeoutError: the loop did not get to it in time.
        """
        if self.here:
            return function(*args)
        outcome: Future[T] = Future()

        def called() -> None:
            if not outcome.set_running_or_notify_cancel():  # it was given up
                return
            try:
                fulfil(outcome, function(*args))
            except BaseException as error:  # noqa: BLE001  it is the caller's
                fail(outcome, error)

        self.post(context, called)
        return self._outcome(outcome, ANSWER, outcome.cancel)

    def run(
        self,
        context: Context,
        function: Callable[..., Coroutine[Any, Any, T]],
        *args: Any,
        patience: float = ANSWER,
    ) -> T:
        """Run a coroutine function on the loop and give what it gives.

        Raises:
            TimeoutError: it did not end within ``patience`` seconds; it is then cancelled.
        """
        if self.here:
            raise RuntimeError("this waits for the engine, so it can't be called on the engine's own thread")
        outcome: Future[T] = Future()
        tasks: list[asyncio.Task[T]] = []

        self.post(context, lambda: tasks.append(start(outcome, function, *args)))
        return self._outcome(
            outcome, patience, lambda: self.post(context, lambda: [task.cancel() for task in tasks])
        )

    def _outcome(self, outcome: "Future[T]", patience: float, give_up: Callable[[], object]) -> T:
        try:
            return outcome.result(patience)
        except TimeoutError:
            if outcome.done():
                raise
            give_up()
            busy = self.where_busy()
            self.stuck = bool(busy)
            raise TimeoutError(f"the engine did not finish its work within {patience:g} s{busy}") from None

    def stop(self) -> None:
        """End the loop, after all that is left in it was cancelled and has ended; then the thread.

        Raises:
            RuntimeError: the thread is held up in somebody's code.
            BaseExceptionGroup: errors of the loop that belong to no test.
        """
        self.retire()
        if self.forked:
            return
        self._thread.join(ANSWER)
        if self._thread.is_alive():
            raise RuntimeError(f"the engine's thread did not end within {ANSWER:g} s{self.where_busy()}")
        if self._unowned:
            raise BaseExceptionGroup("errors on the engine's loop that belong to no test", self._unowned)

    def retire(self) -> None:
        """Have the loop end as soon as it can, without waiting for that."""
        _running.discard(self)
        if not (self.forked or self._retired):
            self._retired = True
            self.loop.call_soon_threadsafe(self._end)

    def refuse_if_forked(self) -> None:
        """Raise `RuntimeError` where nothing of this process's engine is to be had."""
        if self.forked:
            raise RuntimeError(
                f"this was opened in process {self._pid}; process {_pid} is its forked child, "
                "and has to open peers of its own"
            )

    def where_busy(self) -> str:
        """The line of somebody's code that holds the thread up, told as a clause; empty if nothing does."""
        if self.here or self.forked or not self._thread.is_alive() or self._answers():
            return ""
        frame = sys._current_frames().get(self._ident)
        place = frame and _innermost_foreign(frame)
        return f"; meanwhile the engine's thread is held up {place}" if place else ""

    def _answers(self, within: float = 0.05) -> bool:
        answered = threading.Event()
        self.loop.call_soon_threadsafe(answered.set)
        return answered.wait(within)

    def _end(self) -> None:
        self._ended = True
        self.loop.stop()

    def _serve(self) -> None:
        self._ident = threading.get_ident()
        while not self._ended:
            try:
                self.loop.run_forever()
            except BaseException as error:  # noqa: BLE001  a callback's SystemExit must not end every peer
                self._blame(None, error)
        self.loop.run_until_complete(_wind_up())
        self._readers.close()
        self.loop.close()

    def _on_error(self, _: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        error = context.get("exception")
        if error is None:
            error = RuntimeError(context.get("message") or "an error on the engine's loop that nobody explained")
        self._blame(owner_of(context), error)

    def _blame(self, owner: Owner | None, error: BaseException) -> None:
        if owner is None and self.owners:
            owner = self.owners[-1]
        if owner is None:
            self._unowned.append(error)
        else:
            owner.blame(error)


class EngineHost:
    """The session's engine: started when first asked for, afresh in a forked child or if it got stuck."""

    def __init__(self, new_loop: Callable[[], asyncio.AbstractEventLoop]) -> None:
        self._new_loop = new_loop
        self._engine: Engine | None = None

    def get(self) -> Engine:
        """The engine, for a scope that begins."""
        if self._engine is not None and (self._engine.forked or self._engine.stuck):
            self._engine.retire()
            self._engine = None
        if self._engine is None:
            refuse_if_blocked(getattr(socket, "AF_UNIX", socket.AF_INET))
            self._engine = Engine(self._new_loop)
        else:
            self._engine.reclaim_loop()
        return self._engine

    def stop(self) -> None:
        if self._engine is None:
            return
        if self._engine.stuck:  # that was told when it was noticed
            self._engine.retire()
        else:
            self._engine.stop()


def _new_uvloop() -> asyncio.AbstractEventLoop:
    import uvloop  # pyright: ignore[reportMissingImports]  # an extra, and not for Windows

    loop: asyncio.AbstractEventLoop = uvloop.new_event_loop()
    return loop


LOOPS: dict[str, Callable[[], asyncio.AbstractEventLoop]] = {
    # Made explicitly: the user's policy isn't ours to read, and Windows' proactor loop serves UDP badly.
    "asyncio": asyncio.SelectorEventLoop,
    "uvloop": _new_uvloop,
}


def on_engine_thread() -> bool:
    return any(engine.here for engine in tuple(_running))  # a copy: another thread may be making one


def where_engines_are_busy() -> str:
    return "".join(engine.where_busy() for engine in tuple(_running))


def _watched_task(
    loop: asyncio.AbstractEventLoop, coro: Generator[Any, None, T] | Coroutine[Any, Any, T], **options: Any
) -> "asyncio.Task[T]":
    task = asyncio.tasks.Task(coro, loop=loop, **options)
    owner = OWNER.get(None)
    if owner is not None:
        owner.watch(task)
    return task


async def _wind_up() -> None:
    loop = asyncio.events.get_running_loop()
    await cancel_all(asyncio.tasks.all_tasks() - {asyncio.tasks.current_task()}, PATIENCE)
    await let_turn(2)  # closed transports call connection_lost on the next turn
    await loop.shutdown_asyncgens()
    await loop.shutdown_default_executor()


def owner_of(context: dict[str, Any]) -> Owner | None:
    """Whose it is that a loop's exception handler is told of."""
    for thing in (context.get("task"), context.get("future"), context.get("handle")):
        # Python 3.12 made the context of tasks and handles public.
        get_context = getattr(thing, "get_context", None)
        found = get_context() if get_context else getattr(thing, "_context", None)
        if isinstance(found, Context):
            return found.get(OWNER)
    return OWNER.get(None)


_OURS = str(Path(__file__).parent)


def _innermost_foreign(frame: FrameType) -> str:
    """Where ``frame`` stands in code that is neither ours nor the standard library's, as "in f, a.py:3: code"."""
    import sysconfig  # slow to load, and asked for by a wait that has run out of time, if at all

    stdlib_paths = sysconfig.get_path("stdlib"), sysconfig.get_path("platstdlib")
    installed_paths = sysconfig.get_path("purelib"), sysconfig.get_path("platlib")
    for entry in reversed(traceback.extract_stack(frame)):
        stdlib = entry.filename.startswith(stdlib_paths) and not entry.filename.startswith(installed_paths)
        if not (stdlib or entry.filename.startswith((_OURS, "<"))):
            return f"in {entry.name}, {entry.filename}:{entry.lineno}: {entry.line}"
    return ""
