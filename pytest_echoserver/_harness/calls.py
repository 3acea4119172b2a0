"""The calls that a transport makes to a protocol: noted when they begin, waited for until they have returned."""

from collections import Counter
from collections.abc import Callable
from typing import Any

from .._cursors import Cursor
from .._futures import CaptureFuture
from .._record import Event, Row, RowRecord, View, make_event

__tracebackhide__ = True


class _CallRecord(RowRecord):
    def amend(self, at: int, *result: Any) -> Row:
        """Add what came of a call to its entry."""
        row = self._rows[at] = (*self._rows[at], *result)
        return row


class Calls:
    """The record of the calls, and a cursor for each name over those that have returned.

    ``closed`` gives the error of a wait for a call that can't come any more, None while it can.
    """

    def __init__(self, closed: Callable[[], Exception | None]) -> None:
        self.record = _CallRecord()
        self._closed = closed
        self._returned: dict[str, list[Row]] = {}
        self._cursors: dict[str, Cursor] = {}

    @property
    def events(self) -> View[Event]:
        return self.record.events

    def begin(self, name: str, *args: Any) -> int:
        """Note a call before it is made; give its place in the record."""
        with self.record.lock:
            self.record.note(name, *args)
            return len(self.record.rows) - 1

    def returned(self, at: int, *result: Any) -> None:
        """The call noted there has returned; ``result`` is what to note of it."""
        with self.record.lock:
            row = self.record.amend(at, *result)
            self._returned.setdefault(row[1], []).append(row)
        if row[1] in self._cursors:
            self._cursors[row[1]].serve()

    def note(self, name: str, *args: Any) -> None:
        """Note what is no call, but is waited for like one."""
        self.returned(self.begin(name, *args))

    def next(self, name: str, future: CaptureFuture[Event]) -> CaptureFuture[Event]:
        """Give ``future`` the next call of that name which has returned."""
        with self.record.lock:
            cursor = self._cursors.setdefault(name, Cursor(self.record.lock))
            rows = self._returned.setdefault(name, [])

        def take(at: int) -> tuple[Event, int] | None:
            if at < len(rows):
                return make_event(rows[at]), at + 1
            error = self._closed()
            if error is not None:
                raise error
            return None

        return cursor.ask(future, take)

    def end(self) -> None:
        """No more calls come."""
        for cursor in list(self._cursors.values()):
            cursor.serve()

    def tell(self) -> str:
        """Tell what came, for a wait that ran out of time."""
        counts = Counter(row[1] for row in self.record.rows if row[1] != "dropped_by_kernel")
        told = ", ".join(name if count == 1 else f"{name} ({count} times)" for name, count in counts.items())
        return f"the calls so far were {told}" if told else "no call came"
