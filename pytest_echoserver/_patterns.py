"""What a read may wait for in a stream of bytes: a literal or a regular expression.

A stream has no messages, and the kernel may cut it anywhere. So a pattern must mean the same however the bytes
were cut: it is met at the first place where it can be said to be complete.
"""

import re
from bisect import bisect_left
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from ._checks import in_short
from ._regexes import first_bytes, last_bytes, reach_of

__tracebackhide__ = True

T_co = TypeVar("T_co", covariant=True)


class Search(Protocol[T_co]):
    """One search through a growing buffer. It remembers what it needn't look at again."""

    start: int

    def find(self, buffer: bytearray) -> tuple[T_co, int] | None:
        """What was found and where it ends, or None as yet."""


class Pattern(Protocol[T_co]):
    def search_from(self, start: int) -> Search[T_co]: ...


@dataclass(frozen=True, slots=True)
class Literal:
    """Met by all up to and with the literal."""

    literal: bytes

    def search_from(self, start: int) -> Search[bytes]:
        return _LiteralSearch(self.literal, start)

    def told(self, redact: Callable[[bytes], bytes]) -> str:
        return repr(redact(self.literal))


@dataclass(frozen=True, slots=True)
class Regex:
    """Met by the shortest piece, from the start, that it fully matches; or, not ``anchored``, that holds a match.

    Every match of it ends in a literal byte. So only places behind such a byte (``ends`` finds them) have to be
    tried, and no byte to come can make a match longer. ``head`` has the bytes with which a match may begin.
    """

    regex: re.Pattern[bytes]
    ends: re.Pattern[bytes]
    anchored: bool
    head: tuple[bytes, ...]

    def search_from(self, start: int) -> Search[re.Match[bytes]]:
        return _RegexSearch(self, start)

    def told(self, redact: Callable[[bytes], bytes]) -> str:
        return repr(redact(self.regex.pattern))


class Told:
    """The text of a pattern, and where it is awaited, made when it is asked for: mostly nobody does."""

    def __init__(self, pattern: Literal | Regex, redact: Callable[[bytes], bytes], where: str = "") -> None:
        self._pattern = pattern
        self._redact = redact
        self._where = where

    def __str__(self) -> str:
        return self._pattern.told(self._redact) + self._where


def compile_pattern(value: Any, *, anchored: bool) -> Literal | Regex:
    """Make a pattern of what a user gave.

    Raises:
        TypeError: it is neither bytes nor a compiled regular expression of bytes.
        ValueError: it is empty, or a regular expression that doesn't end in a literal.
    """
    if isinstance(value, bytes):
        if not value:
            raise ValueError("an empty pattern is met by nothing at all: name the bytes to wait for")
        return Literal(value)
    if isinstance(value, re.Pattern):
        if not isinstance(value.pattern, bytes):
            raise TypeError(f"a pattern must be of bytes, as in re.compile(rb'...'), not {value!r}")
        last = last_bytes(value)
        if not last:
            raise ValueError(
                f"{value!r} doesn't end in a literal byte, so where its match ends would depend on how the "
                "stream was cut: end it in what ends the message, as in rb'(\\d+)\\n'"
            )
        return Regex(value, re.compile(b"[%b]" % re.escape(last)), anchored, first_bytes(value))
    raise TypeError(f"a pattern must be bytes or a compiled regular expression of bytes, not {in_short(value)}")


def cut(buffer: bytearray, start: int, end: int | None = None) -> bytes:
    """Copy a part of ``buffer``, once; its lock is to be held, for nobody can add to it meanwhile."""
    with memoryview(buffer) as whole, whole[start:end] as part:
        return bytes(part)


class _LiteralSearch:
    def __init__(self, literal: bytes, start: int) -> None:
        self.start = start
        self._literal = literal
        self._from = start

    def find(self, buffer: bytearray) -> tuple[bytes, int] | None:
        at = buffer.find(self._literal, self._from)
        if at < 0:
            self._from = max(self.start, len(buffer) - len(self._literal) + 1)
            return None
        end = at + len(self._literal)
        return cut(buffer, self.start, end), end


class Resumed:
    """Where a search for a match anywhere goes on, in bytes that have grown since nothing was found in them."""

    def __init__(self, regex: re.Pattern[bytes]) -> None:
        self.start = 0
        """No match begins before it."""
        self._regex = regex
        self._known = 0

    def found_nothing(self, unread: memoryview) -> None:
        """Note that there is no match in ``unread`` as it is now."""
        reach = reach_of(self._regex)
        if reach is None:
            return
        # A match that ends in what is to come has all bytes up to here before its last one. But for the very last:
        # what \b says of it may change.
        known = max(len(unread) - 1, 0)
        with unread[self._known : known] as more:
            passed = len(bytes(more).rstrip(reach.inner))
        if passed:
            self.start = self._known + passed
        if reach.width is not None:
            self.start = max(self.start, len(unread) - reach.width)
        self._known = known


class _RegexSearch:
    def __init__(self, pattern: Regex, start: int) -> None:
        self.start = start
        self._pattern = pattern
        self._resumed = Resumed(pattern.regex)
        self._tried = 0

    def find(self, buffer: bytearray) -> tuple[re.Match[bytes], int] | None:
        with memoryview(buffer) as whole, whole[self.start :] as unread:
            if not self._pattern.ends.search(unread, self._tried):
                end = None
            else:
                end = self._first_full_match(unread) if self._pattern.anchored else self._first_end(unread)
            self._tried = len(unread)
            if end is None:
                return None
            # Once more on a copy: what the user gets must not hold on to the buffer.
            piece = bytes(unread[:end])
        regex = self._pattern.regex
        found = regex.fullmatch(piece) if self._pattern.anchored else regex.search(piece, self._resumed.start)
        assert found is not None
        return found, self.start + end

    def _first_full_match(self, unread: memoryview) -> int | None:
        ends = (found.end() for found in self._pattern.ends.finditer(unread, self._tried))
        return next((end for end in ends if self._pattern.regex.fullmatch(unread, 0, end)), None)

    def _first_end(self, unread: memoryview) -> int | None:
        """Where the shortest piece that holds a match ends."""
        search = self._pattern.regex.search
        found = search(unread, self._resumed.start)
        if found is None:
            self._resumed.found_nothing(unread)
            return None
        start, end = found.span()
        if reach_of(self._pattern.regex) is None:
            # A longer piece may hold no match any more, so each is tried.
            ends = (found.end() for found in self._pattern.ends.finditer(unread, max(self._tried, start)))
            return next((end for end in ends if search(unread, start, end)), None)
        if not search(unread, start, end - 1):
            return end
        return bisect_left(range(end), True, lo=self._tried, key=lambda at: bool(search(unread, start, at)))
