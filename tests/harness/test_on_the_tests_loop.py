"""What a protocol starts on a loop of the test's, outside of its own calls: whose it is, and when it ends."""

import re

import pytest

from ..conftest import Downstream


def run_async(downstream: Downstream, test_file: str) -> pytest.RunResult:
    """Run a file of tests of pytest-asyncio's, in a process of its own."""
    return downstream.run_apart(
        test_file, "-oasyncio_default_fixture_loop_scope=function", plugins=("pytest_asyncio.plugin",)
    )


def test_what_is_raised_outside_of_calls_on_the_tests_loop_fails_the_test(downstream: Downstream) -> None:
    result = run_async(
        downstream,
        """
        import asyncio
        import pytest

        class InATask(asyncio.Protocol):
            def connection_made(self, transport):
                self.task = asyncio.ensure_future(self.work())

            async def work(self):
                raise LookupError("in a task")

        class InTheLoop(asyncio.Protocol):
            def connection_made(self, transport):
                done = asyncio.get_running_loop().create_future()
                done.set_result(1)
                asyncio.get_running_loop().call_soon(done.set_result, 2)

        class InATimer(asyncio.Protocol):
            def connection_made(self, transport):
                asyncio.get_running_loop().call_soon(self.fail)

            def fail(self):
                raise LookupError("in a callback")

        async def serve(reader, writer):
            raise LookupError("in a server of streams")

        def streams():
            return asyncio.StreamReaderProtocol(asyncio.StreamReader(), serve)

        KINDS = pytest.mark.parametrize("factory", [InATask, InATimer, InTheLoop, streams])
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
        async def test_one_of_two_that_ends(stream_harness, caplog):
            loop = asyncio.get_running_loop()
            await stream_harness.connect_here(asyncio.Protocol)
            first = loop.get_task_factory(), loop.get_exception_handler()
            loop.set_task_factory(None)
            other = await stream_harness.connect_here(asyncio.Protocol)
            await other.close()
            loop.set_task_factory(first[0])
            assert loop.get_exception_handler() == first[1]

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
    )
    result.assert_outcomes(failed=8, passed=3)
    assert len(re.findall(r"^E +asyncio.exceptions.InvalidStateError", result.stdout.str(), re.MULTILINE)) == 2
    for text in ("in a task", "in a callback", "in a server of streams"):
        assert len(re.findall(rf"^E +LookupError: {text}$", result.stdout.str(), re.MULTILINE)) == 2


def test_what_a_protocol_started_on_a_loop_that_lives_on_ends_with_the_test(downstream: Downstream) -> None:
    result = run_async(
        downstream,
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
    )
    result.assert_outcomes(passed=2)


def test_a_task_that_will_not_end_is_an_error_of_the_tear_down(downstream: Downstream) -> None:
    result = run_async(
        downstream,
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
    )
    result.assert_outcomes(passed=2, errors=1)
    result.stdout.fnmatch_lines(["E*RuntimeError: *was cancelled, but did not end*"])


@pytest.mark.parametrize("ends", ["for task in asyncio.all_tasks(): task.cancel()", "raise SystemExit(3)"])
def test_what_ends_the_loop_as_its_task_is_ended_keeps_no_peer_open(downstream: Downstream, ends: str) -> None:
    result = downstream.run_apart(
        f"""
        import asyncio
        import socket
        import pytest

        addresses, loops = [], []

        class Works(asyncio.Protocol):
            def connection_made(self, transport):
                self.task = asyncio.ensure_future(self.work())

            async def work(self):
                try:
                    await asyncio.sleep(100)
                finally:
                    {ends}

        def test_it(stream_harness, tcp_peer):
            addresses.append(tcp_peer.address)
            loops.append(asyncio.new_event_loop())
            loops[0].run_until_complete(stream_harness.connect_here(Works))

        def test_the_next():
            loops[0].close()
            with pytest.raises(ConnectionRefusedError):
                socket.create_connection(addresses[0])
        """,
        "-p",
        "no:randomly",
    )
    result.assert_outcomes(passed=2, errors=1)
