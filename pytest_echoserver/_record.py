"""What a peer saw and said, in order, with times: written by peers, read by tests and by the evidence."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Generic, NamedTuple, TypeVar, overload

from ._locks import Locked
from ._neighbours import real_monotonic

T = TypeVar("T")

Address = tuple[str, int]
"""Host and port, for IPv4 and IPv6 alike."""

Row = tuple[Any, ...]
"""One entry as it is kept: (time, name, *args). What users see is made from it when they look."""


@dataclass(frozen=True, slots=True)
class Datagram:
    """A datagram that came in: its payload, the (host, port) that sent it, and when (`Event`)."""

    data: bytes
    source: Address
    time: float


@dataclass(frozen=True, slots=True)
class SentDatagram:
    """A datagram that went out: its payload, the (host, port) it went to, and when (`Event`)."""

    data: bytes
    to: Address
    time: float


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that happened: when, in seconds of ``time.monotonic()``, its name, and what it carried.

    The reference has all names, and the arguments of each: "Records and events".
    """

    time: float
    name: str
    args: tuple[Any, ...]


class Excerpt(NamedTuple):
    """Bytes of an entry that a stream keeps anyway: where they are in it, so that they aren't kept twice."""

    read: Callable[[int, int], bytes]
    start: int
    end: int

    def __bytes__(self) -> bytes:
        return self.read(self.start, self.end)


class View(Sequence[T], Generic[T]):
    """A live, read-only sequence over kept rows; its ``len`` and indexing cost the same however long it is."""

    __slots__ = ("_make", "_rows")

    def __init__(self, rows: Sequence[Row], make: Callable[[Row], T]) -> None:
        self._rows = rows
        self._make = make

    def __len__(self) -> int:
        return len(self._rows)

    @overload
    def __getitem__(self, index: int) -> T: ...
    @overload
    def __getitem__(self, index: slice) -> list[T]: ...
    def __getitem__(self, index: int | slice) -> T | list[T]:
        if isinstance(index, slice):
            return [self._make(row) for row in self._rows[index]]
        return self._make(self._rows[index])

    def __iter__(self) -> Iterator[T]:
        return map(self._make, self._rows)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, (list, tuple, View)):
            return NotImplemented
        return list(self) == list(other)

    __hash__: ClassVar[None] = None  # type: ignore[assignment]  # mutable, like a list

    def __repr__(self) -> str:
        return repr(list(self))


class Record(Locked, ABC):
    """Everything one peer saw and did. One lock for it and for all who wait on it."""

    __slots__ = ("_lock",)

    def __init__(self) -> None:
        self._lock = None

    @property
    @abstractmethod
    def rows(self) -> Sequence[Row]:
        """The entries: live."""

    @abstractmethod
    def note(self, name: str, *args: Any) -> None:
        """Add an entry, stamped now. To be called *before* the peer acts on what it notes."""

    @abstractmethod
    def clear(self) -> None:
        """Forget all entries."""

    @property
    def events(self) -> View[Event]:
        return View(self.rows, make_event)


class RowRecord(Record):
    """A record that keeps its entries as they are."""

    __slots__ = ("_rows",)

    def __init__(self) -> None:
        super().__init__()
        self._rows: list[Row] = []

    @property
    def rows(self) -> Sequence[Row]:
        return self._rows

    def note(self, name: str, *args: Any) -> None:
        self._rows.append((real_monotonic(), name, *args))

    def clear(self) -> None:
        self._rows.clear()


def make_event(row: Row) -> Event:
    return Event(row[0], row[1], tuple(bytes(arg) if type(arg) is Excerpt else arg for arg in row[2:]))
