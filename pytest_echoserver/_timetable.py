"""`Timetable`: what is to happen on a loop later, all of it by one timer."""

import asyncio
import heapq
import itertools
from collections.abc import Callable
from contextvars import Context

from ._neighbours import real_monotonic

Agenda = dict[int, tuple[Callable[[], object], Context]]
"""What is still to be called for one owner, by its number. What the owner takes out of it isn't called."""
Entry = tuple[float, int, Agenda]


class Timetable:
    """Calls functions at their times, those of one time in the order in which they were put there.

    ``loop.call_later`` would do it with a timer each, and may call a little early. Lives on the loop's thread.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._entries: list[Entry] = []
        self._order = itertools.count()
        self._timer: asyncio.TimerHandle | None = None
        self._next = float("inf")

    def at(self, when: float, function: Callable[[], object], context: Context, agenda: Agenda) -> None:
        """Have ``function`` called in ``context`` at ``when``, in monotonic seconds, and not before.

        Until then ``agenda`` holds it. There is no way to take that one alone back: a function that comes too late
        has to see that by itself.
        """
        number = next(self._order)
        agenda[number] = function, context
        heapq.heappush(self._entries, (when, number, agenda))
        if when < self._next:
            self._set(when)

    def _set(self, when: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._next = when
        self._timer = self._loop.call_later(max(0.0, when - real_monotonic()), self._come, context=Context())

    def _come(self) -> None:
        self._timer, self._next = None, float("inf")
        entries = self._entries
        while entries and entries[0][0] <= real_monotonic():
            _, number, agenda = heapq.heappop(entries)
            if number in agenda:
                function, context = agenda.pop(number)
                self._loop.call_soon(function, context=context)
        if entries and entries[0][0] < self._next:
            self._set(entries[0][0])
