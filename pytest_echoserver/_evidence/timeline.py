"""The timeline of a test: what its peers saw, put into one order, as all the evidence shows it."""

import heapq
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from typing import Any

from .._record import Event
from .._telling import ToldInShort, differing
from .._traffic import Expected, PeerTraffic, Traffic
from .payload import Payload
from .steps import RAISED, Step, Way, call_of, message, step_of

OF_NONE = -1
"""In the place of a step's peer, where the step stands for left out events of several."""
PAUSE = 0.1
"""Seconds after which what a pipe gives isn't told with what it gave before, unless that was much."""
KEPT_OF_A_PIPE = 64 * 1024
"""Bytes that are kept of each end of what a pipe gave in a row."""


@dataclass(frozen=True, slots=True)
class Reading:
    """How payloads are read: what takes out what is secret, and what then tells what one says, if it is known.

    Both get the peer, too.
    """

    redact: Callable[[Any, bytes], bytes] = lambda _, data: data
    decode: Callable[[Any, bytes], str] = lambda *_: ""


def timeline(traffic: Traffic, most: int, reading: Reading) -> list[Step]:
    """The steps of all peers, in order; of more than ``most`` the first and the last."""
    of_peers = [_steps_of(place, peer, traffic.started, most) for place, peer in enumerate(traffic.peers)]
    steps = _without_middle(list(heapq.merge(*of_peers, key=_when)), most)
    for step in steps:
        read(step, traffic.peers[step.peer], reading)
    return steps


def all_steps(peer: PeerTraffic, started: float) -> list[Step]:
    """The steps of one peer's events, each as it is, with times since ``started``."""
    steps = _Events(peer.kind, peer.numbered).steps(peer.events, len(peer.events) + 1)
    for step in steps:
        step.time = None if step.time is None else step.time - started
    return steps


def read(step: Step, peer: PeerTraffic, reading: Reading) -> None:
    """Have what is secret taken out of the step's payload, and have it decoded."""
    if step.event == "exception_raised":  # what came may stand in its text
        told = step.what.removeprefix(RAISED).encode("utf-8", "surrogatepass")
        step.what = RAISED + reading.redact(peer.peer, told).decode("utf-8", "replace")
    if step.payload is not None:
        step.payload = _redacted(step.payload, peer.peer, reading)
        step.decoded = reading.decode(peer.peer, step.payload.begin) if step.payload.whole else ""


def _steps_of(place: int, peer: PeerTraffic, started: float, most: int) -> list[Step]:
    # What a program's pipes gave is many events, and few steps.
    of_events = len(peer.events) if peer.kind == "process" else most
    steps = _Events(peer.kind, peer.numbered).steps(peer.events, of_events + 1) + _met(peer.expected, most)
    steps.sort(key=_when)
    steps += [_missing(each, peer.lives_on) for each in peer.expected if each.missing][:most]
    for step in steps:
        step.peer = place
        step.time = None if step.time is None else step.time - started
    return steps


@dataclass(slots=True, eq=False)
class _Suffered:
    """A datagram on its way in that the network does something to: as it was sent, and how many are to arrive."""

    data: bytes
    changed: bool
    left: int
    step: Step


class _Events:
    """Makes steps of a peer's events."""

    def __init__(self, kind: str, numbered: bool) -> None:
        self._step_of = call_of if kind == "protocol" else step_of
        self._numbered = numbered
        self._made: list[Step] = []
        self._coming: list[_Suffered] = []
        self._last_of_pipe = 0.0
        """When the last came of what a pipe gave."""
        self._told_later: set[int] = set()
        """The ids of steps that are told with another one."""

    def steps(self, events: Sequence[Event], most: int) -> list[Step]:
        half = max(most // 2, 1)
        left_out = len(events) - 2 * half
        # No more than were there when it was asked: a peer may still be flooded.
        for event in islice(events, len(events) if left_out <= 0 else half):
            self._add(event)
        if left_out > 0:
            self._made.append(Step("", time=self._made[-1].time, stands_for=left_out))
            for event in events[-half:]:
                self._add(event)
        return [step for step in self._made if id(step) not in self._told_later]

    def _add(self, event: Event) -> None:
        connection, args = (event.args[0], event.args[1:]) if self._numbered else (None, event.args)
        if event.name == "fault" and len(args) == 4:
            step = self._fault_of_datagram(*args)
        else:
            step = self._step_of(event.name, args)
            if event.name in ("pipe_data_received", "stdin_written") and self._goes_on(step, event.time):
                return
            if event.name == "datagram_received":
                self._arrived(step)
            if event.name == "unexpected" and self._is_the_last(step, connection):
                return
        if step is not None:
            step.time, step.connection, step.event = event.time, connection, event.name
            self._made.append(step)

    def _is_the_last(self, unexpected: Step, connection: object) -> bool:
        """Whether it is what came last on its connection, or from its address: then that step says so instead."""
        came = (step for step in reversed(self._made) if step.way == "in" and step.connection == connection)
        last = next((step for step in came if step.other == unexpected.other), None)
        if last is None or last.payload != unexpected.payload:
            return False
        last.what, last.tone = unexpected.what, unexpected.tone
        return True

    def _fault_of_datagram(self, way: Way, data: bytes, address: object, verdict: ToldInShort) -> Step | None:
        """What the network does to a datagram: told with that, where it stands."""
        step = message(way, data, [address], tone="fault")
        if way == "out" and self._made and self._made[-1].way == "out" and self._made[-1].payload == step.payload:
            self._made[-1].suffer(verdict)
            self._made[-1].tone = "fault"
            return None
        step.suffer(verdict)
        if way == "in" and not step.lost:
            changed = not differing(verdict).keys().isdisjoint(("data", "flip", "stale"))
            self._coming.append(_Suffered(data, changed, step.copies, step))
        return step

    def _arrived(self, step: Step) -> None:
        """A datagram came in: what the network did to it is told here, and no more where it was sent."""
        came = step.payload.begin if step.payload else b""
        from_there = [each for each in self._coming if each.step.other == step.other]
        same = (each for each in from_there if each.data == came)
        for sent in islice(chain(same, (each for each in from_there if each.changed)), 1):
            first = sent.left == sent.step.copies
            step.faults, step.copies = (sent.step.faults, sent.left) if first else (["a copy"], 1)
            step.tone = "fault"
            self._told_later.add(id(sent.step))
            sent.left -= 1
            if not sent.left:
                self._coming.remove(sent)

    def _goes_on(self, step: Step, time: float) -> bool:
        """Whether this is more of what a pipe gave just before: then it is one with that, the cut was chance."""
        last = self._made[-1] if self._made else None
        paused, self._last_of_pipe = time - self._last_of_pipe > PAUSE, time
        if last is None or last.what != step.what or last.payload is None or step.payload is None:
            return False
        if paused and last.payload.size < KEPT_OF_A_PIPE:
            return False
        data, kept = step.payload.begin, last.payload
        size = kept.size + len(data)
        if kept.whole and size <= 2 * KEPT_OF_A_PIPE:
            last.payload = Payload(size, kept.begin + data)
        else:
            end = (kept.begin[KEPT_OF_A_PIPE:] if kept.whole else kept.end) + data
            last.payload = Payload(size, kept.begin[:KEPT_OF_A_PIPE], end[-KEPT_OF_A_PIPE:])
        return True


def _met(expected: Sequence[Expected], most: int) -> list[Step]:
    return [
        Step(f"met: {_told_expected(each)}", tone="good", time=time, connection=connection)
        for each in expected
        for time, connection in each.met[-most:]
    ]


def _missing(expected: Expected, lives_on: bool) -> Step:
    told = _told_expected(expected)
    return Step(f"not met yet: {told}") if lives_on else Step(f"not met: {told}", tone="bad")


def _told_expected(expected: Expected) -> str:
    times = f" ({expected.missing} more times)" if expected.missing > 1 else ""
    return f"{expected.told}{times}  {expected.where}"


def _when(step: Step) -> float:
    return float("inf") if step.time is None else step.time


def _without_middle(steps: list[Step], most: int) -> list[Step]:
    left_out = len(steps) - most
    if left_out <= 0:
        return steps
    half = most // 2
    gone = sum(step.stands_for or 1 for step in steps[half:-half])
    return [*steps[:half], Step("", time=steps[half].time, stands_for=gone, peer=OF_NONE), *steps[-half:]]


def _redacted(payload: Payload, peer: Any, reading: Reading) -> Payload:
    begin = reading.redact(peer, payload.begin)
    if payload.whole:
        return Payload(len(begin), begin)
    end, left_out = reading.redact(peer, payload.end), payload.size - len(payload.begin) - len(payload.end)
    return Payload(len(begin) + left_out + len(end), begin, end)
