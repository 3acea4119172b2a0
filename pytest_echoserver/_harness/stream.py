"""`StreamHarness`: your stream protocol on a real socketpair."""

import asyncio
import socket
import threading
from collections.abc import AsyncGenerator, Callable, Coroutine, Sequence
from contextlib import suppress
from typing import Any, TypeVar

from .._checks import factory as checked_factory
from .._cursors import Cursor
from .._futures import CaptureFuture
from .._outcomes import fail, fulfil
from .._peers.connection import Connection
from .._record import Event, Record
from .._scope import Member, Scope
from .recording import Recorded, recorded_stream_protocol

T = TypeVar("T")

TURNS_TO_LOSE = 3
"""Turns of its loop within which an aborted transport has called connection_lost."""


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
        stream = HarnessedStream(self._scope)
        near = self._open_far_end_of(stream)
        self._scope.engine.run(self._scope.context, stream._attach, factory, near)
        return stream

    async def connect_here(self, factory: Callable[[], Any]) -> "HarnessedStream":
        """Put a protocol on the running asyncio loop of an async test; the far end lives on the engine.

        ``await stream.close()`` before the test ends, if its loop ends with it: then ``connection_lost`` is
        sure to have been called.

        Raises:
            RuntimeError: no asyncio loop runs here. `connect` works in any test.
            TypeError: the factory gave no protocol.
            Exception: whatever the factory or ``connection_made`` raises.
        """
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            raise RuntimeError(
                "connect_here() puts the protocol on the running asyncio loop, and none runs here; "
                "connect() puts it on the engine's loop, in any kind of test"
            ) from None
        checked_factory(factory, "stream protocols")
        stream = HarnessedStream(self._scope)
        near = self._open_far_end_of(stream)
        await stream._attach(factory, near)
        return stream

    def pair(self) -> tuple[socket.socket, Connection]:
        """A connected socket for code that takes one, and its far end.

        The socket waits at most the configured timeout where it blocks; asyncio makes it non-blocking where it
        needs that. It is closed at the end of the test, if it isn't by then.
        """
        connection = _PairedConnection(self._scope)
        near = connection.near = self._open_far_end_of(connection)
        near.settimeout(self._scope.timeout)
        return near, connection

    def _open_far_end_of(self, connection: Connection) -> socket.socket:
        """Make a socketpair, put ``connection`` on one end of it, and give the other."""
        near, far = socket.socketpair()
        try:
            self._scope.engine.run(self._scope.context, connection._open_far_end, far)
        except BaseException:
            near.close()
            far.close()
            raise
        return near


class _PairedConnection(Connection):
    """The far end of a socket that the test has."""

    def __init__(self, scope: Scope) -> None:
        super().__init__(scope, scope.name_for("pair"), scope.timeout)
        self.near: socket.socket | None = None
        scope.adopt(Member(self._name, self._record, self._shut))

    async def _shut(self) -> None:
        if self.near is not None:
            self.near.close()
        await super()._shut()


class HarnessedStream(Connection):
    """A protocol of yours on one end of a connection, and the other end, to be used like any `Connection`.

    `send` is what the protocol gets as ``data_received``; `received` and the reads are what it writes.
    """

    def __init__(self, scope: Scope) -> None:
        super().__init__(scope, scope.name_for("stream"), scope.timeout)
        self._calls = Record()
        self._near = _NearEnd(self._calls.lock, scope.engine.loop)
        scope.adopt(Member(f"{self} (its protocol)", self._calls, self._shut))
        scope.adopt(Member(f"{self} (the far end)", self._record, self._shut))

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
            except Exception as error:  # noqa: BLE001  it is the caller's
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
        self._near.loop = asyncio.get_running_loop()
        try:
            await self._near.connect(lambda: self._recorded(factory))
        except BaseException as error:
            sock.close()
            self._far.inbound.end(error)
            raise
        if self._near.loop is not self._scope.engine.loop:
            await self._near.close_with_its_loop()

    def _recorded(self, factory: Callable[[], Any]) -> Recorded:
        return recorded_stream_protocol(factory, self._calls, self._on_error, self._near.connection_lost)

    def _on_error(self, error: Exception) -> None:
        self._scope.blame(error)
        self._near.error = self._near.error or error
        self._far.inbound.end(error)

    def _on_near_loop(self, function: Callable[[], object]) -> None:
        near = self._near.loop
        if near is self._scope.engine.loop:
            self._scope.engine.post(self._scope.context, function)
        else:
            near.call_soon_threadsafe(function)

    async def _close(self) -> None:
        lost = self.lost
        self._on_near_loop(self._near.close)
        await lost
        await super()._close()

    async def _shut(self) -> None:
        if self._near.loop is self._scope.engine.loop:
            await self._near.abort()
        else:
            self._near.abandon()
        await super()._shut()


class _NearEnd:
    """The protocol's end: its transport, on whichever loop it was put."""

    def __init__(self, lock: threading.RLock, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self.sock: socket.socket | None = None
        self.protocol: Any = None
        self.transport: asyncio.Transport | None = None
        self.error: Exception | None = None
        self._lost_with: list[Exception | None] = []
        self._lost = Cursor(lock)
        self._guard: AsyncGenerator[None, None] | None = None

    async def connect(self, recorded: Callable[[], Recorded]) -> None:
        self.transport, recorder = await self.loop.create_connection(recorded, sock=self.sock)
        self.protocol = recorder.protocol
        if self.error is not None:
            self.transport.abort()
            raise self.error

    def connection_lost(self, exc: Exception | None) -> None:
        self._lost_with.append(exc)
        self._lost.serve()

    def when_lost(self, future: CaptureFuture[Exception | None]) -> CaptureFuture[Exception | None]:
        lost_with = self._lost_with
        return self._lost.ask(future, lambda at: (lost_with[0], at) if lost_with else None)

    async def close_with_its_loop(self) -> None:
        """See to it that the transport is closed before its loop is: that loop may end before our tear-down.

        A loop that is wound up closes its asynchronous generators while it still runs:
        https://docs.python.org/3/library/asyncio-eventloop.html#asyncio.loop.shutdown_asyncgens
        """
        self._guard = self._until_its_loop_ends()
        await anext(self._guard)

    def close(self) -> None:
        """Close the transport, on its loop."""
        if self.transport is not None:
            self.transport.close()

    async def abort(self) -> None:
        """Close the transport from its own loop, dropping what wasn't sent; return once it is lost."""
        if self.transport is not None:
            self.transport.abort()
            with suppress(TimeoutError):
                await self.when_lost(CaptureFuture("connection_lost"))

    def abandon(self) -> None:
        """Close what can be closed while the transport's loop, another's, doesn't run."""
        if self.loop.is_running():
            if self.transport is not None:
                self.loop.call_soon_threadsafe(self.transport.abort)
            return
        if self.transport is not None and not self.loop.is_closed():
            self.transport.abort()
        if self.sock is not None:
            self.sock.close()

    async def _until_its_loop_ends(self) -> AsyncGenerator[None, None]:
        try:
            yield
        finally:
            assert self.transport is not None
            if not self._lost_with:
                self.transport.abort()
            for _ in range(TURNS_TO_LOSE):
                if not self._lost_with:
                    await asyncio.sleep(0)
