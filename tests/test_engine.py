"""The engine: when it starts and ends, and who gets the blame for what happens on its loop."""

import asyncio
import concurrent.futures
import contextvars
import os
import sys
import threading
import time
from collections.abc import AsyncGenerator, Callable

import pytest

from pytest_echoserver._engine import LOOPS, THREAD_NAME, Engine, EngineHost
from pytest_echoserver._scope import Scope

from .conftest import EITHER_LOOP, Downstream, open_and_running

CONTEXT = contextvars.Context()


def loop_of_asyncio() -> asyncio.AbstractEventLoop:
    return asyncio.SelectorEventLoop()


def test_it_is_one_named_daemon_thread(engine: Engine) -> None:
    thread = engine.call(CONTEXT, threading.current_thread)
    assert (thread.name, thread.daemon) == (THREAD_NAME, True)
    assert engine.call(CONTEXT, threading.current_thread) is thread


def test_it_may_be_stopped_before_its_thread_has_done_anything() -> None:
    may_begin = threading.Event()

    class LateEngine(Engine):
        def _serve(self) -> None:
            may_begin.wait()
            super()._serve()

    engine = LateEngine(loop_of_asyncio)
    engine.retire()
    may_begin.set()
    engine.stop()
    assert engine.loop.is_closed()


def test_what_is_called_on_its_own_thread_is_called_at_once(engine: Engine) -> None:
    assert engine.call(CONTEXT, lambda: engine.call(CONTEXT, lambda: engine.here))


def test_an_exception_comes_back_to_who_asked(engine: Engine) -> None:
    with pytest.raises(ZeroDivisionError):
        engine.call(CONTEXT, lambda: 1 // 0)


def test_a_coroutine_that_takes_too_long_is_cancelled(engine: Engine) -> None:
    cancelled = threading.Event()

    async def too_long() -> None:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            cancelled.set()
            raise

    with pytest.raises(TimeoutError, match=r"the engine did not finish its work within 0\.01 s$"):
        engine.run(CONTEXT, too_long, patience=0.01)
    assert cancelled.wait(5)


def test_a_cancelled_coroutine_comes_back_as_cancelled(engine: Engine) -> None:
    async def cancels_itself() -> None:
        task = asyncio.current_task()
        assert task is not None
        task.cancel()
        await asyncio.sleep(0)

    with pytest.raises(concurrent.futures.CancelledError):
        engine.run(CONTEXT, cancels_itself)


def test_a_timeout_of_the_work_itself_is_not_the_engines(engine: Engine) -> None:
    async def times_out() -> None:
        raise TimeoutError("of the work")

    with pytest.raises(TimeoutError, match="of the work"):
        engine.run(CONTEXT, times_out)


def test_stopping_ends_tasks_and_thread(engine: Engine) -> None:
    other = Engine(loop_of_asyncio)
    ended = threading.Event()

    async def endless() -> None:
        try:
            await asyncio.sleep(3600)
        finally:
            ended.set()

    async def start() -> asyncio.Task[None]:
        return asyncio.ensure_future(endless())

    task = other.run(CONTEXT, start)
    other.call(CONTEXT, lambda: None)
    other.stop()
    assert ended.is_set()
    assert task.cancelled()
    assert other.loop.is_closed()
    assert other.where_busy() == ""


def test_stopping_closes_asynchronous_generators() -> None:
    engine = Engine(loop_of_asyncio)
    closed = threading.Event()

    async def endless() -> AsyncGenerator[None, None]:
        try:
            while True:
                yield
        finally:
            closed.set()

    generator = endless()

    async def start() -> None:
        await anext(generator)

    engine.run(CONTEXT, start)
    engine.stop()
    assert closed.is_set()


def test_an_error_on_the_loop_is_blamed_on_who_caused_it(engine: Engine) -> None:
    first, second = Scope(engine, 5), Scope(engine, 5)
    engine.post(first.context, lambda: engine.loop.call_soon(lambda: 1 // 0))
    engine.run(CONTEXT, asyncio.sleep, 0)  # what was called soon is called in the next turn
    assert [type(error) for error in first.judge()] == [ZeroDivisionError]
    assert second.judge() == []
    for scope in (first, second):
        scope.close()


def test_an_error_that_belongs_to_nobody_is_raised_when_it_stops() -> None:
    engine = Engine(loop_of_asyncio)
    engine.post(CONTEXT, lambda: 1 // 0)
    engine.call(CONTEXT, lambda: None)
    with pytest.raises(ExceptionGroup, match="belong to no test") as caught:
        engine.stop()
    assert caught.group_contains(ZeroDivisionError)


def test_a_system_exit_does_not_end_it() -> None:
    engine = Engine(loop_of_asyncio)
    engine.post(CONTEXT, sys.exit)
    assert engine.call(CONTEXT, lambda: "alive") == "alive"
    with pytest.raises(BaseExceptionGroup, match="belong to no test"):
        engine.stop()


def test_one_that_is_held_up_says_where_when_it_is_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pytest_echoserver._engine.ANSWER", 0.2)
    engine = Engine(loop_of_asyncio)
    release = threading.Event()

    def holds_it_up() -> None:
        release.wait(20)

    engine.post(CONTEXT, holds_it_up)
    try:
        with pytest.raises(
            RuntimeError, match=r"did not end within 0\.2 s; .* held up in holds_it_up, .*release\.wait"
        ):
            engine.stop()
    finally:
        release.set()
    engine._thread.join(5)


def test_a_host_starts_one_when_it_is_first_asked() -> None:
    host = EngineHost(LOOPS["asyncio"])
    host.stop()
    engine = host.get()
    assert host.get() is engine
    host.stop()
    assert engine.loop.is_closed()


def test_a_host_replaces_one_that_is_stuck() -> None:
    host = EngineHost(LOOPS["asyncio"])
    stuck = host.get()
    release = threading.Event()

    async def sticks() -> None:
        release.wait(20)

    with pytest.raises(TimeoutError, match="held up in sticks"):
        stuck.run(CONTEXT, sticks, patience=0.1)
    fresh = host.get()
    assert fresh is not stuck
    assert fresh.call(CONTEXT, lambda: "alive") == "alive"
    release.set()
    stuck._thread.join(5)
    assert stuck.loop.is_closed()
    host.stop()


def test_it_starts_with_the_first_fixture_and_ends_with_the_session(downstream: Downstream) -> None:
    downstream.pytester.makeconftest(
        f"""
        import threading

        def running():
            return {THREAD_NAME!r} in [thread.name for thread in threading.enumerate()]

        def pytest_runtest_logreport(report):
            print(report.nodeid.partition("::")[2], report.when, running())

        def pytest_unconfigure():
            print("unconfigure", running())
        """
    )
    result = downstream.run_apart(
        """
        def test_1_without(): pass
        def test_2_with(udp_echo_server): pass
        def test_3_without(): pass
        """,
        "-s",
        "-q",
    )
    result.stdout.fnmatch_lines(
        [
            "test_1_without teardown False",
            "*test_2_with setup True",
            "*test_3_without call True",
            "unconfigure False",
        ]
    )


FORKS = """
    import os, socket, warnings
    import pytest

    def ping(peer):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
            client.settimeout(5)
            client.sendto(b"ping", peer.address)
            return client.recv(10)

    def in_a_child(function):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Python warns of threads in the parent: that is the case here
            pid = os.fork()
        if not pid:
            status = 1
            try:
                function()
                status = 0
            finally:
                os._exit(status)
        assert os.waitpid(pid, 0)[1] == 0
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="forks")
def test_a_forked_child_gets_an_engine_of_its_own_and_harms_ours_nothing(downstream: Downstream) -> None:
    result = downstream.run_apart(
        FORKS
        + """
    from pytest_echoserver._kept import SETTINGS

    def test_it(peers, request, _echoserver_session):
        ours, listening = peers.udp_echo(), peers.tcp_echo()
        ping(ours)

        def child():
            from pytest_echoserver._peers.defaults import Defaults
            from pytest_echoserver._peers.peers import Peers
            from pytest_echoserver._scope import Scope

            with pytest.raises(RuntimeError, match="its forked child, and has to open peers of its own"):
                ours.send(b"x", ours.address)
            for peer in (ours, listening):
                with pytest.raises(RuntimeError, match="its forked child"):
                    peer.close()
            assert [datagram.data for datagram in ours.received] == [b"ping"]
            scope = Scope(_echoserver_session.engine.get(), 5)
            defaults = Defaults(timeout=5, host="127.0.0.1", strict=True)
            theirs = Peers(scope, peers._directory, peers._default_context, defaults).udp_echo()
            assert ping(theirs) == b"ping"
            scope.close()
            _echoserver_session.engine.stop()

        in_a_child(child)
        assert ping(ours) == b"ping"
        assert len(ours.received) == 2
        socket.create_connection(listening.address).close()
        assert listening.connection
    """
    )
    result.assert_outcomes(passed=1)
    result.stderr.no_fnmatch_line("*")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="forks")
def test_a_child_forked_in_the_midst_of_a_test_can_wind_up(downstream: Downstream) -> None:
    result = downstream.run_apart(
        FORKS
        + """
    def test_it(request, udp_echo_server, _echoserver_session):
        def child():
            udp_echo_server._scope.judge()
            udp_echo_server._scope.close()
            _echoserver_session.engine.stop()

        in_a_child(child)
        assert ping(udp_echo_server) == b"ping"
    """
    )
    result.assert_outcomes(passed=1)


def test_no_deadline_goes_by_the_wall_clock(downstream: Downstream) -> None:
    result = downstream.run(
        """
        import time, pytest

        def test_it(udp_echo_server, monkeypatch):
            monkeypatch.setattr(time, "time", lambda: 1e12)
            with pytest.raises(TimeoutError):
                udp_echo_server.next_datagram().result(timeout=0.05)
        """
    )
    result.assert_outcomes(passed=1)
    assert result.duration < 30


def test_time_spent_idle_costs_nothing(engine: Engine) -> None:
    engine.call(CONTEXT, lambda: None)
    before = time.process_time()
    engine.loop.call_soon_threadsafe(lambda: None)
    threading.Event().wait(0.2)
    assert time.process_time() - before < 0.1


@pytest.mark.skipif(not hasattr(os, "fork"), reason="forks")
def test_no_thread_of_a_forked_child_is_taken_for_the_engines(downstream: Downstream) -> None:
    result = downstream.run_apart(
        FORKS
        + """
    def test_it(udp_echo_server):
        import threading
        from pytest_echoserver import CaptureFuture, CaptureTimeout

        engine = udp_echo_server._scope.engine

        def child():
            engine._ident = threading.get_ident()  # as a new thread's may be
            with pytest.raises(CaptureTimeout):
                CaptureFuture().result(timeout=0)
            with pytest.raises(RuntimeError, match="its forked child"):
                udp_echo_server.clear()

        in_a_child(child)
    """
    )
    result.assert_outcomes(passed=1)


def no_descriptor(monkeypatch: pytest.MonkeyPatch) -> None:
    def none_left(_: object) -> None:
        raise OSError("none is left")

    monkeypatch.setattr("pytest_echoserver._engine.best_readers", none_left)


def no_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    def none_left(_: object) -> None:
        raise RuntimeError("none is left")

    monkeypatch.setattr("threading.Thread.start", none_left)


@pytest.mark.parametrize("nothing_left", [no_descriptor, no_thread])
def test_an_engine_that_cannot_start_leaves_nothing(
    monkeypatch: pytest.MonkeyPatch, nothing_left: Callable[[pytest.MonkeyPatch], None]
) -> None:
    before = open_and_running()
    loops: list[asyncio.AbstractEventLoop] = []

    def new_loop() -> asyncio.AbstractEventLoop:
        loops.append(asyncio.SelectorEventLoop())
        return loops[0]

    nothing_left(monkeypatch)
    with pytest.raises((OSError, RuntimeError), match="none is left") as raised:
        Engine(new_loop)
    assert loops[0].is_closed()
    assert open_and_running() <= before, raised  # whose frames hold it all: nothing is left to the collector


def test_so_is_it_where_tests_have_only_peers_of_the_session(downstream: Downstream) -> None:
    result = downstream.run(
        """
        import asyncio, socket

        def talk_to(server):
            with server, socket.create_connection(server.address) as client:
                assert client.recv(10) == b""

        async def swallows(connection):
            asyncio.get_running_loop().set_exception_handler(lambda loop, context: None)

        async def raises(connection):
            asyncio.get_running_loop().call_soon(lambda: 1 / 0)
            await asyncio.sleep(0)
            await asyncio.sleep(0)

        def test_sets(session_peers):
            talk_to(session_peers.tcp(swallows))

        def test_a_callback(session_peers):
            talk_to(session_peers.tcp(raises))
        """,
        "-p",
        "no:randomly",
    )
    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines(["E*ZeroDivisionError*"])


@pytest.mark.parametrize("loop", EITHER_LOOP)
def test_what_one_test_sets_on_the_loop_is_undone_for_the_next(downstream: Downstream, loop: str) -> None:
    result = downstream.run(
        """
        import asyncio, socket
        import pytest

        tasks, debug = [], []

        @pytest.fixture
        def on_the_loop(udp_peer):
            def ask(function):
                udp_peer.serve(lambda datagram: str(function(asyncio.get_running_loop())).encode())
                with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
                    client.settimeout(5)
                    client.sendto(b"now", udp_peer.address)
                    client.recv(1000)

            return ask

        @pytest.fixture
        def settings(on_the_loop):
            def keep_to_itself(loop):
                loop.set_exception_handler(lambda loop, context: None)
                loop.set_task_factory(lambda loop, coro, **given: asyncio.Task(coro, loop=loop, **given))
                loop.set_debug(True)

            on_the_loop(keep_to_itself)

        async def fails_later():
            raise LookupError("of a task")

        async def waits():
            await asyncio.Event().wait()

        def test_before(on_the_loop):
            on_the_loop(lambda loop: debug.append(loop.get_debug()))

        def test_sets(settings): pass

        def test_a_callback(on_the_loop):
            on_the_loop(lambda loop: loop.call_soon(lambda: 1 / 0))

        def test_sets_again(settings): pass

        def test_a_task(on_the_loop):
            on_the_loop(lambda loop: tasks.append(loop.create_task(fails_later())))

        def test_sets_once_more(settings): pass

        def test_one_that_waits(on_the_loop):
            on_the_loop(lambda loop: tasks.append(loop.create_task(waits())))

        def test_after_them(on_the_loop):
            assert tasks.pop().cancelled()
            on_the_loop(lambda loop: debug.append(loop.get_debug()))
            assert debug[0] == debug[1]
        """,
        f"--echoserver-loop={loop}",
    )
    result.assert_outcomes(passed=6, failed=2)
    result.stdout.fnmatch_lines(["E*ZeroDivisionError*", "E*LookupError: of a task"])
