"""What a scope adopts: something open in it, known to it by what it has to ask of that at the end."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from ._record import Record

if TYPE_CHECKING:
    from ._traffic import PeerTraffic


class Adopted(Protocol):
    """Something open in a scope: what it recorded, and how it is closed.

    ``close`` runs on the engine's loop and may be called again; ``patience`` is how many seconds it may take. There
    is none where another's close covers this one. ``verdict`` gives what it would be blamed for if all ended
    now, beside what it was blamed for when that happened; in a wide scope ``told`` is called once a test has had
    those. ``traffic`` gives what it saw, for who asks what went wrong.
    What has to be asked to read what has arrived has one more call, made where the test ran: ``settle``; and what
    lives on another loop than the engine's yet another: ``leave`` lets it go before ``close``.
    ``abandon`` does on the thread of the test what can be done there, where the engine is held up; it gives errors
    that tell of it. ``tell_closed`` tells who wants to know of peers that this one is closed, if it is one.
    """

    @property
    def record(self) -> Record: ...
    def traffic(self) -> "PeerTraffic": ...
    @property
    def close(self) -> Callable[[], Awaitable[None]] | None: ...
    @property
    def patience(self) -> float: ...
    @property
    def verdict(self) -> Callable[[], list[Exception]] | None: ...
    @property
    def told(self) -> Callable[[], None] | None: ...
    @property
    def settle(self) -> Callable[[], None] | None: ...
    @property
    def leave(self) -> Callable[[], None] | None: ...
    @property
    def abandon(self) -> Callable[[], list[Exception]] | None: ...
    @property
    def tell_closed(self) -> Callable[[], None] | None: ...
    def rests(self) -> bool:
        """Whether it has dealt with all that has come, by no code but ours: nothing can come of that any more.

        Asked on the thread of the test: what rests is judged without the engine.
        """
        ...

    def close_at_rest(self) -> bool:
        """Close it on the thread of the test, if it rests; else give false."""
        ...


@dataclass(slots=True, eq=False)
class Member:
    """What is adopted by its parts, and leaves all to the engine."""

    traffic: "Callable[[], PeerTraffic]"
    record: Record
    close: Callable[[], Awaitable[None]] | None
    patience: float = 0.0
    verdict: Callable[[], list[Exception]] | None = None
    told: Callable[[], None] | None = None
    settle: Callable[[], None] | None = None
    leave: Callable[[], None] | None = None
    abandon: Callable[[], list[Exception]] | None = None
    tell_closed: Callable[[], None] | None = None

    def rests(self) -> bool:
        return False

    def close_at_rest(self) -> bool:
        return False
