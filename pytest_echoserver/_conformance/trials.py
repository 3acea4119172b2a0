"""Trials of a protocol: each on a connection and in a scope of its own, which tells what went wrong there."""

import asyncio
import concurrent.futures
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

from .._checks import in_short, not_async
from .._harness.harnessed import Harnessed
from .._here import refuse_to_block
from .._outcomes import raise_together
from .._peers.telling import first_bytes
from .._scope import Scope
from .._telling import told_function

__tracebackhide__ = True

T = TypeVar("T")

CONVERSATION, TWO, LEFT = "conversation", "two", "left"
LAST_WORDS = 1.0
"""Seconds that a protocol's tasks have to end, after it has lost its connection."""
MOST_PLACES = 64
"""At so many places of what is sent something is tried, at most."""
MOST_ENDS = 24
"""After so many turns, or within them, it is ended, at most."""
MOST_FLIPPED = 16
ALIKE_SHOWN = 40
"""So many bytes that are as they should be are shown before those that aren't, at most."""


class ConformanceError(AssertionError):
    """A protocol doesn't do what all have to. The text begins with the name of the check, and says what was tried.

    What the protocol has raised is its ``__cause__``.
    """

    __module__ = "pytest_echoserver.conformance"


class Unlike(Exception):
    """A trial has not come out as it should."""


class Trials:
    """Tries one protocol after the other, by checks that have names.

    Args:
        scope: that of the test.
        skip: names of the checks to leave out.
    """

    def __init__(self, scope: Scope, skip: Collection[str]) -> None:
        self._scope = scope
        self._skip = skip
        self._left: ConformanceError | None = None
        self._stuck = False
        """Whether a protocol's task won't be cancelled."""
        self._lingers = False
        """Whether a protocol has taken its time for last words: those of all others would take as long."""
        self.failed: set[str] = set()
        """Names of the checks that went wrong."""

    def run(self, checks: dict[str, Callable[[], None]]) -> None:
        """Do what is checked, the conversation itself first.

        Where that goes wrong, or two at a time do, nothing else would tell anything: what they share, all others
        would meet.

        Raises:
            ConformanceError: of each check, the first trial that went wrong; several as an `ExceptionGroup`.
        """
        refuse_to_block("the check of a protocol", "`await asyncio.to_thread(...)`, with all that you would call,")
        _check_skip(self._skip, [*list(checks)[1:], LEFT])
        flaws: list[Exception] = []
        for name, check in checks.items():
            if name not in self._skip:
                try:
                    check()
                except ConformanceError as flaw:
                    if flaw is self._left:
                        break
                    flaws.append(flaw.with_traceback(None))  # where we were tells nobody anything
                    self.failed.add(name)
                    if name in (CONVERSATION, TWO):
                        break
        if self._left is not None and LEFT not in self._skip:
            flaws.append(self._left)
        raise_together(flaws, "flaws of the protocol")

    @contextmanager
    def trial(self, check: str, tried: str) -> "Iterator[Trial]":
        """A scope to connect protocols in, each of which loses its connection before this ends.

        Raises:
            ConformanceError: of what is raised meanwhile, by the protocols or within.
        """
        scope = Scope(self._scope.engine, self._scope.timeout)
        trial = Trial(scope)
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
        if wrong:  # what the protocol has raised tells more than what that led to
            raised = wrong[0]
        if isinstance(raised, Unlike):
            raise ConformanceError(f"{check}: {tried}: {raised}") from None
        if raised is not None:
            raise ConformanceError(f"{check}: {tried}: {type(raised).__name__}: {raised}") from raised
        if left and self._left is None:
            self._left = ConformanceError(f"{LEFT}: {tried}: {left}")
            if self._stuck and LEFT not in self._skip:  # each trial would wait for its end
                raise self._left


class Trial:
    """One or several protocols, each on a connection."""

    def __init__(self, scope: Scope) -> None:
        self.scope = scope
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


def see_outcome(outcome: object, as_given: object) -> None:
    """See that what has come of a protocol is what came of one with which the conversation was held as given."""
    if outcome != as_given:
        raise Unlike(f"its outcome is {in_short(outcome)}, not {in_short(as_given)}")


def answered(got: bytes, wanted: bytes) -> str:
    """That ``got`` was answered; of what is long, from shortly before the first difference on."""
    if not got:
        return "it answered nothing"
    pairs = enumerate(zip(got, wanted, strict=False))
    same = next((at for at, (one, other) in pairs if one != other), min(len(got), len(wanted)))
    begin = 0 if same < ALIKE_SHOWN else same - ALIKE_SHOWN // 2
    where = f", from byte {begin} on," if begin else ""
    return f"it answered{where} {first_bytes(got[begin:])}, not {first_bytes(wanted[begin:])}"


def told_in_short(data: bytes) -> str:
    """Bytes as an error has them; of many that are all the same, how many."""
    if len(data) > 8 and len(set(data)) == 1:
        return f"{len(data):,} times {data[:1]!r}"
    return first_bytes(data)


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
    return [places[at * (len(places) - 1) // (most - 1)] for at in range(most)]


def _pending(protocol: Any) -> dict[str, Any]:
    """The futures that are attributes of a protocol and aren't done; a task is told of as such."""
    kinds = (asyncio.Future, concurrent.futures.Future)
    attributes = dict(getattr(protocol, "__dict__", {}))
    for each in type(protocol).__mro__:
        slots = each.__dict__.get("__slots__", ())
        for name in [slots] if isinstance(slots, str) else slots:
            attributes[name] = getattr(protocol, name, None)
    return {name: value for name, value in attributes.items() if isinstance(value, kinds) and not value.done()}


def checked_outcome(outcome: Any) -> Any:
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
