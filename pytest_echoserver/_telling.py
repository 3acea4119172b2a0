"""Text that can be shown anywhere, whatever names it has in it."""


def escaped(text: str, *, keeping: str = "") -> str:
    """A text with all that isn't printable as Python would write it: no terminal obeys it, any file takes it."""
    return "".join(char if char.isprintable() or char in keeping else repr(char)[1:-1] for char in text)
