"""Payloads as they are shown: as text where they are text, else as hex; and never as what a terminal would obey."""

import codecs
import re
from collections import Counter
from dataclasses import dataclass

ODD = 8
"""What is text has at most one odd character in so many."""
TOKENS = re.compile(r"\\x..|\\u....|\\U........|\\.|.", re.DOTALL)
"""What an escaped text can be cut into."""
PAIRS = 3
"""Characters that a byte takes in a row of hex."""


@dataclass(frozen=True, slots=True)
class Payload:
    """The bytes of a message: all of them, or of many the first and the last.

    Attributes:
        size: how many there are.
        begin: the first of them, or all.
        end: the last of them, if not all are in ``begin``.
    """

    size: int
    begin: bytes
    end: bytes = b""

    @property
    def whole(self) -> bool:
        return self.size == len(self.begin)

    def cut(self, most: int) -> "Payload":
        """No more than ``most`` bytes of it, half from its beginning and half from its end."""
        if len(self.begin) + len(self.end) <= most:
            return self
        half = max(most // 2, 1)
        return Payload(self.size, self.begin[:half], (self.begin if self.whole else self.end)[-half:])


def is_text(payload: Payload) -> bool:
    """Whether it is text: UTF-8, with few control characters but tabs and line ends."""
    return _text(payload.begin, ends=payload.whole) is not None and (
        payload.whole or _text(payload.end, begins=False) is not None
    )


def on_one_line(payload: Payload) -> str:
    """It in one line, if it is text; else nothing."""
    if not payload.size:
        return "empty"
    return _literal(payload.begin) if payload.whole and is_text(payload) else ""


def rows(payload: Payload, width: int) -> list[str]:
    """It in as many lines as it needs, none longer than ``width``, if that is possible."""
    show = _text_rows if is_text(payload) else _hex_rows
    shown = show(payload.begin, width, 0)
    if not payload.whole:
        left_out = payload.size - len(payload.begin) - len(payload.end)
        shown += [f"... {left_out:,} more byte{'' if left_out == 1 else 's'} ..."] if left_out else []
        shown += show(payload.end, width, payload.size - len(payload.end)) if payload.end else []
    return shown


def _text(data: bytes, *, begins: bool = True, ends: bool = True) -> str | None:
    """These bytes as text, or None if they are none. What was cut may lack some of a character."""
    if not begins:
        data = data.lstrip(bytes(range(0x80, 0xC0)))
    try:
        text = codecs.getincrementaldecoder("utf-8")().decode(data, final=ends)
    except UnicodeDecodeError:
        return None
    others = text.replace("\t", "").replace("\r", "").replace("\n", "")
    # Of each character once: there may be many million, and most texts have no other anyway.
    odd = 0 if others.isprintable() else sum(n for char, n in Counter(others).items() if not char.isprintable())
    return None if odd * ODD > len(text) else text


def _literal(data: bytes) -> str:
    """A text as Python writes it: as bytes, where it is no more than ASCII."""
    return repr(data) if data.isascii() else repr(data.decode("utf-8", "backslashreplace"))


def _text_rows(data: bytes, width: int, _: int) -> list[str]:
    shown = []
    for line in data.splitlines(keepends=True) if data.count(b"\n") else [data]:
        literal = _literal(line)
        opening = literal[: 2 if literal.startswith("b") else 1]
        closing = opening[-1]
        inner = literal[len(opening) : -1]
        room = max(width - len(opening) - 1, 8)
        row = ""
        for token in TOKENS.findall(inner):
            if len(row) + len(token) > room:
                shown.append(opening + row + closing)
                row = ""
            row += token
        shown.append(opening + row + closing)
    return shown


def _hex_rows(data: bytes, width: int, offset: int) -> list[str]:
    columns = next((each for each in (16, 8) if width >= 8 + each * PAIRS + each // 8 + each), 4)
    shown = []
    for at in range(0, len(data), columns):
        row = data[at : at + columns]
        groups = (row[start : start + 8].hex(" ") for start in range(0, len(row), 8))
        printable = "".join(chr(byte) if 0x20 <= byte < 0x7F else "." for byte in row)
        pairs = "  ".join(groups).ljust(columns * PAIRS + columns // 8 - 2)
        shown.append(f"{offset + at:04x}  {pairs}  {printable}")
    return shown
