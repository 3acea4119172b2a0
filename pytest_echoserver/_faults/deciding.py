"""Deciding what happens to a packet: from figures and a seed, triggers, schedules, and the user's own callables."""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any, Literal

from .._checks import not_async
from .._deadline import UNTIL_THE_TEST_ENDS
from .._telling import told_function
from .model import DatagramFaults, DatagramPlace, StreamFaults, StreamPlace, Trigger, verbs_of
from .schedule import Chances, PacketKey, Place, Schedule
from .verdict import BLOCK, PASS, Direction, Ending, Judge, Packet, Verdict, bits_of, together

__tracebackhide__ = True

Kind = Literal["datagram", "stream"]
FIGURES: dict[Kind, type] = {"datagram": DatagramFaults, "stream": StreamFaults}
BITS_OF_A_BLOCK = 8 * BLOCK
NO_CHANCE = (1.0,) * 8
NOT_ON_A_STREAM = ("drop", "copies", "reorder", "late", "stale", "source")
NOT_ON_DATAGRAMS = ("end",)


class Decider:
    """What happens to the packets of one peer in one direction: of several sources, the first that decides.

    Args:
        sources: what was given, checked.
        chances: gives the numbers of a seed, None being the test's.
        schedule: takes what is decided.
        fired: takes the `id` of each trigger that fires.
    """

    def __init__(
        self,
        kind: Kind,
        direction: Direction,
        sources: Sequence[Any],
        chances: Callable[[int | None], Chances],
        schedule: Schedule,
        fired: set[int],
    ) -> None:
        self.direction: Direction = direction
        self.triggers: list[Trigger] = [each for source in sources for each in getattr(source, "triggers", ())]
        self.fired = fired
        self.nothing_before = False
        """Whether the packet that is decided on is the first that comes by: there is none before it to copy."""
        self.rate = _first(sources, "rate", "rates", direction)
        self.schedule = schedule
        self._kind = kind
        self._ways = [self._way(source, chances) for source in sources]

    def begin(self) -> None:
        """Have the schedule tell by what packets pass from here on."""
        if self.rate is not None:
            self.schedule.rates[self.direction] = self.rate

    def decide(self, packet: Packet) -> Verdict:
        """The verdict on a packet; it is kept.

        Raises:
            BaseException: what a callable of the user's raised.
            TypeError, ValueError: it gave something else than a verdict, or one that such a packet can't have.
        """
        verdict = next((found for way in self._ways if (found := way(packet)) is not None), PASS)
        self.schedule._keep((packet.direction, packet.flow, packet.index), verdict)
        return PASS if verdict == PASS else verdict

    def _way(self, source: Any, chances: Callable[[int | None], Chances]) -> Judge:
        if isinstance(source, DatagramFaults):
            return DatagramFigures(self, source, _asked(source, chances)).decide
        if isinstance(source, StreamFaults):
            return StreamFigures(source, _asked(source, chances)).decide
        if isinstance(source, Schedule):
            find = source._of_block if self._kind == "stream" else source.get
            return lambda packet: find((packet.direction, packet.flow, packet.index))
        return lambda packet: self._checked(source, source(packet))

    def _checked(self, judge: Judge, verdict: object) -> Verdict | None:
        if verdict is None:
            return None
        who = f"{told_function(judge)} gave"
        if not isinstance(verdict, Verdict):
            raise TypeError(f"{who} {verdict!r}, which is neither a Verdict nor None")
        if self._kind == "stream":
            for name in NOT_ON_A_STREAM:
                if getattr(verdict, name) != getattr(PASS, name):
                    raise ValueError(
                        f"{who} {verdict!r}: {name} can't be on a stream, where nothing is lost, repeated or "
                        "reordered: TCP sees to that. There are delay, data, flip and end"
                    )
        elif verdict.end is not None:
            raise ValueError(f"{who} {verdict!r}: a datagram can't end a connection, there is none")
        elif verdict.source is not None and self.direction == "in":
            raise ValueError(f"{who} {verdict!r}: only what the peer sends can come from elsewhere")
        return verdict


class StreamDecider(Decider):
    """What happens to the streams of one peer in one direction, block by block, and at which places in them.

    Args:
        counts: whether the bytes are counted that a stream ends after, in this direction.
    """

    def __init__(
        self,
        direction: Direction,
        sources: Sequence[Any],
        chances: Callable[[int | None], Chances],
        schedule: Schedule,
        fired: set[int],
        *,
        counts: bool,
    ) -> None:
        super().__init__("stream", direction, sources, chances, schedule, fired)
        self.counts = counts
        self.segment: int | None = _first(sources, "segment", "segments", direction)
        self.by_block = any(not isinstance(source, StreamFaults) or _on_blocks(source) for source in sources)
        """Whether each block is decided on."""
        self.cut_by_block = self.by_block or any(each.verdict.delay and each.match for each in self.triggers)
        """Whether pieces end where blocks do: a schedule has them so, and with a match all that came is late."""
        self._sources = sources
        self._chances_of = {
            id(trigger): chances(source.seed)
            for source in sources
            for trigger in getattr(source, "triggers", ())
            if trigger.corrupt
        }

    def begin(self) -> None:
        super().begin()
        if self.segment is not None:
            self.schedule.segments[self.direction] = self.segment

    def ends_of(self, flow: int, offset: int) -> Iterator[tuple[int, Ending]]:
        """Where the streams of this connection end: by figures counted from ``offset``, or as schedules have it."""
        for source in self._sources:
            if isinstance(source, Schedule):
                for (direction, of, block), verdict in source.items():
                    if (direction, of) == (self.direction, flow) and verdict.end and verdict.at is not None:
                        at = max(verdict.at, BLOCK * block)
                        if at >= offset:
                            yield at, verdict.end
            elif isinstance(source, StreamFaults) and self.counts:
                for at, end in _ends_by_figures(source):
                    yield offset + at, end

    def late_of(self, flow: int, offset: int) -> Iterator[tuple[Place, float]]:
        """Which places of this connection's stream, from ``offset`` on, schedules have later, and by how much."""
        for source in self._sources:
            if isinstance(source, Schedule):
                for (direction, of, _), late in source._late.items():
                    if (direction, of) == (self.direction, flow):
                        yield from ((place, seconds) for place, seconds in late.items() if place[0] >= offset)

    def fire(self, triggers: Sequence[Trigger], flow: int, at: int) -> Verdict:
        """What these make of the stream's byte ``at``. Bits to flip are counted from the stream's first."""
        verdict = PASS
        for trigger in triggers:
            self.fired.add(id(trigger))
            verdict = together(verdict, trigger.verdict)
            if trigger.corrupt:
                chance = self._chances_of[id(trigger)].of(self.direction, flow, at)[0]
                verdict = together(verdict, Verdict(flip=8 * at + int(8 * chance)))
        return verdict

    def keep(self, flow: int, place: Place, verdict: Verdict) -> None:
        """Keep what happens at a place, beside what was kept of its block."""
        block = place[0] // BLOCK
        key: PacketKey = (self.direction, flow, block)
        known = self.schedule._of_block(key) or PASS
        flip = tuple(bit - BITS_OF_A_BLOCK * block for bit in bits_of(verdict))
        self.schedule._keep(key, together(replace(verdict, flip=flip, delay=0.0), known))
        if verdict.delay:
            self.schedule._keep_late(key, place, verdict.delay)


class DatagramFigures:
    """What `DatagramFaults` make of each datagram: their figures, and beside these the triggers that it hits."""

    def __init__(self, decider: Decider, faults: DatagramFaults, chances: Chances | None) -> None:
        self._decider = decider
        self._faults = faults
        self._chances = chances
        self._seen = [0] * len(faults.triggers)

    def decide(self, packet: Packet) -> Verdict | None:
        faults = self._faults
        lost, twice, swapped, flipped, where, late, *_ = _numbers(self._chances, packet)
        bit = int(where * 8 * len(packet.data)) if packet.data else None
        triggers = self._hit(packet) if faults.triggers else []
        if lost < faults.loss and not triggers:
            return Verdict(drop=True)
        verdict = Verdict(
            delay=_delay(faults, late),
            copies=2 if twice < faults.duplicate else 1,
            reorder=swapped < faults.reorder,
            flip=bit if flipped < faults.corrupt else None,
        )
        for trigger in reversed(triggers):  # the first one's holds
            verdict = together(Verdict(flip=bit) if trigger.corrupt else trigger.verdict, verdict)
        return verdict if triggers or verdict != PASS else None

    def _hit(self, packet: Packet) -> list[Trigger]:
        """The triggers that fire at this one."""
        hit = []
        for at, trigger in enumerate(self._faults.triggers):
            if trigger.match is not None and not _is_in(trigger.match, packet.data):
                continue
            if packet.direction == "in" and trigger.verdict.source is not None:
                continue
            self._seen[at] += 1
            if trigger.verdict.stale and self._decider.nothing_before:
                continue
            if trigger.message in (None, self._seen[at]):
                self._decider.fired.add(id(trigger))
                hit.append(trigger)
        return hit


class StreamFigures:
    """What `StreamFaults` make of each block of a stream. What happens at a place in it, the lane knows."""

    def __init__(self, faults: StreamFaults, chances: Chances | None) -> None:
        self._faults = faults
        self._chances = chances

    def decide(self, packet: Packet) -> Verdict | None:
        faults = self._faults
        if not (faults.delay or faults.jitter or faults.corrupt):
            return None
        flipped, where, late, *_ = _numbers(self._chances, packet)
        bit = int(where * BITS_OF_A_BLOCK) if flipped < faults.corrupt else None
        verdict = Verdict(delay=_delay(faults, late), flip=bit)
        return None if verdict == PASS else verdict


def _asked(faults: DatagramFaults | StreamFaults, chances: Callable[[int | None], Chances]) -> Chances | None:
    """The numbers of its seed, if it is to be asked for any: then the report tells of the seed."""
    return chances(faults.seed) if _by_chance(faults) else None


def _by_chance(faults: DatagramFaults | StreamFaults) -> bool:
    """Whether something of it is decided from the seed."""
    chances = [faults.jitter, faults.corrupt]
    if isinstance(faults, DatagramFaults):
        chances += [faults.loss, faults.duplicate, faults.reorder]
    return any(chances) or any(trigger.corrupt for trigger in faults.triggers)


def _on_blocks(faults: StreamFaults) -> bool:
    """Whether something happens to each block of the stream."""
    return any((faults.delay, faults.jitter, faults.corrupt))


def _ends_by_figures(faults: StreamFaults) -> Iterator[tuple[int, Ending]]:
    """After how many bytes the stream ends, and how, if it does."""
    ends: list[tuple[int | None, Ending]] = [
        (faults.reset_after, "reset"),
        (faults.close_after, "close"),
        (faults.stall_after, "stall"),
    ]
    return ((at, end) for at, end in ends if at is not None)


def _numbers(chances: Chances | None, packet: Packet) -> tuple[float, ...]:
    return NO_CHANCE if chances is None else chances.of(packet.direction, packet.flow, packet.index)


def _delay(faults: DatagramFaults | StreamFaults, chance: float) -> float:
    if not faults.jitter:
        return faults.delay
    return min(max(0.0, faults.delay + faults.jitter * (2 * chance - 1)), UNTIL_THE_TEST_ENDS)


def _is_in(pattern: bytes | re.Pattern[bytes], data: bytes) -> bool:
    return pattern in data if isinstance(pattern, bytes) else pattern.search(data) is not None


def _first(sources: Sequence[Any], name: str, in_schedules: str, direction: Direction) -> Any:
    """The first figure of that name that one of the sources has."""
    for source in sources:
        found = (
            getattr(source, in_schedules).get(direction)
            if isinstance(source, Schedule)
            else getattr(source, name, None)
        )
        if found is not None:
            return found
    return None


def checked_sources(given: object, kind: Kind, name: str = "faults") -> list[Any]:
    """What was given for one direction, as a list of our own: the user's may change, or serve both directions.

    Raises:
        TypeError, ValueError: something in it can't say what happens to packets of this kind; the text says why.
    """
    if given is None:
        return []
    sources = list(given) if isinstance(given, list) else [given]
    for source in sources:
        if isinstance(source, Schedule) and (wrong := _wrong_for(kind, source)):
            raise ValueError(f"{name}: {wrong}")
        if isinstance(source, (FIGURES[kind], Schedule)):
            continue
        if isinstance(source, (DatagramFaults, StreamFaults)):
            raise TypeError(_wrong_kind(kind, name))
        if isinstance(source, (DatagramPlace, StreamPlace)):
            raise TypeError(_only_a_place(source, name))
        if isinstance(source, (Verdict, type)) or not callable(source):
            raise TypeError(
                f"{name} must be {FIGURES[kind].__name__}, a schedule, a callable that gives a verdict on a "
                f"packet, or a list of these, not {source!r}"
            )
        not_async(source, f"what decides on a packet, as {name} does,")
    return sources


def _wrong_for(kind: Kind, schedule: Schedule) -> str:
    """What in a schedule can't happen to packets of this kind, as a clause; empty if all can."""
    for key, verdict in schedule.items():
        for fault in NOT_ON_A_STREAM if kind == "stream" else NOT_ON_DATAGRAMS:
            if getattr(verdict, fault) != getattr(PASS, fault):
                return f"the schedule has {verdict!r} on {key!r}, but {fault} can't be on a {kind}"
    return ""


def _wrong_kind(kind: Kind, name: str) -> str:
    if kind == "stream":
        return (
            f"{name} is DatagramFaults, but this is a stream, where nothing is lost, repeated or reordered: TCP "
            "sees to that. Take StreamFaults"
        )
    return f"{name} is StreamFaults, but this is a datagram peer: take DatagramFaults"


def _only_a_place(place: DatagramPlace | StreamPlace, name: str) -> str:
    *verbs, last = (f".{verb}()" for verb in verbs_of(type(place)))
    return (
        f"{name}: {place!r} says only where: what is to happen there has to follow, by {', '.join(verbs)} or {last}"
    )


def both_ways(given: object, kind: Kind, name: str = "faults") -> tuple[list[Any], list[Any]]:
    """What was given as ``faults=``, by direction: only a pair means (inbound, outbound).

    Raises:
        TypeError: it isn't what is allowed.
    """
    if isinstance(given, tuple):
        if len(given) != 2:
            raise TypeError(f"{name} as a tuple means (inbound, outbound), so it must have two, not {len(given)}")
        return checked_sources(given[0], kind, f"{name}[0]"), checked_sources(given[1], kind, f"{name}[1]")
    sources = checked_sources(given, kind, name)
    return sources, sources


def as_given(given: object) -> object:
    """What was given as ``faults=``, with lists of our own in the place of the user's."""
    if isinstance(given, tuple):
        return tuple(as_given(each) for each in given)
    return list(given) if isinstance(given, list) else given


def of_kind(given: object, kind: Kind) -> object:
    """What of a marker's faults acts on peers of this kind: figures and schedules of the other are left out."""
    other = FIGURES["stream" if kind == "datagram" else "datagram"]
    if isinstance(given, tuple):
        return tuple(of_kind(each, kind) for each in given)
    if isinstance(given, list):
        return [each for each in given if of_kind(each, kind) is not None] or None
    if isinstance(given, Schedule) and _wrong_for(kind, given):
        return None
    return None if isinstance(given, other) else given
