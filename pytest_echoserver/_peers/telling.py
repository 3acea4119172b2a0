"""How things are written in what is told of them."""

from typing import Any


def told_bytes(count: int) -> str:
    return "1 byte" if count == 1 else f"{count} bytes"


def shown(value: Any, most: int = 60) -> str:
    """A pattern or an answer as it may be written, cut if it is long."""
    if value is ...:
        return "..."
    if callable(value):
        return str(getattr(value, "__qualname__", None) or repr(value)).replace("<locals>.", "")
    text = repr(value)
    return text if len(text) <= most else f"{text[: most - 20]}…{text[-19:]}"
