"""Text that can be shown anywhere, whatever names it has in it; and no longer than it needs be."""

import signal
import traceback
from dataclasses import fields
from typing import Any


def escaped(text: str, *, keeping: str = "") -> str:
    """A text with all that isn't printable as Python would write it: no terminal obeys it, any file takes it."""
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() or char in keeping else repr(char)[1:-1] for char in text)


def told_place(address: Any) -> str:
    """A socket's address: a path, or (host, port) and what else it may have."""
    return address if isinstance(address, str) else f"{address[0]} port {address[1]}"


def told_bytes(count: int, form: str = "") -> str:
    """So many bytes; ``form`` is how the number is written."""
    return f"{count:{form}} byte{'' if count == 1 else 's'}"


def told_datagrams(count: int, form: str = "") -> str:
    """So many datagrams; likewise."""
    return f"{count:{form}} datagram{'' if count == 1 else 's'}"


def told_signal(number: int) -> str:
    """A signal as it is called (signal(7))."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def told_error(error: BaseException, most: int = 200) -> str:
    """An exception on one line: its type, and the first line of its text."""
    lines = traceback.format_exception_only(error)
    # That of a SyntaxError begins with the place.
    told = next((line for line in lines if not line.startswith(" ")), lines[0]).partition("\n")[0]
    return told if len(told) <= most else f"{told[:most]}…"


def told_function(function: object) -> str:
    """A function of the user's, or whatever else is called, by its name if it has one."""
    return f"{getattr(function, '__qualname__', function)}"


class ToldInShort:
    """A dataclass whose text has only what differs from its defaults; an event's argument is shown by it."""

    __slots__ = ()

    def __repr__(self) -> str:
        shown = ", ".join(f"{name}={value!r}" for name, value in differing(self).items())
        return f"{type(self).__name__}({shown})"


def differing(told: ToldInShort) -> dict[str, Any]:
    """The fields that differ from their defaults."""
    return {
        each.name: value
        for each in fields(told)  # type: ignore[arg-type]  # who inherits that is a dataclass
        if (value := getattr(told, each.name)) != each.default
    }
