"""Waiting for what comes next in a record."""

import threading
from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar

from ._futures import CaptureFuture
from ._outcomes import fail, fulfil

__tracebackhide__ = True

T = TypeVar("T")

Take = Callable[[int], tuple[T, int] | None]
"""From a position: what is to be had there and the position behind it, or None while there is too little."""


class Cursor:
    """A place in a record, and the line of those who wait for what comes after it.

    They are served in the order in which they asked. One that timed out or was cancelled leaves the line and
    takes nothing. ``serve`` is called whenever the record has grown.
    """

    __slots__ = ("_line", "_lock", "_serving", "position")

    def __init__(self, lock: threading.RLock) -> None:
        self.position: int = 0
        self._lock = lock
        self._serving = False
        # A list, and one only if it is needed: it is nearly always empty, and every peer has several cursors.
        self._line: list[tuple[CaptureFuture[Any], Take[Any]]] | None = None

    @property
    def waiting(self) -> bool:
        return bool(self._line)

    @property
    def spent(self) -> bool:
        """Whether somebody has asked, and nobody waits any more."""
        return self._line is not None and not self._line

    def ask(self, future: CaptureFuture[T], take: Take[T]) -> CaptureFuture[T]:
        """Put ``future`` in line, to get what ``take`` finds; an error that ``take`` raises is the future's."""
        with self._lock:
            if self._line is None:
                self._line = []
            self._line.append((future, take))
        self.serve()
        if not future.done():
            future.add_done_callback(lambda _: self.serve())
        return future

    def serve(self) -> None:
        """Serve all that can be served. Callbacks of the futures run without the lock, and may ask for more."""
        while self._line:  # whoever adds to it serves it, too
            with self._lock:
                if self._serving:  # who does that goes on until nobody can be served
                    return
                self._serving = True
                served = self._next_served()
                if served is None:
                    self._serving = False
                    return
            try:
                served()
            finally:
                self._serving = False

    def fail(self, error: BaseException) -> None:
        """Give ``error`` to all who wait."""
        line = self._line
        if not line:
            return
        with self._lock:
            waiting = [future for future, _ in line if future._claim()]
            line.clear()
        for future in waiting:
            fail(future, error)

    def _next_served(self) -> Callable[[], object] | None:
        """Take the first who can be served out of the line, move on, and give what ends the wait."""
        line = self._line
        while line:
            future, take = line[0]  # in line until it is decided: whoever adds an entry looks there
            found: tuple[Any, int] | Exception | None = None
            if not future.done():
                try:
                    found = take(self.position)
                except Exception as error:  # noqa: BLE001  it is handed on to who waits
                    found = error
                if found is None:
                    return None
            del line[0]
            if found is None or not future._claim():
                continue
            if isinstance(found, Exception):
                return partial(fail, future, found)
            value, self.position = found
            return partial(fulfil, future, value)
        return None
