"""What a scope is blamed for: what goes wrong each time that a client tries again is told once."""

import re
from collections.abc import Collection, Hashable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from ._outcomes import as_exception
from ._tracebacks import is_of_users

MOST_REMEMBERED = 1000
"""Errors that were only counted, and are remembered so as not to count them again: one that is reported by a
second way as well is so soon after the first."""
MOST_LINKS = 10
MOST_FRAMES = 200
MOST_TEXT = 20_000
"""What has more is like no other: to compare it would take longer than to tell it."""
ADDRESS = r"(<[^<>]*\bat 0x)[0-9a-fA-F]+"
"""Where an object lies, as its repr() says."""
NUMBERED = r"\bconnection \d+\b|\b\d+\b"
"""What may be the number of a connection, or the port of a client, as our texts and Python's have them."""


def likeness(error: BaseException, whose: object, its_own: Collection[str] = ()) -> Hashable:
    """What an error has in common with another of ``whose``, where to read one is to have read both.

    That is its type, its text and the user's lines that it came by; and the same of those that it is told with.

    Args:
        its_own: words of its text that differ each time that it comes, such as "connection 7" or the port of a
            client. They are left out of the comparison.
    """
    told: list[Any] = [whose]
    known: set[int] = set()
    left: list[BaseException | None] = [error]
    while left:
        if len(known) > MOST_LINKS:
            return object()
        each = left.pop()
        if each is None or id(each) in known:
            told.append(None)
            continue
        known.add(id(each))
        told += [type(each), _text(each, its_own), _lines(each)]
        left += [each.__cause__, None if each.__suppress_context__ else each.__context__]
        if isinstance(each, BaseExceptionGroup):
            left += each.exceptions
    return tuple(told)


def _text(error: BaseException, its_own: Collection[str]) -> Hashable:
    try:
        text = "\n".join([str(error), *getattr(error, "__notes__", ())])
    except BaseException:  # noqa: BLE001  it is the user's code that tells it
        return object()
    if len(text) > MOST_TEXT:
        return object()
    text = re.sub(ADDRESS, r"\1", text)
    return re.sub(NUMBERED, lambda found: "#" if found[0] in its_own else found[0], text) if its_own else text


def _lines(error: BaseException) -> Hashable:
    lines: list[tuple[str, int]] = []
    rest = error.__traceback__
    for _ in range(MOST_FRAMES):
        if rest is None:
            return tuple(lines)
        if is_of_users(rest.tb_frame):
            lines.append((rest.tb_frame.f_code.co_filename, rest.tb_lineno))
        rest = rest.tb_next
    return object()


@dataclass(slots=True)
class _Kind:
    first: Exception
    more: int = 0


class Blamed:
    """Errors, each once; of those that are alike the first, and how many more there were."""

    def __init__(self) -> None:
        self.errors: list[Exception] = []
        self._kinds: dict[Hashable, _Kind] = {}
        self._known: dict[int, BaseException] = {}
        self._repeated: dict[int, BaseException] = {}

    def knows(self, error: BaseException) -> bool:
        """Whether this very error was added before: one may be reported by two ways."""
        return id(error) in self._known or id(error) in self._repeated

    def add(self, error: BaseException, kind: Hashable | None) -> bool:
        """Keep it; false if it is known already, or is only counted, since another of its ``kind`` is kept.

        With the kind None it is like no other.
        """
        if self.knows(error):
            return False
        like = None if kind is None else self._kinds.get(kind)
        if like is not None:
            like.more += 1
            self._repeated[id(error)] = error
            if len(self._repeated) > MOST_REMEMBERED:
                del self._repeated[next(iter(self._repeated))]
            return False
        kept = as_exception(error)
        self._known[id(error)] = error
        self.errors.append(kept)
        if kind is not None:
            self._kinds[kind] = _Kind(kept)
        return True

    def forget(self, errors: Iterable[BaseException]) -> None:
        """Drop these, which were told; each gets a note of how many more there were like it."""
        told = {id(error) for error in errors}
        self.errors = [error for error in self.errors if id(error) not in told]
        for kind, like in list(self._kinds.items()):
            if id(like.first) in told:
                _tell(like)
                del self._kinds[kind]

    def tell(self) -> list[Exception]:
        """Give them all, each with a note of how many there were like it."""
        for like in self._kinds.values():
            _tell(like)
        return list(self.errors)

    def begin_anew(self) -> None:
        """Drop them all, but know them still if they are reported by a second way."""
        self.errors = []
        self._kinds.clear()

    def let_go(self) -> None:
        """Let go of those that aren't kept: they have their tracebacks, and all that these hold."""
        self._known = {id(error): error for error in self.errors}
        self._repeated.clear()


def _tell(like: _Kind) -> None:
    more, like.more = like.more, 0
    if more:
        add_note(like.first, f"and {more:,} more like it")


def add_note(error: BaseException, note: str) -> None:
    """Add a note to an error, if it lets itself be given one: it is the user's code."""
    with suppress(Exception):
        error.add_note(note)
