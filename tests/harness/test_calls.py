"""`HarnessedStream.events`, `next_call`, and protocols that another takes the place of."""

import asyncio
import ssl
from contextlib import suppress
from typing import Any

import pytest

from pytest_echoserver import CaptureFuture, CaptureTimeout, HarnessedStream, StreamHarness, TLSAuthority

from ..conftest import EITHER_LOOP, Downstream


class Counts(asyncio.Protocol):
    """Counts what it gets."""

    transport: Any

    def __init__(self) -> None:
        self.count = 0

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.count += len(data)


def told(stream: HarnessedStream[Any]) -> list[tuple[Any, ...]]:
    """The calls and their arguments, without the first one's transport."""
    return [(event.name, *event.args) for event in list(stream.events)[1:]]


def test_a_call_is_given_once_it_has_returned(stream_harness: StreamHarness) -> None:
    stream = stream_harness.connect(Counts)
    for number in range(1, 200):
        stream.send(b"x")
        assert stream.next_call("data_received").result().args == (b"x",)
        assert stream.protocol.count == number


def test_each_name_has_a_cursor_of_its_own(stream_harness: StreamHarness) -> None:
    stream = stream_harness.connect(Counts)
    stream.send(b"a").result()
    stream.send_eof()
    assert stream.next_call("eof_received").result().args == (None,)
    assert stream.next_call("data_received").result().args == (b"a",)
    assert stream.next_call("connection_made").result().args == (stream.transport,)
    assert stream.next_call("connection_lost").result().args == (None,)


def test_no_call_comes_after_the_last(stream_harness: StreamHarness) -> None:
    stream = stream_harness.connect(Counts)
    waiting = stream.next_call("pause_writing")
    stream.call(stream.transport.abort)
    with pytest.raises(ConnectionAbortedError, match="connection_lost was called"):
        waiting.result()


def test_a_wait_for_a_call_says_what_came_instead(stream_harness: StreamHarness) -> None:
    stream = stream_harness.connect(Counts)
    stream.send(b"ab", segments=1)
    for _ in range(2):
        stream.next_call("data_received").result()
    with pytest.raises(
        CaptureTimeout,
        match=r"for pause_writing on stream-1: the calls so far were connection_made, data_received \(2 times\)",
    ):
        stream.next_call("pause_writing").result(timeout=0.01)


def test_a_name_that_is_no_call_is_refused(stream_harness: StreamHarness) -> None:
    with pytest.raises(ValueError, match=r"connection_made, data_received, .*not 'get_buffer'"):
        stream_harness.connect(Counts).next_call("get_buffer")


def test_bare_protocols_are_recorded(stream_harness: StreamHarness) -> None:
    made = asyncio.Protocol()
    stream = stream_harness.connect(lambda: made)
    stream.send(b"x").result()
    assert stream.next_call("data_received").result().args == (b"x",)
    assert stream.protocol is made
    assert type(stream.protocol) is asyncio.Protocol


class Buffered(asyncio.BufferedProtocol):
    def __init__(self) -> None:
        self.buffer = bytearray(100)

    def get_buffer(self, sizehint: int) -> bytearray:
        return self.buffer


class Upgrades(Counts):
    """Hands over to another protocol when it is told to."""

    def __init__(self, successor: Any) -> None:
        super().__init__()
        self.successor = successor

    def data_received(self, data: bytes) -> None:
        self.transport.set_protocol(self.successor)
        self.transport.write(b"upgraded\n")


@pytest.mark.parametrize("loop", EITHER_LOOP)
def test_a_protocol_that_replaces_itself_is_followed(downstream: Downstream, loop: str) -> None:
    downstream.run(
        """
        import asyncio

        class Buffered(asyncio.BufferedProtocol):
            def get_buffer(self, sizehint):
                self.buffer = bytearray(100)
                return self.buffer

        class Upgrades(asyncio.Protocol):
            def __init__(self):
                self.successor = Buffered()

            def connection_made(self, transport):
                self.transport = transport

            def data_received(self, data):
                self.transport.set_protocol(self.successor)
                self.transport.write(b"upgraded\\n")

        def test_it(stream_harness):
            stream = stream_harness.connect(Upgrades)
            stream.send(b"upgrade, please")
            stream.read_until(b"\\n").result()
            stream.send(b"hello")
            assert stream.next_call("buffer_updated").result().args == (b"hello",)
            stream.close().result()
            assert [(event.name, event.args) for event in stream.events][1:] == [
                ("data_received", (b"upgrade, please",)),
                ("set_protocol", (stream.protocol.successor,)),
                ("buffer_updated", (b"hello",)),
                ("eof_received", (None,)),
                ("connection_lost", (None,)),
            ]
            assert type(stream.protocol) is Upgrades
        """,
        f"--echoserver-loop={loop}",
    ).assert_outcomes(passed=1)


@pytest.mark.usefixtures("asyncios_transports")
def test_a_protocol_that_is_replaced_from_outside_is_followed(stream_harness: StreamHarness) -> None:
    stream = stream_harness.connect(Counts)
    successor = Buffered()
    stream.call(stream.transport.set_protocol, successor).result()
    assert stream.call(stream.transport.get_protocol).result() is successor
    stream.send(b"x")
    stream.next_call("buffer_updated").result()
    assert told(stream) == [("set_protocol", successor), ("buffer_updated", b"x")]


@pytest.mark.usefixtures("asyncios_transports")
def test_the_transport_tells_of_the_users_protocol(stream_harness: StreamHarness) -> None:
    stream = stream_harness.connect(Counts)
    assert stream.transport.get_protocol() is stream.protocol


@pytest.mark.usefixtures("asyncios_transports")
def test_a_transport_is_left_as_it_was(stream_harness: StreamHarness) -> None:
    stream = stream_harness.connect(Counts)
    stream.close().result()
    assert not {"set_protocol", "get_protocol"} & set(vars(stream.transport))


def test_on_uvloop_the_record_ends_with_a_change_from_outside(downstream: Downstream) -> None:
    downstream.run(
        """
        import asyncio

        def test_it(stream_harness):
            stream = stream_harness.connect(asyncio.Protocol)
            successor = asyncio.Protocol()
            stream.call(stream.transport.set_protocol, successor).result()
            stream.send(b"unseen").result()
            stream.close().result()
            last = stream.events[-1]
            assert (last.name, last.args) == ("record_ended", (successor,))
            assert len(stream.events) == 2
        """,
        "--echoserver-loop=uvloop",
    ).assert_outcomes(passed=1)


class StartsTLS(Counts):
    """Answers STARTTLS, goes on over TLS, and echoes there."""

    def __init__(self, context: ssl.SSLContext) -> None:
        super().__init__()
        self.context = context
        self.upgraded = CaptureFuture[bool]("the upgrade")

    def data_received(self, data: bytes) -> None:
        if data == b"STARTTLS\n":
            self.transport.write(b"ready\n")
            self.task = asyncio.ensure_future(self.upgrade())
        else:
            self.transport.write(data)

    async def upgrade(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            self.transport = await loop.start_tls(self.transport, self, self.context, server_side=True)
            self.upgraded.set_result(True)
        except OSError as error:
            self.upgraded.set_exception(error)


@pytest.mark.usefixtures("asyncios_transports")
def test_start_tls_is_followed(stream_harness: StreamHarness, tls_authority: TLSAuthority) -> None:
    stream = stream_harness.connect(lambda: StartsTLS(tls_authority.server_context()), side="server")
    stream.send(b"STARTTLS\n")
    stream.read_until(b"ready\n").result()
    stream.start_tls().result()
    stream.protocol.upgraded.result()
    stream.send(b"secret")
    assert stream.read_exactly(6).result() == b"secret"
    assert stream.transport.get_extra_info("cipher") is not None
    stream.close().result()
    assert told(stream) == [
        ("data_received", b"STARTTLS\n"),
        ("start_tls",),
        ("data_received", b"secret"),
        ("eof_received", None),
        ("connection_lost", None),
    ]
    assert stream.received == b"ready\nsecret"
    assert stream.sent == b"STARTTLS\nsecret"


@pytest.mark.usefixtures("asyncios_transports")
def test_a_stalled_end_is_stalled_after_start_tls(
    stream_harness: StreamHarness, tls_authority: TLSAuthority
) -> None:
    stream = stream_harness.connect(lambda: StartsTLS(tls_authority.server_context()), side="server", kind="tcp")
    stream.send(b"STARTTLS\n")
    stream.read_until(b"ready\n").result()
    stream.stall()
    stream.start_tls().result()
    stream.protocol.upgraded.result()
    stream.send(b"secret")
    stream.next_call("start_tls").result()
    with pytest.raises(CaptureTimeout):
        stream.read_exactly(6).result(timeout=0.1)
    stream.unstall()
    assert stream.read_exactly(6).result() == b"secret"


def test_a_client_that_starts_tls_is_followed_on_the_tests_loop(
    stream_harness: StreamHarness, tls_authority: TLSAuthority
) -> None:
    async def talk() -> None:
        stream = await stream_harness.connect_here(Counts, kind="tcp")
        upgraded = stream.start_tls(after=b"ready\n")
        await stream.next_call("data_received")
        transport = await asyncio.get_running_loop().start_tls(
            stream.transport, stream.protocol, tls_authority.client_context(), server_hostname="localhost"
        )
        await upgraded
        assert transport is stream.transport
        await stream.send(b"secret")
        assert (await stream.next_call("data_received")).args == (b"secret",)
        stream.protocol.transport = transport
        await stream.close()
        assert told(stream)[:3] == [("data_received", b"ready\n"), ("start_tls",), ("data_received", b"secret")]
        assert told(stream)[-1] == ("connection_lost", None)

    asyncio.run(talk())


def test_a_handshake_that_fails_is_told_at_both_ends(
    stream_harness: StreamHarness, tls_authority: TLSAuthority
) -> None:
    stream = stream_harness.connect(
        lambda: StartsTLS(tls_authority.server_context("example.org")), side="server", kind="tcp"
    )
    stream.send(b"STARTTLS\n")
    stream.read_until(b"ready\n").result()
    with pytest.raises(ssl.SSLCertVerificationError, match="localhost"):
        stream.start_tls().result()
    with pytest.raises((ssl.SSLError, ConnectionError)):
        stream.protocol.upgraded.result()


def test_tls_starts_once(stream_harness: StreamHarness) -> None:
    with pytest.raises(RuntimeError, match="already"):
        stream_harness.connect(Counts, kind="tls").start_tls()
    with pytest.raises(TypeError, match="SSLContext"):
        stream_harness.connect(Counts).start_tls("tls")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="context must be one for a server, which this end is, not"):
        stream_harness.connect(Counts).start_tls(ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT))
    with pytest.raises(ValueError, match="context must be one for a client, which this end is, not"):
        stream_harness.connect(Counts, side="server").start_tls(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER))


def test_a_tls_transport_that_is_closed_twice_is_followed_to_its_end(stream_harness: StreamHarness) -> None:
    class ClosesTwice(Counts):
        def data_received(self, data: bytes) -> None:
            self.transport.close()
            self.transport.close()

    stream = stream_harness.connect(ClosesTwice, kind="tls")
    stream.send(b"x")
    assert stream.lost.result() is None


@pytest.mark.parametrize("closed", [True, False])
def test_no_task_of_a_protocol_is_left_on_the_tests_loop(stream_harness: StreamHarness, closed: bool) -> None:
    class Starts(Counts):
        def connection_made(self, transport: Any) -> None:
            self.tasks = [asyncio.ensure_future(self.work())]

        async def work(self) -> None:
            self.tasks.append(asyncio.ensure_future(asyncio.sleep(1000)))
            await asyncio.sleep(1000)

    async def talk() -> None:
        before = asyncio.get_running_loop().get_task_factory()
        mine = asyncio.ensure_future(asyncio.sleep(1000))
        first = await stream_harness.connect_here(Starts)
        second = await stream_harness.connect_here(Starts)
        if closed:
            await first.close()
            assert [task.cancelled() for task in first.protocol.tasks] == [True, True]
            assert not any(task.done() for task in second.protocol.tasks)
            await second.close()
            assert asyncio.all_tasks() == {asyncio.current_task(), mine}
            assert asyncio.get_running_loop().get_task_factory() is before
        mine.cancel()

    asyncio.run(talk())


def test_a_task_that_will_not_end_is_an_error_of_close(stream_harness: StreamHarness) -> None:
    class Stubborn(Counts):
        def connection_made(self, transport: Any) -> None:
            self.release = asyncio.Event()
            self.task = asyncio.ensure_future(self.work())

        async def work(self) -> None:
            while not self.release.is_set():
                with suppress(asyncio.CancelledError):
                    await self.release.wait()

    async def talk() -> None:
        stream = await stream_harness.connect_here(Stubborn)
        with pytest.raises(RuntimeError, match="was cancelled, but did not end"):
            await stream.close()
        stream.protocol.release.set()
        await stream.protocol.task

    asyncio.run(talk())


def test_a_failed_task_on_the_tests_loop_fails_the_test(downstream: Downstream) -> None:
    result = downstream.run(
        """
        import asyncio

        class Starts(asyncio.Protocol):
            def connection_made(self, transport):
                self.task = asyncio.ensure_future(self.work())

            async def work(self):
                raise LookupError("nobody looks at this")

        def test_it(stream_harness):
            async def talk():
                stream = await stream_harness.connect_here(Starts)
                await stream.close()

            asyncio.run(talk())
        """
    )
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["E*LookupError: nobody looks at this"])


def test_what_a_call_raises_fails_the_test_if_nobody_looks(downstream: Downstream) -> None:
    result = downstream.run_apart(
        """
        import asyncio
        import pytest

        class Quick(asyncio.Protocol):
            def bad(self):
                raise LookupError("nobody looks")

        def test_it(stream_harness):
            stream = stream_harness.connect(Quick)
            stream.call(stream.protocol.bad)

        async def wrong(): ...

        def test_coroutine_function(stream_harness):
            stream_harness.connect(Quick).call(wrong)

        def test_who_looks(stream_harness):
            stream = stream_harness.connect(Quick)
            with pytest.raises(LookupError):
                stream.call(stream.protocol.bad).result()
            assert isinstance(stream.call(stream.protocol.bad).exception(), LookupError)

            async def awaits():
                with pytest.raises(LookupError):
                    await stream.call(stream.protocol.bad)

            asyncio.run(awaits())
        """
    )
    result.assert_outcomes(passed=1, failed=2)
    result.stdout.fnmatch_lines(
        [
            "E *LookupError: nobody looks",
            "E *TypeError: call() takes a plain function, and wrong is a coroutine function",
        ]
    )


@pytest.mark.parametrize("given_up", ["cancelled", "timed out", "asked too early"])
def test_what_a_call_raises_is_not_lost_with_its_future(downstream: Downstream, given_up: str) -> None:
    result = downstream.run_apart(
        f"""
        import asyncio
        import threading
        import pytest

        def test_it(stream_harness, udp_peer):
            udp_peer.expect(b"never")
            go_on = threading.Event()
            stream = stream_harness.connect(asyncio.Protocol)

            def bad():
                go_on.wait(5)
                raise LookupError("nobody looks")

            future = stream.call(bad)
            if {given_up!r} == "cancelled":
                assert future.cancel()
            elif {given_up!r} == "timed out":
                with pytest.raises(TimeoutError):
                    future.result(0)
            else:
                async def asks():
                    with pytest.raises(RuntimeError):
                        future.exception()

                asyncio.run(asks())
            go_on.set()
        """
    )
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines_random(
        ["*LookupError: nobody looks", "*ScriptMismatch: udp-1 *only step was not met*"]
    )
