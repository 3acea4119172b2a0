"""`Places`: where in one stream something is to happen, by triggers and by the figures that end it."""

from typing import Any

from .._patterns import Search, compile_pattern
from .deciding import StreamDecider
from .model import Trigger
from .verdict import PASS, Ending, Verdict

__tracebackhide__ = True

LOOKED_BACK = 64 * 1024
"""Bytes that a match may be long at least; four times as many are kept."""
LOOKED_AT = 4 * 1024
"""Bytes that are looked at together: those behind a match are looked at once more."""


class Places:
    """What is to happen at which byte of one connection's stream, in one direction. Bits to flip are counted from
    the stream's first.

    Args:
        offset: how much of the stream has passed by now: from there bytes are counted, and matches looked for.
    """

    def __init__(self, decider: StreamDecider, flow: int, offset: int) -> None:
        self._decider = decider
        self._flow = flow
        self._ends: dict[int, tuple[Ending, Trigger | None]] = {}
        self._spots: dict[int, Trigger] = {}
        self._matchers: list[_Matcher] = []
        for at, end in decider.ends_of(flow, offset):
            self._ends[at] = end, None
        for trigger in decider.triggers:
            if trigger.connection not in (None, flow + 1):
                continue
            if trigger.match is not None:
                self._matchers.append(_Matcher(trigger))
            elif decider.counts:
                self._add(trigger, offset + (trigger.offset or 0))

    def add_end(self, at: int, end: Ending) -> None:
        """Have the stream end there, by a verdict that was kept already."""
        self._ends.setdefault(at, (end, None))

    def end_at(self, offset: int) -> Verdict | None:
        """How the stream ends there, if it does; that is kept."""
        found = self._ends.pop(offset, None)
        if found is None:
            return None
        end, trigger = found
        if trigger is not None:
            self._decider.fired.add(id(trigger))
        return Verdict(end=end, at=offset)

    def next(self, data: bytes, start: int, offset: int, most: int) -> tuple[int, Verdict]:
        """How many bytes, of so many from ``start`` on, come before the next place; and what happens to them.

        ``offset`` is where they stand in the stream.
        """
        stops = [at - offset for at in (*self._ends, *self._spots) if offset < at < offset + most]
        size = min(stops, default=most)
        verdict = self._fire(self._spots.pop(offset, None), offset)
        if self._matchers:
            size = min(size, LOOKED_AT)
            piece = data[start : start + size]
            for matcher in self._matchers:
                matcher.look(piece)
        size = min((matcher.end for matcher in self._matchers if matcher.end is not None), default=size)
        for matcher in self._matchers:
            if not matcher.pass_on(size):
                continue
            if matcher.trigger.verdict.end is not None:
                self._ends.setdefault(offset + size, (matcher.trigger.verdict.end, matcher.trigger))
            else:
                verdict = self._fire(matcher.trigger, offset + size - 1)
        return size, verdict

    def _add(self, trigger: Trigger, at: int) -> None:
        if trigger.verdict.end is not None:
            self._ends.setdefault(at, (trigger.verdict.end, trigger))
        else:
            self._spots.setdefault(at, trigger)

    def _fire(self, trigger: Trigger | None, at: int) -> Verdict:
        if trigger is None:
            return PASS
        self._decider.fired.add(id(trigger))
        return Verdict(flip=self._decider.bit(trigger, self._flow, at)) if trigger.corrupt else trigger.verdict


class _Matcher:
    """Looks for a trigger's match in a stream, however that is cut."""

    def __init__(self, trigger: Trigger) -> None:
        self.trigger = trigger
        self.end: int | None = None
        """Behind how many of the bytes that were looked at last a match ends."""
        self._pattern: Any = compile_pattern(trigger.match, anchored=False)
        self._buffer = bytearray()
        self._search: Search[Any] = self._pattern.search_from(0)
        self._passed = 0

    def look(self, data: bytes) -> None:
        """Look at these bytes, which come next."""
        del self._buffer[self._passed :]
        self._buffer += data
        found = self._search.find(self._buffer)
        self.end = None if found is None else found[1] - self._passed

    def pass_on(self, size: int) -> bool:
        """So many of them have come; give whether a match ends there."""
        matched = self.end == size
        self._passed += size
        if matched:
            self._begin(b"")
        elif self.end is not None:
            self._search = self._pattern.search_from(0)  # it stands behind what is to come once more
        elif self._passed > 4 * LOOKED_BACK:
            self._begin(bytes(self._buffer[self._passed - LOOKED_BACK : self._passed]))
        return matched

    def _begin(self, kept: bytes) -> None:
        self._buffer = bytearray(kept)
        self._passed = len(kept)
        self._search = self._pattern.search_from(0)
