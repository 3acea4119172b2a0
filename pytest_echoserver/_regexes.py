"""What can be said of all matches of a regular expression, before any is looked for."""

import importlib
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import takewhile
from typing import Any

# Python has no public way to ask what a regular expression is made of. The parser's form is as old as the module;
# 3.11 gave it this name.
_parser: Any = importlib.import_module("re._parser")
_compiler: Any = importlib.import_module("re._compiler")

ALL_BYTES = frozenset(range(256))
ONE_BYTE = {"LITERAL", "NOT_LITERAL", "ANY", "IN"}
REPEATS = {"MAX_REPEAT", "MIN_REPEAT"}
EVERY_REPEAT = REPEATS | {"POSSESSIVE_REPEAT"}
LOOKS = {"ASSERT", "ASSERT_NOT"}


@dataclass(frozen=True, slots=True)
class Reach:
    """How far a try for a match can look from where it begins, if it fails: over at most ``width`` bytes, if that
    is known, and over none but those in ``inner``, up to the one byte that it stops at."""

    width: int | None
    inner: bytes


@lru_cache(maxsize=256)
def reach_of(regex: re.Pattern[bytes]) -> Reach:
    """The reach of ``regex``, with what looks ahead. A try that has the last byte is met: it isn't inner."""
    parsed = _parser.parse(regex.pattern, regex.flags)
    widest = parsed.getwidth()[1] + _width_ahead(parsed)
    return Reach(
        width=None if widest >= _parser.MAXREPEAT else widest,
        inner=bytes(_bytes_of(parsed, regex.flags, but_the_last=True)),
    )


def _width_ahead(parsed: Any) -> int:
    """How many bytes at most all that looks ahead in a part goes through beyond what matches it."""
    ahead = sum(inner.getwidth()[1] for operation, inner in _parts(parsed) if operation in LOOKS)
    return int(ahead) + sum(_width_ahead(inner) for _, inner in _parts(parsed))


def _parts(parsed: Any) -> Iterator[tuple[str, Any]]:
    """The parts within a part, each with the name of what it is in."""
    for operation, argument in parsed:
        match name := str(operation):
            case "SUBPATTERN":
                yield name, argument[3]
            case "BRANCH":
                yield from ((name, branch) for branch in argument[1])
            case "ATOMIC_GROUP":
                yield name, argument
            case "GROUPREF_EXISTS":
                yield from ((name, branch) for branch in argument[1:] if branch is not None)
            case _ if name in EVERY_REPEAT:
                yield name, argument[2]
            case _ if name in LOOKS:
                yield name, argument[1]


@lru_cache(maxsize=256)
def loosened(regex: re.Pattern[bytes]) -> re.Pattern[bytes]:
    r"""A regex that finds a match in all in which, or in a beginning of which, ``regex`` finds one.

    That is ``regex`` itself if what it says of some bytes is not changed by what follows them: if it doesn't look
    ahead, as ``$``, ``\b`` and ``(?!...)`` do, nor forget its other choices, as atomic groups do.
    """
    parsed = _parser.parse(regex.pattern, regex.flags & ~re.DEBUG)
    try:
        loose = _loosened(parsed)
    except _NotLoosenedError:
        return re.compile(b"")
    if loose is parsed:
        return regex
    found: re.Pattern[bytes] = _compiler.compile(loose)
    return found


class _NotLoosenedError(Exception):
    """What a part says depends on whether another has matched."""


def _loosened(parsed: Any) -> Any:
    """A part without what a longer piece may undo; the part itself if there is nothing of that."""
    loose: list[Any] = []
    for item in parsed:
        operation, argument = item
        match str(operation):
            case "AT":
                loose += [item] if str(argument).startswith("AT_BEGINNING") else []
            case "SUBPATTERN":
                inner = _loosened(argument[3])
                loose.append(item if inner is argument[3] else (operation, (*argument[:3], inner)))
            case "BRANCH":
                branches = [_loosened(branch) for branch in argument[1]]
                same = all(new is old for new, old in zip(branches, argument[1], strict=True))
                loose.append(item if same else (operation, (argument[0], branches)))
            case name if name in REPEATS:
                inner = _loosened(argument[2])
                loose.append(item if inner is argument[2] else (operation, (*argument[:2], inner)))
            case "POSSESSIVE_REPEAT":
                loose.append((_parser.MAX_REPEAT, (*argument[:2], _loosened(argument[2]))))
            case "ATOMIC_GROUP":
                loose.append((_parser.SUBPATTERN, (None, 0, 0, _loosened(argument))))
            case "ASSERT":
                loose.append((operation, (argument[0], _loosened(argument[1]))))
            case "GROUPREF":
                loose.append((operation, argument))
            case name if name in ONE_BYTE:
                loose.append(item)
            case name if name != "ASSERT_NOT":
                raise _NotLoosenedError(name)
    same = len(loose) == len(parsed) and all(new is old for new, old in zip(loose, parsed, strict=True))
    return parsed if same else _parser.SubPattern(parsed.state, loose)


def _bytes_of(parsed: Any, flags: int, *, but_the_last: bool = False) -> frozenset[int]:
    """The bytes that a try may go through, or those before the one with which it has all of the part."""
    items = list(parsed)
    found: frozenset[int] = frozenset()
    for place, (operation, argument) in enumerate(items):
        inner = but_the_last and place == len(items) - 1
        match str(operation):
            case "SUBPATTERN":
                found |= _bytes_of(argument[3], (flags | argument[1]) & ~argument[2], but_the_last=inner)
            case "BRANCH":
                found = found.union(*(_bytes_of(branch, flags, but_the_last=inner) for branch in argument[1]))
            case name if name in EVERY_REPEAT:
                found |= _bytes_of(argument[2], flags, but_the_last=inner and argument[1] == 1)
            case "GROUPREF" if not flags & re.IGNORECASE:
                pass  # its group has them
            case name if name in LOOKS:
                found |= _bytes_of(argument[1], flags)
            case name if name in ONE_BYTE:
                found |= frozenset() if inner else _one_byte((operation, argument), flags)
            case "ATOMIC_GROUP":
                found |= _bytes_of(argument, flags, but_the_last=inner)
            case name if name != "AT":
                return ALL_BYTES
    return found


def _one_byte(item: Any, flags: int) -> frozenset[int]:
    """The bytes that an item for one byte matches: those that Python says it does."""
    state = _parser.State()
    state.flags = flags & ~re.DEBUG
    fits = _compiler.compile(_parser.SubPattern(state, [item])).fullmatch
    return frozenset(byte for byte in ALL_BYTES if fits(bytes([byte])))


def most_tries(regex: re.Pattern[bytes], length: int) -> float:
    """How often ``regex`` may have to be tried, at most, in so many bytes: infinitely often if that isn't plain.

    Who goes back on what it has matched multiplies that by all that follows; within a repetition, again each time.
    """
    return _tries_of(_parser.parse(regex.pattern, regex.flags), length)


def _tries_of(parsed: Any, length: int) -> float:
    tries = 1.0
    for operation, argument in parsed:
        match str(operation):
            case "SUBPATTERN":
                tries *= _tries_of(argument[3], length)
            case "BRANCH":
                tries *= sum(_tries_of(branch, length) for branch in argument[1])
            case name if name in REPEATS:
                least, most, repeated = argument
                once = _tries_of(repeated, length)
                tries *= min(most - least, length) + 1 if once == 1 else math.inf
            case name if name not in ONE_BYTE | {"AT"}:
                return math.inf
    return tries


def first_bytes(regex: re.Pattern[bytes]) -> tuple[bytes, ...]:
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


def last_bytes(regex: re.Pattern[bytes]) -> bytes:
    """The literal bytes in one of which every match of ``regex`` ends; empty if not every match does."""
    return _last_of(_parser.parse(regex.pattern, regex.flags), regex.flags)


def literal_end(regex: re.Pattern[bytes]) -> bytes:
    """The bytes that every match of ``regex`` ends in, as far as that is plain."""
    parsed = _parser.parse(regex.pattern, regex.flags)
    if regex.flags & re.IGNORECASE:
        return b""
    plain = takewhile(lambda item: str(item[0]) == "LITERAL", reversed(list(parsed)))
    return bytes(byte for _, byte in plain)[::-1]


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
