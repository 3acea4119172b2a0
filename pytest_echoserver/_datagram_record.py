"""`DatagramRecord`: a record that keeps millions of datagrams in little room."""

from array import array
from collections.abc import Sequence
from typing import Any, overload

from ._neighbours import real_monotonic
from ._record import Address, Record, Row


class DatagramRecord(Record):
    """A record that keeps its entries in columns; a row is made of one when it is read.

    An echoed datagram is two entries. As rows they took over 400 bytes beside its payload, in columns they take 90,
    and the garbage collector finds nothing of ours among them. Entries are added by one thread at a time: a peer's
    under its transport's ``lock``. Whoever reads them, on any thread, takes no lock, but for that of the record to
    make the columns.

    The columns are made with the first entry: there may be thousands of peers that get none. If a peer is closed to
    which nothing came, the entry of its end is kept by itself, without columns, until somebody looks at the record;
    mostly nobody does.
    """

    __slots__ = ("_columns", "_end")

    def __init__(self) -> None:
        self._lock = None
        self._columns: _Columns | None = None
        self._end: tuple[float, str, tuple[Any, ...]] | None = None

    @property
    def rows(self) -> Sequence[Row]:
        return _Rows(self)

    @property
    def received(self) -> Sequence[Row]:
        return _Rows(self, "datagram_received")

    @property
    def sent(self) -> Sequence[Row]:
        return _Rows(self, "datagram_sent")

    def note(self, name: str, *args: Any) -> None:
        (self._columns or self._begin()).add(real_monotonic(), name, args)

    def note_end(self, name: str, *args: Any) -> None:
        """Add the entry of a peer's end: by itself, without columns, if there is no other."""
        if self._columns is None:
            self._end = real_monotonic(), name, args
        else:
            self.note(name, *args)

    def note_datagram(self, name: str, data: bytes, address: Address) -> None:
        """Add a ``datagram_received`` or ``datagram_sent``, stamped now, before the peer acts on it."""
        columns = self._columns or self._begin()
        columns.times.append(real_monotonic())
        columns.fields += (name, data, address)
        places = columns.places.get(name)
        if places is None:
            places = columns.places[name] = array("q")
        places.append(len(columns.times) - 1)  # last: readers come this way

    def clear(self) -> None:
        self._columns = self._end = None

    def _begin(self) -> "_Columns":
        with self.lock:  # whoever looks may be the first who needs them
            if self._columns is None:
                made, end = _Columns(), self._end
                if end is not None:
                    made.add(*end)
                if self._columns is None:  # or the garbage collector came by, and with it code that was here, too
                    self._columns, self._end = made, None
            return self._columns

    def found(self, name: str | None) -> "tuple[_Columns, Sequence[int]]":
        """The columns, and the places in them of what has this name; of all, without one."""
        end = self._end  # read first: another thread may move it to the columns meanwhile
        columns = self._columns or (NOTHING if end is None else self._begin())
        return columns, range(len(columns.fields) // FIELDS) if name is None else columns.places.get(name, ())


FIELDS = 3
"""Those of an entry that stand in one list: its name, data and address; or its name, all arguments, and None."""


class _Columns:
    """The entries since the last ``clear``, and at which places the datagrams are among them."""

    __slots__ = ("fields", "places", "times")

    def __init__(self) -> None:
        self.times = array("d")
        self.fields: list[Any] = []
        self.places: dict[str, array[int]] = {}

    def add(self, when: float, name: str, args: tuple[Any, ...]) -> None:
        self.times.append(when)
        self.fields += (name, args, None)

    def row(self, place: int) -> Row:
        name, first, address = self.fields[FIELDS * place : FIELDS * (place + 1)]
        args = first if address is None else (first, address)
        return (self.times[place], name, *args)


NOTHING = _Columns()
"""What is read where nothing has come. Nobody adds to it."""


class _Rows(Sequence[Row]):
    """A live sequence of those rows of a record that have this name, made when they are read."""

    __slots__ = ("_name", "_record")

    def __init__(self, record: DatagramRecord, name: str | None = None) -> None:
        self._record = record
        self._name = name

    def __len__(self) -> int:
        return len(self._record.found(self._name)[1])

    @overload
    def __getitem__(self, index: int) -> Row: ...
    @overload
    def __getitem__(self, index: slice) -> list[Row]: ...
    def __getitem__(self, index: int | slice) -> Row | list[Row]:
        columns, places = self._record.found(self._name)
        if isinstance(index, slice):
            return [columns.row(place) for place in places[index]]
        return columns.row(places[index])
