"""`DatagramRecord`: a record that keeps millions of datagrams in little room."""

import time
from array import array
from collections.abc import Callable, Sequence
from typing import Any, overload

from ._record import Address, Record, Row


class DatagramRecord(Record):
    """A record that keeps its entries in columns; a row is made of one when it is read.

    An echoed datagram is two entries. As rows they took over 400 bytes beside its payload, in columns they take 90,
    and the garbage collector finds nothing of ours among them. Entries are added by one thread at a time: a peer's
    under its transport's ``at_work``. Whoever reads them, on any thread, takes no lock.
    """

    def __init__(self) -> None:
        super().__init__()
        self._columns = _Columns()
        self.received = _Rows(lambda: self._named("datagram_received"))
        self.sent = _Rows(lambda: self._named("datagram_sent"))
        self._all = _Rows(self._everything)

    @property
    def rows(self) -> Sequence[Row]:
        return self._all

    def note(self, name: str, *args: Any) -> Row:
        columns = self._columns
        columns.times.append(time.monotonic())
        columns.fields += (name, args, None)
        return columns.row(len(columns.times) - 1)

    def note_datagram(self, name: str, data: bytes, address: Address) -> None:
        """Add a ``datagram_received`` or ``datagram_sent``, stamped now, before the peer acts on it."""
        columns = self._columns
        columns.times.append(time.monotonic())
        columns.fields += (name, data, address)
        columns.places[name].append(len(columns.times) - 1)  # last: readers come this way

    def clear(self) -> None:
        self._columns = _Columns()

    def _named(self, name: str) -> "tuple[_Columns, Sequence[int]]":
        columns = self._columns
        return columns, columns.places[name]

    def _everything(self) -> "tuple[_Columns, Sequence[int]]":
        columns = self._columns
        return columns, range(len(columns.fields) // FIELDS)


FIELDS = 3
"""Those of an entry that stand in one list: its name, data and address; or its name, all arguments, and None."""


class _Columns:
    """The entries since the last ``clear``, and at which places the datagrams are among them."""

    __slots__ = ("fields", "places", "times")

    def __init__(self) -> None:
        self.times = array("d")
        self.fields: list[Any] = []
        self.places = {"datagram_received": array("q"), "datagram_sent": array("q")}

    def row(self, place: int) -> Row:
        name, first, address = self.fields[FIELDS * place : FIELDS * (place + 1)]
        args = first if address is None else (first, address)
        return (self.times[place], name, *args)


class _Rows(Sequence[Row]):
    """A live sequence of rows, made when they are read. ``found`` gives the columns and the places of the rows."""

    __slots__ = ("_found",)

    def __init__(self, found: Callable[[], tuple[_Columns, Sequence[int]]]) -> None:
        self._found = found

    def __len__(self) -> int:
        return len(self._found()[1])

    @overload
    def __getitem__(self, index: int) -> Row: ...
    @overload
    def __getitem__(self, index: slice) -> list[Row]: ...
    def __getitem__(self, index: int | slice) -> Row | list[Row]:
        columns, places = self._found()
        if isinstance(index, slice):
            return [columns.row(place) for place in places[index]]
        return columns.row(places[index])
