"""What can be said of all matches of a regular expression, before any is looked for."""

import importlib
import math
import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

# Python has no public way to ask what a regular expression is made of. The parser's form is as old as the module;
# 3.11 gave it this name.
_parser: Any = importlib.import_module("re._parser")
_compiler: Any = importlib.import_module("re._compiler")

ALL_BYTES = frozenset(range(256))
ONE_BYTE = {"LITERAL", "NOT_LITERAL", "ANY", "IN"}
REPEATS = {"MAX_REPEAT", "MIN_REPEAT"}


@dataclass(frozen=True, slots=True)
class Reach:
    """How far back a match can begin: it has at most ``width`` bytes, if that is known, and before its last one
    none but those in ``inner``."""

    width: int | None
    inner: bytes


@lru_cache(maxsize=256)
def reach_of(regex: re.Pattern[bytes]) -> Reach | None:
    r"""The reach of matches of ``regex``; None if it isn't plain.

    One is plain if what it says of some bytes is not changed by what follows them, but for the one byte that \b
    looks at: then a match within a piece is a match within every longer piece, and the other way round if it ends
    there. What looks ahead isn't plain, nor is what forgets its other choices (atomic groups), nor an end of all.
    """
    parsed = _parser.parse(regex.pattern, regex.flags)
    if not _is_plain(parsed, regex.flags):
        return None
    widest = parsed.getwidth()[1]
    return Reach(
        width=None if widest >= _parser.MAXREPEAT else widest,
        inner=bytes(_bytes_of(parsed, regex.flags, but_the_last=True)),
    )


def _is_plain(parsed: Iterable[Any], flags: int) -> bool:
    for operation, argument in parsed:
        match str(operation):
            case "AT":
                plain = str(argument) != "AT_END_STRING" and (str(argument) != "AT_END" or flags & re.MULTILINE)
            case "SUBPATTERN":
                plain = _is_plain(argument[3], (flags | argument[1]) & ~argument[2])
            case "BRANCH":
                plain = all(_is_plain(branch, flags) for branch in argument[1])
            case name if name in REPEATS:
                plain = _is_plain(argument[2], flags)
            case name:
                plain = name in ONE_BYTE
        if not plain:
            return False
    return True


def _bytes_of(parsed: Any, flags: int, *, but_the_last: bool = False) -> frozenset[int]:
    """The bytes that matches of a plain part may have, or those that they may have before their last one."""
    items = list(parsed)
    found: frozenset[int] = frozenset()
    for place, (operation, argument) in enumerate(items):
        inner = but_the_last and place == len(items) - 1
        match str(operation):
            case "SUBPATTERN":
                found |= _bytes_of(argument[3], (flags | argument[1]) & ~argument[2], but_the_last=inner)
            case "BRANCH":
                found = found.union(*(_bytes_of(branch, flags, but_the_last=inner) for branch in argument[1]))
            case name if name in REPEATS:
                found |= _bytes_of(argument[2], flags, but_the_last=inner and argument[1] == 1)
            case name if name in ONE_BYTE and not inner:
                found |= _one_byte((operation, argument), flags)
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
