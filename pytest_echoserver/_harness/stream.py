"""`StreamHarness`: your stream protocol on a real socketpair."""

import asyncio
import socket
from collections.abc import Callable, Coroutine, Sequence
from contextlib import suppress
from typing import Any, TypeVar

from .._checks import factory as checked_factory
from .._futures import CaptureFuture
from .._outcomes import copy_outcome, fail, fulfil
from .._peers.connection import Connection
from .._peers.stream_end import StreamEnd
from .._record import Event, Record
from .._scope import Member, Scope
from .near import TURNS, NearEnd, turn

__tracebackhide__ = True

T = TypeVar("T")


class StreamHarness:
    """Puts your `asyncio.Protocol` or `asyncio.BufferedProtocol` on a real socketpair.

    Get it from the fixture ``stream_harness``.
    """

    def __init__(self, scope: Scope) -> None:
        self._scope = scope

    def connect(self, factory: Callable[[], Any]) -> "HarnessedStream":
        """Put a protocol on the engine's loop; return once its ``connection_made`` has returned.

        For any kind of test. The protocol's callbacks run on the engine's thread.

        Args:
            factory: called on that loop, without arguments, to make the protocol.

        Raises:
            TypeError: the factory gave no protocol.
            Exception: whatever the factory or ``connection_made`` raises.
        """
        checked_factory(factory, "stream protocols")
        stream = HarnessedStream(self._scope, self._scope.engine.loop)
        near = self._open_far_end_of(stream)
        self._scope.run(stream._attach, factory, near)
        return stream

    async def connect_here(self, factory: Callable[[], Any]) -> "HarnessedStream":
        """Put a protocol on the running asyncio loop of an async test; the far end lives on the engine.

        ``await stream.close()`` before the test ends, if its loop ends with it: then the protocol has got all
        that was sent, and ``connection_lost`` was called. What its callbacks raise fails the test; a task or timer
        that it starts is your loop's, which logs what goes wrong there.

        Raises:
            RuntimeError: no asyncio loop runs here. `connect` works in any test.
            TypeError: the factory gave no protocol.
            Exception: whatever the factory or ``connection_made`` raises.
        """
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            raise RuntimeError(
                "connect_here() puts the protocol on the running asyncio loop, and none runs here; "
                "connect() puts it on the engine's loop, in any kind of test"
            ) from None
        checked_factory(factory, "stream protocols")
        stream = HarnessedStream(self._scope, loop)
        near = self._open_far_end_of(stream)
        await stream._attach(factory, near)
        return stream

    def pair(self) -> tuple[socket.socket, Connection]:
        """A connected socket for code that takes one, and its far end. It is what `socket.socketpair` gives.

        The socket waits at most the configured timeout where it blocks, and is closed at the end of the test, if
        it isn't by then. One that was made non-blocking, as asyncio does with a socket that it takes over, is only
        shut down there: a loop may have it still, and to close it, or its transport, is yours.
        """
        connection = _PairedConnection(self._scope)
        near = connection.near = self._open_far_end_of(connection)
        near.settimeout(self._scope.timeout)
        return near, connection

    def _open_far_end_of(self, connection: Connection) -> socket.socket:
        """Make a socketpair, put ``connection`` on one end of it, and give the other."""
        near, far = socket.socketpair()
        try:
            self._scope.run(_open_far_end, connection, far)
        except BaseException:
            near.close()
            far.close()
            raise
        return near


class _PairedConnection(Connection):
    """The far end of a socket that the test has."""

    def __init__(self, scope: Scope) -> None:
        record = Record()
        super().__init__(scope, scope.name_for("pair"), scope.timeout, StreamEnd(record))
        self.near: socket.socket | None = None
        scope.adopt(Member(self._name, record, self._shut, verdict=self._verdict))

    async def _shut(self) -> None:
        if self.near is not None and self.near.gettimeout() == 0:
            # A loop has it: to free its number would have the loop mistake the next socket for it.
            with suppress(OSError):
                self.near.shutdown(socket.SHUT_RDWR)
        elif self.near is not None:
            self.near.close()
        await super()._shut()


class HarnessedStream(Connection):
    """A protocol of yours on one end of a connection, and the other end, to be used like any `Connection`.

    `send` is what the protocol gets as ``data_received``; `received` and the reads are what it writes.
    """

    def __init__(self, scope: Scope, loop: asyncio.AbstractEventLoop) -> None:
        record = Record()
        super().__init__(scope, scope.name_for("stream"), scope.timeout, StreamEnd(record))
        self._calls = Record()
        self._near = NearEnd(self._calls, loop, self._failed)
        self._on_engine = loop is scope.engine.loop
        settle, leave = (None, None) if self._on_engine else (self._near.turn_its_loop, self._near.leave)
        scope.adopt(Member(f"{self} (its protocol)", self._calls, None, settle=settle, leave=leave))
        scope.adopt(Member(f"{self} (the far end)", record, self._shut, verdict=self._verdict))

    @property
    def protocol(self) -> Any:
        """The protocol that your factory made: itself, not a wrapper."""
        return self._near.protocol

    @property
    def transport(self) -> asyncio.Transport:
        """The protocol's transport. It belongs to the protocol's loop: use it through `call`."""
        assert self._near.transport is not None
        return self._near.transport

    @property
    def events(self) -> Sequence[Event]:
        """Every call that the transport made to the protocol, in order, with its arguments.

        ``buffer_updated`` carries the bytes, not their number.
        """
        return self._calls.events

    @property
    def lost(self) -> CaptureFuture[Exception | None]:
        """What the protocol's ``connection_lost`` got, None or an exception, once it has returned."""
        return self._near.when_lost(self._future("connection_lost"))

    def call(self, function: Callable[..., T], *args: Any) -> CaptureFuture[T]:
        """Call ``function(*args)`` on the protocol's loop: whatever touches protocol or transport goes by this.

        Returns:
            A future of its result or exception.

        Raises:
            TypeError: ``function`` can't be called.
        """
        if not callable(function):
            raise TypeError(f"call() takes a function and its arguments, not {function!r}")
        name = getattr(function, "__qualname__", repr(function))
        future: CaptureFuture[T] = self._future(f"the result of {name}")

        def called() -> None:
            try:
                result = function(*args)
            except BaseException as error:  # noqa: BLE001  it is the caller's
                fail(future, error)
                return
            if isinstance(result, Coroutine):
                result.close()
                fail(future, TypeError(f"call() takes a plain function, and {name} is a coroutine function"))
            else:
                fulfil(future, result)

        self._on_near_loop(called)
        return future

    async def _attach(self, factory: Callable[[], Any], sock: socket.socket) -> None:
        """Put the factory's protocol on ``sock`` and the running loop."""
        self._near.sock = sock
        try:
            await self._near.connect(factory)
        except BaseException as error:
            sock.close()
            self._end.inbound.end(error)
            self._scope.pardon(error)  # it is the caller's now
            raise
        if not self._on_engine:
            await self._near.close_with_its_loop(self._engine_done)

    def _failed(self, error: Exception) -> None:
        self._scope.blame(error)
        self._end.inbound.will_end_with(error)
        self._scope.post(lambda: asyncio.ensure_future(self._end_reads(error)))

    async def _end_reads(self, error: Exception) -> None:
        """End the reads for a protocol that has failed and yet not lost its connection."""
        await turn(TURNS)
        self._end.inbound.end(error)

    def _on_near_loop(self, function: Callable[[], object]) -> None:
        if self._on_engine:
            self._scope.post(function)
        else:
            self._near.loop.call_soon_threadsafe(function)

    def close(self) -> CaptureFuture[None]:
        """Close both ends: the protocol gets all that was sent and then EOF, and loses its connection."""
        return super().close()

    def _start_closing(self, future: CaptureFuture[None]) -> None:
        closing = asyncio.ensure_future(self._close())
        closing.add_done_callback(lambda task: copy_outcome(task, future))

    async def _close(self) -> None:
        lost = self.lost
        with suppress(OSError):  # it has hung up already, or doesn't read
            await self._end.end_outbound()
            await self._near.when_ended(self._future("eof_received"))
        self._on_near_loop(self._near.close)
        await lost
        await self._end.drain_and_close()

    def _engine_done(self) -> CaptureFuture[None]:
        """Done when the engine has done what it was asked before this."""
        done: CaptureFuture[None] = self._future("the engine")
        self._scope.post(fulfil, done, None)
        return done

    async def _shut(self) -> None:
        if self._on_engine:
            await self._near.abort()
        await super()._shut()


async def _open_far_end(connection: Connection, sock: socket.socket) -> None:
    """Put the test's end of a connection on ``sock`` and the engine's loop."""
    connection._end.sock = sock
    await asyncio.get_running_loop().create_connection(lambda: connection._end, sock=sock)
