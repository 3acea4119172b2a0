import asyncio
import concurrent.futures
import pickle
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
import trio

from pytest_echoserver import CaptureFuture, CaptureTimeout, StreamHarness, _deadline

from .conftest import Downstream


def fulfilled_by_a_thread(value: object) -> tuple[CaptureFuture[Any], Callable[[], None]]:
    """A future, and the function that has another thread fulfil it."""
    future: CaptureFuture[Any] = CaptureFuture()
    thread = threading.Thread(target=future.set_result, args=(value,))
    return future, thread.start


def run_on_asyncio(function: Callable[[], Any]) -> Any:
    return asyncio.run(function())


def run_on_trio(function: Callable[[], Any]) -> Any:
    return trio.run(function)


on_both_libraries = pytest.mark.parametrize("run", [run_on_asyncio, run_on_trio])


def test_a_result_set_by_another_thread_ends_the_wait() -> None:
    future, start = fulfilled_by_a_thread("value")
    start()
    assert future.result() == "value"


@pytest.mark.parametrize("end", ["result", "error"])
def test_all_who_wait_in_whatever_way_are_woken_and_told_the_same(end: str) -> None:
    future: CaptureFuture[str] = CaptureFuture()
    outcome = RuntimeError("the end") if end == "error" else "the end"
    seen: list[object] = []
    waits = [
        lambda: future.exception() or future.result(),
        lambda: future.exception(timeout=30) or future.result(),
        lambda: next(iter(concurrent.futures.wait([future], 30).done)),
        lambda: next(concurrent.futures.as_completed([future], 30)),
        lambda: asyncio.run(wrapped(future)),
    ]
    threads = [threading.Thread(target=lambda wait=wait: seen.append(wait())) for wait in waits]
    future.add_done_callback(seen.append)
    for thread in threads:
        thread.start()
    deadline = time.monotonic() + 30
    while (len(future._waiters), len(future._done_callbacks)) != (4, 2) and time.monotonic() < deadline:
        time.sleep(0)
    if isinstance(outcome, str):
        future.set_result(outcome)
    else:
        future.set_exception(outcome)
    for thread in threads:
        thread.join(30)
    assert seen.count(outcome) == 3
    assert seen.count(future) == 3
    with pytest.raises(concurrent.futures.InvalidStateError):
        future.set_result("another")


async def wrapped(future: "CaptureFuture[str]") -> object:
    try:
        return await asyncio.wait_for(asyncio.wrap_future(future), 30)
    except RuntimeError as error:
        return error


@on_both_libraries
def test_it_can_be_awaited(run: Callable[..., Any]) -> None:
    async def main() -> object:
        future, start = fulfilled_by_a_thread("value")
        start()
        return await future

    assert run(main) == "value"


@on_both_libraries
def test_awaiting_one_that_is_done_gives_its_value(run: Callable[..., Any]) -> None:
    async def main() -> object:
        future: CaptureFuture[int] = CaptureFuture()
        future.set_result(3)
        return await future

    assert run(main) == 3


@on_both_libraries
def test_an_exception_is_raised_where_it_is_awaited(run: Callable[..., Any]) -> None:
    async def main() -> None:
        future: CaptureFuture[int] = CaptureFuture()
        threading.Thread(target=future.set_exception, args=(ZeroDivisionError("mine"),)).start()
        await future

    with pytest.raises(ZeroDivisionError, match="mine"):
        run(main)


def test_a_wait_that_runs_out_says_what_it_waited_for() -> None:
    future: CaptureFuture[int] = CaptureFuture("the answer", where="deep thought", instead=lambda: "42 came")
    with pytest.raises(CaptureTimeout, match=r"^waited 0 s for the answer on deep thought: 42 came$"):
        future.result(timeout=0)


@on_both_libraries
def test_an_await_that_runs_out_raises_the_same(run: Callable[..., Any]) -> None:
    async def main() -> None:
        await CaptureFuture("the answer", timeout=0.01)

    with pytest.raises(CaptureTimeout, match=r"^waited 0\.01 s for the answer$"):
        run(main)


def test_a_timeout_is_final() -> None:
    future: CaptureFuture[int] = CaptureFuture()
    assert isinstance(future.exception(timeout=0), CaptureTimeout)
    with pytest.raises(concurrent.futures.InvalidStateError):
        future.set_result(1)
    with pytest.raises(CaptureTimeout):
        future.result(timeout=5)


def test_the_default_timeout_is_the_configured_one(downstream: Downstream) -> None:
    before = _deadline.default
    result = downstream.run(
        """
        import pytest
        from pytest_echoserver import CaptureFuture

        def test_of_the_run():
            with pytest.raises(TimeoutError, match="waited 0.02 s"):
                CaptureFuture().result()

        @pytest.mark.echoserver(timeout=0.01)
        def test_of_the_marker(peers):
            with pytest.raises(TimeoutError, match="waited 0.01 s"):
                CaptureFuture().result()

        def test_of_the_run_again():
            with pytest.raises(TimeoutError, match="waited 0.02 s"):
                CaptureFuture().result()
        """,
        "--echoserver-timeout=0.02",
    )
    result.assert_outcomes(passed=3)
    assert _deadline.default == before


@pytest.mark.parametrize("timeout", [-1, "1", float("nan")])
def test_a_bad_timeout_is_refused_even_if_the_value_is_there(timeout: Any) -> None:
    future: CaptureFuture[int] = CaptureFuture()
    future.set_result(1)
    with pytest.raises((TypeError, ValueError), match="timeout must be"):
        future.result(timeout=timeout)
    assert future.result() == 1


@on_both_libraries
def test_result_on_a_running_loop_says_to_await(run: Callable[..., Any]) -> None:
    async def main() -> None:
        CaptureFuture[int]().result()

    with pytest.raises(RuntimeError, match=r"would block the thread of a running event loop.*use `await`"):
        run(main)


@on_both_libraries
def test_result_of_one_that_is_done_needs_no_await(run: Callable[..., Any]) -> None:
    async def main() -> int:
        future: CaptureFuture[int] = CaptureFuture()
        future.set_result(1)
        return future.result()

    assert run(main) == 1


def test_result_on_the_engine_thread_says_to_await(stream_harness: StreamHarness) -> None:
    stream = stream_harness.connect(asyncio.Protocol)
    with pytest.raises(RuntimeError, match="would block the engine's own thread"):
        stream.call(lambda: CaptureFuture[int]().result()).result()


def test_wait_and_as_completed_take_it() -> None:
    done, cancelled = CaptureFuture[int](), CaptureFuture[int]()
    done.set_result(1)
    cancelled.cancel()
    finished, pending = concurrent.futures.wait([done, cancelled], timeout=0)
    assert finished == {done, cancelled}
    assert not pending
    assert set(concurrent.futures.as_completed([done, cancelled], timeout=0)) == {done, cancelled}


def test_asyncio_wrap_future_takes_it() -> None:
    async def main() -> object:
        future, start = fulfilled_by_a_thread("value")
        start()
        return await asyncio.wrap_future(future)

    assert asyncio.run(main()) == "value"


def test_cancelling_twice_is_the_same_as_once() -> None:
    future: CaptureFuture[int] = CaptureFuture()
    assert future.cancel()
    assert future.cancel()
    with pytest.raises(concurrent.futures.CancelledError):
        future.result()


def test_one_that_is_running_is_not_spoilt_by_a_cancel_that_is_refused() -> None:
    futures: list[CaptureFuture[int]] = [CaptureFuture("x", timeout=0.01) for _ in range(2)]
    for future in futures:
        assert future.set_running_or_notify_cancel()
        assert future.cancel() is False
    futures[0].set_result(1)
    assert futures[0].result() == 1
    with pytest.raises(CaptureTimeout):
        futures[1].result()


def test_one_that_is_done_cannot_be_cancelled() -> None:
    future: CaptureFuture[int] = CaptureFuture()
    future.set_result(1)
    assert not future.cancel()


def test_cancelling_the_task_that_awaits_cancels_it() -> None:
    async def main() -> CaptureFuture[int]:
        future: CaptureFuture[int] = CaptureFuture()
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(future, timeout=0.01)
        return future

    assert asyncio.run(main()).cancelled()


def test_whoever_runs_it_of_asyncio_and_trio_has_it_wait() -> None:
    async def wait() -> object:
        future = CaptureFuture[str](timeout=10)
        threading.Timer(0.01, future.set_result, ("done",)).start()
        return await future

    async def within_trio() -> object:
        return asyncio.run(wait())

    async def within_asyncio() -> object:
        return trio.run(wait)

    assert trio.run(within_trio) == "done"
    assert asyncio.run(within_asyncio()) == "done"


def test_cancelling_the_trio_scope_that_awaits_cancels_it() -> None:
    async def main() -> CaptureFuture[int]:
        future: CaptureFuture[int] = CaptureFuture()
        with trio.move_on_after(0.01):
            await future
        return future

    assert trio.run(main).cancelled()


def test_fulfilling_it_after_the_loop_that_awaited_has_closed_harms_nobody(
    caplog: pytest.LogCaptureFixture,
) -> None:
    future: CaptureFuture[int] = CaptureFuture()
    loop = asyncio.new_event_loop()
    step = future.__await__()

    async def abandoned() -> None:
        step.send(None)

    loop.run_until_complete(abandoned())
    loop.close()
    future.set_result(1)
    step.close()
    assert future.result() == 1
    assert not caplog.records


def test_a_slow_callback_of_one_holds_no_deadline_of_another_up(stream_harness: StreamHarness) -> None:
    stream = stream_harness.connect(asyncio.Protocol)
    first, second = stream.read_exactly(1), stream.read_exactly(1)
    release = threading.Event()
    first.add_done_callback(lambda _: release.wait(10))
    stream.call(lambda: stream.transport.write(b"x"))
    assert first.result() == b"x"
    before = time.monotonic()
    with pytest.raises(CaptureTimeout):
        second.result(timeout=0.01)
    assert stream.received == b"x"
    assert time.monotonic() - before < 5
    release.set()


class Nameless:
    def __str__(self) -> str:
        raise ZeroDivisionError


@pytest.mark.parametrize(
    "told", [{"instead": lambda: str(1 // 0)}, {"where": Nameless()}], ids=["instead", "where"]
)
def test_a_deadline_holds_though_its_text_cannot_be_told(told: dict[str, Any]) -> None:
    future: CaptureFuture[int] = CaptureFuture(**told)
    with pytest.raises(CaptureTimeout, match=r"can't be told: ZeroDivisionError"):
        future.result(timeout=0)


def test_a_peer_is_asked_for_its_name_when_the_time_is_up() -> None:
    where: list[int] = []
    future: CaptureFuture[int] = CaptureFuture("the answer", where=where)
    where.append(42)
    with pytest.raises(CaptureTimeout, match=r"for the answer on \[42\]$"):
        future.result(timeout=0)


def test_a_bad_default_timeout_is_refused() -> None:
    with pytest.raises(ValueError, match="timeout must be"):
        CaptureFuture(timeout=-1)


def test_a_timeout_that_loses_to_the_value_gives_the_value() -> None:
    future: CaptureFuture[int] = CaptureFuture()
    assert future._claim()
    threading.Timer(0.05, future.set_result, args=(1,)).start()
    assert future.result(timeout=0) == 1
    assert not future.cancel()


def test_its_timeout_can_be_pickled() -> None:
    copy = pickle.loads(pickle.dumps(CaptureTimeout("waited")))
    assert type(copy) is CaptureTimeout
    assert str(copy) == "waited"


def test_a_timeout_tells_where_the_engine_is_held_up(stream_harness: StreamHarness) -> None:
    release = threading.Event()

    def blocks_the_engine() -> None:
        release.wait(5)

    stream = stream_harness.connect(asyncio.Protocol)
    blocked = stream.call(blocks_the_engine)
    try:
        with pytest.raises(
            CaptureTimeout,
            match=r"engine's thread is held up in blocks_the_engine, .*test_futures\.py:\d+: release\.wait\(5\)",
        ):
            stream.call(int).result(timeout=0.01)
    finally:
        release.set()
    blocked.result()


def test_it_is_awaited_on_a_loop_alone() -> None:
    future: CaptureFuture[None] = CaptureFuture()

    async def waits() -> None:
        await future

    # On a thread of its own: pytest-twisted runs the tests themselves on a loop.
    with (
        concurrent.futures.ThreadPoolExecutor(1) as thread,
        pytest.raises(RuntimeError, match=r"^no event loop of asyncio's or trio's runs here, to await a Capture"),
    ):
        thread.submit(waits().send, None).result()


def test_it_says_what_it_is_and_how_to_get_the_value() -> None:
    future: CaptureFuture[int] = CaptureFuture("the exit", where="process-1")
    assert repr(future) == "<CaptureFuture of the exit on process-1, pending: `await` it, or take .result()>"
    future.set_result(0)
    assert repr(future) == "<CaptureFuture of the exit on process-1, finished: `await` it, or take .result()>"
