"""The protocol's end of what a harness connects."""

import asyncio
import socket
from collections.abc import AsyncGenerator, Callable, Coroutine
from contextlib import suppress
from contextvars import Context
from typing import Any

from .._cursors import Cursor
from .._futures import CaptureFuture
from .._here import asyncio_runs_here
from .._quiet import until_quiet
from .._scope import SETTLING
from .._sleep import let_turn
from .._transports.datagram import RECEIVE_BUFFER
from .calls import Calls
from .following import Following
from .losses import Losses
from .recording import ProtocolKind, Recorded
from .tasks import ProtocolTasks

__tracebackhide__ = True

TURNS = 4
"""Turns of a loop in which a transport reads what has arrived, or, aborted, calls connection_lost."""

Open = Callable[[Callable[[], Any]], Coroutine[Any, Any, tuple[Any, Any]]]
"""Puts a factory's protocol on a transport and the running loop; gives both."""


class NearEnd:
    """The user's protocol and its transport, on whichever loop they were put: the engine's, or the test's.

    Args:
        loop: that loop.
        kind: what protocols it is for.
        on_error: told what the protocol's calls raise.
        blame: told what the tasks that it started on a loop of the test's have raised unseen.
        on_engine: whether it is the engine's loop.
        datagrams: whether its socket is one of UDP, to be given room; what is dropped there all the same is noted.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        kind: ProtocolKind,
        on_error: Callable[[Exception], object],
        blame: Callable[[BaseException], object],
        *,
        on_engine: bool,
        datagrams: bool = False,
    ) -> None:
        self.calls = Calls(self._gone)
        self.losses = Losses(self.calls.record) if datagrams else None
        self.loop = loop
        self.kind = kind
        self.on_engine = on_engine
        self.sock: socket.socket | None = None
        self.sockname: Any = None
        self.protocol: Any = None
        self._following = Following(self.calls, lambda protocol: kind.record(protocol, self))
        self._on_error = on_error
        self._blame = blame
        self._error: Exception | None = None
        self._eof = False
        self._lost_with: list[Exception | None] = []
        self._ended_cursor = Cursor(self.calls.record.lock)
        self._lost_cursor = Cursor(self.calls.record.lock)
        self._tasks: ProtocolTasks | None = None
        self._guard: AsyncGenerator[None, None] | None = None

    @property
    def transport(self) -> Any:
        return self._following.transport

    @property
    def holds_up_tls(self) -> bool:
        """Whether the protocol does not read already: asyncio's client then keeps the end of its handshake back."""
        return self.transport.is_closing() or not self.transport.is_reading()

    @property
    def recorded(self) -> Any:
        """What stands before the protocol that the transport has, or had last."""
        return self._following.recorded

    async def connect(self, open_: Open, factory: Callable[[], Any]) -> None:
        """Put the factory's protocol on a transport and the loop, and raise what its connection_made raises."""
        self._tasks = None if self.on_engine else ProtocolTasks(self._blame)
        error: BaseException | None = None
        try:
            await self._put_on(open_, factory)
        except BaseException as raised:  # noqa: BLE001  it is raised, or what caused it
            error = raised
        else:
            if self._error is not None:
                self._abort_unless_lost()
        error = self._error or error
        if error is not None:
            await self._end_tasks()
            raise error from None

    async def _put_on(self, open_: Open, factory: Callable[[], Any]) -> None:
        tasks = self._tasks
        # Before there is a socket: asyncio doesn't close that of a datagram endpoint whose factory fails. And in no
        # task of its own: that would end its loop with a SystemExit, too.
        self.protocol = factory() if tasks is None else tasks.context.run(factory)
        self.kind.check(self.protocol)
        recorded = self.kind.record(self.protocol, self)
        opening = open_(lambda: recorded)
        await (opening if tasks is None else tasks.run(opening))

    def making(self, transport: Any, recorded: Recorded) -> None:
        self.sockname = transport.get_extra_info("sockname")
        # That of asyncio's own transports can be closed where their loop was before them.
        self.sock = getattr(transport.get_extra_info("socket"), "_sock", self.sock)
        if self.losses is not None:
            udp = transport.get_extra_info("socket")
            udp.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER)
            self.losses.watch(udp)
        self._following.begin(transport, recorded)

    def losing(self) -> None:
        if self.losses is not None:  # the socket is still open
            self.losses.look()

    def calling(self) -> None:
        self._following.calling()

    def called(self) -> None:
        self._following.called()

    def soon(self, function: Callable[[], object]) -> None:
        """Call ``function`` on a loop of the test's, as one of the protocol's calls."""
        assert self._tasks is not None
        self.loop.call_soon_threadsafe(function, context=self._tasks.context)

    def soon_apart(self, function: Callable[[], object]) -> None:
        """Call ``function`` there, and none of what it starts is the protocol's."""
        self.loop.call_soon_threadsafe(function, context=Context())

    def out_of_sight(self) -> bool:
        """See whether the record of the calls ends here: the transport has got a protocol not known to us."""
        self._following.look()
        return self._following.lost

    def failed(self, error: Exception) -> None:
        self._error = self._error or error
        self._on_error(error)

    def eof_received(self) -> None:
        self._eof = True
        self._ended_cursor.serve()

    def connection_lost(self, exc: Exception | None) -> None:
        self._following.end()
        self._lost_with.append(exc)
        self._ended_cursor.serve()
        self._lost_cursor.serve()
        self.calls.end()

    def when_lost(self, future: CaptureFuture[Exception | None]) -> CaptureFuture[Exception | None]:
        lost_with = self._lost_with
        return self._lost_cursor.ask(future, lambda at: (lost_with[0], at) if lost_with else None)

    def when_ended(self, future: CaptureFuture[None]) -> CaptureFuture[None]:
        """Done once the protocol has got EOF, or has lost its connection, as far as can be seen."""

        def take(at: int) -> tuple[None, int] | None:
            return (None, at) if self._eof or self._lost_with or self.out_of_sight() else None

        return self._ended_cursor.ask(future, take)

    async def close(self) -> list[Exception]:
        """Let what has arrived be read, close the transport, and end the protocol's tasks.

        To be called on its loop. Gives an error for each task that would not end.
        """
        # One that is closing, as after an EOF that the protocol didn't object to, reads no more.
        if self.transport is not None and not self.transport.is_closing():
            deadline = self.loop.time() + SETTLING
            await until_quiet(lambda: len(self.calls.record.rows), lambda: self.loop.time() < deadline)
            self.transport.close()
        await let_turn(TURNS, lambda: self._lost_with)
        return await self._end_tasks()

    async def give_up(self) -> None:
        """Let go of what was connected in vain, on its loop."""
        if self.transport is not None:
            self._abort_unless_lost()  # its socket is closed by itself: the loop has the number till then
            await let_turn(TURNS, lambda: self._lost_with)
            if not self._lost_with:
                # uvloop, where the wait for it was cancelled, has closed it without a word to the protocol.
                self._following.end()
                if self.sock is not None:
                    self.sock.detach()
        elif self.sock is not None:
            self.sock.close()
        await self._end_tasks()

    async def _end_tasks(self) -> list[Exception]:
        return [] if self._tasks is None else await self._tasks.end()

    async def abort(self) -> None:
        """Close the transport from its own loop, dropping what wasn't sent; return once it is lost."""
        self._forget_number()
        if self.transport is not None:
            self._abort_unless_lost()
            await let_turn(TURNS, lambda: self._lost_with)
            if self._following.in_place:
                raise RuntimeError("connection_lost was not called when the transport was aborted")

    def leave(self) -> list[Exception]:
        """Close a transport on a loop of the test's, from where the test ran: now if that loop rests.

        So are the protocol's tasks ended. Gives an error for each that would not end.
        """
        self._forget_number()
        if self._rests and self.transport is not None:
            return self.loop.run_until_complete(self._let_go())
        if self.loop.is_running() and self.transport is not None:
            self.loop.call_soon_threadsafe(self._let_go_at_once)
        elif self.sock is not None:
            self.sock.close()
        return []

    async def _let_go(self) -> list[Exception]:
        try:
            await self.abort()
        finally:
            left = await self._end_tasks()
        return left

    def _let_go_at_once(self) -> None:
        self._abort_unless_lost()
        if self._tasks is not None:
            self._tasks.cancel()

    def blame_failed_tasks(self) -> None:
        """Blame the tasks that the protocol started on a loop of the test's for what nobody has looked at."""
        if self._tasks is not None:
            self._tasks.blame_failed()

    def _abort_unless_lost(self) -> None:
        """Abort the transport, but not once it is lost: asyncio's own, if closed with unsent data, then raise."""
        if not self._lost_with:
            self.transport.abort()

    def _forget_number(self) -> None:
        """If the connection is lost, let go of its socket without closing it.

        uvloop has closed the descriptor with the transport, and its number may be another socket's by now. It takes
        our socket object over too, so that this can't close the number again; but only once it has connected, which
        it never has if the protocol hangs up before.
        """
        if self._lost_with and self.sock is not None:
            self.sock.detach()

    def turn_its_loop(self) -> None:
        """Let the protocol read what has arrived, if its loop rests."""
        if self._rests:
            self.loop.run_until_complete(let_turn(TURNS))

    @property
    def _rests(self) -> bool:
        return not (self.loop.is_closed() or self.loop.is_running() or asyncio_runs_here())

    def _gone(self) -> Exception | None:
        if not self._lost_with:
            return None
        return self._error or ConnectionAbortedError("connection_lost was called: no other call comes after it")

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
            if not self._lost_with:
                with suppress(OSError, RuntimeError):
                    await sent()
                await let_turn(TURNS)
                await self.abort()
