"""What callers may pass: checked at the call, with an error that names the value and what is allowed."""

import inspect
from collections.abc import Sequence
from typing import Any

from ._telling import told_function

__tracebackhide__ = True

MOST_TOLD = 1000
"""Characters of a wrong value that an error shows."""


def in_short(value: object) -> str:
    """Tell a value in an error: what was to be sent, and isn't bytes, may be megabytes of text."""
    return cut_short(repr(value))


def cut_short(text: str, most: int = MOST_TOLD) -> str:
    """Its beginning, and how long it is, if it is longer than so many characters."""
    return text if len(text) <= most else f"{text[:most]}… ({len(text)} characters)"


def bytes_like(value: object, name: str = "data") -> bytes:
    """Give the bytes of ``value``; raise TypeError if it has none."""
    if isinstance(value, (bytes, bytearray, memoryview)):
        return bytes(value)
    raise TypeError(f"{name} must be bytes, not {in_short(value)}")


def whole_number(value: object, name: str, *, least: int, most: int | None = None) -> int:
    """Give ``value`` back as an int from ``least`` to ``most``; raise TypeError or ValueError if it isn't."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{name} must be an int, not {value!r}")
    if value < least:
        raise ValueError(f"{name} must be {least} or more, not {value}")
    if most is not None and value > most:
        raise ValueError(f"{name} must be {most} or less, not {value}")
    return value


def flag(value: object, name: str) -> bool:
    """Give ``value`` back if it is True or False; raise TypeError if not."""
    if isinstance(value, bool):
        return value
    raise TypeError(f"{name} must be True or False, not {value!r}")


def choice(value: object, name: str, allowed: Sequence[str]) -> None:
    """Raise ValueError if ``value`` is none of what is allowed."""
    if value not in allowed:
        raise ValueError(f"{name} must be {', '.join(map(repr, allowed[:-1]))} or {allowed[-1]!r}, not {value!r}")


def not_async(value: Any, what: str) -> Any:
    """Give ``value`` back; raise TypeError if calling it would give a coroutine, which nobody here awaits."""
    if inspect.iscoroutinefunction(value) or inspect.iscoroutinefunction(getattr(value, "__call__", None)):  # noqa: B004
        raise TypeError(
            f"{what} must be a plain function: {told_function(value)} is async, and nothing would await it"
        )
    return value


def factory(value: object, what: str) -> Any:
    """Give ``value`` back if it can be called to make a ``what``; raise TypeError if not."""
    if callable(value):
        return not_async(value, f"a factory of {what}")
    raise TypeError(f"a factory of {what} is called to make one, as in `lambda: MyProtocol()`; got {value!r}")
