"""The record of datagrams, kept in columns."""

import threading
import time
import tracemalloc
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from pytest_echoserver import _datagram_record
from pytest_echoserver._datagram_record import DatagramRecord
from pytest_echoserver._record import Row

SOURCE, OTHER = ("127.0.0.1", 4000), ("127.0.0.1", 4001)


@pytest.fixture
def record() -> DatagramRecord:
    made = DatagramRecord()
    made.note_datagram("datagram_received", b"ping", SOURCE)
    made.note_datagram("datagram_sent", b"pong", SOURCE)
    made.note("unexpected", b"ping", SOURCE)
    made.note_datagram("datagram_received", b"", OTHER)
    return made


def test_rows_come_back_as_they_were_noted_and_in_order(record: DatagramRecord) -> None:
    before = time.monotonic()
    error = OSError("refused")
    record.note("error_received", error)
    assert record.rows[-1][1:] == ("error_received", error)
    record.note("connection_lost", None)
    assert [row[1:] for row in record.rows] == [
        ("datagram_received", b"ping", SOURCE),
        ("datagram_sent", b"pong", SOURCE),
        ("unexpected", b"ping", SOURCE),
        ("datagram_received", b"", OTHER),
        ("error_received", error),
        ("connection_lost", None),
    ]
    times = [row[0] for row in record.rows]
    assert times == sorted(times)
    assert times[3] <= before <= times[4] <= time.monotonic()
    assert record.events[5].args == (None,)


def test_each_way_is_a_sequence_of_its_own(record: DatagramRecord) -> None:
    assert [row[2] for row in record.received] == [b"ping", b""]
    assert [row[2] for row in record.sent] == [b"pong"]
    assert record.received[-1] == record.rows[3]
    assert record.rows[1:3] == [record.sent[0], record.rows[2]]
    with pytest.raises(IndexError):
        record.sent[1]


def test_an_end_without_anything_before_it_is_found_by_all_who_look_at_once() -> None:
    record = DatagramRecord()
    before = time.monotonic()
    record.note_end("connection_lost", None)
    after = time.monotonic()
    looking = threading.Barrier(4)

    def look() -> list[Row]:
        looking.wait(10)
        return list(record.rows)

    with ThreadPoolExecutor(4) as pool:
        seen = [each.result(10) for each in [pool.submit(look) for _ in range(4)]]
    assert [[row[1:] for row in rows] for rows in seen] == [[("connection_lost", None)]] * 4
    assert all(before <= rows[0][0] <= after for rows in seen)


def test_an_end_stands_where_it_came_and_is_cleared_as_all(record: DatagramRecord) -> None:
    """A handler may close its own peer, and something come of what it was called with after that."""
    record.note_end("connection_lost", None)
    record.note("unexpected", b"ping", SOURCE)
    assert [row[1] for row in record.rows[3:]] == ["datagram_received", "connection_lost", "unexpected"]
    record.clear()
    record.note_end("connection_lost", None)
    record.note("unexpected", b"ping", SOURCE)
    record.note_datagram("datagram_received", b"", OTHER)
    assert [row[1] for row in record.rows] == ["connection_lost", "unexpected", "datagram_received"]
    record.clear()
    record.note_end("connection_lost", None)
    record.clear()
    assert not record.rows


def test_an_end_can_be_looked_at_amid_the_first_look_at_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """As the garbage collector may have it, which runs `__del__` methods anywhere."""
    record = DatagramRecord()
    seen: list[Any] = []
    real: Callable[[], object] = getattr(_datagram_record, "_Columns")  # noqa: B009  not to be used by others

    def make() -> object:
        if not seen:
            seen.append(None)
            seen[:] = record.rows
        return real()

    monkeypatch.setattr(_datagram_record, "_Columns", make)
    record.note_end("connection_lost", None)
    assert list(record.rows) == seen
    assert len(seen) == 1


def test_what_was_cleared_is_gone_and_the_sequences_live_on(record: DatagramRecord) -> None:
    received, rows = record.received, record.rows
    record.clear()
    assert [len(received), len(record.sent), len(rows)] == [0, 0, 0]
    record.note_datagram("datagram_received", b"again", OTHER)
    assert [row[2] for row in received] == [row[2] for row in rows] == [b"again"]


def test_an_entry_that_is_seen_from_another_thread_is_whole(record: DatagramRecord) -> None:
    stop = threading.Event()

    def note() -> None:
        while not stop.is_set():
            record.note_datagram("datagram_received", b"ping", SOURCE)

    noting = threading.Thread(target=note)
    noting.start()
    try:
        seen: list[Row] = []
        for _ in range(20_000):
            seen += record.received[-1], record.rows[-1]
    finally:
        stop.set()
        noting.join()
    assert {len(row) for row in seen} == {4}


def test_an_echo_takes_little_room_beside_its_payload(record: DatagramRecord) -> None:
    data = bytes(64)
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        for _ in range(20_000):
            record.note_datagram("datagram_received", data, SOURCE)
            record.note_datagram("datagram_sent", data, SOURCE)
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert (after - before) / 20_000 < 110
