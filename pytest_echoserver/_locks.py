"""Locks that are made when they are first asked for."""

import os
from _thread import RLock  # that of `threading` is a function around it

_giving = RLock()


def _renew() -> None:
    """A thread of the parent may have held it, which in this forked child would never let it go."""
    global _giving
    _giving = RLock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew)


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
        # Made before ``_giving`` is held, for it may start the garbage collector, and that code which comes here.
        made = RLock()
        with _giving:  # lest two threads put two different ones there
            if self._lock is None:
                self._lock = made  # type: ignore[misc]  # the slot is the heir's
            return self._lock
