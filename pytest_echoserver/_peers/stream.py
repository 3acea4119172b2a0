"""`StreamPeer`: a TCP, Unix or TLS peer of the code under test."""

import asyncio
import itertools
import socket
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from .._cursors import Cursor
from .._futures import CaptureFuture
from .._here import refuse_to_block
from .._quiet import until_quiet
from .._readers import Readers
from .._record import Event, Record, RowRecord
from .._scope import Scope
from .._tasks import cancel_all
from .._transports.accepting import Acceptor
from .accepted import PeerConnection
from .beginning import Beginning
from .behaviours import StreamBehaviour, StreamEcho
from .closing import hang_up, until_all_is_read
from .connection import Connection, check_act
from .excuses import Excuses
from .expectations import PatternLike, StreamExpectation, StreamRule
from .handlers import start_handler
from .matching import Framing
from .script import Act, Moment, Script, Step
from .served import ServedPeer
from .stream_end import StreamEnd
from .stream_script import StreamScript
from .tls import handshake_error

if TYPE_CHECKING:
    from .defaults import CommonOptions
    from .socket_file import SocketFile

__tracebackhide__ = True

H = TypeVar("H", bound=StreamBehaviour)

LAST_WORDS = 1.0
"""Seconds that handlers have to end, after they were cancelled."""
LAST_READS = 1.0
"""Seconds in which a peer that is closed reads what has arrived, at most: a client may send and send."""
ON_ITS_WAY = 0.25
"""Seconds in which it reads what its clients' own kernels still held, all of them together."""


class StreamPeer(ServedPeer):
    """A stream peer for the code under test: bound and listening before you see it, remembering every byte.

    Get one from a fixture like ``tcp_peer``, or from `Peers`. Without a behaviour it accepts and records; give it
    a handler by `serve`, or a script by `expect` and `on`, before the code under test connects or after: they get
    what had come before, too, unless the test has read it.
    """

    _captured_in = "connections"
    _echo = StreamEcho
    _kind = "stream"
    _numbered = True
    _patience = ON_ITS_WAY + LAST_READS + LAST_WORDS
    _file: "SocketFile | None" = None

    def __init__(
        self,
        scope: Scope,
        name: str,
        sock: socket.socket,
        options: "CommonOptions",
        behaviour: Any,
        *,
        framing: Framing | None = None,
        tls: Any = None,
    ) -> None:
        super().__init__(scope, name, sock, options, behaviour)
        self._rows = RowRecord()
        self._transport = "tls" if tls else "tcp"
        if options.faults is not None:
            self._known_faults().give(options.faults)
        self._tls = tls
        self._framing = framing
        if isinstance(self._address, str):
            from .socket_file import SocketFile

            self._file = SocketFile(self._address)
        self._numbers = itertools.count(1)
        self._accepted: list[PeerConnection] = []
        self._connections: list[PeerConnection] = []
        self._with_scripts: list[PeerConnection] = []
        self._made, self._first = Cursor(self._record.lock), Cursor(self._record.lock)
        self._attaching: set[asyncio.Task[None]] = set()
        self._handlers: set[asyncio.Task[None]] = set()
        self._rules: list[Step] = []
        self._script: StreamScript | None = None
        self._excuses = Excuses()
        self._acceptor: Acceptor | None = None
        self._open_in_scope(self._open)

    @property
    def _record(self) -> Record:
        return self._rows

    @property
    def connections(self) -> Sequence[Connection]:
        """The connections that were made so far, in order. One that was made just now may still be missing:
        `next_connection` waits for it."""
        return tuple(self._connections)

    @property
    def connection(self) -> Connection:
        """The only connection; waits for it.

        Raises:
            RuntimeError: there are several; or there is none, and the peer is closed; or it would have to wait, on
                the thread of a running event loop: there ``await peer.next_connection()``.
            CaptureTimeout: none came in time.
        """
        if not self._connections:
            self._refuse_if_closed("connection")
            refuse_to_block(f"{self._name}.connection", "`await peer.next_connection()`")
            some: CaptureFuture[None] = self._future("a connection")
            self._asked(self._first.ask(some, lambda at: (None, at) if self._connections else None)).result()
        if len(self._connections) > 1:
            raise RuntimeError(
                f"{self} has {len(self._connections)} connections: take them from `connections`, or one after the "
                "other by next_connection()"
            )
        return self._connections[0]

    @property
    def events(self) -> Sequence[Event]:
        """Everything that happened, in order. The first argument of each is the number of the connection, from 1:
        ``connection_made(n, peername)``, ``data_received(n, data)``, ``data_sent(n, data)``, ``eof_received(n)``,
        ``eof_sent(n)``, ``reset_sent(n)``, ``unexpected(n, data)``, ``exception_raised(n, text)`` by code of yours,
        ``kept_waiting(n, other)``, ``fault(n, direction, offset, verdict)`` and
        ``rate_limited(n, direction, offset, rate)`` with the place in the stream where it begins,
        ``connection_lost(n, exc)``, and over TLS ``handshake_completed(n, version)`` and
        ``handshake_failed(n, exc)``; of a `TCPProxy` more."""
        return self._record.events

    def next_connection(self) -> CaptureFuture[Connection]:
        """The next connection that no call has taken yet, whether it was made or will be.

        Raises:
            RuntimeError: the peer is closed.
        """
        self._refuse_if_closed("next_connection()")
        connections = self._connections

        def take(at: int) -> tuple[Connection, int] | None:
            return (connections[at], at + 1) if at < len(connections) else None

        return self._asked(self._made.ask(self._future("the next connection"), take))

    def serve(self, handler: H) -> H:
        """Have ``handler``, an ``async`` function of the `Connection`, serve each connection. Also as a decorator.

        When it returns, the connection is drained and closed. What it raises fails the test; but not the client's
        clean EOF at the start of a read, its reset, or being cancelled at the end of the test.

        Raises:
            TypeError: it isn't callable, or is a coroutine.
            RuntimeError: the peer has a behaviour; or is closed.
        """
        self._serve(handler)
        return handler

    def expect(self, pattern: PatternLike, *, times: int = 1) -> StreamExpectation:
        """Add to the script: what has to come next. Say what to answer by ``.reply(...)``, ``.close()`` and so on.

        Args:
            pattern: bytes, or a compiled regular expression of bytes that ends in a literal. On a peer made with
                ``framing=`` it has to match a whole message, and may be any regular expression of bytes, a
                predicate of the message's bytes, or ``...`` for any message, as well.
            times: how often it has to come, one after the other.

        Raises:
            TypeError, ValueError: no such pattern can be expected; the text says why.
            RuntimeError: a handler serves the peer; or it is closed.
        """
        return self._scripting("expect()").expect(pattern, times)

    def expect_connection(self) -> StreamExpectation:
        """Add to the script: a new connection has to come next. Its ``reply`` is a greeting.

        Raises:
            RuntimeError: a handler serves the peer; or it is closed.
        """
        return self._scripting("expect_connection()").expect_moment(Moment.CONNECTION)

    def expect_eof(self) -> StreamExpectation:
        """Add to the script: the client has to end the connection next, or its direction of it.

        Raises:
            RuntimeError: a handler serves the peer; or it is closed.
        """
        return self._scripting("expect_eof()").expect_moment(Moment.EOF)

    def on(self, pattern: PatternLike) -> StreamRule:
        """Add a rule: what may come at any time, any number of times, and what to answer.

        Rules are tried when the script does not match. What has met the rule before its answer was said gets that
        answer, too.

        Raises:
            TypeError, ValueError: no such pattern can be expected; the text says why.
            RuntimeError: a handler serves the peer; or it is closed.
        """
        rule = self._scripting("on()").on(pattern)
        self._scope.post(self._go_on)
        return rule

    def expect_handshake_failure(self) -> CaptureFuture[Exception]:
        """Excuse the next TLS handshake that fails: that of a client which is meant to reject the certificate.

        Returns:
            A future of the error, an `ssl.SSLError` or a `ConnectionError`. If none has come by the end of the
            test, the test fails.

        Raises:
            RuntimeError: the peer speaks no TLS.
        """
        if self._tls is None:
            raise RuntimeError(f"expect_handshake_failure(): {self} speaks no TLS, so there is no handshake")
        self._refuse_if_closed("expect_handshake_failure()")
        future: CaptureFuture[Exception] = self._future("a failed TLS handshake")
        self._excuses.expect(future)
        return self._asked(future)

    def clear(self, *, script: bool = False) -> None:
        """Forget what was recorded, and the connections that have ended. The script goes on where it is.

        Args:
            script: whether it is forgotten as well, with its rules, and what the faults are decided by begins anew:
                for the next example of a property test. What has arrived by then is read first.
        """
        if script:
            self._scope.run(self._read_what_has_arrived)
        self._scope.call(self._clear, script)

    def close(self) -> None:
        """Close the listener and all connections. When this returns, nothing more is recorded; what was stays.

        Raises:
            Exception: the peer is one of ``session_peers``, and something went wrong: a `ScriptMismatch` if its
                script is not met; several as an `ExceptionGroup`.
        """
        if self._scope.engine.here:
            self._stop_listening()
            asyncio.tasks.ensure_future(self._shut())  # the scope keeps its tasks
            return
        if not self._close_at_rest():
            self._scope.run(self._shut)
        self._was_closed()

    def _close_at_rest(self) -> bool:
        """Close it on this thread, if nobody has ever connected: then nothing can be under way."""
        if not self._scope.engine.readers.from_any_thread or self._acceptor is None:
            return False
        self._remove_file()  # before the last look at who waits: nobody comes by the path any more
        if self._acceptor.close_unused():
            self._end_waits()
            return True
        return False

    def _at_rest(self) -> bool:
        # The socket is asked first. A client that was accepted before that doesn't wait there any more, but then it
        # has set `any_came`; in the other order, one that was accepted in between would be missed.
        return super()._at_rest() and (self._acceptor is None or self._closed or not self._acceptor.any_came)

    @property
    def _settle(self) -> Callable[[], None] | None:
        """Try again to accept who couldn't be, for want of files: the next try may come only after this test."""
        if self._acceptor is None or not self._acceptor.waits_for_files:
            return None
        return partial(self._scope.call, self._acceptor.accept)

    def _open(self, readers: Readers) -> None:
        self._acceptor = Acceptor(
            self._socket,
            readers,
            self._scope.context,
            accepted=self._accept,
            failed=self._cannot_accept,
        )

    def _cannot_accept(self, error: OSError) -> None:
        self._blame_once_a_test(OSError(error.errno, f"{self} can't accept a connection: {error.strerror}"))

    def _accept(self, sock: socket.socket, peername: Any) -> None:
        connection = PeerConnection(self, sock, peername)
        self._accepted.append(connection)
        self._record.note("connection_made", connection.number, connection.peername)
        task = asyncio.tasks.ensure_future(self._attach(connection, sock))
        self._attaching.add(task)
        task.add_done_callback(self._attaching.discard)

    async def _attach(self, connection: PeerConnection, sock: socket.socket) -> None:
        """Put an accepted socket on the loop; over TLS, after the handshake."""
        loop = asyncio.events.get_running_loop()
        end = connection._end
        end.made = lambda: self._connected(connection)
        try:
            if self._tls is None:
                await loop.connect_accepted_socket(lambda: end, sock)
            else:
                await loop.connect_accepted_socket(
                    lambda: end, sock, ssl=self._tls, ssl_handshake_timeout=max(self._timeout, 0.001)
                )
        except OSError as error:
            self._handshake_failed(connection, error)
        finally:
            end.settle_without_transport()

    def _handshake_failed(self, connection: PeerConnection, error: OSError) -> None:
        self._record.note("handshake_failed", connection.number, error)
        if not self._excuses.excuse(error):
            address = connection.peername if isinstance(connection.peername, tuple) else None
            connection._fail(handshake_error(address, error), of_user=False)

    def _connected(self, connection: PeerConnection) -> None:
        if self._tls is not None:
            self._record.note("handshake_completed", connection.number, connection._end.tls_version)
        self._connections.append(connection)
        if self._faults is not None:
            connection._needed_network().have(self._faults)
        self._start(connection)
        self._made.serve()
        self._first.serve()

    def _start(self, connection: PeerConnection, start: int = 0) -> None:
        """Let the peer's behaviour have ``connection``, from position ``start`` of its input on."""
        if self._behaviour is StreamEcho:
            connection._end.listener = StreamEcho(connection)
        elif self._behaviour is not None:
            connection._for_handler = connection._end.inbound.reader(start)
            handler = start_handler(self._behaviour, connection)
            self._handlers.add(handler)
            handler.add_done_callback(self._handlers.discard)
        elif self._script is not None and self._script.beginning.made:
            self._script.follow(connection, start, connection._older_than_script)

    def _serve_by(self, handler: StreamBehaviour) -> None:
        self._behaviour = handler
        self._start_late()

    def _start_late(self) -> None:
        """Let the behaviour have the connections that were there before it."""
        for connection in self._connections:
            if not (connection._end.closed_by_us or connection._own_script):
                self._start(connection, connection._for_test.position)

    def _scripting(self, asked: str) -> StreamScript:
        return self._begin_script(
            asked,
            lambda: StreamScript(
                str(self),
                self._record.lock,
                self._timeout,
                framing=self._framing,
                strict=self._strict,
                check_act=self._check_act,
                beginning=Beginning(self._scope, self._follow_script),
                redact=self._redacted,
                rules=self._rules,
            ),
        )

    def _follow_script(self) -> None:
        if self._acceptor is not None:
            self._acceptor.accept()
        for connection in self._accepted:
            connection._older_than_script = connection._end.arrived
        self._start_late()

    def _go_on(self) -> None:
        """Have the connections with scripts of their own look at a new rule."""
        for connection in self._with_scripts:
            if connection._own_script is not None:
                connection._own_script.go_on()

    def _check_act(self, act: Act) -> None:
        check_act(act, tls=self._tls is not None, unix=self._is_unix, who=str(self))

    def _end_all_waits(self, error: Exception) -> None:
        """One of its connections has failed: give ``error`` to all who wait for something of any."""
        self._fail_waits(error)
        for connection in self._connections:
            connection._fail_waits(error)

    def _let_arrive(self) -> None:
        if not self._scope.engine.here:
            self._scope.run(self._read_what_has_arrived)

    def _give_faults(self, given: Any) -> None:
        faults = self._known_faults()
        faults.give(given)
        for connection in self._connections:
            if not connection._end.lost.is_set():
                connection._needed_network().have(faults)

    def _verdict(self) -> list[Exception]:
        errors = super()._verdict()
        for connection in self._with_scripts:
            errors += connection._verdict()
        return errors + self._excuses.verdict(self)

    def _told(self) -> None:
        super()._told()
        self._excuses.tell()
        for connection in self._with_scripts:
            connection._told()

    def _clear(self, script: bool) -> None:
        def live(connections: Sequence[PeerConnection]) -> list[PeerConnection]:
            return [each for each in connections if not each._end.lost.is_set()]

        with self._record.lock:
            self._made.position = len(live(self._connections[: self._made.position]))
            self._connections[:] = live(self._connections)
            self._accepted[:] = live(self._accepted)
            self._record.clear()
            for connection in self._connections:
                connection._forget()
            self._forget_served()
        if script:
            self._begin_anew()

    def _begin_anew(self) -> None:
        if self._scripted:
            self._fail_scripts(RuntimeError(f"the script of {self} was cleared while this was awaited"))
            if self._script is not None:
                self._script.drop()
            self._script = None
            self._scripted = False
            self._rules.clear()
            for connection in {*self._connections, *self._with_scripts}:
                connection._forget_script()
            self._with_scripts.clear()
        self._excuses.end(RuntimeError(f"{self} was cleared while this was awaited"))
        self._excuses = Excuses()
        if not self._accepted:
            self._numbers = itertools.count(1)
        if self._faults is not None:
            self._faults.begin_anew()
            for connection in self._connections:
                if connection._network is not None:
                    connection._network.begin_anew()
                    connection._network.have(self._faults)

    async def _shut(self) -> None:
        self._stop_listening()
        await self._read_what_is_on_its_way()
        await self._read_what_has_arrived()
        await cancel_all(self._attaching)
        await cancel_all(self._handlers, LAST_WORDS)  # each may have something left to say
        ends = self._open_ends()
        for end in ends:
            hang_up(end)
        for end in ends:
            await end.lost.wait()
        self._end_waits()

    def _end_waits(self) -> None:
        if self._made.waiting or self._first.waiting or self._scripted:
            self._fail_waits(self._closed_meanwhile())
        if self._excuses:
            self._excuses.end(self._closed_meanwhile())

    def _fail_waits(self, error: Exception) -> None:
        self._made.fail(error)
        self._first.fail(error)
        self._fail_scripts(error)

    def _fail_scripts(self, error: Exception) -> None:
        for script in self._scripts():
            script.fail_waits(error)

    def _scripts(self) -> list[Script]:
        followed = (self._script, *(each._own_script for each in self._with_scripts))
        return [each.script for each in followed if each is not None]

    def _stop_listening(self) -> None:
        if self._closed:
            return
        self._remove_file()
        if self._acceptor is None:  # it couldn't be opened
            self._socket.close()
        else:
            self._acceptor.close()

    _close_unopened = _stop_listening

    def _remove_file(self) -> None:
        if self._file is not None:
            self._file.remove()

    async def _read_what_has_arrived(self) -> None:
        loop = asyncio.events.get_running_loop()
        deadline = loop.time() + LAST_READS
        await until_quiet(lambda: len(self._record.rows), lambda: loop.time() < deadline)

    async def _read_what_is_on_its_way(self) -> None:
        """Have the loop read what was sent by now; of TLS, which nothing else can read, also where it wasn't to."""
        deadline = asyncio.events.get_running_loop().time() + ON_ITS_WAY
        ends = self._open_ends()
        for end in ends:
            if end.tls:
                end.read_on()
        for end in ends:
            await until_all_is_read(end, deadline)

    def _open_ends(self) -> list[StreamEnd]:
        """Those of all connections that were accepted and are not over, be it in the middle of a handshake."""
        return [each._end for each in self._accepted if not each._end.lost.is_set()]

    def _what_came(self) -> str:
        made, accepted = len(self._connections), len(self._accepted)
        told = {0: "no connection was made", 1: "1 connection was made"}.get(made, f"{made} connections were made")
        return told + (f", and {accepted - made} got no further than a TLS handshake" if accepted > made else "")
