"""What a protocol starts on a loop of the test's, outside of its own calls: whose it is, and when it ends."""

import re

from ..conftest import Downstream


def test_what_is_raised_outside_of_calls_on_the_tests_loop_fails_the_test(downstream: Downstream) -> None:
    result = downstream.run_apart(
        """
        import asyncio
        import pytest

        class InATask(asyncio.Protocol):
            def connection_made(self, transport):
                self.task = asyncio.ensure_future(self.work())

            async def work(self):
                raise LookupError("in a task")

        class InATimer(asyncio.Protocol):
            def connection_made(self, transport):
                asyncio.get_running_loop().call_soon(self.fail)

            def fail(self):
                raise LookupError("in a callback")

        async def serve(reader, writer):
            raise LookupError("in a server of streams")

        def streams():
            return asyncio.StreamReaderProtocol(asyncio.StreamReader(), serve)

        KINDS = pytest.mark.parametrize("factory", [InATask, InATimer, streams])
        CLOSED = pytest.mark.parametrize("closed", [True, False])

        @KINDS
        @CLOSED
        @pytest.mark.asyncio
        async def test_stream(stream_harness, factory, closed):
            stream = await stream_harness.connect_here(factory, side="server")
            await asyncio.sleep(0)
            if closed:
                await stream.close()

        @pytest.mark.asyncio
        async def test_own_handler(stream_harness):
            told = []
            asyncio.get_running_loop().set_exception_handler(lambda _, context: told.append(context["exception"]))
            await stream_harness.connect_here(InATimer)
            await asyncio.sleep(0)
            assert [str(error) for error in told] == ["in a callback"]

        @pytest.mark.asyncio
        async def test_no_protocols(stream_harness, caplog):
            loop = asyncio.get_running_loop()
            stream = await stream_harness.connect_here(asyncio.Protocol)
            loop.call_soon(lambda: 1 / 0)
            await asyncio.sleep(0)
            assert "ZeroDivisionError" in caplog.text
            await stream.close()
            assert loop.get_exception_handler() is None
        """,
        "-oasyncio_default_fixture_loop_scope=function",
        plugins=("pytest_asyncio.plugin",),
    )
    result.assert_outcomes(failed=6, passed=2)
    for text in ("in a task", "in a callback", "in a server of streams"):
        assert len(re.findall(rf"^E +LookupError: {text}$", result.stdout.str(), re.MULTILINE)) == 2


def test_what_a_protocol_started_on_a_loop_that_lives_on_ends_with_the_test(downstream: Downstream) -> None:
    result = downstream.run_apart(
        """
        import asyncio
        import pytest

        pytestmark = pytest.mark.asyncio(loop_scope="module")
        tasks = []

        class Ticks(asyncio.Protocol):
            def connection_made(self, transport):
                tasks.append(asyncio.ensure_future(asyncio.sleep(1000)))

        async def test_it(stream_harness, datagram_harness):
            await stream_harness.connect_here(Ticks)
            await datagram_harness.connect_here(type("Datagrams", (Ticks, asyncio.DatagramProtocol), {}))

        async def test_the_next():
            loop = asyncio.get_running_loop()
            assert [task.cancelled() for task in tasks] == [True, True]
            assert (loop.get_task_factory(), loop.get_exception_handler()) == (None, None)
        """,
        "-oasyncio_default_fixture_loop_scope=function",
        plugins=("pytest_asyncio.plugin",),
    )
    result.assert_outcomes(passed=2)


def test_a_task_that_will_not_end_is_an_error_of_the_tear_down(downstream: Downstream) -> None:
    result = downstream.run_apart(
        """
        import asyncio
        import pytest

        pytestmark = pytest.mark.asyncio(loop_scope="module")
        enough = []

        class Stubborn(asyncio.Protocol):
            def connection_made(self, transport):
                self.task = asyncio.ensure_future(self.work())

            async def work(self):
                while not enough:
                    try:
                        await asyncio.sleep(0.01)
                    except asyncio.CancelledError:
                        pass

        async def test_it(stream_harness, tcp_peer):
            await stream_harness.connect_here(Stubborn)

        async def test_the_next():
            enough.append(True)
        """,
        "-oasyncio_default_fixture_loop_scope=function",
        plugins=("pytest_asyncio.plugin",),
    )
    result.assert_outcomes(passed=2, errors=1)
    result.stdout.fnmatch_lines(["E*RuntimeError: *was cancelled, but did not end*"])
