"""`stream_harness`: protocols of one's own on a socketpair."""

import asyncio
import socket
import threading
from collections.abc import Callable
from typing import Any

import pytest

from pytest_echoserver import StreamHarness

from ..conftest import Downstream
from .conftest import Runner, Upper, names


class BufferedUpper(asyncio.BufferedProtocol):
    def __init__(self) -> None:
        self.buffer = bytearray(4)

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def get_buffer(self, sizehint: int) -> bytearray:
        return self.buffer

    def buffer_updated(self, nbytes: int) -> None:
        self.transport.write(bytes(self.buffer[:nbytes]).upper())


def test_a_protocol_talks_to_the_test(stream_harness: StreamHarness) -> None:
    stream = stream_harness.connect(Upper)
    stream.send(b"hello\n")
    assert stream.read_until(b"\n").result() == b"HELLO\n"
    assert stream.received == b"HELLO\n"
    assert stream.sent == b"hello\n"


def test_a_buffered_protocol_does_so_too(stream_harness: StreamHarness) -> None:
    stream = stream_harness.connect(BufferedUpper)
    stream.send(b"hello\n")
    assert stream.read_until(b"\n").result() == b"HELLO\n"
    pieces = [event.args[0] for event in stream.events if event.name == "buffer_updated"]
    assert pieces == [b"hell", b"o\n"]


def test_connect_returns_after_connection_made(stream_harness: StreamHarness) -> None:
    stream = stream_harness.connect(Upper)
    assert stream.protocol.transport is stream.transport
    assert names(stream) == ["connection_made"]


def test_the_protocol_is_the_users_own(stream_harness: StreamHarness) -> None:
    made = Upper()
    assert stream_harness.connect(lambda: made).protocol is made


def test_every_call_is_recorded_with_its_arguments(stream_harness: StreamHarness) -> None:
    stream = stream_harness.connect(Upper)
    stream.send(b"x").result()
    stream.read_exactly(1).result()
    stream.send_eof()
    assert stream.lost.result() is None
    assert [(event.name, event.args) for event in stream.events] == [
        ("connection_made", (stream.transport,)),
        ("data_received", (b"x",)),
        ("eof_received", (None,)),
        ("connection_lost", (None,)),
    ]
    times = [event.time for event in stream.events]
    assert times == sorted(times)


def test_flow_control_is_recorded(stream_harness: StreamHarness) -> None:
    stream = stream_harness.connect(Upper)
    size = 10_000_000
    stream.call(lambda: stream.transport.write(bytes(size))).result()
    stream.read_exactly(size).result()
    stream.close().result()
    assert names(stream) == [
        "connection_made",
        "pause_writing",
        "resume_writing",
        "eof_received",
        "connection_lost",
    ]


def test_lost_is_done_once_connection_lost_has_returned(stream_harness: StreamHarness) -> None:
    stream = stream_harness.connect(Upper)
    stream.call(stream.transport.abort)
    assert stream.lost.result() is None
    assert stream.protocol.ended_with == [None]
    assert stream.ended.result() == "eof"


def test_closing_closes_both_ends(stream_harness: StreamHarness) -> None:
    stream = stream_harness.connect(Upper)
    stream.close().result()
    assert stream.protocol.ended_with == [None]
    assert stream.read().result() == b""


class KeepsOpen(Upper):
    def eof_received(self) -> bool:
        return True


@pytest.mark.parametrize("protocol", [Upper, KeepsOpen])
def test_closing_delivers_what_was_sent_and_eof(stream_harness: StreamHarness, protocol: type[Upper]) -> None:
    stream = stream_harness.connect(protocol)
    stream.send(b"x" * 1_000_000)
    stream.close().result()
    delivered = b"".join(event.args[0] for event in stream.events if event.name == "data_received")
    assert delivered == b"x" * 1_000_000
    assert names(stream)[-2:] == ["eof_received", "connection_lost"]


@pytest.mark.asyncio
@pytest.mark.parametrize("protocol", [Upper, KeepsOpen])
async def test_closing_does_so_on_the_tests_own_loop(stream_harness: StreamHarness, protocol: type[Upper]) -> None:
    stream = await stream_harness.connect_here(protocol)
    stream.send(b"hello\n")
    await stream.close()
    assert names(stream) == ["connection_made", "data_received", "eof_received", "connection_lost"]


def test_a_protocol_that_does_not_read_can_be_closed(stream_harness: StreamHarness) -> None:
    stream = stream_harness.connect(Upper)
    stream.call(stream.transport.pause_reading).result()
    stream._timeout = 0.1
    stream.send(b"hello\n")
    stream.close().result(timeout=5)
    assert names(stream) == ["connection_made", "connection_lost"]


def test_closing_twice_is_the_same_as_once(stream_harness: StreamHarness) -> None:
    stream = stream_harness.connect(Upper)
    for _ in range(2):
        stream.close().result()
    assert stream.protocol.ended_with == [None]


def test_call_runs_on_the_protocols_loop(stream_harness: StreamHarness) -> None:
    stream = stream_harness.connect(Upper)
    assert stream.call(threading.current_thread).result().name == "pytest-echoserver"
    assert stream.call(divmod, 7, 3).result() == (2, 1)


def test_an_exception_of_a_called_function_is_the_callers(stream_harness: StreamHarness) -> None:
    stream = stream_harness.connect(Upper)
    with pytest.raises(ZeroDivisionError):
        stream.call(lambda: 1 // 0).result()


def test_calling_a_coroutine_function_is_refused(stream_harness: StreamHarness) -> None:
    sleep: Callable[..., Any] = asyncio.sleep
    stream = stream_harness.connect(Upper)
    with pytest.raises(TypeError, match=r"call\(\) takes a plain function, and sleep is a coroutine function"):
        stream.call(sleep, 0).result()


def test_calling_what_is_no_function_is_refused(stream_harness: StreamHarness) -> None:
    bad: Any = 3
    stream = stream_harness.connect(Upper)
    with pytest.raises(TypeError, match=r"call\(\) takes a function and its arguments, not 3"):
        stream.call(bad)


@pytest.mark.asyncio
async def test_connect_here_puts_it_on_the_running_loop(stream_harness: StreamHarness) -> None:
    stream = await stream_harness.connect_here(Upper)
    assert await stream.call(asyncio.get_running_loop) is asyncio.get_running_loop()
    stream.send(b"hello\n")
    assert await stream.read_until(b"\n") == b"HELLO\n"
    await stream.close()
    assert stream.protocol.ended_with == [None]
    assert names(stream) == ["connection_made", "data_received", "eof_received", "connection_lost"]


@pytest.mark.asyncio
async def test_connect_works_in_an_async_test_as_well(stream_harness: StreamHarness) -> None:
    stream = stream_harness.connect(Upper)
    stream.send(b"x")
    assert await stream.read_exactly(1) == b"X"


def test_connect_here_outside_of_a_loop_says_what_to_use(stream_harness: StreamHarness) -> None:
    coroutine = stream_harness.connect_here(Upper)
    with pytest.raises(RuntimeError, match=r"none runs here; connect\(\) puts it on the engine's loop"):
        coroutine.send(None)


@pytest.mark.parametrize("made", [Upper, asyncio.Protocol])
def test_a_factory_that_gives_a_class_is_refused(stream_harness: StreamHarness, made: type) -> None:
    with pytest.raises(
        TypeError, match=f"the factory gave the class {made.__qualname__}, not a protocol: pass the"
    ):
        stream_harness.connect(lambda: made)


@pytest.mark.parametrize("made", [None, "x", asyncio.DatagramProtocol()])
def test_a_factory_that_gives_no_stream_protocol_is_refused(stream_harness: StreamHarness, made: Any) -> None:
    with pytest.raises(
        TypeError, match=r"has to give an asyncio\.Protocol or asyncio\.BufferedProtocol, not .*which has no"
    ):
        stream_harness.connect(lambda: made)


def test_a_protocol_in_the_place_of_its_factory_is_refused(stream_harness: StreamHarness) -> None:
    bad: Any = Upper()
    with pytest.raises(TypeError, match="a factory of stream protocols is called to make one"):
        stream_harness.connect(bad)


@pytest.mark.asyncio
async def test_bad_factories_are_refused_by_connect_here_too(stream_harness: StreamHarness) -> None:
    bad: Any = Upper()
    with pytest.raises(TypeError, match="a factory of stream protocols"):
        await stream_harness.connect_here(bad)
    with pytest.raises(TypeError, match="the factory gave the class Upper"):
        await stream_harness.connect_here(lambda: Upper)


def test_what_the_factory_raises_is_raised_at_the_call(stream_harness: StreamHarness) -> None:
    def factory() -> Any:
        raise LookupError("mine")

    with pytest.raises(LookupError, match="mine"):
        stream_harness.connect(factory)


END_A_LOOP = pytest.mark.parametrize("error", [SystemExit, KeyboardInterrupt])
HARNESSES = pytest.mark.parametrize("harness", ["stream_harness", "datagram_harness"])


@END_A_LOOP
@HARNESSES
def test_so_is_what_would_end_a_loop_and_nothing_else_comes_of_it(
    request: pytest.FixtureRequest, harness: str, error: type[BaseException]
) -> None:
    def factory() -> Any:
        raise error

    with pytest.raises(error):
        request.getfixturevalue(harness).connect(factory)


@END_A_LOOP
@HARNESSES
def test_it_is_so_on_a_loop_of_the_tests_too(
    request: pytest.FixtureRequest, run: Runner, harness: str, error: type[BaseException]
) -> None:
    made: Any = request.getfixturevalue(harness)

    def factory() -> Any:
        raise error

    async def here() -> None:
        with pytest.raises(error):
            await made.connect_here(factory)
        await asyncio.sleep(0)

    run(here())


@pytest.mark.parametrize("how", ["await asyncio.open_connection(sock=sock)", "add_reader"])
@pytest.mark.asyncio
async def test_a_pair_serves_code_that_takes_a_socket(stream_harness: StreamHarness, how: str) -> None:
    sock, connection = stream_harness.pair()
    connection.send(b"hello\n")
    if how == "add_reader":
        loop = asyncio.get_running_loop()
        got: asyncio.Future[bytes] = loop.create_future()
        loop.add_reader(sock, lambda: got.set_result(sock.recv(100)))
        assert await got == b"hello\n"
        loop.remove_reader(sock)
        return
    reader, writer = await asyncio.open_connection(sock=sock)
    assert await reader.readline() == b"hello\n"
    writer.write(b"answer\n")
    writer.close()
    assert await connection.read() == b"answer\n"
    await writer.wait_closed()


def test_a_pairs_socket_is_closed_with_the_test(downstream: Downstream) -> None:
    result = downstream.run(
        """
        kept = []

        def test_leaves_it_open(stream_harness):
            kept.append(stream_harness.pair()[0])

        def test_it_is_closed():
            assert kept[0].fileno() == -1
        """
    )
    result.assert_outcomes(passed=2)


FAILING_CALLBACKS = """
    import asyncio

    class Failing(asyncio.Protocol):
        def __init__(self, where): self.where = where
        def connection_made(self, transport): self.transport = transport; self.fail_in("connection_made")
        def data_received(self, data): self.fail_in("data_received")
        def eof_received(self): self.fail_in("eof_received")
        def connection_lost(self, exc): self.fail_in("connection_lost")
        def fail_in(self, name):
            if name == self.where:
                raise LookupError(name)
"""
STEPS: dict[str, str] = {
    "data_received": "stream.send(b'x')",
    "eof_received": "stream.send_eof()",
    "connection_lost": "stream.call(stream.transport.close)",
}


@pytest.mark.parametrize("callback", STEPS)
def test_an_exception_of_a_callback_fails_the_test(downstream: Downstream, callback: str) -> None:
    result = downstream.run(
        f"""{FAILING_CALLBACKS}
    def test_it(stream_harness):
        stream = stream_harness.connect(lambda: Failing({callback!r}))
        {STEPS[callback]}
        """
    )
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*test_it*", f"E*LookupError: {callback}"])


@pytest.mark.parametrize("callback", STEPS)
def test_it_does_so_on_the_tests_own_loop(downstream: Downstream, callback: str) -> None:
    result = downstream.run(
        f"""{FAILING_CALLBACKS}
    import pytest

    @pytest.mark.asyncio
    async def test_it(stream_harness):
        stream = await stream_harness.connect_here(lambda: Failing({callback!r}))
        {STEPS[callback]}
        await stream.lost
        """,
        "-oasyncio_default_fixture_loop_scope=function",
        plugins=("pytest_asyncio.plugin",),
    )
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*test_it*", f"E*LookupError: {callback}"])


@pytest.mark.parametrize("runner", ["asyncio", "anyio", "unittest"])
def test_it_does_so_even_if_the_test_ends_at_once(downstream: Downstream, runner: str) -> None:
    source = f"""{FAILING_CALLBACKS}
    import pytest, unittest

    async def send(stream_harness):
        stream = await stream_harness.connect_here(lambda: Failing("data_received"))
        stream.send(b"x")

    """
    if runner == "unittest":
        source += """
    class Test(unittest.IsolatedAsyncioTestCase):
        @pytest.fixture(autouse=True)
        def harness(self, stream_harness):
            self.stream_harness = stream_harness

        async def test_it(self):
            await send(self.stream_harness)
    """
    else:
        source += f"""
    @pytest.fixture
    def anyio_backend():
        return "asyncio"

    @pytest.mark.{runner}
    @pytest.mark.parametrize("number", range(20))
    async def test_it(stream_harness, number):
        await send(stream_harness)
    """
    result = downstream.run_apart(
        source,
        "-oasyncio_default_fixture_loop_scope=function",
        plugins=("pytest_asyncio.plugin", "anyio.pytest_plugin"),
    )
    result.assert_outcomes(failed=1 if runner == "unittest" else 20)


def test_an_exception_of_connection_made_is_raised_by_connect(downstream: Downstream) -> None:
    result = downstream.run(
        f"""{FAILING_CALLBACKS}
    def test_it(stream_harness):
        stream = stream_harness.connect(lambda: Failing("connection_made"))
        raise AssertionError("not reached")
        """
    )
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["E*LookupError: connection_made"])
    result.stdout.no_fnmatch_line("*errors of this test's peers*")


@pytest.mark.parametrize("exception", ["SystemExit(3)", "KeyboardInterrupt()"])
def test_a_callback_cannot_end_the_run(downstream: Downstream, exception: str) -> None:
    result = downstream.run(
        f"""
        import asyncio

        class Exits(asyncio.Protocol):
            def data_received(self, data):
                raise {exception}

        def test_it(stream_harness):
            stream_harness.connect(Exits).send(b"x")

        def test_the_next(stream_harness):
            stream = stream_harness.connect(asyncio.Protocol)
            stream.send(b"x").result()
        """
    )
    result.assert_outcomes(failed=1, passed=1)
    result.stdout.fnmatch_lines([f"E*RuntimeError: {exception.partition('(')[0]} was raised in a callback*"])


@pytest.mark.parametrize("exception", ["LookupError('lost')", "SystemExit(3)"])
def test_a_failing_task_of_the_protocol_fails_the_test(downstream: Downstream, exception: str) -> None:
    result = downstream.run(
        f"""
        import asyncio

        class Works(asyncio.Protocol):
            def connection_made(self, transport):
                self.work = asyncio.ensure_future(self.do_work())

            async def do_work(self):
                raise {exception}

        def test_it(stream_harness):
            stream_harness.connect(Works)

        def test_the_next(stream_harness):
            stream_harness.connect(asyncio.Protocol)
        """
    )
    result.assert_outcomes(failed=1, passed=1)
    result.stdout.fnmatch_lines([f"E*{exception.partition('(')[0]}*"])


@pytest.mark.parametrize("turns", [1, 3, 10, 200])
def test_a_task_that_still_runs_is_judged_once_it_waits(downstream: Downstream, turns: int) -> None:
    result = downstream.run(
        f"""
        import asyncio

        class Works(asyncio.Protocol):
            def data_received(self, data):
                self.task = asyncio.ensure_future(self.work())

            async def work(self):
                for _ in range({turns}):
                    await asyncio.sleep(0)
                raise LookupError("late")

        def test_it(stream_harness):
            stream_harness.connect(Works).send(b"x")
        """
    )
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["E*LookupError: late"])


def test_an_error_that_the_loop_is_only_told_of_fails_the_test(downstream: Downstream) -> None:
    result = downstream.run(
        """
        import asyncio

        class Tells(asyncio.Protocol):
            def data_received(self, data):
                asyncio.get_running_loop().call_exception_handler({"message": "something broke"})

        def test_it(stream_harness):
            stream_harness.connect(Tells).send(b"x")
        """
    )
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["E*RuntimeError: something broke"])


def test_many_reads_may_wait_at_once(stream_harness: StreamHarness, caplog: pytest.LogCaptureFixture) -> None:
    stream = stream_harness.connect(Upper)
    reads = [stream.read_until(b"\n") for _ in range(3000)]
    stream.call(lambda: stream.protocol.transport.write(b"x\n" * 3000))
    assert [read.result() for read in reads] == [b"x\n"] * 3000
    assert not caplog.records


def test_what_was_written_before_a_callback_failed_can_be_read(downstream: Downstream) -> None:
    result = downstream.run(
        """
        import asyncio, pytest

        class Fails(asyncio.Protocol):
            def connection_made(self, transport):
                self.transport = transport

            def data_received(self, data):
                self.transport.write(b"partial")
                raise LookupError("mine")

        def test_it(stream_harness):
            stream = stream_harness.connect(Fails)
            stream.send(b"x")
            assert stream.read_exactly(7).result() == b"partial"
            assert stream.received == b"partial"
            with pytest.raises(LookupError):
                stream.read_exactly(1).result()
            stream.lost.result()
        """
    )
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["E*LookupError: mine"])


def test_waits_end_for_a_protocol_that_failed_and_stays_connected(downstream: Downstream) -> None:
    result = downstream.run(
        """
        import asyncio

        class Fails(asyncio.Protocol):
            def connection_made(self, transport):
                transport.write(bytes(10_000_000))

            def pause_writing(self):
                raise LookupError("mine")

        def test_it(stream_harness):
            stream = stream_harness.connect(Fails)
            stream.read_until(b"never").result()
        """
    )
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["E*LookupError: mine"])


def test_a_failure_that_connect_raised_is_the_tests_own(downstream: Downstream) -> None:
    result = downstream.run(
        """
        import asyncio, pytest

        class Fails(asyncio.Protocol):
            def connection_made(self, transport):
                raise LookupError("mine")

        def test_it(stream_harness):
            with pytest.raises(LookupError):
                stream_harness.connect(Fails)
        """
    )
    result.assert_outcomes(passed=1)


def test_an_outcome_raised_in_a_called_function_is_the_tests(stream_harness: StreamHarness) -> None:
    stream = stream_harness.connect(Upper)
    with pytest.raises(pytest.fail.Exception, match="no good"):
        stream.call(pytest.fail, "no good").result()


def test_a_protocol_that_was_replaced_holds_nothing_up(downstream: Downstream) -> None:
    result = downstream.run_apart(
        """
        import asyncio

        class Replaces(asyncio.Protocol):
            def connection_made(self, transport):
                transport.set_protocol(asyncio.Protocol())

        def test_it(stream_harness):
            stream_harness.connect(Replaces)
        """,
        "--echoserver-timeout=60",
    )
    result.assert_outcomes(passed=1)
    assert result.duration < 30
    result.stderr.no_fnmatch_line("*")


@pytest.mark.parametrize("scope", ["class", "session"])
def test_connection_lost_is_called_within_the_test_it_belongs_to(downstream: Downstream, scope: str) -> None:
    result = downstream.run_apart(
        f"""
        import asyncio, os, pytest

        lost_in = []

        class Tells(asyncio.Protocol):
            def connection_lost(self, exc):
                lost_in.append(os.environ["PYTEST_CURRENT_TEST"])

        @pytest.mark.asyncio(loop_scope={scope!r})
        class Test:
            async def test_it(self, stream_harness):
                await stream_harness.connect_here(Tells)

            async def test_next(self):
                assert [test.partition("::")[2] for test in lost_in] == ["Test::test_it (teardown)"]
        """,
        "-oasyncio_default_fixture_loop_scope=function",
        plugins=("pytest_asyncio.plugin",),
    )
    result.assert_outcomes(passed=2)


def test_a_pair_that_asyncio_has_does_not_confuse_the_next_test(downstream: Downstream) -> None:
    result = downstream.run_apart(
        """
        import asyncio, pytest

        kept = []

        @pytest.mark.asyncio(loop_scope="class")
        class Test:
            async def test_leaves_it_open(self, stream_harness):
                sock, connection = stream_harness.pair()
                _, writer = await asyncio.open_connection(sock=sock)
                kept.append(writer)

            async def test_next(self, stream_harness):
                sock, connection = stream_harness.pair()
                _, writer = await asyncio.open_connection(sock=sock)
                for one in (writer, *kept):
                    one.close()
                    await one.wait_closed()
        """,
        "-oasyncio_default_fixture_loop_scope=function",
        plugins=("pytest_asyncio.plugin",),
    )
    result.assert_outcomes(passed=2)


def test_a_task_whose_failure_was_seen_fails_nothing(stream_harness: StreamHarness) -> None:
    class Works(asyncio.Protocol):
        def connection_made(self, transport: Any) -> None:
            self.work = asyncio.ensure_future(self.look())

        async def look(self) -> None:
            with pytest.raises(LookupError):
                await asyncio.create_task(self.fail())

        async def fail(self) -> None:
            raise LookupError

    stream_harness.connect(Works).close().result()


def test_a_failing_callback_of_the_loop_fails_the_test_it_belongs_to(downstream: Downstream) -> None:
    result = downstream.run(
        """
        import asyncio

        class Later(asyncio.Protocol):
            def connection_made(self, transport):
                asyncio.get_running_loop().call_soon(self.fail)

            def fail(self):
                raise LookupError("later")

        def test_it(stream_harness):
            stream_harness.connect(Later)
        """
    )
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["E*LookupError: later"])


def test_tasks_of_a_protocol_end_with_the_test(downstream: Downstream) -> None:
    result = downstream.run(
        """
        import asyncio

        tasks = []

        class Works(asyncio.Protocol):
            def connection_made(self, transport):
                tasks.append(asyncio.ensure_future(asyncio.sleep(100)))

        def test_it(stream_harness):
            stream_harness.connect(Works)

        def test_the_next():
            assert tasks[0].cancelled()
        """
    )
    result.assert_outcomes(passed=2)


def test_waits_for_a_stream_whose_protocol_failed_get_its_error(downstream: Downstream) -> None:
    result = downstream.run(
        """
        import asyncio, pytest

        class Fails(asyncio.Protocol):
            def data_received(self, data):
                raise LookupError("mine")

        def test_it(stream_harness):
            stream = stream_harness.connect(Fails)
            answer = stream.read_until(b"answer")
            stream.send(b"x")
            answer.result()
        """
    )
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines([">*answer.result()", "E*LookupError: mine"])
    result.stdout.no_fnmatch_line("*errors of this test's peers*")


LEFT_OPEN = """
    import asyncio, pytest

    @pytest.mark.asyncio
    async def test_it(stream_harness):
        stream = await stream_harness.connect_here(asyncio.Protocol)
        stream.send(b"x")
        if {closed}:
            await stream.close()
"""


@pytest.mark.parametrize("closed", [True, False])
@pytest.mark.parametrize("scope", ["function", "module", "session"])
def test_connect_here_leaves_nothing_whichever_loop_it_is(downstream: Downstream, scope: str, closed: bool) -> None:
    source = LEFT_OPEN.replace("mark.asyncio", f"mark.asyncio(loop_scope={scope!r})").format(closed=closed)
    again = source.replace("test_it", "test_again").replace("import asyncio, pytest", "")
    result = downstream.run_apart(
        source + again, "-oasyncio_default_fixture_loop_scope=function", plugins=("pytest_asyncio.plugin",)
    )
    result.assert_outcomes(passed=2)
    result.stderr.no_fnmatch_line("*")


def test_connect_here_under_isolated_asyncio_test_case(downstream: Downstream) -> None:
    result = downstream.run_apart(
        """
        import asyncio, unittest, pytest

        class Test(unittest.IsolatedAsyncioTestCase):
            @pytest.fixture(autouse=True)
            def harness(self, stream_harness):
                self.stream_harness = stream_harness

            async def test_it(self):
                stream = await self.stream_harness.connect_here(asyncio.Protocol)
                await stream.send(b"x")
        """
    )
    result.assert_outcomes(passed=1)
    result.stderr.no_fnmatch_line("*")


def test_the_first_thing_a_protocol_gets_can_be_sent_before_it_is_ready(stream_harness: StreamHarness) -> None:
    streams = [stream_harness.connect(Upper) for _ in range(20)]
    for stream in streams:
        stream.send(b"x")
    assert [stream.read_exactly(1).result() for stream in streams] == [b"X"] * 20


def test_connecting_on_the_engine_thread_is_refused(stream_harness: StreamHarness) -> None:
    stream = stream_harness.connect(Upper)
    connect: Callable[..., Any] = stream_harness.connect
    with pytest.raises(RuntimeError, match="can't be called on the engine's own thread"):
        stream.call(connect, Upper).result()


def test_a_protocol_that_blocks_the_engine_is_told_as_such(downstream: Downstream) -> None:
    result = downstream.run(
        """
        import asyncio, threading

        release = threading.Event()

        class Blocks(asyncio.Protocol):
            def data_received(self, data):
                release.wait(20)

        def test_it(stream_harness):
            stream = stream_harness.connect(Blocks)
            try:
                stream.send(b"x")
                stream.read_until(b"y").result()
            finally:
                release.set()
        """,
        "--echoserver-timeout=0.2",
    )
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["E*CaptureTimeout*held up in data_received*release.wait(20)*"])


def test_sockets_of_a_refused_factory_are_closed(stream_harness: StreamHarness, monkeypatch: Any) -> None:
    made: list[socket.socket] = []
    socketpair = socket.socketpair

    def remember() -> tuple[socket.socket, socket.socket]:
        made.extend(pair := socketpair())
        return pair

    monkeypatch.setattr(socket, "socketpair", remember)
    with pytest.raises(TypeError):
        stream_harness.connect(lambda: None)
    assert made[0].fileno() == -1
