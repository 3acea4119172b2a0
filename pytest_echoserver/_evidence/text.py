"""The evidence as text, in the terminal's report of a failed test."""

import traceback
from collections.abc import Iterable, Iterator, Sequence

from .._record import Event, PeerTraffic, Traffic
from .._tracebacks import behind_our_frames, is_ours

MOST_LINES = 60
"""Lines for one peer: half from its beginning, half from its end."""
LONGEST_PAYLOAD = 120
"""Characters of a payload, as Python writes it: half from its beginning, half from its end."""

CUT_BY_CHANCE = {"pipe_data_received", "stdin_written"}
PIPES = {0: "stdin", 1: "stdout", 2: "stderr"}


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
    told = traceback.TracebackException(type(error), error, behind_our_frames(error.__traceback__))
    while len(told.stack) > 1 and is_ours(told.stack[-1].filename):
        told.stack.pop()
    return "".join(told.format())


def _lines(peer: PeerTraffic, started: float) -> list[str]:
    lines = [
        f"  {event.time - started:+.4f} s  {event.name:<20} {_told(event, peer.numbered)}".rstrip()
        for event in _joined(peer.events)
    ]
    return [peer.name, *(_without_middle(lines) or ["  nothing"])]


def _joined(events: Iterable[Event]) -> Iterator[Event]:
    """The events, each run of those in which a pipe was cut by chance made into one."""
    run: list[Event] = []
    for event in events:
        what = (event.name, event.args[:-1])
        if run and not (event.name in CUT_BY_CHANCE and what == (run[0].name, run[0].args[:-1])):
            yield _as_one(run)
            run = []
        run.append(event)
    if run:
        yield _as_one(run)


def _as_one(run: list[Event]) -> Event:
    first = run[0]
    if len(run) == 1:
        return first
    return Event(first.time, first.name, (*first.args[:-1], b"".join(event.args[-1] for event in run)))


def _told(event: Event, numbered: bool) -> str:
    told = [_shown(arg) for arg in event.args]
    if numbered:
        told[0] = f"#{told[0]}"
    if event.name.startswith("pipe_"):
        told[0] = PIPES[event.args[0]]
    return "  ".join(told)


def _shown(arg: object) -> str:
    match arg:
        case bytes():
            half = LONGEST_PAYLOAD // 2
            if len(arg) <= LONGEST_PAYLOAD and len(shown := repr(arg)) <= LONGEST_PAYLOAD:
                return f"{len(arg)} bytes {shown}"
            # Cut before it is written out: it may be very long.
            return f"{len(arg)} bytes {repr(arg[:half])[:half]} … {repr(arg[-half:])[-half:]}"
        case (str() as host, int() as port):
            return f"{host} port {port}"
        case BaseException():
            return traceback.format_exception_only(arg)[0].partition("\n")[0]
        case None | int() | str():
            return repr(arg)
        case _:
            return f"<{type(arg).__name__}>"


def _without_middle(lines: list[str]) -> list[str]:
    half = MOST_LINES // 2
    left_out = len(lines) - 2 * half
    return lines if left_out <= 0 else [*lines[:half], f"  ... {left_out} more ...", *lines[-half:]]
