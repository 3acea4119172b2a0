"""What a read may wait for in a stream of bytes: a literal or a regular expression.

A stream has no messages, and the kernel may cut it anywhere. So a pattern must mean the same however the bytes
were cut: it is met at the first place where it can be said to be complete.
"""

import re
from bisect import bisect_left
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from ._checks import in_short
from ._regexes import first_bytes, last_bytes, literal_end, loosened, reach_of

__tracebackhide__ = True

T_co = TypeVar("T_co", covariant=True)

TRIED_AT_ONCE = 256
"""Bytes that are passed over if there is nothing like a match in them; else each beginning of them is tried."""


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
        # Where one isn't anchored, a piece that holds a match may go beyond it, up to where it looks ahead.
        before = literal_end(value)[:-1] if anchored else b""
        ends = re.compile(b"(?<=%b)[%b]" % (re.escape(before), re.escape(last)))
        return Regex(value, ends, anchored, first_bytes(value))
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


class Shortest:
    """Looks, in bytes that grow, for the shortest piece from their beginning that holds a match.

    A longer piece may hold it no more, where the regex looks ahead, and how much comes at once must not count: so
    each piece is looked through that is long enough for more than what was looked through before.

    Args:
        ends: finds the bytes in one of which each match ends, if so: no other piece is looked through then.
    """

    def __init__(self, regex: re.Pattern[bytes], ends: re.Pattern[bytes] | None) -> None:
        self.start = 0
        """No match begins before it."""
        self._regex = regex
        self._ends = ends
        self._tried = -1
        self._known = 0

    def find(self, unread: memoryview) -> int | None:
        """Where that piece ends; None if there is none as yet."""
        if self._ends and not self._ends.search(unread, max(self._tried, 0)):
            self._tried = len(unread)
            return None
        loose = loosened(self._regex)
        rough = loose.search(unread, self.start)
        if rough is None:
            self._found_nothing(unread, len(unread))
            self._tried = len(unread)
            return None
        if loose is self._regex:
            return self._where_first(unread, *rough.span())
        self._tried = max(self._tried, rough.start() - 1)
        while self._tried < len(unread):
            most = min(self._tried + TRIED_AT_ONCE, len(unread))
            if (rough := loose.search(unread, self.start, most)) is None:
                self._found_nothing(unread, most)
            else:
                failed = None
                for end in self._ends_up_to(most, unread, rough.start()):
                    if self._regex.search(unread, rough.start(), end):
                        return end
                    failed = end
                if failed is not None:  # of longer pieces, which aren't looked through, nothing is known
                    self._found_nothing(unread, failed)
            self._tried = most
        return None

    def _where_first(self, unread: memoryview, start: int, end: int) -> int:
        """Where the shortest piece ends in which the match that begins there is, or another that ends before it."""
        search = self._regex.search
        if not search(unread, start, end - 1):
            return end
        tried = max(self._tried, 0)
        return bisect_left(range(end), True, lo=tried, key=lambda at: bool(search(unread, start, at)))

    def _ends_up_to(self, most: int, unread: memoryview, start: int) -> Iterable[int]:
        """Where the pieces end that are looked through next for a match from ``start`` on."""
        least = max(self._tried + 1, start)
        if self._ends is None:
            return range(least, most + 1)
        return (found.end() for found in self._ends.finditer(unread, max(least - 1, 0), most))

    def _found_nothing(self, unread: memoryview, length: int) -> None:
        """Note that there is no match in so many bytes, and where one can begin that holds more."""
        reach = reach_of(self._regex)
        # It looks over all bytes up to here. But for the very last: what $ and \b say of it may change.
        known = max(length - 1, 0)
        with unread[self._known : known] as more:
            passed = len(bytes(more).rstrip(reach.inner))
        if passed:
            self.start = self._known + passed
        if reach.width is not None:
            self.start = max(self.start, known - reach.width)
        self._known = known


class _RegexSearch:
    def __init__(self, pattern: Regex, start: int) -> None:
        self.start = start
        self._pattern = pattern
        self._shortest = None if pattern.anchored else Shortest(pattern.regex, pattern.ends)
        self._tried = 0

    def find(self, buffer: bytearray) -> tuple[re.Match[bytes], int] | None:
        regex, shortest = self._pattern.regex, self._shortest
        with memoryview(buffer) as whole, whole[self.start :] as unread:
            end = self._first_full_match(unread) if shortest is None else shortest.find(unread)
            if end is None:
                return None
            # Once more on a copy: what the user gets must not hold on to the buffer.
            piece = bytes(unread[:end])
        found = regex.fullmatch(piece) if shortest is None else regex.search(piece, shortest.start)
        assert found is not None
        return found, self.start + end

    def _first_full_match(self, unread: memoryview) -> int | None:
        regex = self._pattern.regex
        ends = [found.end() for found in self._pattern.ends.finditer(unread, self._tried)]
        self._tried = len(unread)
        if len(ends) > 1:  # not each of them: of a long text that would take the square of its length
            loose = loosened(regex)
            if not loose.match(unread, 0, ends[-1]):
                return None
            if loose is regex:
                return ends[bisect_left(ends, True, key=lambda end: bool(regex.match(unread, 0, end)))]
        return next((end for end in ends if regex.fullmatch(unread, 0, end)), None)
