"""`PeerFaults`: the faults of one peer, as they were given, and what came of them."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from .._telling import escaped
from .deciding import Decider, Kind, StreamDecider, as_given, both_ways
from .model import Trigger
from .schedule import Chances, Schedule
from .verdict import Direction

__tracebackhide__ = True


class FaultNotMet(AssertionError):
    """A fault was to happen at a place that nothing has passed; the text says at which place of which peer."""

    __module__ = "pytest_echoserver"  # where users find it
    _only_missing = True


class InForce(NamedTuple):
    """Faults as they were given, and what decides by them: that knows what it has counted."""

    given: Any
    inbound: Decider | None
    outbound: Decider | None


class PeerFaults:
    """What was given to one peer as its faults, by direction; it may change while the peer runs.

    Args:
        name: of the peer; decisions depend on it.
        take_seed: gives what they are decided from, where the faults have no seed of their own.
    """

    def __init__(self, kind: Kind, name: str, take_seed: Callable[[], bytes]) -> None:
        self.schedule = Schedule()
        self.given: Any = None
        self.inbound: Decider | None = None
        self.outbound: Decider | None = None
        self._kind: Kind = kind
        self._name = name
        self._take_seed = take_seed
        self._made: dict[int | None, Chances] = {}
        self._triggers: dict[int, Trigger] = {}
        self._fired: set[int] = set()

    @property
    def in_force(self) -> InForce:
        """Those of now; given later, they go on where they are."""
        return InForce(self.given, self.inbound, self.outbound)

    def give(self, given: Any) -> None:
        """Have these faults from here on, in the place of those before.

        Raises:
            TypeError: they aren't what is allowed.
        """
        self.given, self.inbound, self.outbound = given if isinstance(given, InForce) else self._begun(given)
        for decider in (self.inbound, self.outbound):
            if decider is not None:
                decider.begin()

    def begin_anew(self) -> None:
        """Forget what was decided, and decide it again."""
        self.schedule.clear()
        self.give(self.given)

    def not_met(self) -> list[Exception]:
        """An error for each trigger that never fired, though faults that have it were given."""
        return [
            FaultNotMet(f"{escaped(self._name)}: a fault that was to happen {trigger} never did: {trigger.told}")
            for key, trigger in self._triggers.items()
            if key not in self._fired
        ]

    def tell(self) -> None:
        """Count what `not_met` gives now as told."""
        self._fired |= self._triggers.keys()

    def _begun(self, given: Any) -> InForce:
        ways = both_ways(given, self._kind)
        # What is given for both ways counts what the peer sends.
        inbound = self._decider("in", ways[0], counts=ways[0] is not ways[1])
        return InForce(as_given(given), inbound, self._decider("out", ways[1], counts=True))

    def _decider(self, direction: Direction, sources: Sequence[Any], *, counts: bool) -> Decider | None:
        if not sources:
            return None
        decider: Decider
        if self._kind == "stream":
            decider = StreamDecider(direction, sources, self._chances, self.schedule, self._fired, counts=counts)
        else:
            decider = Decider("datagram", direction, sources, self._chances, self.schedule, self._fired)
        self._triggers |= {id(trigger): trigger for trigger in decider.triggers}
        return decider

    def _chances(self, seed: int | None) -> Chances:
        if seed not in self._made:
            self._made[seed] = Chances(self._take_seed() if seed is None else str(seed).encode(), self._name)
        return self._made[seed]
