"""What a program prints: kept by pipe, and as one stream in order of arrival for who asks for that."""

import threading
from collections.abc import Callable, Iterable
from io import SEEK_END, BytesIO

from .._bytestream import ByteStream, Reader
from .._patterns import cut
from .._record import Excerpt, Record
from .telling import told_output

__tracebackhide__ = True

STDIN, STDOUT, STDERR, BOTH = 0, 1, 2, 3
STREAMS: dict[str, int] = {"stdout": STDOUT, "stderr": STDERR, "both": BOTH}
NAMES = {number: name for name, number in STREAMS.items()}

WINDOW = 65_536
"""Bytes that a capped stream has at least for searches, beside its head."""


class Output(ByteStream):
    """An output that is kept whole.

    Until somebody looks into it, a BytesIO keeps it: that gives all of it as bytes without a copy.
    """

    def __init__(self, lock: threading.RLock) -> None:
        super().__init__(lock)
        self._unseen: BytesIO | None = BytesIO()

    def __len__(self) -> int:
        with self.lock:
            return len(self._kept) if self._unseen is None else self._unseen.tell()

    def __bytes__(self) -> bytes:
        with self.lock:
            return super().__bytes__() if self._unseen is None else self._unseen.getvalue()

    @property
    def buffer(self) -> bytearray:
        with self.lock:
            if self._unseen is not None:
                self._kept.extend(self._unseen.getvalue())
                self._unseen = None
            return self._kept

    @property
    def came(self) -> int:
        """How many bytes have come."""
        return len(self)

    def add(self, data: bytes) -> None:
        with self.lock:
            if self._unseen is None:
                self._kept += data
            else:
                self._unseen.write(data)

    def take_in(self, data: bytes) -> Excerpt:
        """Add ``data``, and give where it is."""
        start = self.came
        self.add(data)
        return Excerpt(self.excerpt, start, start + len(data))

    def kept(self, start: int, end: int) -> tuple[bytes, int, bytes]:
        """What there is still of that: its beginning, how many bytes were left out, and its end."""
        return self.excerpt(start, end), 0, b""

    def excerpt(self, start: int, end: int) -> bytes:
        """What came from the byte ``start`` to the byte ``end``."""
        with self.lock:
            if self._unseen is None:
                return cut(self._kept, start, end)
            self._unseen.seek(start)
            data = self._unseen.read(end - start)
            self._unseen.seek(0, SEEK_END)  # where what comes next is written
            return data


class CappedOutput(Output):
    """An output of which the first and the last bytes are kept, and between them a note of how many are not.

    The buffer holds the head, such a note once something was dropped, and a window that is at least as long as the
    tail: so a search finds what passes.

        what came:   | head | dropped ................... | window ......... | (``came`` bytes)
        the buffer:  | head | note | window ......... |
        what is shown:       | head | note | tail |

    Three ways to count, then. An `Excerpt` counts the bytes that came, for ever. Readers and searches count those
    of the buffer: what is behind the head moves there when something is dropped (`Reader.move`, ``moves``), so that
    a byte of the window is at its place among all that came less ``came - len(buffer)``. And ``__bytes__``, or any
    excerpt, shows the head and the last ``limit - head`` bytes, with a note of its own of what it leaves out,
    though the window may hold more.
    """

    def __init__(self, lock: threading.RLock, limit: int) -> None:
        super().__init__(lock)
        self._unseen = None  # what is dropped has to be found in one place
        self._came = 0
        self._limit = limit
        self._head = limit // 2
        self._tail = limit - self._head
        self._keep = max(self._tail, WINDOW)
        self._dropped = 0
        self._note = b""

    @property
    def came(self) -> int:
        return self._came

    def __bytes__(self) -> bytes:
        with self.lock:
            return self.excerpt(0, self.came)

    def add(self, data: bytes) -> None:
        with self.lock:
            # What was there before has been searched by all who wait.
            if len(self._kept) - self._head - len(self._note) > 2 * self._keep:
                self._drop()
            self._kept += data
            self._came += len(data)

    def excerpt(self, start: int, end: int) -> bytes:
        head, left_out, tail = self.kept(start, end)
        return head + told_left_out(left_out, self._limit) + tail

    def kept(self, start: int, end: int) -> tuple[bytes, int, bytes]:
        with self.lock:
            if self.came <= self._limit:
                return cut(self._kept, start, end), 0, b""
            head = cut(self._kept, start, min(end, self._head))
            tail_starts = self.came - self._tail
            moved = len(self._kept) - self.came
            tail = cut(self._kept, max(start, tail_starts) + moved, end + moved) if end > tail_starts else b""
        return head, end - start - len(head) - len(tail), tail

    def _drop(self) -> None:
        window = self._head + len(self._note)
        drop = len(self._kept) - window - self._keep
        self._dropped += drop
        self._note = told_left_out(self._dropped, self._limit)
        self._kept[self._head : window + drop] = self._note
        shift = window + drop - self._head - len(self._note)

        def where(place: int) -> int:
            return place if place <= self._head else max(self._head, place - shift)

        for reader in self._readers:
            reader.move(where)
        self.moves += 1


def told_left_out(count: int, limit: int) -> bytes:
    """The note for so many bytes; none for none."""
    return b"\n[... %d bytes left out: capture_limit=%d ...]\n" % (count, limit) if count else b""


class OutputReader(Reader):
    """Goes through an output. What it tells shows the place that it searched from."""

    def __init__(self, stream: Output, name: str, beside: Callable[[], str]) -> None:
        super().__init__(stream, 0)
        self._name = name
        self._beside = beside

    def tell_unread(self, most: int = 200) -> str:
        told = super().tell_unread(most)
        if self.position or len(self._stream) > most:
            told += f"\n{told_output(f'{self._name} so far', self._stream, self.position)}"
        return told + self._beside()


class Outputs:
    """All that a program prints, whatever its pipes."""

    def __init__(self, record: Record, limit: int | None) -> None:
        self.streams: dict[int, Output] = {fd: self._new(record, limit) for fd in (STDOUT, STDERR)}
        self._record = record
        self._limit = limit
        self._piped = {STDOUT, STDERR}
        self._open = set(self._piped)
        self._readers = {fd: self._reader(self.streams[fd], fd) for fd in self.streams}

    @property
    def ended(self) -> bool:
        """Whether nothing more will come."""
        return not self._open

    @property
    def captured(self) -> list[int]:
        """Which of the program's outputs are captured at all."""
        return sorted(self._piped)

    def redact_by(self, redact: Callable[[bytes], bytes]) -> None:
        """Have what an error shows of them go through ``redact`` before."""
        for stream in self.streams.values():
            stream.redact = redact

    def has(self, stream: int) -> bool:
        """Whether anything of ``stream`` is captured."""
        return bool(self._piped) if stream == BOTH else stream in self._piped

    def only(self, piped: Iterable[int]) -> None:
        """Tell which of them are captured at all."""
        self._piped = set(piped)
        self._open = set(self._piped)

    def reader(self, stream: int) -> Reader:
        """The reader of one of them, or of all together: which is put together when it is first asked for."""
        with self._record.lock:
            if stream not in self._readers:
                whole = self.streams[min(self._piped)] if len(self._piped) == 1 else self._merged()
                self._readers[stream] = self._reader(whole, stream)
            return self._readers[stream]

    def take_in(self, fd: int, data: bytes) -> None:
        """Keep what came and note it, and nothing else: `serve` is to follow."""
        with self._record.lock:
            excerpt = self.streams[fd].take_in(data)
            self._record.note("pipe_data_received", fd, excerpt)
            if BOTH in self.streams:
                self.streams[BOTH].add(data)

    def serve(self, fd: int) -> None:
        """Serve who waits for what came by ``fd``."""
        self.streams[fd].serve()
        if BOTH in self.streams:
            self.streams[BOTH].serve()

    def end(self, fd: int) -> None:
        with self._record.lock:
            self._open.discard(fd)
        self.streams[fd].end()
        if self.ended and BOTH in self.streams:
            self.streams[BOTH].end()

    def _merged(self) -> Output:
        merged = self._new(self._record, self._limit)
        merged.redact = self.streams[STDOUT].redact
        left_out = 0
        for _, name, *args in self._record.rows:
            if name != "pipe_data_received":
                continue
            fd, excerpt = args
            head, more_left_out, tail = self.streams[fd].kept(excerpt.start, excerpt.end)
            for data, skipped in ((head, 0), (tail, more_left_out)):
                left_out += skipped
                if data:
                    merged.add(told_left_out(left_out, self._limit or 0) + data)
                    left_out = 0
        merged.ended = self.ended
        self.streams[BOTH] = merged
        return merged

    def _reader(self, stream: Output, number: int) -> OutputReader:
        reader = OutputReader(stream, NAMES[number], lambda: self._told_stderr() if number == STDOUT else "")
        return stream.read_by(reader)

    def _told_stderr(self) -> str:
        stderr = self.streams[STDERR]
        return f"\n{told_output('stderr so far', stderr)}" if len(stderr) else ""

    @staticmethod
    def _new(record: Record, limit: int | None) -> Output:
        return Output(record.lock) if limit is None else CappedOutput(record.lock, limit)
