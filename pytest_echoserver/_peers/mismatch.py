"""`ScriptMismatch`: what came is not what the script says; told with the script and the first difference."""

import re
from collections.abc import Callable
from contextlib import suppress
from typing import Any, NamedTuple

from .._patterns import Regex
from .._regexes import most_tries
from .._telling import told_bytes
from .matching import MessagePattern, StreamPattern
from .script import Script, Step

WINDOW = 16
"""Bytes in a line of a difference."""
LONGEST_LINE = 110
MOST_TRIES = 10**6
"""Tries to match that are made to say why a regular expression doesn't."""
CLIENT_HELLO = re.compile(rb"\x16\x03...\x01", re.DOTALL)
"""A TLS record of a handshake, and what that begins with (RFC 8446, 4 and 5.1)."""


class ScriptMismatch(AssertionError):
    """The code under test has sent what its peer's script doesn't expect, or has not sent what it does.

    The text has the script, with what of it was met and in which line each step stands, what came, and the first
    difference between the two.
    """

    __module__ = "pytest_echoserver"
    _only_missing = False
    """Whether it tells of nothing that has come."""


def missing(text: str) -> ScriptMismatch:
    """The error for what has not come, and for nothing else."""
    error = ScriptMismatch(text)
    error._only_missing = True
    return error


class Unended(NamedTuple):
    """A framing that finds no end in what has come, and the length of the message if it has told of that."""

    framing: str
    length: int | None


class LeftOver(NamedTuple):
    """What nothing has matched as yet: from where it came, its bytes, and what of them is no whole message."""

    where: str
    data: bytes
    unended: Unended | None = None


def unexpected(
    script: Script, what: str, got: bytes, why: str = "", unended: Unended | None = None
) -> ScriptMismatch:
    """The error for something that came and that nothing matches.

    Args:
        what: what came and from where, as "8 bytes on connection 1".
        got: its bytes, for the difference.
        why: what else has to be said, as ": the script is at its end".
        unended: the framing that finds no end in these bytes.
    """
    lines = [f"{script.peer}: unexpected {what}" + why]
    lines += _told_script(script)
    lines += _told_difference(script, got, unended)
    later = [n for n, step in enumerate(script.steps, 1) if n > script.position + 1 and _matches(step, got)]
    if later and unended is None:
        lines.append(f"  it would match step {later[0]}: is it out of order, or is something missing before it?")
    return ScriptMismatch("\n".join(lines))


def unmet(script: Script, left: list[LeftOver]) -> ScriptMismatch:
    """The error for what was expected and never came, and for what came and nothing has matched."""
    count, of = len(script.unmet), len(script.steps)
    if of == count == 1:
        head = "the script's only step was not met"
    elif count:
        head = f"{count} of the script's {of} steps {'was' if count == 1 else 'were'} not met"
    else:
        head = "something came that nothing has matched"
    lines = [f"{script.peer}: {head}", *_told_script(script)]
    for each in left:
        lines.append(f"  left over {each.where}:")
        lines += _told_difference(script, each.data, each.unended)
    text = "\n".join(lines)
    return ScriptMismatch(text) if left else missing(text)


def _told_script(script: Script) -> list[str]:
    lines = []
    width = min(LONGEST_LINE, max((len(step.told()) for step in script.steps), default=0))
    for number, step in enumerate(script.steps, 1):
        current = number == script.position + 1
        state = "met" if step.met else f"met {step.count} of {step.times} times" if step.count else "not met"
        mark = ">" if current else " "
        lines.append(f"  {mark} {number}. {_cut(step.told()):<{width}}  {state:<8} {step.where}".rstrip())
    if script.steps and script.current is None:
        lines.append("  > the end of the script")
    for step in script.rules:
        often = f"came {'once' if step.count == 1 else f'{step.count} times'}" if step.count else "never came"
        lines.append(f"    a rule: {_cut(step.told())}  {often}  {step.where}".rstrip())
    return lines


def _told_difference(script: Script, got: bytes, unended: Unended | None) -> list[str]:
    """The first difference between ``got`` and what comes nearest to it, with offset, hex and text."""
    wanted = [step for step in [script.current, *script.rules] if step is not None]
    # A rule is near only if it begins alike: what comes need not have been meant for it.
    literals = [
        literal
        for step in wanted
        if (literal := _literal(step)) is not None and (step is script.current or _common(literal, got))
    ]
    told = [f"  got: {_payload(script.redact(got))}"]
    if CLIENT_HELLO.match(got):
        told.append("  this looks like a TLS ClientHello: tls_peer speaks TLS, and what is made with tls=True")
    if unended is not None:
        length = unended.length
        end = "finds no end in it" if length is None else f"says that it has {told_bytes(length)}, not {len(got)}"
        told.append(f"  it is no whole message: framing, {_cut(unended.framing)}, {end}")
    elif not literals:
        patterns = [step for step in wanted if isinstance(step.wanted, (MessagePattern, StreamPattern))]
        for step in patterns[:3]:
            told += [f"  it does not match {_cut(step.pattern)}", *_why_not(step, got, script.redact)]
    if not literals:
        return told
    nearest = max(literals, key=lambda literal: _common(literal, got))
    at = _common(nearest, got)
    if at == len(nearest) == len(got):
        return told
    return told + _told_difference_at(at, nearest, got, script.redact)


def _told_difference_at(at: int, expected: bytes, got: bytes, redact: Callable[[bytes], bytes]) -> list[str]:
    """The difference, which is at this place of what really was, as far as it is shown to all."""
    shown, shown_got = redact(expected), redact(got)
    place = _place(at, expected, shown)
    if place is None or place != _place(at, got, shown_got):
        return ["  the first difference is in what is secret, and was left out"]
    begin = place - place % WINDOW
    return [
        f"  the first difference is at offset {place} (0x{place:x}): {_difference(shown, shown_got, place)}",
        f"    expected  {begin:04x}  {_hex_line(shown, begin)}",
        f"    got       {begin:04x}  {_hex_line(shown_got, begin)}",
        " " * (len("    expected  0000  ") + 3 * (place - begin)) + "^^",
    ]


def _place(at: int, data: bytes, shown: bytes) -> int | None:
    """Where a place of what really was is in what is shown of that; None if it isn't shown, or that isn't plain."""
    if shown[: at + 1] == data[: at + 1]:
        return at
    if shown.endswith(data[at:]):
        return len(shown) - len(data[at:])
    return at if len(shown) == len(data) and shown[at : at + 1] == data[at : at + 1] else None


def _why_not(step: Step, got: bytes, redact: Callable[[bytes], bytes]) -> list[str]:
    """Why a regular expression doesn't match, where that is easily missed, and found out at once."""
    value = step.wanted.value
    regex = value.regex if isinstance(value, Regex) else value
    if not isinstance(regex, re.Pattern) or redact(got) != got:  # how much matches tells how long a secret is
        return []
    with suppress(Warning):  # of a pattern that Python warned of before, where that is no error
        if most_tries(regex, len(got)) <= MOST_TRIES:
            return _why_none(regex, got, whole=isinstance(step.wanted, MessagePattern))
    return []


def _why_none(regex: re.Pattern[bytes], got: bytes, *, whole: bool) -> list[str]:
    begins = regex.match(got) if whole else None
    if begins is not None and begins.end():
        first = "byte" if begins.end() == 1 else f"{begins.end()} bytes"
        return [f"    it matches the first {first} of {len(got)} alone: a pattern has to match all of it"]
    with_newlines = re.compile(regex.pattern, (regex.flags | re.DOTALL) & ~re.DEBUG)
    if with_newlines.fullmatch(got) if whole else with_newlines.match(got):
        return ["    a newline is what `.` doesn't match: (?s:.*) does"]
    return []


def _difference(expected: bytes, got: bytes, at: int) -> str:
    if at >= len(got):
        more = len(expected) - at - 1
        return f"{_byte(expected, at)}{f' and {more} more' if more else ''} expected, and nothing more came"
    if at >= len(expected):
        return f"{told_bytes(len(got) - at)} more than expected"
    return f"{_byte(expected, at)} expected, {_byte(got, at)} got"


def _byte(data: bytes, at: int) -> str:
    return f"0x{data[at]:02x} {data[at : at + 1]!r}"


def _hex_line(data: bytes, begin: int) -> str:
    piece = data[begin : begin + WINDOW]
    return f"{piece.hex(' '):<{3 * WINDOW - 1}}  {piece!r}"


def _literal(step: Step) -> bytes | None:
    value = step.wanted.value if isinstance(step.wanted, (MessagePattern, StreamPattern)) else None
    return value if isinstance(value, bytes) else None


def _matches(step: Step, got: bytes) -> bool:
    if isinstance(step.wanted, StreamPattern):
        return step.wanted.search_from(0).find(bytearray(got)) is not None
    if not isinstance(step.wanted, MessagePattern):
        return False
    value: Any = step.wanted.value
    # A predicate is the user's code, and was not written to be asked this.
    return isinstance(value, (bytes, re.Pattern)) and step.wanted.match(got) is not None


def _common(one: bytes, other: bytes) -> int:
    """The length of what both begin with."""
    length = min(len(one), len(other))
    if one[:length] == other[:length]:
        return length
    return next(at for at in range(length) if one[at] != other[at])


def _payload(data: bytes, most: int = 200) -> str:
    if len(data) <= most:
        return f"{data!r} ({told_bytes(len(data))})"
    return f"{data[: most // 2]!r} … {data[-most // 2 :]!r} ({told_bytes(len(data))})"


def _cut(text: str) -> str:
    return text if len(text) <= LONGEST_LINE else f"{text[: LONGEST_LINE - 1]}…"
