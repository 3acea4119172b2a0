"""Waiting for what comes next in a record: the cursor, and the bytes of a stream that are read through one."""

import asyncio
import threading
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar

from ._futures import CaptureFuture
from ._outcomes import fail, fulfil
from ._patterns import Pattern, Search

__tracebackhide__ = True

T = TypeVar("T")

Take = Callable[[int], tuple[T, int] | None]
"""From a position: what is to be had there and the position behind it, or None while there is too little."""


class Cursor:
    """A place in a record, and the line of those who wait for what comes after it.

    They are served in the order in which they asked. One that timed out or was cancelled leaves the line and
    takes nothing. ``serve`` is called whenever the record has grown.
    """

    def __init__(self, lock: threading.RLock) -> None:
        self.position = 0
        self._lock = lock
        self._serving = False
        self._line: deque[tuple[CaptureFuture[Any], Take[Any]]] = deque()

    @property
    def waiting(self) -> bool:
        return bool(self._line)

    def ask(self, future: CaptureFuture[T], take: Take[T]) -> CaptureFuture[T]:
        """Put ``future`` in line, to get what ``take`` finds; an error that ``take`` raises is the future's."""
        with self._lock:
            self._line.append((future, take))
        self.serve()
        if not future.done():
            future.add_done_callback(lambda _: self.serve())
        return future

    def serve(self) -> None:
        """Serve all that can be served. Callbacks of the futures run without the lock, and may ask for more."""
        while True:
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
        with self._lock:
            waiting = [future for future, _ in self._line if future.claim()]
            self._line.clear()
        for future in waiting:
            fail(future, error)

    def _next_served(self) -> Callable[[], object] | None:
        """Take the first who can be served out of the line, move on, and give what ends the wait."""
        while self._line:
            future, take = self._line[0]  # in line until it is decided: whoever adds an entry looks there
            found: tuple[Any, int] | Exception | None = None
            if not future.done():
                try:
                    found = take(self.position)
                except Exception as error:  # noqa: BLE001  it is handed on to who waits
                    found = error
                if found is None:
                    return None
            self._line.popleft()
            if found is None or not future.claim():
                continue
            if isinstance(found, Exception):
                return partial(fail, future, found)
            value, self.position = found
            return partial(fulfil, future, value)
        return None


class EndOfStream(asyncio.IncompleteReadError):
    """An `asyncio.IncompleteReadError` that says what was awaited, and what came instead."""

    def __init__(self, partial: bytes, expected: int | None, text: str) -> None:
        super().__init__(partial, expected)
        self._text = text

    def __str__(self) -> str:
        return self._text

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.partial, self.expected, self._text)


class ByteStream:
    """The bytes of one direction of a stream, kept whole, and reads that wait for more of them.

    Reads name what they want by a `Take`; those here share one cursor.
    """

    def __init__(self, lock: threading.RLock) -> None:
        self._ended = False
        self._error: BaseException | None = None
        self._lock = lock
        self._buffer = bytearray()
        self._cursor = Cursor(lock)

    def __bytes__(self) -> bytes:
        with self._lock:
            return bytes(self._buffer)

    def __len__(self) -> int:
        return len(self._buffer)

    def tell_unread(self, most: int = 200) -> str:
        """Tell what a read that ran out of time had before it."""
        with self._lock:
            start = self._cursor.position
            unread = len(self._buffer) - start
            shown = bytes(self._buffer[start : start + most])
        if unread:
            cut = "" if unread <= most else f"… ({unread} bytes)"
            return f"what came, and wasn't read before, was {shown!r}{cut}"
        return f"nothing came after the {start} bytes read before" if start else "nothing came"

    def feed(self, data: bytes) -> None:
        with self._lock:
            self._buffer += data
        if self._cursor.waiting:
            self._cursor.serve()

    def end(self, error: BaseException | None = None) -> None:
        """Nothing more will come. Reads that want more than there is end here, with ``error`` if there is one."""
        if not self._ended:
            self._error = self._error or error
            self._ended = True
            self._cursor.serve()

    def will_end_with(self, error: BaseException) -> None:
        """Whatever ends this, it is for ``error``; what is still on its way comes before that."""
        self._error = self._error or error

    def read(self, future: CaptureFuture[bytes], n: int) -> CaptureFuture[bytes]:
        """What is there, at most ``n`` bytes, as soon as there is any; with -1 all up to the end."""

        def take(start: int) -> tuple[bytes, int] | None:
            here = len(self._buffer) - start
            if not self._ended and (n < 0 or here == 0):
                return None
            if self._error is not None and (n < 0 or here == 0):
                raise self._error
            return self._cut(start, len(self._buffer) if n < 0 else min(start + n, len(self._buffer)))

        return self._cursor.ask(future, take)

    def read_exactly(self, future: CaptureFuture[bytes], n: int) -> CaptureFuture[bytes]:
        def take(start: int) -> tuple[bytes, int] | None:
            if len(self._buffer) - start >= n:
                return self._cut(start, start + n)
            self._check_end(start, n, future)
            return None

        return self._cursor.ask(future, take)

    def read_until(self, future: CaptureFuture[T], pattern: Pattern[T]) -> CaptureFuture[T]:
        search: Search[T] | None = None

        def take(start: int) -> tuple[T, int] | None:
            nonlocal search
            if search is None:  # only now is it known where the reads before this one end
                search = pattern.search_from(start)
            found = search.find(self._buffer)
            if found is None:
                self._check_end(start, None, future)
            return found

        return self._cursor.ask(future, take)

    def _cut(self, start: int, end: int) -> tuple[bytes, int]:
        return bytes(self._buffer[start:end]), end

    def _check_end(self, start: int, expected: int | None, future: CaptureFuture[Any]) -> None:
        if self._ended and self._error is not None:
            raise self._error
        if self._ended:
            text = f"the end came before {future.awaited}: {self.tell_unread()}"
            raise EndOfStream(bytes(self._buffer[start:]), expected, text)
