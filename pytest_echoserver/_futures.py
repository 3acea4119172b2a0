"""`CaptureFuture`: the promise of captured data, for sync and async tests alike."""

import asyncio
import threading
from collections.abc import Callable, Generator
from concurrent.futures import CancelledError, Future, InvalidStateError
from contextlib import suppress
from typing import Any, TypeVar

from . import _deadline, _engine
from ._here import (
    IN_A_THREAD,
    asyncio_is_innermost,
    asyncios_code_here,
    loop_here,
    refuse_to_block,
    trio_here,
    twisteds_code_here,
)
from ._neighbours import twisted_is_loaded

__tracebackhide__ = True

T = TypeVar("T")

FINISHED = "FINISHED"
ENDED = ("CANCELLED", "CANCELLED_AND_NOTIFIED", FINISHED)
"""The states of the base class in which no outcome can be given any more."""


class CaptureTimeout(TimeoutError):
    """What a test waited for did not come in time.

    The text says what was awaited and where, for how long, what came instead, and, if the engine's thread is
    held up in somebody's code, the line where it stands.
    """

    __module__ = "pytest_echoserver"  # where users find it


class CaptureFuture(Future[T]):
    """The promise of something that a peer will see: ask for it before or after it happens.

    A `concurrent.futures.Future` that can be awaited as well, on any asyncio loop and under trio. Both ways of
    waiting are bounded, and a wait that has run out stays so: the future is then done, with `CaptureTimeout`.
    Cancelling a task that awaits it cancels the future, as with `asyncio.wrap_future`; if the value had come by
    then, it stays in the future: hold on to that.

    Without arguments it is a future of your own, to stand where a protocol wants one to fulfil::

        on_con_lost = CaptureFuture()
        stream_harness.connect(lambda: EchoClient("ping", on_con_lost))
        assert on_con_lost.result() is True

    Args:
        what: what is awaited, for the text of `CaptureTimeout`: it is asked for when the time is up.
        where: on which peer, likewise.
        timeout: seconds for a wait that names none; by default the configured ``echoserver_timeout``.
        instead: called when the time is up, to tell what came instead.
    """

    # Of the base class, though its stub doesn't know them.
    _done_callbacks: list[Callable[[Future[T]], object]]
    _invoke_callbacks: Callable[[], None]

    def __init__(
        self,
        what: object = "a result",
        *,
        where: object = "",
        timeout: float | None = None,
        instead: Callable[[], str] | None = None,
    ) -> None:
        super().__init__()
        self._what = what
        self._where = where
        self._claimed = False
        self._timeout = None if timeout is None else _deadline.seconds(timeout)
        self._instead = instead

    def __repr__(self) -> str:
        state = self._state.lower() if self._state in ENDED else "pending"
        how = state if self.cancelled() else f"{state}: `await` it, or take .result()"
        return f"<CaptureFuture of {what_is_awaited(self)}, {how}>"

    def result(self, timeout: float | None = None) -> T:
        """Wait for the value, in a sync test.

        Args:
            timeout: seconds; by default the peer's or the configured one.

        Raises:
            CaptureTimeout: it did not come in time; the future stays so.
            RuntimeError: it would have to wait, on the thread of a running event loop: use ``await``.
        """
        self._wait(timeout, "result()")
        return self._outcome()

    def exception(self, timeout: float | None = None) -> BaseException | None:
        """Wait like `result`, and give the exception that it would raise, or None.

        Args:
            timeout: seconds; by default the peer's or the configured one.

        Raises:
            concurrent.futures.CancelledError: it was cancelled.
            RuntimeError: it would have to wait, on the thread of a running event loop, as for `result`.
        """
        self._wait(timeout, "exception()")
        return super().exception(0)

    def set_result(self, result: T) -> None:
        """Fulfil it, for all who wait: what whoever keeps the promise calls, on any thread.

        Raises:
            concurrent.futures.InvalidStateError: it is done: fulfilled, failed, cancelled, or its time was up.
        """
        self._finish(result, None)

    def set_exception(self, exception: BaseException | None) -> None:
        """End it with an exception, which `result` then raises.

        Raises:
            concurrent.futures.InvalidStateError: it is done, as for `set_result`.
        """
        self._finish(None, exception)

    def _finish(self, result: T | None, error: BaseException | None) -> None:
        """Do what the base class does, but without notifying its condition, on which no wait of ours waits.

        A test is held up by all that runs here before it wakes, and code that the processor hasn't run for a while
        takes twice as long. So there is as little as possible: no ``with``, here or in `_wait`, for a condition's
        ``__enter__`` and ``__exit__`` are written in Python.
        """
        self._condition.acquire()
        try:
            if self._state in ENDED:
                raise InvalidStateError(f"{self._state}: {self!r}")
            self._result, self._exception = result, error
            self._state = FINISHED
            for waiter in self._waiters:
                if error is None:
                    waiter.add_result(self)
                else:
                    waiter.add_exception(self)
        finally:
            self._condition.release()
        if self._done_callbacks:
            self._invoke_callbacks()

    def done(self) -> bool:
        """Whether its outcome is known: a value, an error, or that it was cancelled."""
        return self._state in ENDED  # without the base class's lock: one look needs none

    def cancel(self) -> bool:
        """Give the place in line back, if the value hasn't come; true if the future is now cancelled."""
        with self._condition:
            # One that somebody runs, as an executor does, can't be cancelled; it is still to end, or to time out.
            if self.running() or not self._claim():
                return self.cancelled()
        if cancelled := super().cancel():
            # concurrent.futures.wait() counts a cancelled future as done only after this.
            self.set_running_or_notify_cancel()
        return cancelled

    def _claim(self) -> bool:
        """Take the right to end this future: true once, for the first who asks and only while it is pending.

        So whoever serves it can move a cursor before the callbacks run, and a timeout that comes meanwhile loses.
        """
        with self._condition:
            if self._claimed or self.done():
                return False
            self._claimed = True
            return True

    def __await__(self) -> Generator[Any, None, T]:
        if not self.done():
            yield from self._until_done()
        return self._outcome()

    def _outcome(self) -> T:
        """What the base class's result() does, with no frame of the standard library in the traceback.

        And without its lock: what a future that is done holds changes no more.
        """
        error = self._exception if self._state == FINISHED else CancelledError()
        if error is None:
            result: T = self._result  # type: ignore[assignment]
            return result
        try:
            raise error
        finally:
            del error, self  # they would be a cycle, through the traceback

    def _limit(self, timeout: float | None = None) -> float:
        if timeout is not None:
            return _deadline.seconds(timeout)
        return _deadline.default if self._timeout is None else self._timeout

    def _wait(self, timeout: float | None, asked: str) -> None:
        limit = self._limit(timeout)
        if self._state == FINISHED or self.done():
            return
        refuse_to_block(asked)
        silent = threading.Lock()
        silent.acquire()
        self._condition.acquire()
        try:
            if self.done():
                return
            self._waiters.append(_Alarm(silent))  # type: ignore[arg-type]  # it can do what is asked of one
        finally:
            self._condition.release()
        if not silent.acquire(timeout=limit) and not self._expire(limit):
            silent.acquire(timeout=_engine.ANSWER)

    def _expire(self, limit: float) -> bool:
        """End in a timeout; false if the value is just being handed over, which then counts."""
        text = f"waited {limit:g} s for {what_is_awaited(self)}{self._told_instead()}"
        text += _engine.where_engines_are_busy()
        if twisteds_code_here():
            text += f"; {IN_A_THREAD}"
        if not self._claim():
            return False
        with suppress(InvalidStateError):
            self.set_exception(CaptureTimeout(text))
        return True

    def _told_instead(self) -> str:
        try:
            return f": {self._instead()}" if self._instead else ""
        except Exception as error:  # noqa: BLE001  the deadline holds whatever the text would have been
            return f" (what came instead can't be told: {error!r})"

    def _until_done(self) -> Generator[Any, None, None]:
        trio = trio_here()
        if trio is not None and asyncios_code_here() and asyncio_is_innermost():
            trio = None
        try:
            if trio is None:
                yield from self._until_done_on_asyncio()
            else:
                yield from self._until_done_on_trio(trio).__await__()
        except BaseException:
            self.cancel()
            raise

    def _until_done_on_asyncio(self) -> Generator[Any, None, None]:
        if twisteds_code_here():
            raise RuntimeError(f"a coroutine of Twisted's can't await a CaptureFuture: {IN_A_THREAD}")
        loop = loop_here()
        if loop is None:
            way_out = f"; under Twisted, {IN_A_THREAD}" if twisted_is_loaded() else ""
            raise RuntimeError(
                f"no event loop of asyncio's or trio's runs here, to await a CaptureFuture on{way_out}"
            )
        done: asyncio.Future[None] = loop.create_future()

        def set_done() -> None:
            if not done.done():  # its task was cancelled meanwhile
                done.set_result(None)

        def wake(_: Future[T]) -> None:
            if loop_here() is loop:
                set_done()
                return
            with suppress(RuntimeError):  # the loop is closed: nobody waits any more
                loop.call_soon_threadsafe(set_done)

        self.add_done_callback(wake)
        limit = self._limit()
        if limit == _deadline.UNTIL_THE_TEST_ENDS:
            yield from done
            return
        timer = loop.call_later(limit, self._expire, limit)
        try:
            yield from done
        finally:
            timer.cancel()

    async def _until_done_on_trio(self, trio: Any) -> None:
        token = trio.lowlevel.current_trio_token()
        done = trio.Event()

        def wake(_: Future[T]) -> None:
            with suppress(trio.RunFinishedError):
                token.run_sync_soon(done.set)

        self.add_done_callback(wake)
        limit = self._limit()
        with trio.move_on_after(limit):
            await done.wait()
        if not self.done():
            self._expire(limit)


class _Alarm:
    """Releases a lock, for one who waits, when a future is done: which tells it as `concurrent.futures.wait`.

    A lock and nothing else: from the base class's condition a waiter wakes only to ask for that one's own lock.
    """

    def __init__(self, silent: threading.Lock) -> None:
        self._ring = silent.release

    def add_result(self, _: object) -> None:
        self._ring()

    add_exception = add_cancelled = add_result


def what_is_awaited(future: CaptureFuture[Any]) -> str:
    """What an error calls it."""
    what, where = _text_of(future._what), _text_of(future._where)
    return f"{what} on {where}" if where else what


def _text_of(thing: object) -> str:
    try:
        return "" if thing is None else str(thing)
    except Exception as error:  # noqa: BLE001  the deadline holds whatever the text would have been
        return f"what can't be told: {error!r}"
