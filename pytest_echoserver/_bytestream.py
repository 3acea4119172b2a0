"""The bytes of one direction of a stream, kept whole, and the readers that go through them."""

import asyncio
import threading
from collections.abc import Callable
from typing import Any, TypeVar

from ._cursors import Cursor
from ._futures import CaptureFuture, what_is_awaited
from ._patterns import Pattern, Search, cut
from ._telling import told_bytes

__tracebackhide__ = True

T = TypeVar("T")
AnyReader = TypeVar("AnyReader", bound="Reader")


MOST_REDACTED = 4_096
"""Bytes that are looked through for what is not to be shown; fewer of them are shown."""


class EndOfStream(asyncio.IncompleteReadError):
    """An `asyncio.IncompleteReadError` that says what was awaited, and what came instead."""

    __module__ = "pytest_echoserver"

    def __init__(self, partial: bytes, expected: int | None, text: str, stream: "ByteStream | None" = None) -> None:
        super().__init__(partial, expected)
        self._stream = stream
        self._text = text

    def __str__(self) -> str:
        return self._text

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.partial, self.expected, self._text)


class ByteStream:
    """What came in, or went out, on a stream. Any number of readers go through it, none in another's way."""

    def __init__(self, lock: threading.RLock) -> None:
        self._kept: bytearray = bytearray()
        self._added: list[bytes] = []
        """What was added since somebody looked: mostly nobody does, and the record has the same bytes."""
        self._length = 0
        self.ended: bool = False
        self.error: BaseException | None = None
        self.lock = lock
        self.redact: Callable[[bytes], bytes] = bytes
        """Takes out of what came what an error may not show."""
        self.moves = 0
        """How often bytes that were in the buffer have got another place there."""
        self._readers: list[Reader] = []
        self._forgotten = 0

    @property
    def buffer(self) -> bytearray:
        """All of it; to be looked into with the lock held."""
        if self._added:
            with self.lock:
                added, self._added = self._added, []
                self._kept += b"".join(added)
        return self._kept

    def __bytes__(self) -> bytes:
        with self.lock:
            return cut(self.buffer, self._forgotten)

    def __len__(self) -> int:
        return self._length

    def reader(self, start: int = 0) -> "Reader":
        """A new reader of all from position ``start`` on."""
        return self.read_by(Reader(self, start))

    def read_by(self, reader: "AnyReader") -> "AnyReader":
        """Serve ``reader``, too."""
        self._readers.append(reader)
        return reader

    def add(self, data: bytes) -> None:
        """Take in more of it; who waits for it is served by `serve`."""
        with self.lock:
            self._added.append(bytes(data))
            self._length += len(data)

    def serve(self) -> None:
        for reader in self._readers:
            reader.serve()

    def feed(self, data: bytes) -> None:
        self.add(data)
        self.serve()

    def end(self, error: BaseException | None = None) -> None:
        """Nothing more will come. Reads that want more than there is end here, with ``error`` if there is one."""
        if not self.ended:
            self.error = self.error or error
            self.ended = True
            self.serve()

    def will_end_with(self, error: BaseException) -> None:
        """Whatever ends this, it is for ``error``; what is still on its way comes before that."""
        self.error = self.error or error

    def forget(self) -> None:
        """Have what came so far shown no more; readers go on where they are."""
        self._forgotten = len(self)


class Reader:
    """Goes through a stream: each read begins where the last one of this reader ended.

    Reads are served in the order in which they were asked for.
    """

    def __init__(self, stream: ByteStream, start: int) -> None:
        self._stream = stream
        self._cursor = Cursor(stream.lock)
        self._cursor.position = start

    @property
    def position(self) -> int:
        return self._cursor.position

    def move(self, where: Callable[[int], int]) -> None:
        """Follow bytes that have got another place in the buffer."""
        self._cursor.position = where(self._cursor.position)

    def skip_to(self, position: int) -> None:
        """Begin the next read no earlier than at ``position``."""
        with self._stream.lock:
            self._cursor.position = max(self._cursor.position, position)

    def serve(self) -> None:
        if self._cursor.waiting:
            self._cursor.serve()

    def fail(self, error: BaseException) -> None:
        """End the reads that wait, with ``error``."""
        self._cursor.fail(error)

    def tell_unread(self, most: int = 200) -> str:
        """Tell what a read that ran out of time had before it."""
        with self._stream.lock:
            start, buffer = self._cursor.position, self._stream.buffer
            unread = len(buffer) - start
            shown = bytes(buffer[start : start + MOST_REDACTED])
        if unread:
            shown = self._stream.redact(shown)[:most]
            cut = "" if unread <= most else f"… ({told_bytes(unread)})"
            return f"what came, and wasn't read before, was {shown!r}{cut}"
        return f"nothing came after the {told_bytes(start)} read before" if start else "nothing came"

    def read(self, future: CaptureFuture[bytes], n: int) -> CaptureFuture[bytes]:
        """What is there, at most ``n`` bytes, as soon as there is any; with -1 all up to the end."""
        stream = self._stream

        def take(start: int) -> tuple[bytes, int] | None:
            here = len(stream.buffer) - start
            if not stream.ended and (n < 0 or here == 0):
                return None
            if stream.error is not None and (n < 0 or here == 0):
                raise stream.error
            return self._cut(start, len(stream.buffer) if n < 0 else min(start + n, len(stream.buffer)))

        return self._cursor.ask(future, take)

    def read_exactly(self, future: CaptureFuture[bytes], n: int) -> CaptureFuture[bytes]:
        def take(start: int) -> tuple[bytes, int] | None:
            if len(self._stream.buffer) - start >= n:
                return self._cut(start, start + n)
            self._check_end(start, n, future)
            return None

        return self._cursor.ask(future, take)

    def read_until(self, future: CaptureFuture[T], pattern: Pattern[T]) -> CaptureFuture[T]:
        search: Search[T] | None = None
        moves = 0

        def take(start: int) -> tuple[T, int] | None:
            nonlocal search, moves
            # Only now is it known where the reads before this one end.
            if search is None or moves != self._stream.moves:
                search, moves = pattern.search_from(start), self._stream.moves
            found = search.find(self._stream.buffer)
            if found is None:
                self._check_end(start, None, future)
            return found

        return self._cursor.ask(future, take)

    def _cut(self, start: int, end: int) -> tuple[bytes, int]:
        return cut(self._stream.buffer, start, end), end

    def _check_end(self, start: int, expected: int | None, future: CaptureFuture[Any]) -> None:
        stream = self._stream
        if stream.ended and stream.error is not None:
            raise stream.error
        if stream.ended:
            text = f"the end came before {what_is_awaited(future)}: {self.tell_unread()}"
            raise EndOfStream(cut(stream.buffer, start), expected, text, stream)
