"""What a script's patterns match: whole messages, or the next bytes of a stream that has none."""

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Protocol

from .._checks import bytes_like, in_short, not_async
from .._patterns import Literal, Regex, Search, compile_pattern, cut
from .telling import shown

__tracebackhide__ = True


@dataclass(frozen=True, slots=True)
class MessagePattern:
    """Matches a whole message: equal bytes, a regular expression's full match, a predicate, or ``...``: any."""

    value: Any

    def match(self, message: bytes) -> Any:
        """What the match is told by, or None: the match of a regular expression, else the message."""
        if isinstance(self.value, bytes):
            return message if message == self.value else None
        if isinstance(self.value, re.Pattern):
            return self.value.fullmatch(message)
        return message if self.value is ... or self.value(message) else None


def message_pattern(value: Any) -> MessagePattern:
    """Check a pattern for whole messages.

    Raises:
        TypeError: it is none of what a pattern may be.
    """
    if isinstance(value, re.Pattern):
        if not isinstance(value.pattern, bytes):
            raise TypeError(f"a pattern must be of bytes, as in re.compile(rb'...'), not {value!r}")
    elif not (value is ... or callable(value) or isinstance(value, (bytes, bytearray, memoryview))):
        raise TypeError(
            "a pattern must be bytes, a compiled regular expression of bytes, a predicate or ..., "
            f"not {in_short(value)}"
        )
    not_async(value, "a predicate")
    return MessagePattern(bytes(value) if isinstance(value, (bytearray, memoryview)) else value)


Found = tuple[Any, int, int]
"""What matched, where it begins, and where it ends."""


class StreamSearch(Protocol):
    """Looks for one pattern in what comes, from one place on."""

    diverged: bool
    """Whether no byte to come can make it match any more."""

    def find(self, buffer: bytearray) -> Found | None:
        """What matched, or None as yet."""


@dataclass(frozen=True, slots=True)
class StreamPattern:
    """Matches the next bytes of a stream, however they were cut."""

    value: bytes | Regex

    def search_from(self, start: int, *, anywhere: bool = False) -> StreamSearch:
        """Look for it right at ``start``; or, if it may be ``anywhere``, at the first place behind that."""
        if isinstance(self.value, Regex):
            search = replace(self.value, anchored=not anywhere).search_from(start)
            return _RegexSearch(search, () if anywhere else self.value.head)
        return _LiteralAnywhere(self.value, start) if anywhere else _LiteralPrefix(self.value, start)


def stream_pattern(value: Any) -> StreamPattern:
    """Check a pattern for a stream without framing.

    Raises:
        TypeError, ValueError: it is none, or one that only has a meaning for whole messages.
    """
    if value is ... or (callable(value) and not isinstance(value, type)):
        what = "... " if value is ... else "a predicate "
        raise ValueError(
            f"{what}can't tell where a message ends, and this stream has no framing: make the peer with framing=, "
            r"as in peers.tcp(framing=b'\r\n'), or expect bytes or a regular expression"
        )
    if isinstance(value, (bytearray, memoryview)):
        value = bytes(value)
    compiled = compile_pattern(value, anchored=True)
    return StreamPattern(compiled if isinstance(compiled, Regex) else compiled.literal)


EndOf = Callable[[bytearray, int, int], int | None]
"""Gives where a message ends, maybe beyond what has come; None if that can't be told yet.

Called with the buffer, the place where the message begins, and the place up to which no end was found before.
"""


class MessageEnds:
    """Finds where the messages of one connection end. It remembers what it needn't look at, or ask for, again."""

    def __init__(self, end_of: EndOf) -> None:
        self._end_of = end_of
        self.length: int | None = None
        """That of the message that was looked for last, where it is known, be it beyond what has come."""
        self._start = 0
        self._end: int | None = None
        self._least = 1
        """How long the buffer has to be before it is looked at again."""

    def find(self, buffer: bytearray, start: int) -> int | None:
        """Where the message that begins at ``start`` ends; None as yet. Each begins behind the one before.

        Raises:
            Exception: of the framing callable; a `TypeError` or `ValueError` if what it gave is no length.
        """
        if start != self._start:
            self._start, self._end, self._least, self.length = start, None, start + 1, None
        if self._end is None and len(buffer) >= self._least:
            end = self._end_of(buffer, start, self._least - 1)
            self.length = None if end is None else end - start
            if end is not None and end <= len(buffer):
                self._end = end
            else:
                # What is said to end beyond that is looked at once more: it may have been the end of a header.
                self._least = len(buffer) + 1 if end is None else end
        return self._end

    def missed(self, buffer: bytearray, start: int) -> bool:
        """Whether all that has come from ``start`` on was looked at, and has no end of a message."""
        return start == self._start and self._end is None and start < len(buffer) < self._least


class Framing:
    """Tells where the messages of a stream end."""

    def __init__(self, value: bytes | Callable[[bytes], int | None]) -> None:
        self._value = value

    def __str__(self) -> str:
        has_text = isinstance(self._value, bytes) or hasattr(self._value, "__qualname__")
        return shown(self._value if has_text else type(self._value))

    def ends(self) -> MessageEnds:
        """Look for the ends of the messages of one connection."""
        value = self._value
        return MessageEnds(_delimited(value) if isinstance(value, bytes) else _measured(value, str(self)))


def check_framing(value: Any) -> Framing | None:
    """Give the framing that ``value`` means.

    Raises:
        TypeError, ValueError: it is neither a delimiter nor callable.
    """
    if value is None:
        return None
    if callable(value):
        return Framing(not_async(value, "framing"))
    delimiter = bytes_like(value, "framing, if it isn't a callable,")
    if not delimiter:
        raise ValueError("framing must be a delimiter of at least 1 byte, not b''")
    return Framing(delimiter)


def _delimited(delimiter: bytes) -> EndOf:
    def end_of(buffer: bytearray, start: int, looked: int) -> int | None:
        at = buffer.find(delimiter, max(start, looked - len(delimiter) + 1))
        return None if at < 0 else at + len(delimiter)

    return end_of


def _measured(length_of: Callable[[bytes], int | None], told: str) -> EndOf:
    """By a callable that is asked for the length of the first message, with all that is unread."""

    def end_of(buffer: bytearray, start: int, _: int) -> int | None:
        length = length_of(cut(buffer, start))
        if length is None:
            return None
        if isinstance(length, bool) or not isinstance(length, int):
            raise TypeError(
                f"framing must give the length of the first message or None, not {in_short(length)}, "
                f"which {told} gave"
            )
        if length < 1:
            raise ValueError(
                f"framing gave {length} as the length of a message, which has at least 1 byte: it is {told}"
            )
        return start + length

    return end_of


class _LiteralPrefix:
    def __init__(self, literal: bytes, start: int) -> None:
        self.diverged = False
        self._literal = literal
        self._start = start
        self._alike = 0

    def find(self, buffer: bytearray) -> Found | None:
        start, end = self._start, self._start + len(self._literal)
        alike, here = self._alike, min(len(buffer), end)
        if not self.diverged and buffer[start + alike : here] == self._literal[alike : here - start]:
            self._alike = here - start
        else:
            self.diverged = True
        return (self._literal, start, end) if self._alike == len(self._literal) else None


class _LiteralAnywhere:
    diverged = False

    def __init__(self, literal: bytes, start: int) -> None:
        self._literal = literal
        self._search = Literal(literal).search_from(start)

    def find(self, buffer: bytearray) -> Found | None:
        found = self._search.find(buffer)
        return None if found is None else (self._literal, found[1] - len(self._literal), found[1])


class _RegexSearch:
    """Diverges only from a plain beginning; behind that there is no telling, for a regular expression."""

    def __init__(self, search: Search[re.Match[bytes]], head: tuple[bytes, ...]) -> None:
        self.diverged = False
        self._search = search
        self._head = head

    def find(self, buffer: bytearray) -> Found | None:
        start = self._search.start
        begin = buffer[start : start + len(self._head)]
        if any(byte not in may_be for byte, may_be in zip(begin, self._head, strict=False)):
            self.diverged = True
            return None
        found = self._search.find(buffer)
        return None if found is None else (found[0], self._search.start + found[0].start(), found[1])
