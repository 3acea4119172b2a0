"""What users get from ``expect`` and ``on``: the handles by which they say what to answer."""

import re
from collections.abc import Callable, Iterable
from pathlib import Path
from types import EllipsisType
from typing import Any, Self

from .. import _deadline
from .._checks import bytes_like, not_async
from .._futures import CaptureFuture
from .behaviours import payloads_of
from .script import Act, Reply, Script, Step
from .telling import shown

__tracebackhide__ = True

PatternLike = bytes | re.Pattern[bytes] | Callable[[bytes], object] | EllipsisType
"""What may be expected: these bytes, a regular expression, a predicate of the bytes, or ``...`` for anything."""
ReplyLike = bytes | Callable[[Any], bytes | Iterable[bytes] | None]
"""What may be answered: bytes, or what is called with what came to make them."""


class Rule:
    """What may come at any time, any number of times, and what is answered to it."""

    def __init__(self, script: Script, step: Step) -> None:
        self._script = script
        self._step = step

    def reply(self, *data: ReplyLike, after: float = 0.0) -> Self:
        """Answer with ``data``: each a datagram, or a write, of its own.

        Args:
            data: bytes, or callables of what came: the match of a regular expression, else the `Datagram` or the
                message's bytes (the `Connection` for ``expect_connection`` and ``expect_eof``). Each gives bytes,
                several of them, or None for no answer.
            after: seconds to wait before the first.

        Raises:
            TypeError: one is neither bytes nor callable.
            ValueError: ``after`` is negative; a datagram would be too long.
            RuntimeError: it comes after what ends the connection, or our direction of it.
        """
        if not data:
            raise TypeError(
                "reply() takes what to answer, and got nothing: give bytes, or a callable that gives them"
            )
        answers = tuple(
            not_async(answer, "what makes an answer") if callable(answer) else self._script.check_answer(answer)
            for answer in data
        )
        return self._then(Reply(answers, _deadline.seconds(after, "after")))

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._step.told()}>"

    def _then(self, action: Reply | Act) -> Self:
        self._script.add_action(self._step, action)
        return self


class Expectation(Rule):
    """What has to come next, and what is answered to it."""

    @property
    def met(self) -> CaptureFuture[Any]:
        """A future of what met it: the match of a regular expression, else the `Datagram` or the message's bytes;
        for ``expect_connection`` and ``expect_eof`` the `Connection`. With ``times=n``, that of the last time."""
        return self._script.when_met(self._step)


class StreamRule(Rule):
    """A `Rule` on a stream: the connection can be ended or held up as well."""

    def close(self) -> Self:
        """Then close the connection: FIN, after all that was sent."""
        return self._then(Act.CLOSE)

    def reset(self) -> Self:
        """Then reset the connection: RST, after all that was sent has arrived.

        Raises:
            io.UnsupportedOperation: there is no RST on a Unix socket.
        """
        self._script.check_act(Act.RESET)
        return self._then(Act.RESET)

    def stall(self) -> Self:
        """Then read no more from this connection; a script goes on with the next one."""
        return self._then(Act.STALL)

    def send_eof(self) -> Self:
        """Then end our direction, and go on reading.

        Raises:
            io.UnsupportedOperation: TLS ends both directions at once.
        """
        self._script.check_act(Act.SEND_EOF)
        return self._then(Act.SEND_EOF)


class StreamExpectation(StreamRule, Expectation):
    """An `Expectation` on a stream."""


def answers_of(answer: Any, subject: Any, check: Callable[[object], bytes]) -> list[bytes]:
    """What a reply's ``answer`` comes to for ``subject``, each datum checked."""
    if not callable(answer):
        return [answer]
    try:
        made = answer(subject)
    except TypeError as error:
        if error.__traceback__ is not None and error.__traceback__.tb_next is None:  # of the call itself
            code = getattr(answer, "__code__", None)
            where = f", {Path(code.co_filename).name}:{code.co_firstlineno}" if code is not None else ""
            error.add_note(f"{shown(answer)}{where} is an answer: it is called with one argument, what has come")
        raise
    return payloads_of(made, check, answer)


def any_bytes(value: object) -> bytes:
    return bytes_like(value, "each answer")
