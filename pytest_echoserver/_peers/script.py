"""`Script`: what is expected of the code under test, in order, and the rules that stand beside it.

It knows what came and what is to be done, and nothing of sockets: who reads messages off one asks `current` and
`rules`, and says what matched by `came`.
"""

import threading
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Protocol

from .._checks import whole_number
from .._cursors import Cursor
from .._futures import CaptureFuture
from .._neighbours import real_monotonic
from .._tracebacks import call_site
from .._traffic import Expected
from .telling import shown

__tracebackhide__ = True

Redact = Callable[[bytes], bytes]
"""Takes out of bytes what an error or the evidence may not show."""

LATE_ACTIONS = 1000
"""How many of the last messages that met a step are remembered. An action that is added to the step only after they
came is then done for each of them."""


class Act(Enum):
    """What can be done to a connection."""

    CLOSE = "close"
    RESET = "reset"
    STALL = "stall"
    SEND_EOF = "send_eof"

    def told(self, _: Redact) -> str:
        return f".{self.value}()"


ENDING = (Act.CLOSE, Act.RESET, Act.SEND_EOF)
"""After these nothing can be answered."""


@dataclass(frozen=True, slots=True)
class Reply:
    """What is answered, and after how many seconds."""

    answers: tuple[Any, ...]
    after: float = 0.0

    def told(self, redact: Redact) -> str:
        answers = ", ".join(shown(answer, redact=redact) for answer in self.answers)
        return f".reply({answers}, after={self.after:g})" if self.after else f".reply({answers})"


Action = Reply | Act


class Target(Protocol):
    """Whom to answer: one connection, or the source of one datagram."""

    @property
    def number(self) -> int | None:
        """Of a connection that has one, its number."""

    def act(self, subject: Any, action: Action) -> None:
        """Do it; where a callable of the user's raises, fail the test, and raise nothing."""


class Moment(Enum):
    """What can be expected beside messages."""

    CONNECTION = "expect_connection()"
    EOF = "expect_eof()"


@dataclass(slots=True, eq=False)
class Step:
    """One expectation or rule: what is wanted (a pattern, or a `Moment`), how often, and what is then done.

    Attributes:
        verb: the method by which the user has asked for it, with ``given``; of a moment, nothing.
    """

    wanted: Any
    verb: str
    given: Any
    redact: Redact
    where: str
    cursor: Cursor
    times: int = 1
    count: int = 0
    last: Any = None
    actions: list[Action] = field(default_factory=list)
    served: deque[tuple[Target, Any, float]] = field(default_factory=lambda: deque(maxlen=LATE_ACTIONS))
    """Whom it was met by, with what, and when, in monotonic seconds."""

    @property
    def met(self) -> bool:
        return self.count >= self.times

    @property
    def pattern(self) -> str:
        """What is wanted, as it was written."""
        return shown(self.given, redact=self.redact)

    @property
    def call(self) -> str:
        if isinstance(self.wanted, Moment):
            return self.wanted.value
        return f"{self.verb}({self.pattern}{'' if self.times == 1 else f', times={self.times}'})"

    def told(self) -> str:
        """As it was written, more or less."""
        return self.call + "".join(action.told(self.redact) for action in self.actions)

    def expected(self, missing: int | None = None) -> Expected:
        """How it stands, for the evidence; ``missing`` if not by how often it is wanted."""
        met = [(time, target.number) for target, _, time in list(self.served)]
        return Expected(
            self.told(), self.where, met, max(self.times - self.count, 0) if missing is None else missing
        )


def expected_of(scripts: "Sequence[Script]") -> list[Expected]:
    """What is expected by the scripts of one peer, which share their rules, and how that stands."""
    rules = scripts[0].rules if scripts else []
    steps = [step.expected() for script in scripts for step in script.steps]
    return steps + [rule.expected(missing=0) for rule in rules]


class Script:
    """The expectations of one peer, or of one connection.

    Args:
        peer: whose it is, for errors.
        lock: the record's, which all who wait share.
        timeout: seconds that a wait for ``met`` may take.
        pattern: makes what is kept as ``wanted`` of what a user gave, or raises.
        check_answer: gives the bytes of an answer, or raises.
        check_act: raises if something can't be done there.
        post: has a function called on the engine's loop.
        redact: takes out of what came, and of what is expected and answered, what may not be shown.
        rules: those to stand beside it, if not its own.
    """

    def __init__(
        self,
        peer: str,
        lock: threading.RLock,
        timeout: float,
        *,
        pattern: Callable[[Any], Any],
        check_answer: Callable[[object], bytes],
        check_act: Callable[[Act], None],
        post: Callable[..., object],
        redact: Redact,
        rules: list[Step] | None = None,
    ) -> None:
        self.peer = peer
        self.redact = redact
        self.steps: list[Step] = []
        self.rules: list[Step] = [] if rules is None else rules
        self.error: Exception | None = None
        self.check_answer = check_answer
        self.check_act = check_act
        self._told: set[Step] = set()
        """The steps that were reported as not met."""
        self._owed: deque[tuple[Target, Any, Action]] = deque()
        """What is still to be done: actions that were added to a step after something had met it."""
        self._position = 0
        self._lock = lock
        self._timeout = timeout
        self._pattern = pattern
        self._post = post

    @property
    def current(self) -> Step | None:
        """The step that has to come next, or None after the last."""
        return self.steps[self._position] if self._position < len(self.steps) else None

    @property
    def position(self) -> int:
        return self._position

    @property
    def unmet(self) -> list[Step]:
        return [step for step in self.steps[self._position :] if step not in self._told]

    def tell_unmet(self) -> None:
        """Count what is unmet now as told: no later judgement reports it again."""
        self.error = None
        self._told.update(self.steps[self._position :])

    def expect(self, pattern: Any, times: int = 1) -> Step:
        whole_number(times, "times", least=1)
        step = self._step("expect", pattern, times)
        self.steps.append(step)
        return step

    def expect_moment(self, moment: Moment) -> Step:
        step = Step(moment, "", None, self.redact, call_site(), self._cursor())
        self.steps.append(step)
        return step

    def on(self, pattern: Any) -> Step:
        step = self._step("on", pattern)
        self.rules.append(step)
        return step

    def _step(self, verb: str, pattern: Any, times: int = 1) -> Step:
        # A copy of what could change: it is told as it was.
        given = bytes(pattern) if isinstance(pattern, (bytearray, memoryview)) else pattern
        return Step(self._pattern(given), verb, given, self.redact, call_site(), self._cursor(), times)

    def add_action(self, step: Step, action: Action) -> None:
        """Have ``action`` done whenever ``step`` is met, and where it was met before this was said.

        Raises:
            RuntimeError: it would come after what ends the connection, or our direction of it.
        """
        ends = next((each for each in reversed(step.actions) if each in ENDING), None)
        if ends is not None and not (ends is Act.SEND_EOF and isinstance(action, Act)):  # that half alone has ended
            raise RuntimeError(
                f"{action.told(self.redact)} can't be done after {ends.told(self.redact)} of {step.told()}: "
                "say it before"
            )
        with self._lock:
            step.actions.append(action)
            self._owed += [(target, subject, action) for target, subject, _ in step.served]
        self._post(self._do_what_is_owed)

    def came(self, step: Step, target: Target, subject: Any) -> None:
        """``subject`` has met ``step``: go on in the script, and do what is to be done to ``target``."""
        self._do_what_is_owed()
        with self._lock:
            step.count += 1
            step.last = subject
            if step is self.current and step.met:
                self._position += 1
            step.served.append((target, subject, real_monotonic()))
            actions = list(step.actions)
        for action in actions:
            target.act(subject, action)
        if step.cursor.waiting:
            step.cursor.serve()

    def when_met(self, step: Step) -> CaptureFuture[Any]:
        future: CaptureFuture[Any] = CaptureFuture(
            step.call,
            where=self.peer,
            timeout=self._timeout,
            instead=lambda: (
                "it was not met" if step.times == 1 else f"it was met {step.count} of {step.times} times"
            ),
        )

        def take(at: int) -> tuple[Any, int] | None:
            if step.met:
                return step.last, at
            if self.error is not None:
                raise self.error
            return None

        return step.cursor.ask(future, take)

    def forget_served(self) -> None:
        """Let go of whom the steps were met by: an action that is added from here on isn't made up for."""
        for step in (*self.steps, *self.rules):
            step.served.clear()

    def fail(self, error: Exception) -> None:
        """It went wrong: what is not met now never will be."""
        self.error = self.error or error
        self.fail_waits(error)

    def fail_waits(self, error: Exception) -> None:
        """End the waits for what is not met, with ``error``."""
        for step in self.steps[self._position :]:
            step.cursor.fail(error)

    def _do_what_is_owed(self) -> None:
        """Do what was added to a step after it was met; before anything is done for what comes next."""
        while self._owed:
            target, subject, action = self._owed.popleft()
            target.act(subject, action)

    def _cursor(self) -> Cursor:
        return Cursor(self._lock)
