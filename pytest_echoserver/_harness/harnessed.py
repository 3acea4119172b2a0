"""What a test has of its protocol, on whatever harness that is."""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, Generic, TypeVar

from .._adopted import Member
from .._futures import CaptureFuture
from .._outcomes import as_exception, fail, fulfil, start
from .._record import Event
from .._scope import Scope
from .._traffic import PeerTraffic
from .near import NearEnd

__tracebackhide__ = True

P = TypeVar("P")
T = TypeVar("T")


class _CallFuture(CaptureFuture[T]):
    """What came of a `Harnessed.call`; knows whether anybody has looked."""

    seen: BaseException | None = None

    def exception(self, timeout: float | None = None) -> BaseException | None:
        self.seen = super().exception(timeout)
        return self.seen

    def _outcome(self) -> T:
        self.seen = self._exception
        return super()._outcome()


class Harnessed(Generic[P]):
    """A protocol of yours on a real transport, on the engine's loop or on one of the test's."""

    _scope: Scope
    _timeout: float
    _near: NearEnd

    def __init__(self) -> None:
        self._failed_calls: list[tuple[_CallFuture[Any], BaseException]] = []

    @property
    def protocol(self) -> P:
        """The protocol that your factory made: itself, not a wrapper."""
        protocol: P = self._near.protocol
        return protocol

    @property
    def events(self) -> Sequence[Event]:
        """Every call that the transport made to the protocol, in order, with its arguments.

        An entry is made before the call. ``buffer_updated`` carries the bytes, not their number, and
        ``eof_received``, once it has returned, what it returned. Where another protocol takes this one's place
        there is ``set_protocol``, with that one, or ``start_tls``, and then the calls to the other. On uvloop that
        can be followed only if it happens within a call; if not, ``record_ended`` is the last entry.
        """
        self._look()
        return self._near.calls.events

    @property
    def lost(self) -> CaptureFuture[Exception | None]:
        """What the protocol's ``connection_lost`` got, None or an exception, once it has returned."""
        return self._near.when_lost(self._call_future("connection_lost"))

    def next_call(self, name: str) -> CaptureFuture[Event]:
        """The next call of the protocol's method ``name``, as its `Event`, once the method has returned.

        There is a cursor for each name: each wait takes the next call that none has taken, from the first on. After
        ``connection_lost`` a wait for a call that never came is a `ConnectionAbortedError`.

        Raises:
            ValueError: no transport calls such a method, or it isn't noted (``get_buffer``).
        """
        names = self._near.kind.calls
        if name not in names:
            raise ValueError(f"name must be one of {', '.join(names)}, not {name!r}")
        self._near.out_of_sight()
        return self._near.calls.next(name, self._call_future(name))

    def call(self, function: Callable[..., T], *args: Any) -> CaptureFuture[T]:
        """Call ``function(*args)`` on the protocol's loop: whatever touches protocol or transport goes by this.

        Returns:
            A future of its result or exception. An exception that nobody looks at fails the test.

        Raises:
            TypeError: ``function`` can't be called.
        """
        if not callable(function):
            raise TypeError(f"call() takes a function and its arguments, not {function!r}")
        name = getattr(function, "__qualname__", repr(function))
        future: _CallFuture[T] = self._call_future(f"the result of {name}", _CallFuture)

        def called() -> None:
            try:
                result = _result_of(function, args, name)
            except BaseException as error:  # noqa: BLE001  it is the caller's
                self._failed_calls.append((future, error))  # the future may be done: cancelled, or its time up
                fail(future, error)
            else:
                fulfil(future, result)

        self._on_near_loop(called)
        return future

    def _adopt_near(self) -> None:
        near = self._near
        settle, leave = (None, None) if near.on_engine else (near.turn_its_loop, near.leave)
        self._scope.adopt(
            Member(
                self._near_traffic,
                near.calls.record,
                None,
                verdict=self._verdict_of_near,
                settle=settle,
                leave=leave,
            )
        )

    def _near_traffic(self) -> PeerTraffic:
        return PeerTraffic(f"{self}'s protocol", "protocol", None, self._near.calls.events, peer=self)

    def _verdict_of_near(self) -> list[Exception]:
        self._look()
        self._near.blame_failed_tasks()
        failed, self._failed_calls = self._failed_calls, []
        return [as_exception(error) for future, error in failed if future.seen is not error]

    async def _close_near(self) -> list[Exception]:
        """Close the protocol's transport and end its tasks, on its loop."""
        if self._near.on_engine:
            return await self._near.close()
        closed: CaptureFuture[list[Exception]] = self._call_future("the protocol's end to be closed")

        def close() -> None:
            start(closed, self._near.close)

        self._near.soon_apart(close)
        return await closed

    def _engine_done(self) -> CaptureFuture[None]:
        """Done when the engine has done what it was asked before this."""
        done: CaptureFuture[None] = self._call_future("the engine")
        self._scope.post(fulfil, done, None)
        return done

    def _on_near_loop(self, function: Callable[[], object]) -> None:
        if self._near.on_engine:
            self._scope.post(function)
        else:
            self._near.soon(function)

    def _call_future(self, what: str, kind: Callable[..., Any] = CaptureFuture) -> Any:
        return kind(what, where=self, timeout=self._timeout, instead=self._tell_calls)

    def _tell_calls(self) -> str:
        """Tell what came, for a wait that ran out of time."""
        return self._near.calls.tell()

    def _look(self) -> None:
        """Note what nobody tells of by itself."""
        self._near.out_of_sight()


def running_loop() -> asyncio.AbstractEventLoop:
    """The asyncio loop that runs here.

    Raises:
        RuntimeError: none does.
    """
    try:
        return asyncio.events.get_running_loop()
    except RuntimeError:
        raise RuntimeError(
            "connect_here() puts the protocol on the running asyncio loop, and none runs here; "
            "connect() puts it on the engine's loop, in any kind of test"
        ) from None


def _result_of(function: Callable[..., T], args: tuple[Any, ...], name: str) -> T:
    """What a plain function gives.

    Raises:
        TypeError: it is none, but a coroutine function.
    """
    result = function(*args)
    if isinstance(result, Coroutine):
        result.close()
        raise TypeError(f"call() takes a plain function, and {name} is a coroutine function")
    return result
