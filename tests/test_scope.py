"""The scope: closes all that was opened in it, and keeps what went wrong until the judgement."""

import asyncio
import contextvars
from collections.abc import Iterator

import pytest

from pytest_echoserver._engine import Engine
from pytest_echoserver._record import Record
from pytest_echoserver._scope import Member, Scope


@pytest.fixture
def engine() -> Iterator[Engine]:
    engine = Engine(asyncio.SelectorEventLoop)
    yield engine
    engine.stop()


def test_it_closes_the_newest_first_even_if_one_close_fails(engine: Engine) -> None:
    scope = Scope(engine, 5)
    closed: list[str] = []

    def adopt(name: str) -> None:
        async def close() -> None:
            closed.append(name)
            if name == "second":
                raise OSError("of the second")

        scope.adopt(Member(name, Record(), close))

    for name in ("first", "second", "third"):
        adopt(name)
    with pytest.raises(ExceptionGroup, match="not everything that the test opened could be closed") as caught:
        scope.close()
    assert closed == ["third", "second", "first"]
    assert caught.group_contains(OSError, match="of the second")
    assert engine.owners == []


def test_a_task_that_refuses_to_end_is_told(engine: Engine) -> None:
    scope = Scope(engine, 5)
    released = asyncio.Event()

    async def refuses() -> None:
        while not released.is_set():
            try:
                await released.wait()
            except asyncio.CancelledError:
                continue

    scope.call(lambda: asyncio.ensure_future(refuses()))
    with pytest.raises(ExceptionGroup) as caught:
        scope.close()
    assert caught.group_contains(RuntimeError, match="was cancelled, but did not end.*refuses")
    engine.call(contextvars.Context(), released.set)


def test_an_engine_that_is_held_up_is_an_error_of_the_judgement(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    scope = Scope(engine, 5)

    async def close() -> None:
        pass

    async def never_settles() -> None:
        await asyncio.sleep(3600)

    scope.adopt(Member("any", Record(), close))
    run = engine.run
    monkeypatch.setattr(engine, "run", lambda context, function: run(context, never_settles, patience=0.01))
    assert [type(error) for error in scope.judge()] == [TimeoutError]
    monkeypatch.undo()
    scope.close()


def test_errors_after_the_judgement_are_nobodys(engine: Engine) -> None:
    scope = Scope(engine, 5)
    scope.blame(LookupError("before"))
    assert [str(error) for error in scope.judge()] == ["before"]
    scope.blame(LookupError("after"))
    scope.close()
    assert [str(error) for error in scope.errors] == ["before"]
