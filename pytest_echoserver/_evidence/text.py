"""The evidence as text, in the terminal's report of a failed test."""

import traceback
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from .._record import Event, PeerTraffic, ToldInShort, Traffic
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
    if traffic.repeat:
        found.append(("how to have the same faults again (pytest-echoserver)", traffic.repeat))
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


class _Run:
    """Events in a row in which a pipe was cut by chance: how many bytes, and as many of them as are shown."""

    def __init__(self, first: Event) -> None:
        self._first = first
        self._size = 0
        self._begin = self._end = b""
        self.add(first)

    def goes_on_with(self, event: Event) -> bool:
        first = self._first
        return event.name in CUT_BY_CHANCE and (event.name, event.args[:-1]) == (first.name, first.args[:-1])

    def add(self, event: Event) -> None:
        if event.name in CUT_BY_CHANCE:
            data = event.args[-1]
            self._size += len(data)
            self._begin += data[: LONGEST_PAYLOAD - len(self._begin)]
            self._end = (self._end + data[-LONGEST_PAYLOAD:])[-LONGEST_PAYLOAD:]

    def as_one(self) -> Event:
        first = self._first
        if first.name not in CUT_BY_CHANCE:
            return first
        return Event(first.time, first.name, (*first.args[:-1], _Payload(self._size, self._begin, self._end)))


@dataclass(frozen=True, slots=True)
class _Payload:
    """Of a payload its size, and its first and last bytes: more than is shown; all if there are no more."""

    size: int
    begin: bytes
    end: bytes


def _joined(events: Iterable[Event]) -> Iterator[Event]:
    """The events, each run of those in which a pipe was cut by chance made into one."""
    run: _Run | None = None
    for event in events:
        if run is not None and run.goes_on_with(event):
            run.add(event)
            continue
        if run is not None:
            yield run.as_one()
        run = _Run(event)
    if run is not None:
        yield run.as_one()


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
            return _shown_payload(_Payload(len(arg), arg[:LONGEST_PAYLOAD], arg[-LONGEST_PAYLOAD:]))
        case _Payload():
            return _shown_payload(arg)
        case (str() as host, int() as port):
            return f"{host} port {port}"
        case BaseException():
            return traceback.format_exception_only(arg)[0].partition("\n")[0]
        case None | int() | str() | ToldInShort():
            return repr(arg)
        case _:
            return f"<{type(arg).__name__}>"


def _shown_payload(payload: _Payload) -> str:
    half = LONGEST_PAYLOAD // 2
    if payload.size <= LONGEST_PAYLOAD and len(shown := repr(payload.begin)) <= LONGEST_PAYLOAD:
        return f"{payload.size} bytes {shown}"
    # Cut before it is written out: it may be very long.
    return f"{payload.size} bytes {repr(payload.begin[:half])[:half]} … {repr(payload.end[-half:])[-half:]}"


def _without_middle(lines: list[str]) -> list[str]:
    half = MOST_LINES // 2
    left_out = len(lines) - 2 * half
    return lines if left_out <= 0 else [*lines[:half], f"  ... {left_out} more ...", *lines[-half:]]
