"""`StreamHarness`: your stream protocol on a real connection."""

import asyncio
import socket
import ssl
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Literal, TypeVar, get_args

from .._adopted import Member
from .._checks import bytes_like
from .._checks import choice as check_choice
from .._checks import factory as checked_factory
from .._futures import CaptureFuture
from .._outcomes import raise_together, start
from .._peers.closing import drain_and_close
from .._peers.connection import Connection
from .._peers.starttls import end_handshake, start_tls
from .._peers.stream_end import StreamEnd
from .._record import RowRecord
from .._scope import Scope
from .._sleep import let_turn
from .._transports.arrival import until_read
from .._transports.binding import connected_pair
from .harnessed import Harnessed, running_loop
from .near import TURNS, NearEnd
from .pair import PairedConnection
from .recording import STREAMS
from .sides import Kind, Side, WhichSide, connected_sides

if TYPE_CHECKING:
    from .._peers.tls import TLSAuthority

__tracebackhide__ = True

P = TypeVar("P")


class StreamHarness:
    """Puts your `asyncio.Protocol` or `asyncio.BufferedProtocol` on a real connection.

    Get it from the fixture ``stream_harness``.
    """

    def __init__(self, scope: Scope, host: str, authority: "TLSAuthority") -> None:
        self._scope = scope
        self._host = host
        self._authority = authority

    def connect(
        self,
        factory: Callable[[], P],
        kind: Literal["socketpair", "tcp", "tls"] = "socketpair",
        side: Literal["client", "server"] = "client",
    ) -> "HarnessedStream[P]":
        """Put a protocol on the engine's loop; return once its ``connection_made`` has returned.

        For any kind of test. The protocol's callbacks run on the engine's thread.

        Args:
            factory: called on that loop, without arguments, to make the protocol.
            kind: ``"socketpair"``; ``"tcp"``, over loopback, where there are addresses and resets; or ``"tls"``,
                TLS over that, with certificates for ``localhost`` by ``tls_authority``.
            side: what the protocol is, ``"client"`` or ``"server"``; a server's connection was accepted.

        Raises:
            TypeError: the factory gave no protocol.
            ValueError: there is no such kind or side.
            Exception: whatever the factory or ``connection_made`` raises.
        """
        checked_factory(factory, "stream protocols")
        sides = self._sides(kind, side)
        stream: HarnessedStream[P] = HarnessedStream(self._scope, self._scope.engine.loop, side, self._contexts)
        self._scope.run(stream._attach, factory, sides)
        return stream

    async def connect_here(
        self,
        factory: Callable[[], P],
        kind: Literal["socketpair", "tcp", "tls"] = "socketpair",
        side: Literal["client", "server"] = "client",
    ) -> "HarnessedStream[P]":
        """Put a protocol on the running asyncio loop of an async test; the far end lives on the engine.

        ``await stream.close()`` before the test ends: then the protocol has got all that was sent,
        ``connection_lost`` was called, and no task that its calls have started is left. What its calls raise fails
        the test. So does what such tasks raise, unless somebody has looked by then; and what callbacks raise that
        its calls gave to the loop, unless that has an exception handler of yours.

        Raises:
            RuntimeError: no asyncio loop runs here. `connect` works in any test.
            TypeError: the factory gave no protocol.
            ValueError: there is no such kind or side.
            Exception: whatever the factory or ``connection_made`` raises.
        """
        loop = running_loop()
        checked_factory(factory, "stream protocols")
        sides = self._sides(kind, side)
        stream: HarnessedStream[P] = HarnessedStream(self._scope, loop, side, self._contexts)
        await stream._attach(factory, sides)
        return stream

    def pair(self) -> tuple[socket.socket, Connection]:
        """A connected socket for code that takes one, and its far end. It is what `socket.socketpair` gives.

        The socket waits at most the configured timeout where it blocks, and is closed at the end of the test, if
        it isn't by then. One that was made non-blocking, as asyncio does with a socket that it takes over, is only
        shut down there: a loop may have it still, and to close it, or its transport, is yours.
        """
        near, far = connected_pair()
        try:
            near.settimeout(self._scope.timeout)
            connection = PairedConnection(self._scope, near)
            connection._end.sock, connection._end.reader = far, near
            far.setblocking(False)
            self._scope.run(Side(far, accepted=True).open, lambda: connection._end)
        except BaseException:
            near.close()
            far.close()
            raise
        return near, connection

    def _sides(self, kind: Kind, side: WhichSide) -> Callable[[], tuple[Side, Side]]:
        """What connects two sides as asked."""
        check_choice(kind, "kind", get_args(Kind))
        check_choice(side, "side", get_args(WhichSide))
        return lambda: connected_sides(kind, side, self._host, self._contexts)

    def _contexts(self) -> tuple[ssl.SSLContext, ssl.SSLContext]:
        """That of a client, and that of a server whom it trusts."""
        return self._authority.client_context(), self._authority.server_context()


class HarnessedStream(Connection, Harnessed[P]):
    """A protocol of yours on one end of a connection, and the other end, to be used like any `Connection`.

    `send` is what the protocol gets as ``data_received``; `received` and the reads are what it writes.
    """

    def __init__(
        self,
        scope: Scope,
        loop: asyncio.AbstractEventLoop,
        side: WhichSide,
        contexts: Callable[[], tuple[ssl.SSLContext, ssl.SSLContext]],
    ) -> None:
        record = RowRecord()
        self._far_is_client = side == "server"
        self._contexts = contexts
        Connection.__init__(self, scope, scope.name_for("stream"), scope.timeout, StreamEnd(record))
        Harnessed.__init__(self)
        on_engine = loop is scope.engine.loop
        self._near = NearEnd(loop, STREAMS, self._failed, scope.blame, on_engine=on_engine)
        self._adopt_near()
        scope.adopt(Member(self._traffic, record, self._shut, verdict=self._verdict))

    @property
    def transport(self) -> asyncio.Transport:
        """The protocol's transport. It belongs to the protocol's loop: use it through `call`."""
        transport: asyncio.Transport = self._near.transport
        return transport

    def start_tls(self, context: ssl.SSLContext | None = None, *, after: bytes = b"") -> CaptureFuture[None]:
        """Go on over TLS at this end, when the protocol is about to do so at its own (STARTTLS).

        After all that was sent before; what is sent, received and recorded from there on is plain text. The future
        is done after the handshake.

        Args:
            context: by default, one of ``tls_authority``: a client's that checks a certificate for ``localhost`` if
                the protocol is the server, or a server's with such a certificate.
            after: sent before that, in plain text, as the answer to STARTTLS: the protocol may begin TLS as soon as
                it has got it, so nothing is read in between.

        Raises:
            TypeError, ValueError: the context is no `ssl.SSLContext`, or one for the other side, or ``after`` isn't
                bytes.
            RuntimeError: it speaks TLS already.
        """
        if self._end.tls:
            raise RuntimeError(f"start_tls() on {self}, which speaks TLS already")
        if context is None:
            context = self._contexts()[0 if self._far_is_client else 1]
        elif not isinstance(context, ssl.SSLContext):
            raise TypeError(f"context must be an ssl.SSLContext, not {context!r}")
        elif context.protocol == (ssl.PROTOCOL_TLS_SERVER if self._far_is_client else ssl.PROTOCOL_TLS_CLIENT):
            side = "client" if self._far_is_client else "server"
            raise ValueError(f"context must be one for a {side}, which this end is, not {context!r}")
        name = "localhost" if self._far_is_client else None
        future = self._do(
            start_tls, self._end, context, name, bytes_like(after, "after"), self._future("the TLS handshake")
        )
        future.add_done_callback(lambda _: self._near.out_of_sight())  # where it isn't followed, it is seen now
        return future

    def close(self) -> CaptureFuture[None]:
        """Close both ends: the protocol gets all that was sent and then EOF, and loses its connection."""
        return super().close()

    async def _attach(self, factory: Callable[[], P], connected: Callable[[], tuple[Side, Side]]) -> None:
        """Put the factory's protocol on one side and the running loop, and our end on the other."""
        near, far = connected()
        self._near.sock = near.sock
        self._end.sock, self._end.reader, self._end.tls = far.sock, near.sock, far.context is not None
        self._peername = None if self._end.is_unix else far.sock.getpeername()[:2]
        opened: CaptureFuture[None] | None = None
        try:
            if self._near.on_engine and not self._end.tls:
                await self._open_far_end(far)  # a turn or two of this loop
            else:  # that takes both ends, or another loop
                opened = self._future("the far end to be connected")
                told = "the far end is not connected"
                self._scope.post(self._end.outbox.put, lambda: self._open_far_end(far), opened, told)
            await self._near.connect(near.open, factory)
            if opened is not None and not self._near.holds_up_tls:
                await opened
        except BaseException as error:
            await self._near.give_up()
            self._end.inbound.end(error)
            self._scope.pardon(error)  # it is the caller's now
            raise
        if not self._near.on_engine:
            await self._near.close_with_its_loop(self._engine_done)

    async def _open_far_end(self, far: Side) -> None:
        try:
            await far.open(lambda: self._end)
        except BaseException as error:
            self._end.inbound.end(error)
            self._end.settle_without_transport()
            raise

    def _failed(self, error: Exception) -> None:
        self._scope.blame(error)
        self._end.inbound.will_end_with(error)
        self._scope.post(lambda: asyncio.tasks.ensure_future(self._end_reads(error)))

    async def _end_reads(self, error: Exception) -> None:
        """End the reads for a protocol that has failed and yet not lost its connection."""
        await let_turn(TURNS)
        self._end.inbound.end(error)

    def _start_closing(self, future: CaptureFuture[None]) -> None:
        start(future, self._close)

    async def _close(self) -> None:
        self._end.unstall()  # lest what the protocol has still to send hold its end up
        await end_handshake(self._end)
        if self._end.tls:
            await drain_and_close(self._end)  # it ends both directions
        else:
            with suppress(OSError):  # it has hung up already, or doesn't read
                await self._end.end_outbound()
                await self._near.when_ended(self._future("eof_received"))
                if self._near.out_of_sight() and self._end.sock is not None:
                    await until_read(self._end.sock, self._timeout)
        errors = await self._close_near()
        if not self._near.out_of_sight():
            await self.lost
        await let_turn(TURNS, lambda: self._end.ends)  # the protocol's socket was just closed: that is an EOF here
        await drain_and_close(self._end)
        raise_together(errors, "tasks of the protocol that go on")

    async def _shut(self) -> None:
        try:
            if self._near.on_engine:
                await self._near.abort()
        finally:
            await super()._shut()
