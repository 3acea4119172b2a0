"""Locks that are made when they are first asked for."""

from threading import Lock, RLock

_making = Lock()


class Locked:
    """Has a ``lock``. There may be thousands of these, most of them idle, and an `RLock` takes 96 bytes.

    Who inherits gives ``_lock`` its place, and None to begin with.
    """

    __slots__ = ()

    _lock: "RLock | None"

    @property
    def lock(self) -> "RLock":
        return self._lock or self._make_lock()

    def _make_lock(self) -> "RLock":
        with _making:  # there may never be two
            if self._lock is None:
                self._lock = RLock()  # type: ignore[misc]  # the slot is the heir's
            return self._lock
