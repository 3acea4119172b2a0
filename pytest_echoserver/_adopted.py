"""What a scope adopts: something open in it, known to it by what it has to ask of that at the end."""

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Protocol

from ._record import Record

if TYPE_CHECKING:
    from ._traffic import PeerTraffic


class Adopted(Protocol):
    """Something open in a scope: what it recorded, and how it is judged and closed.

    A scope asks, at the end of a test, in this order: `_settle`, `_verdict`, then for the close `_leave`, `_shut`
    and `_tell_closed`. If everything rests (`_at_rest`, `_close_at_rest`), it does without the engine. What may be
    None has nothing to do at that point.

    The names are private since peers themselves are adopted, and users have those in their hands.
    """

    @property
    def _record(self) -> Record:
        """What it recorded."""
        ...

    def _traffic(self) -> "PeerTraffic":
        """What it saw, for the evidence and for hooks."""
        ...

    @property
    def _settle(self) -> Callable[[], None] | None:
        """Has it read what has arrived, if that needs more than the engine's loop turning.

        Called on the thread of the test.
        """
        ...

    @property
    def _verdict(self) -> Callable[[], list[Exception]] | None:
        """Gives what would be wrong if all ended now; what went wrong before, it has blamed on its scope."""
        ...

    @property
    def _errors_told(self) -> Callable[[], None] | None:
        """Hears, in a wide scope, that a test has failed with the errors that the scope was blamed for."""
        ...

    @property
    def _leave(self) -> Callable[[], list[Exception]] | None:
        """Lets go of what lives on another loop than the engine's, and gives errors.

        Called on the thread of the test, before `_shut`.
        """
        ...

    @property
    def _shut(self) -> Callable[[], Awaitable[None]] | None:
        """Closes it, on the engine's loop; may be called again. None if that of another member does it."""
        ...

    @property
    def _patience(self) -> float:
        """How many seconds `_shut` may take."""
        ...

    @property
    def _abandon(self) -> Callable[[], list[Exception]] | None:
        """Does what can be done of the close without the engine, which is held up, or whose wait was interrupted.

        Called on the thread of the test; gives errors, which are shown if the engine is held up.
        """
        ...

    @property
    def _tell_closed(self) -> Callable[[], None] | None:
        """Tells the hooks that it is closed, if it is a peer."""
        ...

    def _at_rest(self) -> bool:
        """Whether it has dealt with all that has come, by no code but ours: nothing can come of that any more.

        Asked on the thread of the test: what rests is judged without the engine.
        """
        ...

    def _close_at_rest(self) -> bool:
        """Close it on the thread of the test, if it rests; else give false."""
        ...


class Member:
    """What is adopted by its parts, and leaves all to the engine."""

    _errors_told = None

    def __init__(
        self,
        traffic: "Callable[[], PeerTraffic]",
        record: Record,
        shut: Callable[[], Awaitable[None]] | None,
        *,
        patience: float = 0.0,
        verdict: Callable[[], list[Exception]] | None = None,
        settle: Callable[[], None] | None = None,
        leave: Callable[[], list[Exception]] | None = None,
        abandon: Callable[[], list[Exception]] | None = None,
        tell_closed: Callable[[], None] | None = None,
    ) -> None:
        self._traffic = traffic
        self._record = record
        self._shut = shut
        self._patience = patience
        self._verdict = verdict
        self._settle = settle
        self._leave = leave
        self._abandon = abandon
        self._tell_closed = tell_closed

    def _at_rest(self) -> bool:
        return False

    def _close_at_rest(self) -> bool:
        return False
