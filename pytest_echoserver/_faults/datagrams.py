"""`DatagramLane`: carries datagrams one way through a bad network."""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from .._neighbours import real_monotonic
from .deciding import Decider
from .verdict import PASS, Direction, Packet, Verdict, bits_of, flipped

__tracebackhide__ = True

REORDERED_WITHIN = 0.05
"""Seconds that a reordered datagram waits for the next of its flow."""
MOST_HELD = 64 * 1024 * 1024
"""Bytes on their way at a time; a queue that is full drops what comes, as those of real links do."""

Sockaddr = tuple[Any, ...]


@dataclass(slots=True, eq=False)
class Carried:
    """One datagram on its way."""

    data: bytes
    addr: Sockaddr
    sent: Any
    verdict: Verdict
    due: float
    copy: bool = False
    """Whether it is one that the network made."""


@dataclass(slots=True, eq=False)
class Flow:
    """The datagrams of one client's address, one way."""

    ordinal: int
    count: int = 0
    last: bytes | None = None
    queue: deque[Carried] = field(default_factory=deque)
    held: list[Carried] = field(default_factory=list)
    """What the next datagram overtakes."""


class DatagramLane:
    """One way through the network: decides on each datagram, and delivers it in time.

    Args:
        ordinals: of the clients' addresses, shared by both ways.
        deliver: takes a datagram at the end of its way.
        at: calls a function at a time, in monotonic seconds.
        note: takes what acts here, as the name of an event and its arguments: the direction, and the data, address
            and verdict, or the rate.
        fail: takes what a user's callable raised; the datagram passes as it is.
    """

    def __init__(
        self,
        direction: Direction,
        ordinals: dict[Sockaddr, int],
        deliver: Callable[[Carried], object],
        *,
        at: Callable[[float, Callable[[], object]], None],
        note: Callable[..., object],
        fail: Callable[[BaseException], object],
    ) -> None:
        self.decider: Decider | None = None
        self.cut = False
        self.lost = 0
        """How many never arrive."""
        self._direction: Direction = direction
        self._ordinals = ordinals
        self._deliver = deliver
        self._at = at
        self._note = note
        self._fail = fail
        self._flows: dict[Sockaddr, Flow] = {}
        self._last: bytes | None = None
        self._free_at = 0.0
        """When the link of that rate is free again."""
        self._rate: float | None = None
        self._noted_rate: float | None = None
        self._held = 0

    def have(self, decider: Decider | None) -> None:
        """Go by this one from here on."""
        self.decider = decider
        self._noted_rate = None  # what acts again is told again

    def carry(self, data: bytes, addr: Sockaddr, sent: Callable[[OSError | None], object] | None = None) -> None:
        """Take a datagram on its way; ``sent`` hears when it has left, or was lost, which nobody can tell apart."""
        flow = self._flow(addr)
        now = real_monotonic()
        previous = self._last if flow.last is None else flow.last
        verdict = self._verdict(Packet(data, self._direction, flow.ordinal, flow.count, now), previous)
        flow.count += 1
        flow.last = self._last = data
        if self._held + len(data) > MOST_HELD:
            verdict = Verdict(drop=True)
        rate = None if self.decider is None else self.decider.rate
        if rate not in (None, self._rate):  # another link, which carries nothing yet
            self._rate, self._free_at = rate, 0.0
        if verdict is not PASS:
            self._note("fault", self._direction, data, addr[:2], verdict)
        if rate not in (None, self._noted_rate) and not verdict.drop:  # of all that pass by it, the first tells
            self._noted_rate = rate
            self._note("rate_limited", self._direction, rate)
        if verdict.drop:
            self.lost += 1
            if sent is not None:
                sent(None)
            return
        arriving = _changed(data, verdict, previous)
        self._send(flow, Carried(arriving, addr, sent, verdict, self._due(now, len(arriving), verdict, rate)), now)

    def clear(self) -> None:
        """Drop what is on its way."""
        for flow in self._flows.values():
            for carried in [*flow.queue, *flow.held]:
                self._note("fault", self._direction, carried.data, carried.addr[:2], Verdict(drop=True))
                if carried.sent is not None:
                    carried.sent(ConnectionAbortedError("the peer was closed before the datagram was sent"))
            flow.queue.clear()
            flow.held.clear()
        self._held = 0

    @property
    def under_way(self) -> int:
        """How many have not arrived yet. To be asked by any thread."""
        return sum(len(flow.queue) + len(flow.held) for flow in list(self._flows.values()))

    def begin_anew(self) -> None:
        """Count all flows from their beginnings again."""
        self._flows.clear()
        self._ordinals.clear()
        self._last = None

    def _flow(self, addr: Sockaddr) -> Flow:
        client = addr[:2]  # over IPv6 one and the same may be a 4-tuple, or a pair that a test gave
        flow = self._flows.get(client)
        if flow is None:
            flow = self._flows[client] = Flow(self._ordinals.setdefault(client, len(self._ordinals)))
        return flow

    def _verdict(self, packet: Packet, previous: bytes | None) -> Verdict:
        if self.cut:
            return Verdict(drop=True)
        if self.decider is None:
            return PASS
        self.decider.nothing_before = previous is None
        try:
            verdict = self.decider.decide(packet)
        except BaseException as error:  # noqa: BLE001  of a user's callable
            self._fail(error)
            return PASS
        if verdict.stale and previous is None:  # a callable's, or a schedule's
            verdict = replace(verdict, stale=False)
        return PASS if verdict == PASS else verdict

    def _due(self, now: float, size: int, verdict: Verdict, rate: float | None) -> float:
        if rate is None:
            return now + verdict.delay
        self._free_at = max(now, self._free_at) + size * verdict.copies / rate
        return self._free_at + verdict.delay

    def _send(self, flow: Flow, carried: Carried, now: float) -> None:
        if carried.due <= now and not flow.queue:
            self._arrive(flow, carried)
            return
        if flow.queue:
            carried.due = max(carried.due, flow.queue[-1].due)
        flow.queue.append(carried)
        self._held += len(carried.data)
        self._at(carried.due, partial(self._come_due, flow, carried))

    def _come_due(self, flow: Flow, carried: Carried) -> None:
        if flow.queue and flow.queue[0] is carried:  # else it was dropped meanwhile
            flow.queue.popleft()
            self._held -= len(carried.data)
            self._arrive(flow, carried)

    def _arrive(self, flow: Flow, carried: Carried) -> None:
        verdict = carried.verdict
        if verdict.reorder or verdict.late:
            flow.held.append(carried)
            if not verdict.late:
                self._at(real_monotonic() + REORDERED_WITHIN, partial(self._wait_no_more, flow, carried))
            return
        self._pass_on(carried)
        while flow.held:
            self._pass_on(flow.held.pop())

    def _wait_no_more(self, flow: Flow, carried: Carried) -> None:
        if carried in flow.held:
            flow.held.remove(carried)
            self._pass_on(carried)

    def _pass_on(self, carried: Carried) -> None:
        self._deliver(carried)
        carried.sent, carried.copy = None, True
        for _ in range(carried.verdict.copies - 1):
            self._deliver(carried)


def _changed(data: bytes, verdict: Verdict, previous: bytes | None) -> bytes:
    """What arrives in the place of ``data``."""
    if verdict.stale and previous is not None:
        data = previous
    if verdict.data is not None:
        data = verdict.data
    if verdict.flip is None or not data:
        return data
    return flipped(data, {bit % (8 * len(data)) for bit in bits_of(verdict)})
