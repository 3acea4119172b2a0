"""Trials of a protocol: each on a connection and in a scope of its own, which tells what went wrong there."""

import asyncio
import concurrent.futures
from collections.abc import Callable, Collection, Coroutine, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from inspect import isawaitable
from typing import Any, ClassVar, Generic, TypeVar
from weakref import WeakValueDictionary

from .._checks import factory as checked_factory
from .._checks import not_async
from .._harness.harnessed import Harnessed
from .._harness.recording import ProtocolKind
from .._here import refuse_to_block
from .._outcomes import raise_together
from .._peers.telling import first_bytes
from .._scope import Scope
from .._telling import told_error, told_function
from .telling import from_the_difference, told_value, told_whole

__tracebackhide__ = True

P = TypeVar("P")
T = TypeVar("T")
A = TypeVar("A")
"""What a turn is answered with."""

CONVERSATION, TWO, LEFT = "conversation", "two", "left"
AS_GIVEN = "held as it was given"
ONCE_MORE = ": what `outcome` gives has to be equal whenever the same is sent and answered"
LAST_WORDS = 1.0
"""Seconds that a protocol's tasks have to end, after it has lost its connection."""
MOST_PLACES = 64
"""At so many places of what is sent something is tried, at most."""
MOST_ENDS = 24
"""After so many turns, or within them, it is ended, at most."""
MOST_TURNS = 2_000
"""So many turns are held for one check, about: each trial has to hold again what comes before its place."""
FEWEST = 4
"""So many places are tried however many turns that takes."""
MOST_FLIPPED = 16


class ConformanceError(AssertionError):
    """A protocol doesn't do what all have to. The text begins with the name of the check, and says what was tried.

    What the protocol has raised is its ``__cause__``.
    """

    __module__ = "pytest_echoserver.conformance"


class Unlike(Exception):
    """A trial has not come out as it should."""


@dataclass(frozen=True, slots=True)
class Turn(Generic[A]):
    """What the far end sends, and what the protocol has to answer; ``unasked`` if nothing is sent before that."""

    sends: bytes
    answers: A
    unasked: bool

    @property
    def to(self) -> str:
        return "unasked" if self.unasked else f"to {first_bytes(self.sends)}"

    @property
    def after(self) -> str:
        return "after what it sends unasked" if self.unasked else f"after {first_bytes(self.sends)}"


class Trials(Generic[P, A]):
    """Tries one protocol after the other, by checks that have names: those of the methods that do them.

    Args:
        scope: that of the test.
        factory: makes each protocol.
        outcome: called with a protocol that has lost its connection, on its loop; gives what has to be the same
            however the conversation was held.
        skip: names of the checks to leave out.

    Raises:
        TypeError, ValueError: one of these isn't what is allowed.
    """

    kind: ClassVar[ProtocolKind]
    kind_told: ClassVar[str]
    checks: ClassVar[tuple[str, ...]]
    """In the order in which they are done: the conversation itself comes first."""

    def __init__(
        self,
        scope: Scope,
        factory: Callable[[], P],
        turns: list[Turn[A]],
        outcome: Callable[[P], object],
        skip: Collection[str],
    ) -> None:
        self._scope = scope
        self._factory = checked_factory(factory, self.kind_told)
        self._turns = turns
        self._outcome = _checked_outcome(outcome)
        self._skip = skip
        _check_skip(skip, [*self.checks[1:], LEFT])
        self._check = ""
        """The name of that which is being done."""
        self._failed: set[str] = set()
        """Names of those that went wrong."""
        self._made_last: P | None = None
        self._made: WeakValueDictionary[int, P] = WeakValueDictionary()
        """By their ids, all that are alive: who gives one twice keeps it. Those that we kept would end late, and
        what they hold as well."""
        self._misused: Exception | None = None
        """What is wrong with the factory, or the outcome: no flaw of the protocol's."""
        self._left: ConformanceError | None = None
        self._stuck = False
        """Whether a protocol's task won't be cancelled."""
        self._lingers = False
        """Whether a protocol has taken its time for last words: those of all others would take as long."""

    def run(self) -> None:
        """Do what is checked.

        Where the conversation itself goes wrong, or two at a time do, nothing else would tell anything: what they
        share, all others would meet.

        Raises:
            ConformanceError: of each check, the first trial that went wrong; several as an `ExceptionGroup`.
            TypeError, ValueError: what the factory or ``outcome`` gives is of no use.
        """
        refuse_to_block("the check of a protocol", "`await asyncio.to_thread(...)`, with all that you would call,")
        flaws: list[Exception] = []
        for name in self.checks:
            if name not in self._skip:
                self._check = name
                try:
                    getattr(self, name)()
                except ConformanceError as flaw:
                    if flaw is self._left:
                        break
                    flaws.append(flaw.with_traceback(None))  # where we were tells nobody anything
                    self._failed.add(name)
                    if name in (CONVERSATION, TWO):
                        break
        if self._left is not None and LEFT not in self._skip:
            flaws.append(self._left)
        raise_together(flaws, "flaws of the protocol")

    @contextmanager
    def _trial(self, tried: str) -> "Iterator[Trial]":
        """A scope to connect protocols in, each of which loses its connection before this ends.

        Raises:
            ConformanceError: of what is raised meanwhile, by the protocols or within.
            TypeError, ValueError: what the factory or ``outcome`` gives is of no use.
        """
        scope = Scope(self._scope.engine, self._scope.timeout)
        trial = Trial(scope, tried)
        raised: Exception | None = None
        left = ""
        try:
            try:
                yield trial
                if not (self._left or self._lingers or trial.given_up):
                    left, self._lingers = trial.left()
            except Exception as error:  # noqa: BLE001  it is told below, beside what else went wrong
                raised = error
            wrong = scope.judge()
        finally:
            try:
                scope.close()
            except Exception as error:  # noqa: BLE001  a task of the protocol's that won't be cancelled
                self._stuck, left = True, left or str(error)
        if self._misused is not None:
            raise self._misused from self._misused.__cause__
        if wrong:  # what the protocol has raised tells more than what that led to
            raised = wrong[0]
        if isinstance(raised, Unlike):
            raise ConformanceError(f"{self._check}: {trial.tried}: {raised}") from raised.__cause__
        if raised is not None:
            told = f"{self._check}: {trial.tried}: {type(raised).__name__}: {raised}"
            raise ConformanceError(told) from raised
        if left and self._left is None:
            self._left = ConformanceError(f"{LEFT}: {trial.tried}: {left}")
            if self._stuck and LEFT not in self._skip:  # each trial would wait for its end
                raise self._left

    def _make(self) -> P:
        """Make a protocol, as a harness's factory does."""
        protocol: P = self._factory()
        try:
            self.kind.check(protocol)
        except TypeError as error:
            self._misused = error
            raise
        if protocol is self._made_last or protocol is self._made.get(id(protocol)):
            self._misused = ValueError(
                f"the factory gave the same protocol twice, {told_value(protocol)}: each connection has to have "
                "one of its own, as from `MyProtocol` or `lambda: MyProtocol(...)`"
            )
            raise self._misused
        self._made_last = protocol
        with suppress(TypeError):  # one that has slots alone isn't referred to weakly
            self._made[id(protocol)] = protocol
        return protocol

    def _come_of(self, harnessed: Harnessed[P]) -> object:
        """What has come of a protocol that has lost its connection."""
        raised, outcome = harnessed.call(self._call_outcome, harnessed.protocol).result()
        if raised is not None:
            raise Unlike(f"`outcome` has raised {told_error(raised)}") from raised
        if isawaitable(outcome):
            told = f"{told_function(self._outcome)} gave {told_value(outcome)}"
            if isinstance(outcome, Coroutine):
                told = f"{told_function(self._outcome)} gave a coroutine"
                outcome.close()
            self._misused = TypeError(f"outcome must be a plain function: {told}, and nothing would await it")
            raise self._misused
        return as_it_is_now(outcome)

    def _call_outcome(self, protocol: P) -> tuple[BaseException | None, object]:
        try:
            return None, self._outcome(protocol)
        except (Exception, asyncio.CancelledError) as error:  # noqa: BLE001  the latter may be that of a future
            return error, None

    def _within_bounds(self, most: int, turns: float) -> int:
        """How many trials there may be, of so many turns each."""
        return min(most, max(FEWEST, int(MOST_TURNS / turns)))

    def _up_to_a_place(self, most: int) -> int:
        """How many trials there may be that hold the conversation up to some place: half of it on the average."""
        return self._within_bounds(most, len(self._turns) / 2)

    def _damages(self, *more: bytes) -> list[tuple[int, bytes]]:
        """What is sent in place of a turn: the turn, and the data."""
        most = self._up_to_a_place(MOST_PLACES)
        asked = [at for at, turn in enumerate(self._turns) if not turn.unasked]
        return share(
            [[(at, data) for data in (*damaged(self._turns[at].sends), *more)] for at in spread(asked, most)], most
        )


class Trial:
    """One or several protocols, each on a connection.

    Args:
        tried: what is tried with them, in words.
    """

    def __init__(self, scope: Scope, tried: str) -> None:
        self.scope = scope
        self.tried = tried
        self.given_up: bool = False
        """Whether it was ended amid something, so that what is left tells nothing."""
        self._harnessed: list[Harnessed[Any]] = []

    def put(self, harnessed: T) -> T:
        """Look at this protocol in the end."""
        assert isinstance(harnessed, Harnessed)
        self._harnessed.append(harnessed)
        return harnessed

    def left(self) -> tuple[str, bool]:
        """What is left of the protocols a while after they have lost their connections, empty if nothing is.

        And whether that took any waiting, as a protocol's last words do.
        """
        waited = False
        left = self.scope.call(self._tell_left)
        if left:
            waited = True
            self.scope.run(self._wait_for_last_words)
            left = self.scope.call(self._tell_left)
        return left, waited

    async def _wait_for_last_words(self) -> None:
        loop = asyncio.events.get_running_loop()
        futures = [future for each in self._harnessed for future in _pending(each.protocol).values()]
        ours = [asyncio.futures.wrap_future(each) for each in futures if not asyncio.isfuture(each)]
        theirs = [each for each in futures if asyncio.isfuture(each) and each.get_loop() is loop]
        if awaited := [*self.scope.tasks(), *ours, *theirs]:
            await asyncio.tasks.wait(awaited, timeout=LAST_WORDS)

    def _tell_left(self) -> str:
        for task in self.scope.tasks():
            name = told_function(task.get_coro())
            return f"{LAST_WORDS:g} s after connection_lost one of its tasks still runs: {name}"
        for each in self._harnessed:
            for name in _pending(each.protocol):
                return (
                    f"{LAST_WORDS:g} s after connection_lost nothing has fulfilled its future `{name}`: "
                    "who awaits that, waits for ever"
                )
        return ""


def checked_turns(conversation: Any, turn_told: str) -> Iterator[tuple[Any, Any]]:
    """What the other side sends and what is answered, turn by turn.

    Args:
        turn_told: what a turn has to be, for errors.

    Raises:
        TypeError: it is no list of pairs.
    """
    if isinstance(conversation, (bytes, str)) or not isinstance(conversation, Iterable):
        raise TypeError(f"a conversation is a list of {turn_told}, not {conversation!r}")
    for turn in conversation:
        if not (isinstance(turn, tuple) and len(turn) == 2):
            raise TypeError(f"a turn must be {turn_told}, not {turn!r}")
        yield turn


def as_it_is_now(outcome: Any) -> Any:
    """A copy of lists and such within each other: what all protocols share has to differ once more came.

    What else they hold stays the same: copies of it may not be equal, and those of a transport, or a loop, fail.
    """
    kind = type(outcome)
    if kind in (list, tuple):
        return kind(map(as_it_is_now, outcome))
    if kind is dict:
        return {key: as_it_is_now(value) for key, value in outcome.items()}
    return kind(outcome) if kind in (set, bytearray) else outcome


def see_outcome(outcome: object, as_given: object, hint: str = "") -> None:
    """See that what has come of a protocol is what came of one with which the conversation was held as given."""
    try:
        equal = bool(outcome == as_given)
    except Exception as error:
        compared = f"{told_value(outcome)} == {told_value(as_given)}"
        told = f"its outcomes can't be compared: {compared} has raised {told_error(error)}"
        raise Unlike(told) from error
    if not equal:
        one, other = from_the_difference(told_whole(outcome), told_whole(as_given))
        raise Unlike(f"its outcome is {one}, not {other}{hint}")


def damaged(data: bytes) -> Iterator[bytes]:
    """``data`` as no peer should send it: bits flipped, cut short, and other data altogether."""
    for at in spread(range(len(data)), MOST_FLIPPED):
        yield data[:at] + bytes([data[at] ^ 1 << at % 8]) + data[at + 1 :]
    for length in spread(range(1, len(data)), MOST_FLIPPED):
        yield data[:length]
    yield from (bytes(64), b"\xff" * 64, bytes(range(256)), b"\r\n" * 32)


def spread(places: Sequence[T], most: int = MOST_PLACES) -> list[T]:
    """So many of the places at most, evenly spread, the first and the last among them."""
    if len(places) <= most:
        return list(places)
    if most == 1:
        return [places[0]]
    return [places[at * (len(places) - 1) // (most - 1)] for at in range(most)]


def share(kinds_of_each: Sequence[Sequence[T]], most: int) -> list[T]:
    """So many of all at most: as many of each, evenly spread, and other ones of each than of that before it."""
    if sum(map(len, kinds_of_each)) <= most:
        return [kind for kinds in kinds_of_each for kind in kinds]
    count = most // len(kinds_of_each)
    return [kind for at, kinds in enumerate(kinds_of_each) for kind in walk(kinds, min(count, len(kinds)), at)]


def walk(kinds: Sequence[T], steps: int, begin: int) -> list[T]:
    """So many of the kinds, evenly spread, from another on for each ``begin``."""
    return [kinds[(begin + step * len(kinds) // steps) % len(kinds)] for step in range(steps)]


def _pending(protocol: Any) -> dict[str, Any]:
    """The futures that are attributes of a protocol and aren't done; a task is told of as such."""
    kinds = (asyncio.Future, concurrent.futures.Future)
    attributes = dict(getattr(protocol, "__dict__", {}))
    for each in type(protocol).__mro__:
        slots = each.__dict__.get("__slots__", ())
        for name in [slots] if isinstance(slots, str) else slots:
            attributes[name] = getattr(protocol, name, None)
    return {name: value for name, value in attributes.items() if isinstance(value, kinds) and not value.done()}


def _checked_outcome(outcome: Any) -> Any:
    """Give ``outcome`` back if it can be called with a protocol; raise TypeError if not."""
    if not callable(outcome):
        raise TypeError(f"outcome must be a function of the protocol, not {outcome!r}")
    return not_async(outcome, "outcome")


def _check_skip(skip: Any, allowed: Sequence[str]) -> None:
    if isinstance(skip, str) or not isinstance(skip, Collection):
        raise TypeError(f"skip must be a list of names of checks, as in skip=[{allowed[0]!r}], not {skip!r}")
    for name in skip:
        if name not in allowed:
            raise ValueError(f"skip must be of {', '.join(map(repr, allowed))}, not {name!r}")
