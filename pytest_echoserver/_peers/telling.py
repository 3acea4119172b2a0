"""How things are written in what is told of them."""

import re
from collections.abc import Callable
from typing import Any


def shown(value: Any, most: int = 60, *, redact: Callable[[bytes], bytes] = bytes) -> str:
    """A pattern or an answer as it may be written, cut if it is long, and without what ``redact`` takes out."""
    if value is ...:
        return "..."
    if callable(value):
        return str(getattr(value, "__qualname__", None) or repr(value)).replace("<locals>.", "")
    if isinstance(value, bytes):
        value = redact(value)
    elif isinstance(value, re.Pattern) and isinstance(value.pattern, bytes):
        redacted = redact(value.pattern)
        value = value if redacted == value.pattern else redacted
    text = repr(value)
    return text if len(text) <= most else f"{text[: most - 20]}…{text[-19:]}"


def first_bytes(data: bytes, most: int = 60) -> str:
    """Bytes as they may be written within a line: the first of many."""
    return repr(data) if len(data) <= most else f"{data[:most]!r}…"
