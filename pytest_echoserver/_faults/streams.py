"""`StreamLane`: carries a stream's bytes one way through a bad network."""

from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from weakref import WeakKeyDictionary

from .._neighbours import real_monotonic
from .deciding import StreamDecider
from .places import Places
from .verdict import BLOCK, PASS, Direction, Ending, Packet, Verdict, bits_of, flipped, together

__tracebackhide__ = True

CONNECTING = 0.05
"""Seconds that a client has to see that it is connected, before a stream ends of which nothing is to pass."""
HIGH, LOW = 256 * 1024, 64 * 1024
"""Bytes on their way at which a lane is full, and at which it has room again."""

PACKET, MOMENT = 1_448, 0.001
"""Bytes that pass at once over a link with a rate: those of a packet of Ethernet's, or of a segment; but as many at
least as pass in so many seconds."""


@dataclass(slots=True, eq=False)
class Carried:
    """Something on its way: bytes, or EOF if there are none, or the stream's end."""

    due: float
    data: bytes = b""
    end: Ending | None = None


class StreamLane:
    """One way of one connection through the network. Nothing is lost, repeated or reordered.

    Args:
        flow: the ordinal of the connection, from 0.
        deliver: takes bytes at the end of their way, and the largest piece in which they are to arrive; gives an
            awaitable if that takes time.
        finish: takes EOF there.
        end: takes word that the stream ends here, and how.
        at: calls a function at a time, in monotonic seconds.
        note: takes what acts here, as the name of an event and its arguments: the direction, the place in the
            stream, and the verdict or the rate.
        fail: takes what a user's callable raised; the bytes pass as they are.
        start: has an awaitable of ``deliver`` waited for, and calls the function after that.
    """

    def __init__(
        self,
        direction: Direction,
        flow: int,
        *,
        deliver: Callable[[bytes, int | None], Awaitable[None] | None],
        finish: Callable[[], object],
        end: Callable[[Ending], object],
        at: Callable[[float, Callable[[], object]], None],
        note: Callable[..., object],
        fail: Callable[[BaseException], object],
        start: Callable[[Awaitable[None], Callable[[], object]], object],
    ) -> None:
        self.held = 0
        """Bytes on their way."""
        self.when_room: Callable[[], object] = lambda: None
        """Called whenever fewer bytes are on their way."""
        self.ended = False
        self._direction: Direction = direction
        self._flow = flow
        self._deliver = deliver
        self._finish = finish
        self._end = end
        self._at = at
        self._note = note
        self._fail = fail
        self._start = start
        self._decider: StreamDecider | None = None
        self._places: Places | None = None
        self._known: WeakKeyDictionary[StreamDecider, Places] = WeakKeyDictionary()
        """Those of deciders that may come back."""
        self._queue: deque[Carried] = deque()
        self._offset = 0
        self._block = -1
        self._verdict = PASS
        """What all of the block meets that has come last. Bits to flip are counted from the stream's first."""
        self._noted = PASS
        """What was decided on that block."""
        self._noted_rate: float | None = None
        self._free_at = 0.0
        self._waking = float("inf")
        self._busy = False
        self.cut = False
        self._stalled = False
        """Whether what comes is held, behind the place where the stream stalls."""
        self._stopped = False
        """Whether that place was reached."""

    def have(self, decider: StreamDecider | None) -> None:
        """Go by this one from here on."""
        self._decider = decider
        self._places = None if decider is None else self._places_by(decider)
        self._block = -1
        self._noted, self._noted_rate = PASS, None  # what acts again is told again
        if self._offset:
            self._end_now()
        else:
            self._at(real_monotonic() + CONNECTING, self._end_now)

    def carry(self, data: bytes) -> None:
        """Take bytes on their way."""
        now = real_monotonic()
        self._end_here()
        at, end = 0, len(data)
        while at < end and not (self.ended or self._stalled):
            size, verdict = self._next_piece(data, at, now)
            self._put(now, _changed(data[at : at + size], verdict, self._offset), verdict.delay)
            at += size
            self._offset += size
            self._end_here()
        if at < end and self._stalled:
            self._queue.append(Carried(self._last_due(now), data[at:]))
            self.held += end - at
        self._go_on()

    def carry_eof(self) -> None:
        """Take EOF on its way, after all before it."""
        if not self.ended:
            self._queue.append(Carried(self._last_due(real_monotonic())))
            self._go_on()

    def begin_anew(self) -> None:
        """Count from the beginning of the stream again."""
        self._offset, self._block = 0, -1
        self._known.clear()

    def cut_off(self) -> None:
        """Let nothing pass, until `heal`."""
        self.cut = True

    def stall(self) -> None:
        """Let nothing pass any more, and hold what comes: who sends is to see that nobody takes it."""
        self._stalled = self._stopped = True

    def heal(self) -> None:
        """Let pass what waits."""
        self.cut = False
        self._go_on()

    def clear(self) -> None:
        """Drop what is on its way, and what comes."""
        self.ended = True
        self._queue.clear()
        self.held = 0

    @property
    def blocked(self) -> bool:
        """Whether nothing passes, for now or for good."""
        return self.cut or self._stopped

    @property
    def _segment(self) -> int | None:
        return None if self._decider is None else self._decider.segment

    @property
    def idle(self) -> bool:
        """Whether nothing is on its way."""
        return not (self._queue or self._busy)

    def _places_by(self, decider: StreamDecider) -> Places:
        """Where it has something happen; if it decided here before, what it has counted goes on."""
        if decider not in self._known:
            self._known[decider] = Places(decider, self._flow, self._offset)
        return self._known[decider]

    def _next_piece(self, data: bytes, at: int, now: float) -> tuple[int, Verdict]:
        """How many bytes from ``at`` on share a verdict, and which; it is noted, and kept, where it is new."""
        decider, places = self._decider, self._places
        most = len(data) - at
        if decider is None or places is None:
            return most, PASS
        block, within = divmod(self._offset, BLOCK)
        if decider.cut_by_block:
            most = min(most, BLOCK - within)
        size = places.until_next(data, at, self._offset, most)
        verdict = self._verdict
        if not decider.by_block:
            verdict = PASS
        elif block != self._block:
            size, verdict = self._begin_block(block, data[at : at + size], now)
        hit = PASS
        for each in places.hits(self._offset, size):
            found = together(decider.fire(each.triggers, self._flow, each.byte), Verdict(delay=each.seconds))
            if found != PASS:
                self._note("fault", self._direction, each.byte, found)
                decider.keep(self._flow, (each.byte, each.cut), found)
                hit = replace(together(hit, found), delay=max(hit.delay, found.delay))
        return size, verdict if hit is PASS else together(verdict, hit)

    def _begin_block(self, block: int, data: bytes, now: float) -> tuple[int, Verdict]:
        """Decide on a block, of which ``data`` comes first; give how much of that passes, by which verdict."""
        assert self._places is not None
        self._block = block
        size = len(data)
        verdict = self._decided(Packet(data, self._direction, self._flow, block, now))
        if verdict.end is not None:  # what else it says is of what passes before that
            place = max(self._offset, verdict.at or 0)
            self._places.add_end(place, verdict.end)
            size = min(size, place - self._offset)
            verdict = replace(verdict, end=None, at=None) if size else PASS
        if verdict not in (PASS, self._noted):  # of the same on block after block, the first tells
            self._note("fault", self._direction, self._offset, verdict)
        self._noted = verdict
        flip = tuple(8 * BLOCK * block + bit for bit in bits_of(verdict))
        self._verdict = verdict if verdict is PASS else Verdict(delay=verdict.delay, flip=flip)
        return size, self._verdict if verdict.data is None else replace(self._verdict, data=verdict.data)

    def _decided(self, packet: Packet) -> Verdict:
        assert self._decider is not None
        try:
            return self._decider.decide(packet)
        except BaseException as error:  # noqa: BLE001  of a user's callable
            self._fail(error)
            return PASS

    def _end_now(self) -> None:
        self._end_here()
        self._go_on()

    def _end_here(self) -> None:
        """End the stream, if this is the place for it."""
        if self._decider is None or self._places is None or self.ended:
            return
        verdict = self._places.end_at(self._offset)
        if verdict is None:
            return
        self._note("fault", self._direction, self._offset, verdict)
        self._decider.keep(self._flow, (max(self._offset - 1, 0), self._offset), verdict)
        self._queue.append(Carried(self._last_due(real_monotonic()), end=verdict.end))
        if verdict.end == "stall":
            self._stalled = True
        else:
            self.ended = True

    def _put(self, now: float, data: bytes, delay: float) -> None:
        rate = None if self._decider is None else self._decider.rate
        if rate is None:
            self._put_at(now + delay, data)
            return
        if rate != self._noted_rate and data:  # likewise, it tells once: by what all passes from here on
            self._noted_rate = rate
            self._note("rate_limited", self._direction, self._offset, rate)
        self._free_at = max(now, self._free_at)
        size = max(self._segment or PACKET, int(rate * MOMENT))
        for at in range(0, len(data), size):
            piece = data[at : at + size]
            self._free_at += len(piece) / rate
            self._put_at(self._free_at + delay, piece)

    def _put_at(self, due: float, data: bytes) -> None:
        if data:  # a verdict may have put nothing in its place
            self._queue.append(Carried(max(due, self._last_due(0.0)), data))
            self.held += len(data)

    def _last_due(self, now: float) -> float:
        """When the last that is on its way arrives; nothing overtakes it."""
        return max(now, self._queue[-1].due) if self._queue else now

    def _go_on(self) -> None:
        """Deliver what is due."""
        while self._queue and not (self._busy or self.blocked):
            now = real_monotonic()
            if self._queue[0].due > now:
                self._wake_at(self._queue[0].due)
                return
            first = self._queue.popleft()
            if first.end is not None:
                self._stopped = first.end == "stall"
                self._end(first.end)
            elif not first.data:
                self._finish()
            else:
                self._arrive(self._joined(first, now))

    def _joined(self, first: Carried, now: float) -> bytes:
        """These bytes, with all after them that are due as well."""
        pieces = [first.data]
        while self._queue and self._queue[0].data and self._queue[0].due <= now:
            pieces.append(self._queue.popleft().data)
        return b"".join(pieces)

    def _arrive(self, data: bytes) -> None:
        self.held -= len(data)
        arriving = self._deliver(data, self._segment)
        if arriving is not None:
            self._busy = True
            self._start(arriving, self._arrived)
        self.when_room()

    def _arrived(self) -> None:
        self._busy = False
        self._go_on()
        self.when_room()

    def _wake_at(self, due: float) -> None:
        if due < self._waking:
            self._waking = due
            self._at(due, self._woken)

    def _woken(self) -> None:
        self._waking = float("inf")
        self._go_on()


def _changed(data: bytes, verdict: Verdict, offset: int) -> bytes:
    """What arrives in the place of ``data``, which stands at ``offset``."""
    if verdict.data is not None:
        data = verdict.data
    bits = [bit - 8 * offset for bit in bits_of(verdict) if 0 <= bit - 8 * offset < 8 * len(data)]
    return flipped(data, bits) if bits else data
