"""The cursor: who waits is served in order, and who gave up takes nothing."""

import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_echoserver import CaptureFuture
from pytest_echoserver._cursors import Cursor


class Line:
    """A growing list, and a cursor on it."""

    def __init__(self) -> None:
        self.entries: list[int] = []
        self.cursor = Cursor(threading.RLock())

    def add(self, entry: int) -> None:
        self.entries.append(entry)
        self.cursor.serve()

    def ask(self) -> CaptureFuture[int]:
        return self.cursor.ask(CaptureFuture(), self.take)

    def take(self, at: int) -> tuple[int, int] | None:
        return (self.entries[at], at + 1) if at < len(self.entries) else None


@given(st.lists(st.sampled_from(["add", "ask", "cancel the first that waits"])))
def test_each_entry_goes_to_one_that_waits_in_order(steps: list[str]) -> None:
    line = Line()
    asked: list[CaptureFuture[int]] = []
    for number, step in enumerate(steps):
        if step == "add":
            line.add(number)
        elif step == "ask":
            asked.append(line.ask())
        else:
            next((future for future in asked if not future.done()), CaptureFuture[int]()).cancel()
    served = [future.result() for future in asked if future.done() and not future.cancelled()]
    assert served == line.entries[: len(served)]
    left = len(line.entries) - len(served)
    still_waiting = [future for future in asked if not future.done()]
    assert not (left and still_waiting)
    assert line.cursor.waiting == bool(still_waiting)


def test_one_that_gives_up_while_it_is_served_takes_nothing() -> None:
    line = Line()
    giving_up: CaptureFuture[int] = CaptureFuture()

    def take(at: int) -> tuple[int, int] | None:
        if not line.entries:
            return None
        giving_up.cancel()
        return line.take(at)

    line.cursor.ask(giving_up, take)
    then = line.ask()
    line.add(1)
    assert then.result() == 1


def test_who_waits_is_in_line_while_it_is_looked_for_him() -> None:
    # A peer adds an entry without the lock, and serves only if somebody waits: else he would be forgotten who
    # looked just before that.
    line = Line()
    waiting: list[bool] = []

    def take(at: int) -> tuple[int, int] | None:
        waiting.append(line.cursor.waiting)
        return None

    line.cursor.ask(CaptureFuture[int](), take)
    assert waiting == [True]


def test_an_error_of_what_is_asked_goes_to_who_asked() -> None:
    line = Line()

    def take(at: int) -> tuple[int, int] | None:
        raise LookupError("mine")

    failing = line.cursor.ask(CaptureFuture[int](), take)
    with pytest.raises(LookupError, match="mine"):
        failing.result()
    line.add(1)
    assert line.ask().result() == 1


def test_all_who_wait_can_be_given_an_error() -> None:
    line = Line()
    waiting = [line.ask(), line.ask()]
    line.cursor.fail(LookupError("for all"))
    assert [type(future.exception()) for future in waiting] == [LookupError] * 2
    assert not line.cursor.waiting
