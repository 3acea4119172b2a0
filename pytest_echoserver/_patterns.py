"""What a read may wait for in a stream of bytes: a literal or a regular expression.

A stream has no messages, and the kernel may cut it anywhere. So a pattern must mean the same however the bytes
were cut: it is met at the first place where it can be said to be complete.
"""

import importlib
import re
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

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

    def __str__(self) -> str:
        return repr(self.literal)


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

    def __str__(self) -> str:
        return repr(self.regex.pattern)


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
        last = _last_bytes(value)
        if not last:
            raise ValueError(
                f"{value!r} doesn't end in a literal byte, so where its match ends would depend on how the "
                "stream was cut: end it in what ends the message, as in rb'(\\d+)\\n'"
            )
        return Regex(value, re.compile(b"[%b]" % re.escape(last)), anchored, _first_bytes(value))
    raise TypeError(f"a pattern must be bytes or a compiled regular expression of bytes, not {value!r}")


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


class _RegexSearch:
    def __init__(self, pattern: Regex, start: int) -> None:
        self.start = start
        self._pattern = pattern
        self._tried = 0

    def find(self, buffer: bytearray) -> tuple[re.Match[bytes], int] | None:
        with memoryview(buffer) as whole, whole[self.start :] as unread:
            regex = self._pattern.regex
            from_ = 0
            if not self._pattern.anchored:
                if not self._pattern.ends.search(unread, self._tried):
                    self._tried = len(unread)
                    return None
                rough = regex.search(unread)
                if rough is None:
                    self._tried = len(unread)
                    return None
                from_ = rough.start()
                self._tried = max(self._tried, from_)
            match = regex.fullmatch if self._pattern.anchored else regex.search
            for end_byte in self._pattern.ends.finditer(unread, self._tried):
                self._tried = end_byte.end()
                if match(unread, from_, self._tried):
                    # Once more on a copy: what the user gets must not hold on to the buffer.
                    found = match(bytes(unread[: self._tried]))
                    if found:
                        return found, self.start + found.end()
        return None


def _first_bytes(regex: re.Pattern[bytes]) -> tuple[bytes, ...]:
    """The bytes that may stand at each place where a match of ``regex`` begins, as far as that is plain."""
    places, _ = _first_of(_parser.parse(regex.pattern, regex.flags), regex.flags)
    return tuple(places)


def _first_of(parsed: Any, flags: int) -> tuple[list[bytes], bool]:
    """The same for a part of it; and whether these are all its places, so that the next ones follow them."""
    places: list[bytes] = []
    for operation, argument in parsed:
        match str(operation):
            case "LITERAL":
                more, all_ = [_cases(argument, flags)], True
            case "SUBPATTERN":
                _, added, removed, inner = argument
                more, all_ = _first_of(inner, (flags | added) & ~removed)
            case "BRANCH":
                branches = [_first_of(branch, flags) for branch in argument[1]]
                more = [b"".join(choice) for choice in zip(*(begin for begin, _ in branches), strict=False)]
                all_ = all(whole and len(begin) == len(more) for begin, whole in branches)
            case "IN" if all(str(kind) == "LITERAL" for kind, _ in argument):
                more, all_ = [b"".join(_cases(byte, flags) for _, byte in argument)], True
            case _:
                more, all_ = [], False
        places += more
        if not all_:
            return places, False
    return places, True


def _last_bytes(regex: re.Pattern[bytes]) -> bytes:
    """The literal bytes in one of which every match of ``regex`` ends; empty if not every match does."""
    return _last_of(_parser.parse(regex.pattern, regex.flags), regex.flags)


def _last_of(parsed: Any, flags: int) -> bytes:
    items = list(parsed)
    if not items:
        return b""
    operation, argument = items[-1]
    match str(operation):
        case "LITERAL":
            return _cases(argument, flags)
        case "SUBPATTERN":
            _, added, removed, inner = argument
            return _last_of(inner, (flags | added) & ~removed)
        case "ATOMIC_GROUP":
            return _last_of(argument, flags)
        case "MAX_REPEAT" | "MIN_REPEAT" if argument[0] == argument[1] > 0:
            return _last_of(argument[2], flags)
        case "BRANCH":
            ends = [_last_of(branch, flags) for branch in argument[1]]
            return b"".join(ends) if all(ends) else b""
        case "IN":  # what the parser makes of (?:a|b) too
            literals = [_last_of([item], flags) for item in argument if str(item[0]) == "LITERAL"]
            return b"".join(literals) if len(literals) == len(argument) else b""
        case _:
            return b""


def _cases(value: int, flags: int) -> bytes:
    byte = bytes([value])
    return byte.lower() + byte.upper() if flags & re.IGNORECASE else byte


# Python has no public way to ask what a regular expression ends in. The parser's form is as old as the module;
# 3.11 gave it this name.
_parser: Any = importlib.import_module("re._parser")
