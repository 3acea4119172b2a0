"""The protocol's end of a harnessed stream."""

import asyncio
import socket
from collections.abc import AsyncGenerator, Callable
from contextlib import suppress
from typing import Any

from .._cursors import Cursor
from .._futures import CaptureFuture, asyncio_runs_here
from .._record import Record
from .recording import recorded_stream_protocol

__tracebackhide__ = True

TURNS = 4
"""Turns of a loop in which a transport reads what has arrived, or, aborted, calls connection_lost."""


class NearEnd:
    """The user's protocol and its transport, on whichever loop they were put: the engine's, or the test's."""

    def __init__(
        self, calls: Record, loop: asyncio.AbstractEventLoop, on_error: Callable[[Exception], object]
    ) -> None:
        self.calls = calls
        self.loop = loop
        self.sock: socket.socket | None = None
        self.protocol: Any = None
        self.transport: asyncio.Transport | None = None
        self._on_error = on_error
        self._error: Exception | None = None
        self._eof = False
        self._lost_with: list[Exception | None] = []
        self._ended_cursor = Cursor(calls.lock)
        self._lost_cursor = Cursor(calls.lock)
        self._guard: AsyncGenerator[None, None] | None = None

    async def connect(self, factory: Callable[[], Any]) -> None:
        """Put the factory's protocol on ``sock`` and the loop, and raise what its connection_made raises."""
        self.transport, recorder = await self.loop.create_connection(
            lambda: recorded_stream_protocol(factory, self), sock=self.sock
        )
        self.protocol = recorder.protocol
        if self._error is not None:
            self.transport.abort()
            raise self._error

    def failed(self, error: Exception) -> None:
        """A callback has raised."""
        self._error = self._error or error
        self._on_error(error)

    def eof_received(self) -> None:
        """The protocol's eof_received has returned."""
        self._eof = True
        self._ended_cursor.serve()

    def connection_lost(self, exc: Exception | None) -> None:
        """The protocol's connection_lost has returned."""
        self._lost_with.append(exc)
        self._ended_cursor.serve()
        self._lost_cursor.serve()

    def when_lost(self, future: CaptureFuture[Exception | None]) -> CaptureFuture[Exception | None]:
        lost_with = self._lost_with
        return self._lost_cursor.ask(future, lambda at: (lost_with[0], at) if lost_with else None)

    def when_ended(self, future: CaptureFuture[None]) -> CaptureFuture[None]:
        """Done once the protocol has got EOF, or has lost its connection."""
        return self._ended_cursor.ask(future, lambda at: (None, at) if self._eof or self._lost_with else None)

    def close(self) -> None:
        """Close the transport. To be called on its loop."""
        if self.transport is not None:
            self.transport.close()

    async def abort(self) -> None:
        """Close the transport from its own loop, dropping what wasn't sent; return once it is lost."""
        if self.transport is not None:
            self.transport.abort()
            await turn(TURNS)

    def leave(self) -> None:
        """Close a transport on a loop of the test's, from where the test ran: now if that loop rests."""
        if self._rests and self.transport is not None:
            self.loop.run_until_complete(self.abort())
        elif self.loop.is_running() and self.transport is not None:
            self.loop.call_soon_threadsafe(self.transport.abort)
        elif self.sock is not None:
            self.sock.close()

    def turn_its_loop(self) -> None:
        """Let the protocol read what has arrived, if its loop rests."""
        if self._rests:
            self.loop.run_until_complete(turn(TURNS))

    @property
    def _rests(self) -> bool:
        return not (self.loop.is_closed() or self.loop.is_running() or asyncio_runs_here())

    async def close_with_its_loop(self, sent: Callable[[], CaptureFuture[None]]) -> None:
        """See to it that the transport is closed before its loop is: that loop may end before our tear-down.

        A loop that is wound up closes its asynchronous generators while it still runs:
        https://docs.python.org/3/library/asyncio-eventloop.html#asyncio.loop.shutdown_asyncgens

        Args:
            sent: gives a future that is done when all that the test sent has left.
        """
        self._guard = self._until_its_loop_ends(sent)
        await anext(self._guard)

    async def _until_its_loop_ends(self, sent: Callable[[], CaptureFuture[None]]) -> AsyncGenerator[None, None]:
        try:
            yield
        finally:
            assert self.transport is not None
            if not self._lost_with:
                with suppress(OSError, RuntimeError):
                    await sent()
                await turn(TURNS)
                await self.abort()


async def turn(times: int) -> None:
    """Let the running loop turn."""
    for _ in range(times):
        await asyncio.sleep(0)
