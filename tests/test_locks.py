"""What is made on demand, locks and a peer's cursor: whoever asks first, there is one for all."""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import Any

import pytest

from pytest_echoserver import _locks
from pytest_echoserver._datagram_record import DatagramRecord
from pytest_echoserver._peers import datagram_end
from pytest_echoserver._peers.datagram_end import DatagramEnd

MEANWHILE = 0.05
"""Seconds that another thread has to get one, too, while the first is being made."""


@pytest.mark.parametrize(
    ("make_holder", "ask", "maker"),
    [
        pytest.param(DatagramRecord, lambda record: record.lock, (_locks, "RLock"), id="lock"),
        pytest.param(DatagramEnd, lambda end: end.cursor, (datagram_end, "Cursor"), id="cursor"),
    ],
)
def test_all_who_ask_at_once_get_the_same(
    monkeypatch: pytest.MonkeyPatch,
    make_holder: Callable[[], object],
    ask: Callable[[Any], object],
    maker: tuple[Any, str],
) -> None:
    holder, real = make_holder(), getattr(*maker)
    asked: list[Future[object]] = []

    def make(*args: Any) -> object:
        if not asked:
            asked.append(pool.submit(ask, holder))
            wait(asked, MEANWHILE)
        return real(*args)

    with ThreadPoolExecutor(1) as pool:
        monkeypatch.setattr(*maker, make)
        got = ask(holder)
        assert asked[0].result(10) is got
    assert ask(holder) is got


def test_one_can_be_made_amid_the_making_of_another(monkeypatch: pytest.MonkeyPatch) -> None:
    """As the garbage collector may have it, which runs `__del__` methods anywhere."""
    first, second = DatagramRecord(), DatagramRecord()
    made: list[object] = []
    real: Callable[[], object] = getattr(_locks, "RLock")  # noqa: B009  imported there, and not to be used by others

    def make() -> object:
        if not made:
            made.append(None)
            made[:] = [second.lock]
        return real()

    monkeypatch.setattr(_locks, "RLock", make)
    assert first.lock is not second.lock
    assert second.lock is made[0]
