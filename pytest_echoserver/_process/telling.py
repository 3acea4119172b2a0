"""How a program, its end and its output are told in errors."""

import os
import shlex
from collections.abc import Sequence

from .._bytestream import ByteStream
from .._patterns import cut
from .._telling import escaped, told_bytes, told_signal

SHOWN = 2000
"""Bytes of an output that an error shows on each side of the place that matters."""
MOST_LINES = 20
"""Lines of them: before the place, from it on, and at the end."""
LONGEST_LINE = 160


def told_status(returncode: int | None) -> str:
    """An exit status as it is called: a number, or the name of the signal that ended the program (signal(7))."""
    if returncode is None:
        return "an unknown status"
    return str(returncode) if returncode >= 0 else told_signal(-returncode)


def told_why_unknown(status: str) -> str:
    """Why the exit status that is called ``status`` is unknown, and what to do."""
    return (
        f"{status} was collected by somebody else: by os.waitpid(-1, ...) or os.wait() in this process, or by the "
        "system, where SIGCHLD is ignored; wait for other children by their pids, and ignore no SIGCHLD meanwhile"
    )


def command_line(argv: Sequence[str], cwd: str | os.PathLike[str] | None) -> str:
    """What one could paste into a shell to run it, but for names that can't be shown as they are."""
    return escaped(("" if cwd is None else f"cd {shlex.quote(os.fspath(cwd))} && ") + shlex.join(argv))


def told_output(name: str, stream: ByteStream, searched_from: int | None = None) -> str:
    """An output so far, in lines of its own; those from the place on where a search began are marked."""
    with stream.lock:
        buffer, size = stream.buffer, len(stream.buffer)
        place = size if searched_from is None else searched_from
        before = cut(buffer, max(0, place - SHOWN), place)
        few = size - place <= 2 * SHOWN
        after = cut(buffer, place, None if few else place + SHOWN)
        last = b"" if few else cut(buffer, size - SHOWN)
    if not size:
        return f"  {name}: nothing"
    before, after, last = map(stream.redact, (before, after, last))
    searched = "" if searched_from is None else f", searched from byte {searched_from} (>)"
    shown_before, shown_after = _lines("    ", before), _lines("  > ", after) + _lines("  > ", last)
    return "\n".join(
        [
            f"  {name}, {told_bytes(size)}{searched}:",
            *(["    ..."] if place > SHOWN or len(shown_before) > MOST_LINES else []),
            *shown_before[-MOST_LINES:],
            *(shown_after[:MOST_LINES] or ([] if searched_from is None else ["  > (here it ends)"])),
            *(["    ..."] if last or len(shown_after) > 2 * MOST_LINES else []),
            *shown_after[MOST_LINES:][-MOST_LINES:],
        ]
    )


def _lines(margin: str, data: bytes) -> list[str]:
    return [margin + _cut(repr(line)) for line in data.splitlines(keepends=True)]


def _cut(text: str) -> str:
    return text if len(text) <= LONGEST_LINE else f"{text[:LONGEST_LINE]}…"
