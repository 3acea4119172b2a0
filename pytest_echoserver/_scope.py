"""The scope: what one test opened, closed with it, and what went wrong there."""

import asyncio
import logging
import threading
from bisect import bisect_left
from collections.abc import Callable, Collection, Coroutine, Iterator
from contextlib import suppress
from contextvars import Context
from dataclasses import replace
from itertools import count
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from ._blamed import Blamed, likeness
from ._engine import ANSWER, OWNER, Engine
from ._neighbours import real_monotonic
from ._outcomes import as_exception, raise_together
from ._quiet import until_quiet
from ._record import Record
from ._tasks import Watched, end_tasks, frames_of_users
from ._tracebacks import put_traceback, without_our_frames

if TYPE_CHECKING:
    from ._adopted import Adopted
    from ._traffic import PeerTraffic, Traffic

T = TypeVar("T")

log = logging.getLogger("pytest_echoserver")

SETTLING = 1.0
"""Seconds after which a scope is judged even if its traffic doesn't cease."""


class Hooks(Protocol):
    """Who wants to know of peers, and has a say in what is shown of them."""

    def opened(self, peer: Any) -> None: ...
    def closed(self, peer: Any) -> None: ...
    def redacted(self, peer: Any, data: bytes) -> bytes: ...
    def written(self, error: Exception) -> bool:
        """Write ``error`` to the terminal, where to raise it would hide the report of the run; false elsewhere."""
        ...


class Scope:
    """What one test opened. The plugin judges it when the test's call phase ends, and closes it afterwards.

    Errors are blamed on it from wherever they happen. It keeps them for the judgement; what comes after that
    is the doing of the tear-down, and nobody's fault. A ``wide`` scope lives longer than a test: it is judged with
    each test, for the errors since the last; what was not met counts only when it is closed.

    Args:
        seeding: gives the seed from which all that is random in it is decided, and a text that says how to have
            the same again.
    """

    def __init__(
        self,
        engine: Engine,
        timeout: float,
        hooks: Hooks | None = None,
        *,
        wide: bool = False,
        seeding: Callable[[], tuple[bytes, str]] = lambda: (b"", ""),
    ) -> None:
        self.engine = engine
        self.timeout = timeout
        self.wide = wide
        self.outlived: int = 0
        """How many tests a wide scope has outlived."""
        self._seeding = seeding
        self._seed_taken = False
        self._hooks = hooks
        self._released: list[Record] = []
        """The records of members that were closed, and gave their verdicts, since the last judgement."""
        self._parted: list[Adopted] = []
        """Those members, from the judgement on: they are shown until the test is over, and asked no more."""
        self.context: Context = Context()
        self.context.run(OWNER.set, self)
        self._blamed = Blamed()
        # Re-entrant: the garbage collector may run while it is held, and find an error to be blamed on this.
        self._lock = threading.RLock()
        self._judged = False
        self._closed = False
        self._started = self._shown_from = self._last_judged = real_monotonic()
        self._ordinals: dict[str, Iterator[int]] = {}
        self._members: list[Adopted] = []
        self._posted = False
        """Whether the engine was ever asked for something without waiting for it, which may still be under way."""
        self._tasks = Watched()
        self._handlers: set[asyncio.Task[Any]] = set()
        engine.owners.append(self)

    def name_for(self, kind: str, given: str | None = None) -> str:
        """The name that was given, or that of the next thing of this kind: the kind and its ordinal in the test.

        Raises:
            RuntimeError: the scope is closed.
        """
        if self._closed:
            raise self._over()
        return given or f"{kind}-{next(self._ordinals.setdefault(kind, count(1)))}"

    def take_seed(self) -> bytes:
        """The seed for something random in it. From then on the traffic says how to have the same again."""
        self._seed_taken = True
        return self._seeding()[0]

    def adopt(self, member: "Adopted") -> None:
        """Close ``member`` with this scope, newest first, and show what it recorded.

        Raises:
            RuntimeError: another thread has closed the scope meanwhile. To close ``member`` is left to the caller.
        """
        with self._lock:
            if self._closed:
                raise self._over()
            self._members.append(member)

    def _over(self) -> RuntimeError:
        """The error for opening something in it once its close has begun: nobody would close that any more."""
        over = "the session" if self.wide else "the test"
        return RuntimeError(f"{over} that this is for is over, and all that was opened in it is closed")

    def opened(self, peer: Any) -> None:
        """Tell who wants to know that ``peer`` was opened."""
        if self._hooks is not None:
            self._hooks.opened(peer)

    def closed(self, peer: Any) -> None:
        """Tell who wants to know that ``peer`` was closed."""
        if self._hooks is not None:
            self._hooks.closed(peer)

    def redacted(self, peer: Any, data: bytes) -> bytes:
        """What ``peer`` got or sent as an error may show it."""
        return data if self._hooks is None else self._hooks.redacted(peer, data)

    def raise_together(self, errors: list[Exception], what: str) -> None:
        """Raise what is wrong at the end of what was opened; or have it written, see `Hooks`."""
        __tracebackhide__ = True
        raise_together([error for error in errors if self._hooks is None or not self._hooks.written(error)], what)

    def release(self, record: Record) -> None:
        """Forget the member with this record at the next judgement: it is closed, and had a verdict of its own."""
        self._released.append(record)

    def call(self, function: Callable[..., T], *args: Any) -> T:
        """Call a function on the engine's loop, as this scope's work, and give what it gives; there, right away."""
        return self.engine.call(self.context, function, *args)

    def run(self, function: Callable[..., Coroutine[Any, Any, T]], *args: Any) -> T:
        """Run a coroutine function likewise."""
        return self.engine.run(self.context, function, *args, patience=max(ANSWER, self.timeout))

    def post(self, function: Callable[..., object], *args: Any) -> None:
        """Have a function called likewise, without waiting for it."""
        self._posted = True
        self.engine.post(self.context, function, *args)

    @property
    def errors(self) -> list[Exception]:
        """What it is blamed for: of a wide scope since the last judgement, for those before it were told then."""
        return self._blamed.errors

    def blame(self, error: BaseException, whose: object = None, its_own: Collection[str] = ()) -> bool:
        """Keep ``error`` for the judgement, once, however often it comes; after the judgement it is only logged.

        Args:
            whose: the peer that it went wrong at. Of errors of one peer that are alike only the first is kept, and
                the others are counted; without a peer, an error is like no other.
            its_own: the words of its text that don't count in that: see `likeness`.

        Returns:
            False if it is known already, or is only counted.
        """
        with self._lock:
            known = self._blamed.knows(error)
        # Without the lock: its text is the user's.
        kind = None if known or whose is None else likeness(error, whose, its_own)
        with self._lock:
            if self._judged:
                log.debug("after the judgement: %r", error)
                return True
            return self._blamed.add(error, kind)

    def pardon(self, *errors: BaseException) -> None:
        """Forget errors that the test got by itself, from the call that caused them; and those like them."""
        with self._lock:
            self._blamed.forget(errors)

    def watch(self, task: "asyncio.Task[Any]") -> None:
        """Notice a task that a protocol started: if it fails unseen, and if it is still there at the end."""
        self._tasks.watch(task)

    def tasks(self) -> "list[asyncio.Task[Any]]":
        """All watched tasks that haven't ended, but for the one that calls this."""
        here = asyncio.tasks.current_task()
        return [task for task in self._tasks if task is not here and not task.done()]

    @property
    def judged(self) -> bool:
        """Whether what goes wrong now is nobody's fault any more."""
        return self._judged

    def settle(self) -> None:
        """Have the engine read what has already arrived."""
        self.engine.run(self.context, self._settle_engine)

    def verify(self, verdict: Callable[[], list[Exception]], told: Callable[[], None]) -> None:
        """Raise what ``verdict`` gives, after reading what has already arrived; ``told`` is called if it is."""
        __tracebackhide__ = True
        self.settle()
        errors = self.call(verdict)
        if errors:
            self.call(told)
            self.pardon(*errors)
            raise_together(errors, "errors of one peer")

    def has_to_rest(self, handler: "asyncio.Task[Any]") -> None:
        """Make it an error if ``handler`` neither ends nor waits for anything when the scope is judged."""
        self._handlers.add(handler)
        handler.add_done_callback(self._handlers.discard)

    def judge(self) -> list[Exception]:
        """Read what has already arrived, then give all errors. A wide scope is judged again and again."""
        if self._members and self._can_be_asked:
            try:
                at_rest = self._by_itself and all(member._at_rest() for member in reversed(self._members))
                if not at_rest:
                    self._settle_all()
                if not self.wide:
                    verdicts = self._verdicts() if at_rest else self.call(self._verdicts)
                    with self._lock:
                        for error in verdicts:
                            self._blamed.add(error, None)
            except Exception as error:  # noqa: BLE001  the test's own outcome must not be lost by it
                self.blame(error)
        with self._lock:
            self._judged = not self.wide
            errors = self._blamed.tell()
            if self.wide:
                self._blamed.begin_anew()
                self._part_with_released()
            self._last_judged = real_monotonic()
        if self.wide and errors and self._can_be_asked:
            self.call(self._tell)
        return errors

    def test_is_over(self) -> None:
        """A test was reported: a wide scope shows the next one's from now on; that of the test, nothing more."""
        if self.wide:
            if self._can_be_asked:
                self.engine.reclaim_loop()
            with self._lock:
                self._part_with_released()
                self._parted.clear()
                self._blamed.let_go()
                self._shown_from = self._last_judged
                self.outlived += 1
        elif not self.engine.stuck:
            self._members.clear()  # they know the scope: freed now, they are no work for the garbage collector

    def _part_with_released(self) -> None:
        """Ask what was released no more, neither for a verdict nor to close; it is shown until the test is over."""
        self._parted += [member for member in self._members if member._record in self._released]
        self._members = [member for member in self._members if member._record not in self._released]
        self._released.clear()

    @property
    def _can_be_asked(self) -> bool:
        """Whether the engine would answer: not in a forked child, nor once it was given up in an earlier test."""
        return not (self.engine.forked or (self.wide and self.engine.stuck))

    @property
    def _by_itself(self) -> bool:
        """Whether nothing of the test's may be on its way to the engine, or under way there."""
        return not (self._posted or self._tasks)

    def traffic(self) -> "Traffic":
        """What its peers saw; of a wide scope, since the last judgement of a test that is over."""
        from ._traffic import Traffic  # for who asks what went wrong

        seed, repeat = self._seeding()
        shown = [self._since_shown(member._traffic(), lives_on=False) for member in self._parted]
        for member in self._members:
            ended = self._judged or member._record in self._released
            shown.append(self._since_shown(member._traffic(), lives_on=not ended))
        return Traffic(
            self._shown_from if self.wide else self._started,
            tuple(shown),
            repeat if self._seed_taken else "",
            seed.decode(),
        )

    def _since_shown(self, traffic: "PeerTraffic", *, lives_on: bool) -> "PeerTraffic":
        if not self.wide:
            return traffic
        since = self._shown_from
        events = traffic.events
        expected = [replace(each, met=[met for met in each.met if met[0] >= since]) for each in traffic.expected]
        first = bisect_left(events, since, key=lambda event: event.time)
        return replace(traffic, events=events[first:], expected=expected, lives_on=lives_on)

    def close(self) -> None:
        """Close everything, newest first, even if one close fails.

        Raises:
            Exception: what could not be closed, several as an `ExceptionGroup`; of a wide scope, also what was not
                met.
        """
        __tracebackhide__ = True
        errors = self._last_errors() if self.wide else []
        with self._lock:
            self._judged = self._closed = True
        try:
            if (self._members or self._tasks) and not self.engine.forked:
                failures: list[Exception] = []
                try:
                    failures += self._leave_other_loops()
                finally:  # Ctrl-C there must not keep the others open
                    failures += self._run_close()
                for failure in failures:
                    put_traceback(failure, without_our_frames(failure.__traceback__))
                errors = failures + errors
        except BaseException:  # Ctrl-C, or what pytest-timeout's signal raises: the engine may end amid the close
            with suppress(Exception):
                self._abandon_all()
            raise
        finally:
            self.engine.owners.remove(self)
            errors = errors + self._tell_of_the_close()
        self.raise_together(errors, "errors at the end of what was opened")

    def _tell_of_the_close(self) -> list[Exception]:
        """Tell of each that it is closed, whatever comes of that for the others; give what it raises."""
        failures: list[Exception] = []
        for member in reversed(self._members):
            if member._tell_closed is not None:
                try:
                    member._tell_closed()
                except KeyboardInterrupt:
                    raise
                except BaseException as error:  # noqa: BLE001  of a hook of the user's, maybe by pytest.fail()
                    failures.append(as_exception(error))
        return failures

    def _leave_other_loops(self) -> list[Exception]:
        """Let go of what lives on other loops than the engine's."""
        failures: list[Exception] = []
        for member in reversed(self._members):
            if member._leave is not None:
                try:
                    failures += member._leave()
                # The others must be closed all the same; and a task that is ended may raise what ends its loop.
                except (Exception, asyncio.CancelledError, SystemExit) as error:  # noqa: BLE001
                    failures.append(as_exception(error))
        return failures

    def _run_close(self) -> list[Exception]:
        if self._close_at_rest():
            return []
        told = self.engine.stuck  # by the judgement, which has waited for it in vain
        patience = 0.1 if told else ANSWER + sum(member._patience for member in self._members)
        try:
            return self.engine.run(self.context, self._close_all, patience=patience)
        except TimeoutError as error:
            return ([] if told else [error]) + self._abandon_all()

    def _abandon_all(self) -> list[Exception]:
        """Do on this thread what can be done there of a close that the engine does not, or may not, get done."""
        return [error for member in self._members if member._abandon is not None for error in member._abandon()]

    def _close_at_rest(self) -> bool:
        """Close everything on this thread; false if something is left, for the engine to close and to tell of."""
        try:
            return self._by_itself and all(member._close_at_rest() for member in reversed(self._members))
        except OSError:
            return False

    def _last_errors(self) -> list[Exception]:
        """What of a wide scope is wrong at its end, and no test was told."""
        errors = self.judge()
        return errors + self.call(self._verdicts) if self._members and self._can_be_asked else errors

    def _settle_all(self) -> None:
        """Have all that has arrived read, also by what the engine doesn't read for: on loops of the test's, say.

        One member's reading may give another something to read. So it goes on until the records grow no more.
        """
        self.settle()
        to_be_asked = [member._settle for member in self._members if member._settle is not None]
        deadline = real_monotonic() + SETTLING
        seen = -1
        while to_be_asked and seen != self._activity() and real_monotonic() < deadline:
            seen = self._activity()
            for settle in to_be_asked:
                settle()
            self.settle()

    def _verdicts(self) -> list[Exception]:
        return [error for member in self._members if member._verdict is not None for error in member._verdict()]

    def _tell(self) -> None:
        for member in self._members:
            if member._errors_told is not None:
                member._errors_told()

    def _activity(self) -> int:
        return sum(len(member._record.rows) for member in self._members)

    async def _settle_engine(self) -> None:
        deadline = real_monotonic() + SETTLING
        at_rest = await until_quiet(
            lambda: None if self._tasks.busy() else self._activity(), lambda: real_monotonic() < deadline
        )
        if not at_rest:
            for task in self._tasks.busy():
                if task in self._handlers:
                    self.blame(_restless(task))
        for error in self._tasks.failures():
            self.blame(error)

    async def _close_all(self) -> list[Exception]:
        failures: list[Exception] = []
        for member in reversed(self._members):
            if member._shut is None:
                continue
            try:
                await member._shut()
            except ExceptionGroup as group:
                failures += group.exceptions
            except Exception as error:  # noqa: BLE001  the others must be closed all the same
                failures.append(error)
        failures += await end_tasks(self._tasks)
        for task in self._tasks:
            if task.done() and not task.cancelled():
                task.exception()  # seen: it has had its judgement
        return failures


def _restless(task: "asyncio.Task[Any]") -> Exception:
    where = "".join(f", at {frame.f_code.co_filename}:{frame.f_lineno}" for frame in frames_of_users(task)[-1:])
    return RuntimeError(
        f"{task.get_name()} was still running {SETTLING:g} s after the test, waiting for nothing{where}: "
        "it never ends by itself"
    )
