"""`DatagramPeer`: a UDP peer of the code under test."""

from __future__ import annotations

import socket
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from .. import _deadline
from .._checks import whole_number
from .._futures import CaptureFuture
from .._neighbours import real_monotonic
from .._outcomes import as_exception, end_with
from .._readers import Readers, let_in
from .._record import Address, Datagram, Event, Record, SentDatagram
from .._scope import Scope
from .._telling import told_bytes, told_datagrams, told_error, told_place
from .._transports.datagram import DrainingDatagramTransport, Sockaddr, dropped_datagrams
from .behaviours import DatagramBehaviour, echo
from .datagram_checks import checked_destination, checked_payload
from .datagram_end import DatagramEnd, make_datagram
from .served import ServedPeer
from .silence import begin_silence
from .telling import first_bytes

if TYPE_CHECKING:
    from .._timetable import Agenda
    from .datagram_handler import DatagramHandler
    from .datagram_script import DatagramScript
    from .defaults import CommonOptions
    from .expectations import Expectation, PatternLike, Rule
    from .faulty_datagrams import FaultyDatagrams
    from .script import Script

__tracebackhide__ = True

H = TypeVar("H", bound=DatagramBehaviour)


class DatagramPeer(ServedPeer):
    """A UDP peer for the code under test: bound before you see it, remembering every datagram.

    Get one from the fixtures ``udp_peer`` and ``udp_echo_server``, or from `Peers`. Without a behaviour it only
    records; give it a handler by `serve`, or a script by `expect` and `on`, before the code under test sends or
    after: they get what had come before, too, unless the test has taken it by `next_datagram`.
    """

    _echo = staticmethod(echo)
    _kind = "datagram"
    _transport = "udp"
    _asked_of_engine = False
    """Whether the engine was asked for what may not be done yet."""
    _dropped: int | None = None
    _handler: DatagramHandler | None = None
    _script: DatagramScript | None = None
    _network: FaultyDatagrams | None = None
    _agenda: Agenda | None = None

    def __init__(
        self,
        scope: Scope,
        name: str,
        sock: socket.socket,
        options: CommonOptions,
        behaviour: DatagramBehaviour | None,
    ) -> None:
        super().__init__(scope, name, sock, options, behaviour)
        self._end = DatagramEnd()
        if behaviour is self._echo:
            self._end.echoes = True
        elif behaviour is not None:
            try:
                self._begin_handler(behaviour)
            except BaseException:  # to load what it needs takes a descriptor, and the socket may have had the last
                self._close_unopened()
                raise
        if options.faults is None:
            self._open_in_scope(self._open)
        else:
            self._open_in_scope(partial(self._open, faults=options.faults), here=False)

    @property
    def _record(self) -> Record:
        return self._end.record

    @property
    def address(self) -> Address:
        """Where it is bound: (host, port), fit for ``sendto``, over IPv6 too."""
        return self._ip_address("address")

    @property
    def received(self) -> Sequence[Datagram]:
        """What came in, in order: a live sequence.

        It doesn't wait. Once your code has an answer, the question is here; one that was sent just now may still be
        on its way: `next_datagram` and `wait_for` wait for it.
        """
        return self._end.received

    @property
    def sent(self) -> Sequence[SentDatagram]:
        """What went out, in order: a live sequence. An entry is made before the datagram leaves."""
        return self._end.sent

    @property
    def events(self) -> Sequence[Event]:
        """Everything that happened, in order: ``datagram_received(data, source)``, ``datagram_sent(data, to)``,
        ``unexpected(data, source)``, ``exception_raised(text)`` by code of yours,
        ``fault(direction, data, address, verdict)``, ``rate_limited(direction, rate)``, ``error_received(exc)``,
        ``connection_lost(exc)``; of a `UDPProxy` more."""
        return self._record.events

    @property
    def dropped_by_kernel(self) -> int | None:
        """How many datagrams the kernel dropped here for want of room; None where the system doesn't tell.

        On Linux, sent to it = ``len(received)`` + ``dropped_by_kernel``, once it has read all.
        """
        if not self._closed:
            with suppress(OSError):  # it was closed just now
                return dropped_datagrams(self._socket)
        return self._dropped

    def next_datagram(self) -> CaptureFuture[Datagram]:
        """The next datagram that no call has taken yet, whether it has come or will.

        Raises:
            RuntimeError: the peer is closed.
        """
        self._refuse_if_closed("next_datagram()")
        rows = self._end.received_rows

        def take(at: int) -> tuple[Datagram, int] | None:
            return (make_datagram(rows[at]), at + 1) if at < len(rows) else None

        return self._asked(self._end.cursor.ask(self._future("the next datagram"), take))

    def wait_for(self, count: int) -> CaptureFuture[Sequence[Datagram]]:
        """``received`` itself, once it holds ``count`` datagrams.

        Raises:
            ValueError: ``count`` is less than 1.
            RuntimeError: the peer is closed.
        """
        whole_number(count, "count", least=1)
        self._refuse_if_closed("wait_for()")
        return self._asked(self._end.when(count, self._future(told_datagrams(count))))

    def send(self, data: bytes, to: Address) -> CaptureFuture[None]:
        """Send a datagram that nobody asked for.

        Args:
            data: the payload, 0 to 65,507 bytes (65,527 over IPv6).
            to: (host, port).

        Returns:
            A future of its having been sent, free to be ignored; it gets the error if the system refuses it.

        Raises:
            TypeError, ValueError: the data isn't bytes, or too long; or ``to`` is no address.
            RuntimeError: the peer is closed.
        """
        payload = self._payload(data)
        address = checked_destination(to)
        self._refuse_if_closed("send()")
        future: CaptureFuture[None] = self._future(f"a datagram to {told_place(to)} to be sent")
        self._asked_of_engine = True
        self._scope.post(self._end.send, payload, address, partial(end_with, future))
        return future

    def serve(self, handler: H) -> H:
        """Have ``handler``, a function of the `Datagram`, plain or ``async``, say what goes back.

        It gives bytes, several of them, or None; what it raises fails the test. An async one runs for each datagram
        by itself, so that a slow answer doesn't hold up the next. Works as a decorator, too.

        Raises:
            TypeError: it isn't callable, or is a coroutine.
            RuntimeError: the peer has a behaviour; or is closed.
        """
        self._serve(handler)
        return handler

    def expect(self, pattern: PatternLike, *, times: int = 1) -> Expectation:
        """Add to the script: which datagram has to come next. Say what to answer by ``.reply(...)``.

        Args:
            pattern: bytes, a compiled regular expression of bytes that has to match all of it, a predicate of its
                bytes, or ``...`` for any datagram.
            times: how often it has to come, one after the other.

        Raises:
            TypeError, ValueError: no such pattern can be expected; the text says why.
            RuntimeError: a handler serves the peer; or it is closed.
        """
        return self._scripting("expect()").expect(pattern, times)

    def on(self, pattern: PatternLike) -> Rule:
        """Add a rule: what may come at any time, any number of times, and what to answer.

        Rules are tried when the script does not match.

        Raises:
            TypeError: no such pattern can be expected; the text says why.
            RuntimeError: a handler serves the peer; or it is closed.
        """
        return self._scripting("on()").on(pattern)

    def expect_silence(self, seconds: float) -> CaptureFuture[None]:
        """Expect that no datagram comes for so long.

        One that comes fails the test, whether or not anybody looks at the future, and even if a rule answers it. So
        does one that came before the call, if neither `next_datagram` nor the script nor a rule has taken it.

        The test's end doesn't wait for that of the silence: if it comes first, only the time up to it was checked.
        ``.result()``, or to ``await`` it, waits it out.

        Args:
            seconds: how long; the deadline of the future is that and the timeout together.

        Returns:
            A future of its being over.

        Raises:
            TypeError, ValueError: ``seconds`` is no number of seconds.
            RuntimeError: the peer is closed.
        """
        limit = _deadline.seconds(seconds, "seconds")
        self._refuse_if_closed("expect_silence()")
        what = f"{limit:g} s of silence"
        future: CaptureFuture[None] = CaptureFuture(
            what,
            where=self,
            timeout=min(limit + self._timeout, _deadline.UNTIL_THE_TEST_ENDS),
            instead=self._what_came,
        )
        dealt_with = 0 if self._script is None else self._script.dealt_with
        start = max(self._end.cursor.position, dealt_with)
        self._asked_of_engine = True
        self._scope.post(begin_silence, self, limit, future, start, real_monotonic())
        return future

    def clear(self, *, script: bool = False) -> None:
        """Forget what was recorded. The script goes on where it is.

        Args:
            script: whether it is forgotten as well, with its rules, and what the faults are decided by begins anew:
                for the next example of a property test. What is on its way through the network is dropped then.
        """
        self._scope.call(self._clear, script)

    def close(self) -> None:
        """Close the socket. When this returns, nothing more is recorded; what was recorded stays.

        Raises:
            ScriptMismatch: the peer is one of ``session_peers``, and its script is not met.
        """
        if not self._close_at_rest():
            self._scope.call(self._abort)
        if not self._scope.engine.here:
            self._was_closed()

    def _close_at_rest(self) -> bool:
        """Close it on this thread, if it can be seen from here that nothing is under way."""
        transport = self._end.transport
        if not self._is_simple or self._asked_of_engine:
            return False
        if transport is None or not self._scope.engine.readers.from_any_thread:
            return False
        lock = transport.lock
        if not let_in(lock):
            return False
        try:
            if not transport.is_closing():
                idle, dropped = transport.idle_and_dropped()
                if not idle:
                    return False
                self._dropped = dropped
                transport.abort()
        finally:
            lock.release()
        self._end_waits()  # now that the lock is let go: whoever hears of it may wait for something himself
        return True

    def _open(self, readers: Readers, faults: Any = None) -> None:
        DrainingDatagramTransport(self._socket, self._end, readers, self._scope.context)
        if faults is not None:
            self._give_faults(faults)

    def _give_faults(self, given: Any) -> None:
        from .faulty_datagrams import check_sources

        transport = self._end.transport
        if transport is None or transport.is_closing():
            return
        check_sources(given, transport.get_extra_info("socket"))
        faults = self._known_faults()
        with transport.lock:
            transport.drain()
            faults.give(given)
            network = self._needed_network()
            if network is not None:
                network.have(faults)

    def _needed_network(self) -> FaultyDatagrams | None:
        """Its network, which stands between it and its transport from now on; None if it is closed."""
        transport = self._end.transport
        if self._network is None and transport is not None and not transport.is_closing():
            self._known_faults()
            self._network = self._make_network(transport)
        return self._network

    def _make_network(self, transport: DrainingDatagramTransport) -> FaultyDatagrams:
        from .faulty_datagrams import FaultyDatagrams

        return FaultyDatagrams(
            self._end,
            transport,
            self._record,
            at=partial(self._at, agenda=self._own_agenda()),
            fail=self._raised,
        )

    def _own_agenda(self) -> Agenda:
        """What is to happen to it later, up to its close."""
        if self._agenda is None:
            self._agenda = {}
        return self._agenda

    def _abort(self) -> None:
        transport = self._end.transport
        if self._closed:
            return
        if transport is None:
            self._finish(self._socket.close)
        else:
            with transport.lock:
                transport.drain()
                if not self._closed:  # meanwhile, by another thread or by who got what was drained
                    if self._network is not None:
                        self._network.clear()
                    if self._agenda is not None:
                        self._agenda.clear()
                    self._finish(transport.abort)
        if self._handler is not None:
            self._handler.cancel()

    def _finish(self, close: Callable[[], None]) -> None:
        """Close the socket by ``close``, and tell who waits."""
        self._dropped = dropped_datagrams(self._socket)
        close()
        self._end_waits()

    def _end_waits(self) -> None:
        if self._end.awaited or self._script is not None:
            self._fail_waits(self._closed_meanwhile())

    def _fail_waits(self, error: Exception) -> None:
        self._end.fail(error)
        if self._script is not None:
            self._script.script.fail_waits(error)

    async def _shut(self) -> None:
        self._abort()

    def _serve_by(self, handler: DatagramBehaviour) -> None:
        self._behaviour = handler
        begun = self._begin_handler(handler)
        for datagram in self._end.untaken():
            begun.handle(datagram, datagram.source)

    def _begin_handler(self, handler: DatagramBehaviour) -> DatagramHandler:
        """Have ``handler`` answer what comes from here on."""
        from .datagram_handler import DatagramHandler  # most peers have none

        self._handler = DatagramHandler(self, handler)
        self._end.listener = self._handler.came
        return self._handler

    def _scripting(self, asked: str) -> DatagramScript:
        # Here, and not above: most peers have none, and to load what it needs takes longer than to open a peer.
        from .beginning import Beginning
        from .datagram_script import DatagramScript

        return self._begin_script(
            asked,
            lambda: DatagramScript(
                str(self),
                self._record.lock,
                self._timeout,
                end=self._end,
                strict=self._strict,
                check_answer=self._payload,
                beginning=Beginning(self._scope, self._follow_script),
                redact=self._redacted,
                fail=self._fail,
                raised=self._raised,
            ),
        )

    def _scripts(self) -> list[Script]:
        return [] if self._script is None else [self._script.script]

    def _follow_script(self) -> None:
        assert self._script is not None
        self._script.begin()

    def _clear(self, script: bool) -> None:
        if self._network is not None:
            if script:
                self._network.clear()
            self._network.inbound.lost = 0
        self._end.clear()
        if self._script is not None:
            self._script.dealt_with = 0
            self._forget_served()
        if script:
            self._begin_anew()

    def _begin_anew(self) -> None:
        if self._script is not None:
            self._script.script.fail_waits(RuntimeError(f"the script of {self} was cleared while this was awaited"))
            self._script.drop()
            self._script = None
            self._scripted = False
        if self._network is not None and self._faults is not None:
            self._faults.begin_anew()
            self._network.begin_anew()
            self._network.have(self._faults)

    def _raised(self, error: BaseException, addr: Sockaddr | None = None) -> None:
        """Fail the test with what the user's code has raised, over a datagram from ``addr``; else in its faults."""
        self._end.note("exception_raised", told_error(error))
        place = f"{self._code}, for a datagram from {told_place(addr)}" if addr else f"the faults of {self}"
        self._fail(as_exception(error), addr, place)

    def _fail(self, error: Exception, addr: Sockaddr | None = None, place: str = "") -> None:
        """Fail the test with ``error``, which came of what ``addr`` has sent, and give it to who waits."""
        if self._blame(error, (str(addr[1]),) if addr else (), place):
            if self._script is not None:
                self._script.script.fail(error)
            self._end.fail(error)

    def _payload(self, data: object) -> bytes:
        return checked_payload(data, self.host)

    def _what_came(self) -> str:
        received = self._end.received
        told_of_network = "" if self._network is None else self._network.told()
        if not received:
            return f"no datagram came{told_of_network}"
        last = received[-1]
        ago = real_monotonic() - last.time
        return (
            f"{told_datagrams(len(received))} had come by then, "
            f"the last {told_bytes(len(last.data))} {first_bytes(self._redacted(last.data))} "
            f"from {told_place(last.source)}, {ago:.3g} s ago{told_of_network}"
        )
