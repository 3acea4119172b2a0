"""`ServedPeer`: what datagram and stream peers have in common, a record, a behaviour, faults, what went wrong."""

import socket
from abc import abstractmethod
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

from .._blamed import add_note
from .._futures import CaptureFuture
from .._outcomes import fail
from .._readers import Readers
from .._record import Record
from .._scope import Scope
from .._telling import told_function
from .behaviours import check_handler
from .bound import BoundPeer, one_or_both

if TYPE_CHECKING:
    from .._faults.deciding import Kind
    from .._faults.peer import PeerFaults
    from .._faults.schedule import Schedule
    from .._timetable import Agenda
    from .._traffic import PeerTraffic
    from .defaults import CommonOptions
    from .script import Script

__tracebackhide__ = True

S = TypeVar("S")
T = TypeVar("T")


class ServedPeer(BoundPeer):
    """A peer that an echo or a handler serves, or that follows a script; or that only records."""

    _echo: Any
    """The behaviour that is told as "echoes"."""
    _kind: "Kind"
    _numbered = False
    """Whether its events begin with a connection's number."""
    _patience = 0.0
    """Seconds that its `_shut` may take."""
    _leave: Callable[[], list[Exception]] | None = None
    _abandon: Callable[[], list[Exception]] | None = None
    # Class attributes, for most peers never have another value, there may be thousands, and this takes no memory.
    _scripted = False
    _errors: Sequence[Exception] = ()
    _faults: "PeerFaults | None" = None
    _script: Any = None
    """What follows its script, once it has one."""
    _shortage_told_to = -1
    """Which test was last told of too many open files: how many tests its scope had outlived then."""

    def __init__(
        self,
        scope: Scope,
        name: str,
        sock: socket.socket,
        options: "CommonOptions",
        behaviour: Any,
    ) -> None:
        super().__init__(scope, name, sock)
        self._options = options
        self._behaviour = behaviour

    @property
    @abstractmethod
    def _record(self) -> Record:
        """What it saw and said."""

    @property
    def faults(self) -> Any:
        """The faults of its network, as they were given; settable while it runs. See `PeerOptions`.

        What has come by then passes by the faults before.

        Raises:
            TypeError, ValueError: such faults can't be given to this peer; the text says why.
            RuntimeError: they are set, and the peer is closed.
        """
        return None if self._faults is None else self._faults.given

    @faults.setter
    def faults(self, given: Any) -> None:
        self._refuse_if_closed("faults")
        self._have_faults(given)

    @contextmanager
    def faulty(self, faults: Any = None, *, inbound: Any = None, outbound: Any = None) -> Iterator[None]:
        """Have these faults within a ``with`` block, and those before it after that.

        Those go on where they were: datagrams that pass within the block don't count for them, and a place in a
        stream that does has passed. What faults have ended or stalled stays so: a stream by ``stall_after``, say.

        Args:
            faults: as for ``faults=`` of a new peer.
            inbound: for one direction alone, in its place.
            outbound: likewise.

        Raises:
            TypeError, ValueError: such faults can't be given to this peer; the text says why.
            RuntimeError: the peer is closed.
        """
        before = None if self._faults is None else self._faults.in_force
        self.faults = one_or_both(faults, inbound=inbound, outbound=outbound)
        try:
            yield
        finally:
            if not self._closed:
                self._have_faults(before)

    @property
    def schedule(self) -> "Schedule":
        """What its network did to which packets so far: to be printed, compared, saved, given as ``faults=``."""
        return self._known_faults().schedule

    def verify(self) -> None:
        """Check now, after what has arrived was read: is all met that was expected, and did nothing go wrong?

        Raises:
            Exception: what went wrong, several as an `ExceptionGroup`. If you catch it, it isn't reported again.
        """
        self._scope.verify(self._wrong, self._told)

    def _open_in_scope(self, open_: Callable[[Readers], object], *, here: bool = True) -> None:
        """Open it, as one of its scope's, and tell who wants to know; not ``here`` if the engine has to do it."""
        scope = self._scope
        try:
            scope.adopt(self)
        except BaseException:
            self._close_unopened()
            raise
        readers = scope.engine.readers
        try:
            if here and readers.from_any_thread:
                open_(readers)
            else:
                scope.call(open_, readers)
        except BaseException:
            self._close_is_told = True  # nobody was told that it was opened
            raise
        scope.opened(self)

    def _close_unopened(self) -> None:
        """Close its socket, that nothing listens to yet."""
        self._socket.close()

    @abstractmethod
    async def _shut(self) -> None:
        """Close it on the engine's loop; may be called again."""

    @abstractmethod
    def _close_at_rest(self) -> bool:
        """Close it on this thread, if it can be seen from here that nothing is under way; else give false."""

    def _at_rest(self) -> bool:
        """Whether all that has come was dealt with, and no code of the user's has had a part in that."""
        return self._closed or (self._is_simple and self._scope.engine.readers.at_rest(self._socket))

    @property
    def _is_simple(self) -> bool:
        """Whether no code of the user's and no network has a part in what it does."""
        served_by_ours = self._behaviour is None or self._behaviour is self._echo
        return served_by_ours and not self._scripted and self._faults is None

    @property
    def _settle(self) -> Callable[[], None] | None:
        """What has to be called for what has arrived to be read, if it isn't by itself."""
        return None

    @abstractmethod
    def _serve_by(self, handler: Any) -> None:
        """Let ``handler`` have what comes from here on, after what came before and wasn't read."""

    def _have_faults(self, given: Any) -> None:
        """Have faults from here on that are given, or that were in force before."""
        self._let_arrive()
        self._scope.call(self._give_faults, given)

    def _let_arrive(self) -> None:
        """See to it that what has come was read, where giving faults doesn't."""

    @abstractmethod
    def _give_faults(self, given: Any) -> None:
        """Have these faults from here on."""

    @abstractmethod
    def _follow_script(self) -> None:
        """Follow the script from here on."""

    def _verdict(self) -> list[Exception]:
        """What is wrong, if it all ended now, and wasn't told before; beside the errors."""
        errors = [] if self._faults is None else self._faults.not_met()
        return errors if self._script is None else errors + self._script.verdict()

    def _told(self) -> None:
        """Count what is wrong now as told."""
        self._errors_told()
        if self._faults is not None:
            self._faults.tell()
        if self._script is not None:
            self._script.tell()

    def _errors_told(self) -> None:
        """Count what went wrong so far as told; what does from now on is news."""
        self._errors = ()
        for script in self._scripts():
            script.error = None

    @abstractmethod
    def _what_came(self) -> str:
        """Tell what came, where something else was awaited."""

    def _known_faults(self) -> "PeerFaults":
        from .._faults.peer import PeerFaults  # few peers have any, and hashlib takes a moment

        with self._record.lock:
            if self._faults is None:
                self._faults = PeerFaults(self._kind, self._name, self._scope.take_seed)
            return self._faults

    def _at(self, when: float, function: Callable[[], object], agenda: "Agenda") -> None:
        """Have a function called at a time, in monotonic seconds, for the scope; until then the agenda holds it."""
        self._scope.engine.timetable.at(when, function, self._scope.context, agenda)

    def _serve(self, handler: Any) -> None:
        check_handler(handler)
        self._refuse_if_closed("serve()")
        if self._behaviour is not None:
            raise RuntimeError(f"serve(): {self} {self._what_it_does} already")
        if self._scripted:
            raise RuntimeError(f"serve(): {self} follows a script, so no handler can serve it as well")
        self._scope.call(self._serve_by, handler)

    def _refuse_if_served(self, asked: str) -> None:
        if self._behaviour is not None:
            raise RuntimeError(f"{asked}: {self} {self._what_it_does}, so it can't follow a script as well")

    def _begin_script(self, asked: str, make: Callable[[], S]) -> S:
        """Be a peer with a script from here on, or raise; give what follows it, made now if there is none yet."""
        self._refuse_if_closed(asked)
        self._refuse_if_served(asked)
        self._scripted = True
        with self._record.lock:
            if self._script is None:
                self._script = make()
            script: S = self._script
            return script

    def _forget_served(self) -> None:
        """Let go of the traffic that the script has had."""
        for script in self._scripts():
            script.forget_served()

    def _blame(self, error: Exception, its_own: Collection[str] = (), place: str = "") -> bool:
        """Have the test fail with ``error``; false if it is over: what its tear-down causes is nobody's fault.

        Args:
            its_own: words of its text that differ each time that it comes: see `likeness`.
            place: where code of the user's has raised it, to be noted: the error alone doesn't say at which peer.
        """
        if self._scope.judged:
            self._scope.blame(error)  # it logs that
            return False
        if self._scope.blame(error, self, its_own):
            self._errors = [*self._errors, error]
            if place:  # noted only now: errors that are alike may have come at different places
                add_note(error, f"in {place}")
        return True

    @property
    def _code(self) -> str:
        """What to call the code of the user's that has raised something here."""
        return f"the {'script' if self._behaviour is None else 'handler'} of {self}"

    def _blame_once_a_test(self, error: OSError) -> None:
        """Have each test in which there are too many open files fail with that once, however often it is tried."""
        if self._shortage_told_to != self._scope.outlived:
            self._shortage_told_to = self._scope.outlived
            self._blame(error)

    def _wrong(self) -> list[Exception]:
        return [*self._errors, *self._verdict()]

    def _was_closed(self) -> None:
        """Tell of the close; where it ends a scope of its own, as a peer's of wider scope does, judge as well."""
        self._tell_closed()
        if self._scope.wide:
            errors = self._scope.call(self._wrong)
            self._scope.call(self._told)
            self._scope.release(self._record)
            self._scope.pardon(*errors)
            self._scope.raise_together(errors, f"errors of {self}")

    @property
    def _what_it_does(self) -> str:
        if self._behaviour is self._echo:
            return "echoes"
        return f"is served by {told_function(self._behaviour)}"

    def _asked(self, future: CaptureFuture[T]) -> CaptureFuture[T]:
        """Give back a future that somebody waits for from now on."""
        if self._closed and future._claim():  # meanwhile, and whoever closed it may not have seen this one
            fail(future, self._closed_meanwhile())
        return future

    def _closed_meanwhile(self) -> Exception:
        return RuntimeError(f"{self} was closed while this was awaited")

    @property
    def _timeout(self) -> float:
        return self._options.timeout

    @property
    def _strict(self) -> bool:
        return self._options.strict

    def _future(self, what: str) -> CaptureFuture[Any]:
        return CaptureFuture(what, where=self, timeout=self._timeout, instead=self._what_came)

    def _redacted(self, data: bytes) -> bytes:
        """What came as an error may show it."""
        return self._scope.redacted(self, data)

    def _traffic(self) -> "PeerTraffic":
        from .._traffic import PeerTraffic  # for who asks what went wrong
        from .script import expected_of

        return PeerTraffic(
            self._name,
            "unix" if self._is_unix else self._transport,
            self._address,
            self._record.events,
            expected_of(self._scripts()),
            self._numbered,
            self,
        )

    @abstractmethod
    def _scripts(self) -> "list[Script]":
        """Its own, and those of its connections."""
