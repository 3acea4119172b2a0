"""What all peers of one test saw, put together for whoever asks what passed: the evidence, and hooks."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from ._record import Address, Event


@dataclass(frozen=True, slots=True)
class Expected:
    """What a script expected, or a rule allowed.

    Attributes:
        told: as the test has it, more or less, and in ``where`` the line that says so.
        met: when it was met, in monotonic seconds, and on which connection, from 1, if the peer has such. Of one
            that was met very often the last times.
        missing: how many times it is still to be met; of a rule, none.
    """

    told: str
    where: str
    met: Sequence[tuple[float, int | None]]
    missing: int


@dataclass(frozen=True, slots=True)
class PeerTraffic:
    """What one peer saw.

    Attributes:
        name: the name it goes by.
        kind: ``"udp"``, ``"tcp"``, ``"tls"``, ``"unix"``; ``"none"`` of a dead peer or a reserved port; of a
            harness ``"protocol"`` for its calls, ``"stream"`` or ``"endpoint"`` for the far end; ``"process"``.
        address: where it is: (host, port), a path, or None.
        events: what happened, in order.
        expected: the steps of its scripts, in order, and the rules.
        numbered: whether the events' arguments begin with a connection's number, from 1.
        peer: the peer itself, as the test has it; None where there is none.
        detail: what else there is to say of it, as of a process its command line and how it ended, and of a proxy
            that it is partitioned.
        lives_on: whether it is one of the session, and what it expects may still come in another test.
    """

    name: str
    kind: str
    address: Address | str | None
    events: Sequence[Event] = field(repr=False)  # not redacted, and pytest shows the arguments of a hook that fails
    expected: Sequence[Expected] = ()
    numbered: bool = False
    peer: Any = None
    detail: str = ""
    lives_on: bool = False


@dataclass(frozen=True, slots=True)
class Traffic:
    """What all peers of one test saw.

    Attributes:
        started: the moment, in monotonic seconds, that times count from.
        peers: that of each.
        repeat: how to have the same faults again, if there were any by chance; else empty.
        seed: what chance was decided from.
    """

    started: float
    peers: tuple[PeerTraffic, ...]
    repeat: str = ""
    seed: str = ""
