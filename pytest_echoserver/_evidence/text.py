"""The evidence as text, in the report of a failed test."""

import re
import traceback
from collections.abc import Iterator, Sequence

from .._telling import escaped, told_bytes
from .._tracebacks import behind_our_frames, is_of_pytest, is_ours
from .._traffic import PeerTraffic, Traffic
from .payload import is_text, on_one_line, rows
from .steps import Step, told_address
from .timeline import OF_NONE, Reading, timeline

MOST_STEPS = 120
"""Lines of the timeline, but for what a payload takes more: half from its beginning, half from its end."""
MOST_PEERS = 20
PAYLOAD = 256
"""Bytes of a payload that are shown, if nobody says otherwise."""
IN_FULL = 20
"""Long messages in hex that are shown up to the limit; of more, all are shown less."""
TWO_ROWS = 32
"""Bytes in hex: one of a message's beginning, and one of its end."""
SHORT = 20
"""Characters of a payload for which no line of its own is begun."""
NARROWEST = 40
INDENT = " " * 6
COMMAND = re.compile(r"##\[|^\s*::", re.MULTILINE)
"""How a command to GitHub Actions begins."""
MARKS = {"plain": "  ", "good": "ok", "bad": "!!", "fault": "~~"}
LINE = re.compile(r"(  (?:at the end| *[+-][0-9.]+ s))  (!!|ok|~~|->|<-|-x|x-)  (.*)")
DIM, PLAIN, RED, GREEN, YELLOW, CYAN, BLUE = (f"\x1b[{code}m" for code in (2, 0, 31, 32, 33, 36, 34))
COLOURS = {"ok": GREEN, "~~": YELLOW, "->": CYAN, "<-": BLUE, "-x": YELLOW, "x-": YELLOW}
TITLE = "what this test's peers saw (pytest-echoserver)"


def sections(
    traffic: Traffic,
    errors: Sequence[Exception] = (),
    *,
    reading: Reading,
    width: int = 80,
    limit: int = PAYLOAD,
) -> Iterator[tuple[str, str]]:
    """The sections of a report, as (title, text): the errors that it doesn't show otherwise, and the traffic.

    Args:
        reading: how payloads are read.
        width: columns of the terminal.
        limit: bytes of a payload that are shown, half from its beginning and half from its end.
    """
    if errors:
        text = "\n".join(map(_with_traceback, errors))
        yield "errors of this test's peers (pytest-echoserver)", escaped(text, keeping="\n\t")
    if traffic.peers:
        yield TITLE, "\n".join(_Section(traffic, reading, max(width, NARROWEST), limit).lines())
    if traffic.repeat:
        yield "how to have the same faults again (pytest-echoserver)", escaped(traffic.repeat)


def _with_traceback(error: Exception) -> str:
    told = traceback.TracebackException(type(error), error, behind_our_frames(error.__traceback__))
    frames = told.stack
    while frames and (is_of_pytest(frames[-1].filename) or (len(frames) > 1 and is_ours(frames[-1].filename))):
        frames.pop()
    before = told.__cause__ or (told.__context__ and not told.__suppress_context__)
    return "".join(told.format() if frames or before or told.exceptions else told.format_exception_only())


class _Section:
    """Writes the timeline of a test's peers."""

    def __init__(self, traffic: Traffic, reading: Reading, width: int, limit: int) -> None:
        self._peers = traffic.peers
        self._steps = timeline(traffic, MOST_STEPS, reading)
        self._width = width
        self._limit = limit
        self._hex_limit = self._limit_in_hex()
        self._labels = max((len(self._label(step)) for step in self._steps), default=0)

    def lines(self) -> Iterator[str]:
        for peer in self._peers[:MOST_PEERS]:
            yield (
                escaped(peer.name) + _where(peer) + ("" if peer.events or peer.kind == "none" else ": nothing came")
            )
        if len(self._peers) > MOST_PEERS:
            yield f"and {len(self._peers) - MOST_PEERS:,} more"
        for step in self._steps:
            yield from self._lines_of(step)

    def _lines_of(self, step: Step) -> Iterator[str]:
        when = "at the end" if step.time is None else f"{step.time:+8.4f} s"
        if step.stands_for:
            yield f"{INDENT}... {step.stands_for:,} more {self._label(step)}".rstrip() + " ..."
            return
        head = f"  {when}  {_mark(step)}  " + (f"{self._label(step):<{self._labels}}  " if self._labels else "")
        told = self._told(step)
        if step.payload is None:
            yield head + told
            return
        payload = step.payload.cut(self._limit if is_text(step.payload) else self._hex_limit)
        shown = on_one_line(payload)
        line = head + "  ".join(filter(None, (shown, told)))
        if shown and (len(line) <= self._width or len(shown) <= SHORT):
            yield line
            return
        yield head + "  ".join(filter(None, (told_bytes(payload.size, ","), told)))
        yield from (INDENT + row for row in rows(payload, self._width - len(INDENT)))

    def _limit_in_hex(self) -> int:
        """Bytes of a message that are shown in hex, where sixteen take a row: few, if there are many."""
        payloads = [step.payload for step in self._steps if step.payload is not None]
        asked = sum(min(payload.size, self._limit) for payload in payloads if not is_text(payload))
        room = IN_FULL * self._limit
        if asked <= room:
            return self._limit
        return min(max(self._limit * room // asked // TWO_ROWS, 1) * TWO_ROWS, self._limit)

    def _told(self, step: Step) -> str:
        """What is said beside the payload."""
        preposition, other = _preposition(step), told_address(step.other)
        parts = [
            escaped(step.what),
            f"{preposition} {other}" if other else "",
            f"[{', '.join(step.faults)}]" if step.faults else "",
            f"= {escaped(step.decoded)}" if step.decoded else "",
        ]
        return "  ".join(filter(None, parts))

    def _label(self, step: Step) -> str:
        """At which peer, where there are several, and on which connection."""
        name = "" if step.peer == OF_NONE or len(self._peers) == 1 else escaped(self._peers[step.peer].name)
        number = "" if step.connection is None else f"#{step.connection}"
        return f"{name} {number}".strip()


def _where(peer: PeerTraffic) -> str:
    where = (
        f"{'' if peer.kind == 'none' else peer.kind} {told_address(peer.address)}".strip() if peer.address else ""
    )
    told = "; ".join(filter(None, (where, escaped(peer.detail))))
    return f" ({told})" if told else ""


def _mark(step: Step) -> str:
    if step.way is None or (step.tone == "bad" and step.payload is not None):
        return MARKS[step.tone]
    arrow = "->" if step.way == "in" else "<-"
    return arrow.replace(">", "x").replace("<", "x") if step.lost else arrow


def for_terminal(title: str, section: str, *, colour: bool, fold: bool) -> str:
    """A section as it is shown in the end.

    Args:
        colour: give it the escape sequences that make colours (ECMA-48).
        fold: fold the traffic, as logs of GitHub Actions do; what would be a command there is none any more.
    """
    if colour:
        section = "\n".join(map(_coloured_line, section.split("\n")))
    if fold:
        section = COMMAND.sub(lambda found: f"{found[0][:-1]}\u2060{found[0][-1]}", section)
    return f"::group::{title}\n{section}\n::endgroup::" if fold and title == TITLE else section


def _coloured_line(line: str) -> str:
    found = LINE.fullmatch(line)
    if found is None:
        return line
    when, mark, rest = found.groups()
    bad = mark == "!!" or rest.endswith("reset")
    colour = RED if bad else COLOURS[mark]
    return f"{DIM}{when}{PLAIN}  {colour}{mark}{PLAIN}  {f'{colour}{rest}{PLAIN}' if bad else rest}"


def _preposition(step: Step) -> str:
    if step.with_target and step.payload is not None:  # the address is the client's
        return "for"
    return "from" if step.way == "in" else "to"
