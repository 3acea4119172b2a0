"""What a scope adopts: something open in it, known to it by what it has to ask of that at the end."""

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Protocol

from ._record import Record

if TYPE_CHECKING:
    from ._traffic import PeerTraffic


class Adopted(Protocol):
    """Something open in a scope: what it recorded, and how it is closed.

    Its names are private, for peers are adopted themselves, and users have them in their hands.

    ``_shut`` runs on the engine's loop and may be called again; it is None where another's covers this one.
    ``_patience`` is how many seconds it may take. ``_verdict`` gives what it would be blamed for if all ended now,
    beside what it was blamed for when that happened; in a wide scope ``_errors_told`` is called once a test has had
    those.
    ``_traffic`` gives what it saw, for who asks what went wrong.
    What has to be asked to read what has arrived has one more call, made where the test ran: ``_settle``; and what
    lives on another loop than the engine's yet another: ``_leave`` lets it go before ``_shut``, and gives errors.
    ``_abandon`` does on the thread of the test what can be done there, where the engine is held up, or the wait for
    it is interrupted; it gives errors that tell of the former. ``_tell_closed`` tells who wants to know of peers
    that this one is closed, if it is one.
    """

    @property
    def _record(self) -> Record: ...
    def _traffic(self) -> "PeerTraffic": ...
    @property
    def _shut(self) -> Callable[[], Awaitable[None]] | None: ...
    @property
    def _patience(self) -> float: ...
    @property
    def _verdict(self) -> Callable[[], list[Exception]] | None: ...
    @property
    def _errors_told(self) -> Callable[[], None] | None: ...
    @property
    def _settle(self) -> Callable[[], None] | None: ...
    @property
    def _leave(self) -> Callable[[], list[Exception]] | None: ...
    @property
    def _abandon(self) -> Callable[[], list[Exception]] | None: ...
    @property
    def _tell_closed(self) -> Callable[[], None] | None: ...
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
