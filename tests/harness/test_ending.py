"""How harnessed protocols end: whoever ends it, `connection_lost` comes once and nothing is left over."""

import asyncio
from contextlib import suppress
from typing import Any

import pytest

from pytest_echoserver import CaptureTimeout, DatagramHarness, HarnessedStream, StreamHarness, TLSAuthority

from ..conftest import EITHER_LOOP, Downstream, needs_uvloop
from .conftest import Runner

PLENTY = 5_000_000
"""Bytes, more than all buffers hold."""
KINDS = pytest.mark.parametrize("kind", ["socketpair", "tcp", "tls"])
OVER_IP = pytest.mark.parametrize("kind", ["tcp", "tls"])
PLAIN = pytest.mark.parametrize("kind", ["socketpair", "tcp"])


class Remembers(asyncio.Protocol):
    """Remembers what it got, and how it ended."""

    transport: asyncio.Transport

    def __init__(self) -> None:
        self.got = b""
        self.ended_with: list[Any] = []

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.got += data

    def connection_lost(self, exc: Exception | None) -> None:
        self.ended_with.append(exc)


class Pauses(Remembers):
    """Doesn't read until it is told to."""

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        transport.pause_reading()


def ended_once(stream: HarnessedStream[Any]) -> bool:
    names = [event.name for event in stream.events]
    return names.count("connection_lost") == 1 and names[-1] == "connection_lost"


class SaysGoodbye(Remembers):
    """Hangs up at once, with more to send than the kernel takes."""

    def connection_made(self, transport: Any) -> None:
        transport.write(bytes(PLENTY))
        transport.close()


@KINDS
@pytest.mark.parametrize("side", ["client", "server"])
def test_a_protocol_that_hangs_up_sends_all_it_has(stream_harness: StreamHarness, kind: Any, side: Any) -> None:
    stream = stream_harness.connect(SaysGoodbye, kind=kind, side=side)
    assert stream.read().result() == bytes(PLENTY)
    assert stream.lost.result() is None
    assert ended_once(stream)


@KINDS
def test_it_does_so_on_the_tests_loop(stream_harness: StreamHarness, run: Runner, kind: Any) -> None:
    async def talk() -> None:
        stream = await stream_harness.connect_here(SaysGoodbye, kind=kind)
        assert await stream.read() == bytes(PLENTY)
        await stream.lost
        await stream.close()
        assert ended_once(stream)

    run(talk())


def test_a_protocol_that_has_hung_up_is_no_trouble_where_its_loop_goes_on(downstream: Downstream) -> None:
    downstream.run(
        """
        import asyncio

        loop = asyncio.new_event_loop()

        class SaysGoodbye(asyncio.Protocol):
            def connection_made(self, transport):
                transport.write(bytes(5_000_000))
                transport.close()

        def test_it(stream_harness):
            async def talk():
                stream = await stream_harness.connect_here(SaysGoodbye)
                await stream.read()
                await stream.lost
            loop.run_until_complete(talk())

        def test_its_loop_still_works():
            loop.run_until_complete(asyncio.sleep(0))
            loop.close()
        """
    ).assert_outcomes(passed=2)


@KINDS
def test_closing_reads_what_a_stalled_far_end_has_left(stream_harness: StreamHarness, kind: Any) -> None:
    stream = stream_harness.connect(Remembers, kind=kind)
    stream.stall().result()
    stream.call(lambda: stream.transport.write(bytes(PLENTY))).result()
    stream.close().result()
    assert ended_once(stream)
    assert stream.protocol.ended_with == [None]


@KINDS
def test_it_reads_that_on_the_tests_loop(stream_harness: StreamHarness, run: Runner, kind: Any) -> None:
    async def talk() -> None:
        stream = await stream_harness.connect_here(Remembers, kind=kind)
        await stream.stall()
        stream.transport.write(bytes(PLENTY))
        await stream.close()
        assert ended_once(stream)

    run(talk())


@OVER_IP
def test_a_reset_is_told_once_however_often_it_is_closed(
    stream_harness: StreamHarness, run: Runner, kind: Any
) -> None:
    async def talk() -> None:
        stream = await stream_harness.connect_here(Remembers, kind=kind)
        stream.send(b"abc")
        stream.reset()
        stream.reset()
        await asyncio.gather(stream.close(), stream.close())
        assert ended_once(stream)
        assert stream.protocol.got == b"abc"
        assert isinstance(await stream.lost, ConnectionResetError)

    run(talk())


@KINDS
def test_two_may_close_it_at_once(stream_harness: StreamHarness, run: Runner, kind: Any) -> None:
    async def talk() -> None:
        stream = await stream_harness.connect_here(Remembers, kind=kind)
        stream.send(b"abc")
        await asyncio.gather(stream.close(), stream.close(), stream.close())
        assert ended_once(stream)
        assert stream.protocol.got == b"abc"

    run(talk())


class Works(Remembers):
    """Starts a task with each thing it gets."""

    def data_received(self, data: bytes) -> None:
        self.task = asyncio.ensure_future(asyncio.sleep(1000))


def test_closing_one_twice_leaves_the_tasks_of_another_in_sight(stream_harness: StreamHarness, run: Runner) -> None:
    async def talk() -> None:
        before = asyncio.get_running_loop().get_task_factory()
        one = await stream_harness.connect_here(Remembers)
        other = await stream_harness.connect_here(Works)
        await one.close()
        await one.close()
        other.send(b"x")
        await other.next_call("data_received")
        await other.close()
        assert other.protocol.task.cancelled()
        assert asyncio.get_running_loop().get_task_factory() is before

    run(talk())


class EndsItsDirection(Remembers):
    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        transport.write(b"that is all")
        transport.write_eof()


@PLAIN
def test_a_protocol_that_ended_its_direction_still_gets_data(
    stream_harness: StreamHarness, run: Runner, kind: Any
) -> None:
    async def talk() -> None:
        stream = await stream_harness.connect_here(EndsItsDirection, kind=kind)
        assert await stream.read() == b"that is all"
        assert await stream.ended == "eof"
        await stream.send(b"later", segments=1)
        await stream.close()
        assert stream.protocol.got == b"later"
        assert ended_once(stream)

    run(talk())


class AnswersEOF(Remembers):
    def eof_received(self) -> bool:
        self.transport.write(b"more")
        return True


@PLAIN
def test_a_protocol_may_answer_eof(stream_harness: StreamHarness, run: Runner, kind: Any) -> None:
    async def talk() -> None:
        stream = await stream_harness.connect_here(AnswersEOF, kind=kind)
        stream.send_eof()
        assert await stream.read_exactly(4) == b"more"
        await stream.close()
        assert ended_once(stream)

    run(talk())


@pytest.mark.parametrize("here", [True, False], ids=["on the test's loop", "on the engine's"])
def test_a_stream_reader_that_starts_tls_can_be_closed(
    stream_harness: StreamHarness, tls_authority: TLSAuthority, run: Runner, here: bool
) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        assert await reader.readline() == b"STARTTLS\n"
        writer.write(b"ready\n")
        await writer.start_tls(tls_authority.server_context())
        writer.write((await reader.readline()).upper())
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()

    def made() -> asyncio.StreamReaderProtocol:
        return asyncio.StreamReaderProtocol(asyncio.StreamReader(), serve)

    async def talk() -> None:
        connect: Any = stream_harness.connect_here if here else stream_harness.connect
        connected = connect(made, side="server")
        stream = await connected if here else connected
        stream.send(b"STARTTLS\n")
        assert await stream.read_until(b"\n") == b"ready\n"
        await stream.start_tls()
        stream.send(b"secret\n", segments=1)
        assert await stream.read_until(b"\n") == b"SECRET\n"
        await stream.close()
        names = [event.name for event in stream.events]
        assert names[:2] == ["connection_made", "data_received"]
        assert names[-1] in ("connection_lost", "record_ended")

    run(talk())


@PLAIN
@pytest.mark.parametrize("side", ["client", "server"])
@pytest.mark.parametrize("here", [True, False], ids=["on the test's loop", "on the engine's"])
def test_a_handshake_in_which_only_one_side_is_ends_with_the_connection(
    stream_harness: StreamHarness, run: Runner, kind: Any, side: Any, here: bool
) -> None:
    async def talk() -> None:
        connect: Any = stream_harness.connect_here if here else stream_harness.connect
        connected = connect(Remembers, kind=kind, side=side)
        stream = await connected if here else connected
        upgraded = stream.start_tls()
        said = stream.send(b"once it is secret")
        await stream.close()
        assert ended_once(stream)
        for future in (upgraded, said):
            with pytest.raises(ConnectionAbortedError, match="closed before this was done"):
                await future
        assert [event.name for event in stream._end._record.events] == ["start_tls", "connection_lost"]

    run(talk())


def test_a_send_behind_such_a_one_says_so(stream_harness: StreamHarness) -> None:
    stream = stream_harness.connect(asyncio.Protocol, side="server")
    stream.start_tls()
    with pytest.raises(CaptureTimeout, match=r"6 bytes to be sent on .*: the TLS handshake is not over$"):
        stream.send(b"secret").result(timeout=0.05)


def test_such_a_one_is_no_trouble_at_the_end(downstream: Downstream) -> None:
    downstream.run(
        """
        import asyncio

        def test_it(stream_harness):
            stream_harness.connect(asyncio.Protocol, side="server").start_tls()
        """,
        "-W",
        "error",
    ).assert_outcomes(passed=1)


@pytest.mark.parametrize("here", [True, False], ids=["on the test's loop", "on the engine's"])
def test_a_client_over_tls_may_begin_to_read_when_it_likes(
    stream_harness: StreamHarness, run: Runner, here: bool
) -> None:
    async def talk() -> None:
        connect: Any = stream_harness.connect_here if here else stream_harness.connect
        connected = connect(Pauses, kind="tls")
        stream = await connected if here else connected
        sent = stream.send(b"hi")
        await stream.call(stream.transport.resume_reading)
        await stream.next_call("data_received")
        await sent
        assert stream.protocol.got == b"hi"
        await stream.close()
        assert ended_once(stream)

    run(talk())


def test_a_send_to_one_that_does_not_says_what_it_waits_for(stream_harness: StreamHarness) -> None:
    stream = stream_harness.connect(Pauses, kind="tls")
    with pytest.raises(CaptureTimeout, match=r"2 bytes to be sent on .*: the far end is not connected$"):
        stream.send(b"hi").result(timeout=0.05)


@pytest.mark.parametrize("here", [True, False], ids=["on the test's loop", "on the engine's"])
@pytest.mark.parametrize("kind", ["socketpair", "tcp", "tls"])
def test_a_protocol_may_abort_at_once(stream_harness: StreamHarness, run: Runner, kind: Any, here: bool) -> None:
    class Aborts(Remembers):
        def connection_made(self, transport: Any) -> None:
            transport.abort()

    async def talk() -> None:
        connect: Any = stream_harness.connect_here if here else stream_harness.connect
        connected = connect(Aborts, kind=kind)
        stream = await connected if here else connected
        assert await stream.lost is None
        with suppress(ConnectionError):
            assert await stream.read() == b""
        await stream.close()
        assert ended_once(stream)

    run(talk())


class Errors(asyncio.DatagramProtocol):
    def __init__(self) -> None:
        self.errors: list[Exception] = []

    def error_received(self, exc: Exception) -> None:
        self.errors.append(exc)


@pytest.mark.usefixtures("asyncios_transports")
def test_an_error_goes_to_the_protocol_that_took_the_place(datagram_harness: DatagramHarness) -> None:
    endpoint = datagram_harness.connect(Errors)
    successor = Errors()
    endpoint.call(endpoint.transport.set_protocol, successor).result()
    error = OSError("mine")
    endpoint.error(error).result()
    assert (endpoint.protocol.errors, successor.errors) == ([], [error])


def test_no_error_comes_after_the_end(datagram_harness: DatagramHarness) -> None:
    endpoint = datagram_harness.connect(Errors)
    endpoint.close().result()
    with pytest.raises(RuntimeError, match="error\\(\\) on endpoint-1, which is closed"):
        endpoint.error(OSError())
    assert endpoint.protocol.errors == []


@KINDS
def test_connecting_can_be_cancelled_at_any_time(stream_harness: StreamHarness, run: Runner, kind: Any) -> None:
    async def talk() -> None:
        for turns in range(12):
            connecting = asyncio.ensure_future(stream_harness.connect_here(Works, kind=kind))
            for _ in range(turns):
                await asyncio.sleep(0)
            connecting.cancel()
            with suppress(asyncio.CancelledError):
                await (await connecting).close()
            after = await stream_harness.connect_here(Remembers)
            await after.close()
            assert ended_once(after)
        assert asyncio.all_tasks() == {asyncio.current_task()}

    run(talk())


@needs_uvloop
@pytest.mark.parametrize("kind", ["socketpair", "tcp"])
def test_on_uvloop_a_protocol_that_hangs_up_at_once_leaves_no_socket(downstream: Downstream, kind: str) -> None:
    downstream.run(
        f"""
        import asyncio, gc, uvloop

        class HangsUp(asyncio.Protocol):
            def connection_made(self, transport):
                transport.abort()

        def test_on_the_engines_loop(stream_harness):
            assert stream_harness.connect(HangsUp, kind={kind!r}).lost.result() is None

        def test_on_its_own(stream_harness):
            async def talk():
                assert await (await stream_harness.connect_here(HangsUp, kind={kind!r})).lost is None
            with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                runner.run(talk())

        def test_nothing_is_left():
            gc.collect()
        """,
        "--echoserver-loop=uvloop",
    ).assert_outcomes(passed=3)


@pytest.mark.parametrize("loop", EITHER_LOOP)
@pytest.mark.parametrize("blocks", ["factory", "connection_made"])
def test_one_that_was_given_up_while_it_blocked_leaves_nothing(
    downstream: Downstream, blocks: str, loop: str
) -> None:
    """The engine cancels what doesn't end in time: here its task is cancelled at that place, and nobody waits."""
    downstream.run_apart(
        f"""
        import asyncio, gc, threading
        import concurrent.futures
        import pytest

        class Late(asyncio.Protocol):
            def __init__(self):
                if {blocks!r} == "factory":
                    cancel[0].cancel()

            def connection_made(self, transport):
                if {blocks!r} == "connection_made":
                    cancel[0].cancel()

        cancel = []

        def late():
            cancel[:] = [asyncio.current_task()]
            return Late()

        @pytest.mark.parametrize("side", ["client", "server"])
        @pytest.mark.parametrize("kind", ["socketpair", "tcp", "tls"])
        def test_stream(stream_harness, kind, side):
            with pytest.raises(concurrent.futures.CancelledError):
                stream_harness.connect(late, kind=kind, side=side)

        @pytest.mark.parametrize("remote", [True, False])
        def test_datagrams(datagram_harness, remote):
            Late.datagram_received = Late.data_received
            with pytest.raises(concurrent.futures.CancelledError):
                datagram_harness.connect(late, remote=remote)

        def test_nothing_is_left():
            gc.collect()
        """,
        f"--echoserver-loop={loop}",
    ).assert_outcomes(passed=9)
