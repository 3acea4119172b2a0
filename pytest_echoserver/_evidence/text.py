"""The evidence as text, in the terminal's report of a failed test."""

import traceback
from collections.abc import Sequence
from pathlib import Path

from .._record import Event, PeerTraffic, Traffic

LONGEST_PAYLOAD = 100
"""Characters of a payload, as Python writes it, that are shown."""
MOST_EVENTS = 60
"""Events of a peer that are shown: half from the beginning, half from the end."""

_PACKAGE = str(Path(__file__).parents[1])


def sections(traffic: Traffic, errors: Sequence[Exception]) -> list[tuple[str, str]]:
    """The sections of a report, as (title, text): the errors that it doesn't show otherwise, and the traffic."""
    found = []
    if errors:
        text = "\n".join(map(_with_traceback, errors))
        found.append(("errors of this test's peers (pytest-echoserver)", text))
    if traffic.peers:
        text = "\n".join(line for peer in traffic.peers for line in _lines(peer, traffic.started))
        found.append(("what this test's peers saw (pytest-echoserver)", text))
    return found


def _with_traceback(error: Exception) -> str:
    """The error with the frames of whoever raised it: those behind the last one of this package."""
    told = traceback.TracebackException.from_exception(error)
    ours = [at for at, frame in enumerate(told.stack) if frame.filename.startswith(_PACKAGE)]
    if ours and ours[-1] + 1 < len(told.stack):
        told.stack = traceback.StackSummary.from_list(told.stack[ours[-1] + 1 :])
    return "".join(told.format())


def _lines(peer: PeerTraffic, started: float) -> list[str]:
    half = MOST_EVENTS // 2
    left_out = len(peer.events) - 2 * half
    if left_out <= 0:
        lines = [_line(event, started) for event in peer.events]
    else:
        first, last = peer.events[:half], peer.events[-half:]
        lines = [_line(event, started) for event in first]
        lines.append(f"  ... {left_out} more ...")
        lines += [_line(event, started) for event in last]
    return [peer.name, *(lines or ["  nothing"])]


def _line(event: Event, started: float) -> str:
    args = "  ".join(map(_shown, event.args))
    return f"  {event.time - started:+.4f} s  {event.name:<20} {args}".rstrip()


def _shown(arg: object) -> str:
    match arg:
        case bytes():
            shown = repr(arg[:LONGEST_PAYLOAD])
            if len(arg) > LONGEST_PAYLOAD or len(shown) > LONGEST_PAYLOAD:
                shown = shown[:LONGEST_PAYLOAD] + "…"
            return f"{len(arg)} bytes {shown}"
        case (str() as host, int() as port):
            return f"{host} port {port}"
        case BaseException():
            return traceback.format_exception_only(arg)[0].partition("\n")[0]
        case None | int() | str():
            return repr(arg)
        case _:
            return f"<{type(arg).__name__}>"
