"""`Places`: where in one stream something is to happen, by triggers and by the figures that end it."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from heapq import heappop, heappush
from typing import Any

from .._patterns import Search, compile_pattern
from .deciding import StreamDecider
from .model import Trigger
from .verdict import Ending, Verdict

__tracebackhide__ = True

LOOKED_BACK = 64 * 1024
"""Bytes that a match may be long at least; four times as many are kept."""
LOOKED_AT = 4 * 1024
"""Bytes that are looked at together."""


class Places:
    """Where something is to happen in one connection's stream, in one direction, and what.

    A trigger happens to one byte: to the one behind so many bytes, or to the last of a match. The stream ends
    before the one, and behind the other.

    Args:
        offset: how much of the stream has passed by now: from there bytes are counted, and matches looked for.
    """

    def __init__(self, decider: StreamDecider, flow: int, offset: int) -> None:
        self._ends: dict[int, Ending] = {}
        """Those of figures and verdicts."""
        self._triggered_ends: dict[int, Trigger] = {}
        self._hits: dict[int, Hit] = {}
        """What else happens to which byte."""
        self._next_hits: list[int] = []
        """Those bytes, as a heap."""
        self._stops: list[int] = []
        """Where pieces are cut for the sake of all that, as a heap."""
        self._matchers: list[_Matcher] = []
        self._looked_to = offset
        self._fired = decider.fired
        for trigger in decider.triggers:
            if trigger.connection not in (None, flow + 1):
                continue
            if trigger.match is not None:
                self._matchers.append(_Matcher(trigger))
            elif decider.counts:
                at = offset + (trigger.offset or 0)
                self._add(trigger, stop=at, byte=at)
        for at, end in decider.ends_of(flow, offset):
            self.add_end(at, end)
        for (byte, cut), seconds in decider.late_of(flow, offset):
            hit = self._hit(byte)
            hit.seconds += seconds
            self._cut(hit, cut)

    def add_end(self, at: int, end: Ending) -> None:
        """Have the stream end there, as figures or a verdict say, if no trigger does."""
        self._ends.setdefault(at, end)
        heappush(self._stops, at)

    def end_at(self, offset: int) -> Verdict | None:
        """How the stream ends there, if it does."""
        end = self._ends.pop(offset, None)
        trigger = self._triggered_ends.pop(offset, None)
        if trigger is not None:
            self._fired.add(id(trigger))
            end = trigger.verdict.end
        return None if end is None else Verdict(end=end, at=offset)

    def until_next(self, data: bytes, start: int, offset: int, most: int) -> int:
        """How many bytes, of so many from ``start`` on, come before the next place at which pieces are cut.

        ``offset`` is where they stand in the stream.
        """
        if self._matchers:
            if offset >= self._looked_to:
                self._look(data[start : start + LOOKED_AT - offset % LOOKED_AT], offset)
            most = min(most, self._looked_to - offset)
        while self._stops and self._stops[0] <= offset:
            heappop(self._stops)
        return min(most, self._stops[0] - offset) if self._stops else most

    def hits(self, offset: int, size: int) -> Iterator["Hit"]:
        """What happens to which bytes of such a piece."""
        while self._next_hits and self._next_hits[0] < offset + size:
            hit = self._hits.pop(heappop(self._next_hits))
            if hit.byte >= offset:  # else other faults were in force when it passed
                yield hit

    def _look(self, data: bytes, offset: int) -> None:
        """Look for matches in these bytes, which come next."""
        for matcher in self._matchers:
            if offset != self._looked_to:  # other faults were in force meanwhile
                matcher.forget()
            for size in matcher.ends_in(data):
                self._add(matcher.trigger, stop=offset + size, byte=offset + size - 1)
        self._looked_to = offset + len(data)

    def _add(self, trigger: Trigger, *, stop: int, byte: int) -> None:
        if trigger.verdict.end is not None:
            heappush(self._stops, stop)
            self._triggered_ends.setdefault(stop, trigger)
            return
        hit = self._hit(byte)
        hit.triggers.append(trigger)
        if trigger.verdict.delay:
            self._cut(hit, stop)

    def _hit(self, byte: int) -> "Hit":
        if byte not in self._hits:
            self._hits[byte] = Hit(byte, byte + 1)
            heappush(self._next_hits, byte)
        return self._hits[byte]

    def _cut(self, hit: "Hit", stop: int) -> None:
        hit.cut = min(hit.cut, stop)
        heappush(self._stops, stop)


@dataclass(slots=True, eq=False)
class Hit:
    """What happens to one byte: triggers, and a delay that a schedule has there.

    Attributes:
        cut: after how many bytes of the stream it is cut, so that they are late or not: those before this one, or
            those up to it.
    """

    byte: int
    cut: int
    triggers: list[Trigger] = field(default_factory=list)
    seconds: float = 0.0


class _Matcher:
    """Looks for a trigger's matches in a stream, however that is cut."""

    def __init__(self, trigger: Trigger) -> None:
        self.trigger = trigger
        self._pattern: Any = compile_pattern(trigger.match, anchored=False)
        self.forget()

    def forget(self) -> None:
        """Begin to look."""
        self._buffer = bytearray()
        self._search: Search[Any] = self._pattern.search_from(0)

    def ends_in(self, data: bytes) -> list[int]:
        """Behind how many of these bytes, which come next, matches end."""
        before = len(self._buffer)
        self._buffer += data
        ends = []
        while (found := self._search.find(self._buffer)) is not None:
            ends.append(found[1] - before)
            self._search = self._pattern.search_from(found[1])
        if len(self._buffer) > 4 * LOOKED_BACK:
            del self._buffer[: max(self._search.start, len(self._buffer) - LOOKED_BACK)]
            self._search = self._pattern.search_from(0)
        return ends
