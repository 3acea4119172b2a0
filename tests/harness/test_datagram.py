"""`datagram_harness`: datagram protocols of one's own on a UDP socket."""

import asyncio
import io
import socket
import sys
import threading
from collections.abc import Callable
from typing import Any

import pytest

from pytest_echoserver import CaptureTimeout, DatagramHarness, HarnessedEndpoint
from pytest_echoserver._transports.datagram import RECEIVE_BUFFER

from ..conftest import EITHER_LOOP, Downstream
from .conftest import Runner

LARGEST, LARGEST_OVER_IPV6 = 65_507, 65_527


class Upper(asyncio.DatagramProtocol):
    """Answers in capitals."""

    def __init__(self) -> None:
        self.received: list[tuple[bytes, Any]] = []
        self.errors: list[Exception] = []
        self.ended_with: list[Any] = []

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def datagram_received(self, data: bytes, addr: Any) -> None:
        self.received.append((data, addr))
        self.transport.sendto(data.upper(), addr)

    def error_received(self, exc: Exception) -> None:
        self.errors.append(exc)

    def connection_lost(self, exc: Exception | None) -> None:
        self.ended_with.append(exc)


class Greets(Upper):
    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        transport.sendto(b"hello")


def test_a_protocol_talks_to_the_test(datagram_harness: DatagramHarness) -> None:
    endpoint = datagram_harness.connect(Upper)
    endpoint.send(b"ping")
    datagram = endpoint.next_datagram().result()
    assert (datagram.data, datagram.source, datagram.to) == (b"PING", endpoint.near_address, endpoint.address)
    assert [sent.data for sent in endpoint.sent] == [b"ping"]
    assert [received.data for received in endpoint.received] == [b"PING"]
    assert endpoint.protocol.received == [(b"ping", endpoint.address)]


def test_what_connection_made_sends_is_received(datagram_harness: DatagramHarness) -> None:
    assert datagram_harness.connect(Greets).next_datagram().result().data == b"hello"


def test_every_call_is_recorded_with_its_arguments(datagram_harness: DatagramHarness) -> None:
    endpoint = datagram_harness.connect(Upper)
    refused = ConnectionRefusedError()
    endpoint.send(b"x").result()
    endpoint.next_call("datagram_received").result()
    endpoint.error(refused).result()
    endpoint.close().result()
    assert [(event.name, event.args) for event in endpoint.events] == [
        ("connection_made", (endpoint.transport,)),
        ("datagram_received", (b"x", endpoint.address)),
        ("error_received", (refused,)),
        ("connection_lost", (None,)),
    ]
    assert endpoint.protocol.errors == [refused]
    assert endpoint.protocol.ended_with == [None]
    assert endpoint.lost.result() is None


def test_empty_datagrams_reach_the_protocol(datagram_harness: DatagramHarness) -> None:
    endpoint = datagram_harness.connect(Upper)
    endpoint.send(b"")
    endpoint.send(b"x")
    assert endpoint.next_call("datagram_received").result().args[0] == b""
    assert endpoint.next_call("datagram_received").result().args[0] == b"x"


@pytest.mark.parametrize("remote", [True, False])
def test_the_largest_datagram_goes_both_ways(datagram_harness: DatagramHarness, remote: bool) -> None:
    endpoint = datagram_harness.connect(Upper, remote=remote)
    endpoint.send(b"x" * LARGEST).result()
    assert endpoint.next_datagram().result().data == b"X" * LARGEST


@pytest.mark.parametrize(
    "largest",
    [LARGEST, pytest.param(LARGEST_OVER_IPV6, marks=pytest.mark.echoserver(host="::1"))],
)
def test_one_that_is_too_large_is_refused_at_the_call(datagram_harness: DatagramHarness, largest: int) -> None:
    endpoint = datagram_harness.connect(Upper)
    with pytest.raises(ValueError, match=f"the largest datagram here has {largest}"):
        endpoint.send(b"x" * (largest + 1))
    assert list(endpoint.sent) == []
    endpoint.send(b"x" * largest).result()


def test_many_datagrams_all_arrive(datagram_harness: DatagramHarness) -> None:
    endpoint = datagram_harness.connect(Upper)
    waits = [endpoint.next_datagram() for _ in range(500)]
    for number in range(500):
        endpoint.send(b"n%d" % number)
        waits[number].result()
    assert [datagram.data for datagram in endpoint.received] == [b"N%d" % number for number in range(500)]


def test_an_unconnected_protocol_hears_of_others(datagram_harness: DatagramHarness) -> None:
    endpoint = datagram_harness.connect(Upper, remote=False)
    endpoint.send(b"a")
    endpoint.send(b"b", source=("127.0.0.1", 0))
    endpoint.send(b"c", source=("127.0.0.1", 0))
    answers = [endpoint.next_datagram().result() for _ in range(3)]
    assert {answer.data: answer.to for answer in answers} == {
        sent.data.upper(): source for sent, source in zip(endpoint.sent, _sources(endpoint), strict=True)
    }
    assert len({answer.to for answer in answers}) == 3
    assert endpoint.address in {answer.to for answer in answers}


def _sources(endpoint: Any) -> list[Any]:
    return [source for _, source in endpoint.protocol.received]


def test_a_source_can_be_used_again(datagram_harness: DatagramHarness, reserved_port: int) -> None:
    endpoint = datagram_harness.connect(Upper, remote=False)
    source = ("127.0.0.1", reserved_port)
    for data in (b"a", b"b"):
        endpoint.send(data, source=source)
        assert endpoint.next_datagram().result().to == source
    assert [where for _, where in endpoint.protocol.received] == [source, source]


@pytest.mark.parametrize(
    ("remote", "source", "error", "text"),
    [
        (True, ("127.0.0.1", 0), ValueError, "remote=False"),
        (False, "127.0.0.1", TypeError, "an address of this machine"),
        (False, ("10.0.0.1", 0), ValueError, "loopback"),
        (False, ("::1", 0), ValueError, "can't reach"),
        (False, ("127.0.0.1", 70_000), ValueError, "65535"),
        (False, ("127.0.0.1", "80"), TypeError, "int"),
    ],
)
def test_a_bad_source_is_refused(
    datagram_harness: DatagramHarness, remote: bool, source: Any, error: type[Exception], text: str
) -> None:
    endpoint = datagram_harness.connect(Upper, remote=remote)
    with pytest.raises(error, match=text):
        endpoint.send(b"x", source=source)
    assert len(endpoint.sent) == 0


@pytest.mark.asyncio
async def test_whether_it_is_connected_must_be_said_by_a_bool(datagram_harness: DatagramHarness) -> None:
    wrong: Any = ("127.0.0.1", 53)
    text = r"remote must be True or False, not \('127.0.0.1', 53\)"
    with pytest.raises(TypeError, match=text):
        datagram_harness.connect(Upper, remote=wrong)
    with pytest.raises(TypeError, match=text):
        await datagram_harness.connect_here(Upper, remote=wrong)


def test_a_source_that_is_taken_is_an_error_of_its_future(datagram_harness: DatagramHarness) -> None:
    endpoint = datagram_harness.connect(Upper, remote=False)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind(("127.0.0.1", 0))
        with pytest.raises(OSError, match="can't bind"):
            endpoint.send(b"x", source=taken.getsockname()).result()


def test_a_refusal_arrives_as_connection_refused_error(datagram_harness: DatagramHarness) -> None:
    endpoint = datagram_harness.connect(Upper)
    endpoint.refuse().result()
    endpoint.call(endpoint.transport.sendto, b"anybody there?").result()
    (error,) = endpoint.next_call("error_received").result().args
    assert isinstance(error, ConnectionRefusedError)
    assert len(endpoint.received) == 0


def test_a_refusing_far_end_can_still_send(datagram_harness: DatagramHarness) -> None:
    endpoint = datagram_harness.connect(Upper)
    endpoint.refuse()
    endpoint.send(b"x").result()
    assert endpoint.next_call("datagram_received").result().args[0] == b"x"
    assert isinstance(endpoint.next_call("error_received").result().args[0], ConnectionRefusedError)


def test_an_unconnected_protocol_hears_of_no_refusal(datagram_harness: DatagramHarness) -> None:
    with pytest.raises(io.UnsupportedOperation, match="remote=True"):
        datagram_harness.connect(Upper, remote=False).refuse()


def test_error_takes_an_exception(datagram_harness: DatagramHarness) -> None:
    endpoint = datagram_harness.connect(Upper)
    with pytest.raises(TypeError, match="takes an exception"):
        endpoint.error("refused")  # type: ignore[arg-type]


def test_a_call_of_no_protocol_is_refused(datagram_harness: DatagramHarness) -> None:
    with pytest.raises(ValueError, match=r"datagram_received, error_received.*not 'data_received'"):
        datagram_harness.connect(Upper).next_call("data_received")


def test_a_wait_says_what_came_instead(datagram_harness: DatagramHarness) -> None:
    endpoint = datagram_harness.connect(Upper)
    endpoint.send(b"x")
    endpoint.next_datagram().result()
    with pytest.raises(CaptureTimeout, match="the calls so far were connection_made, datagram_received"):
        endpoint.next_datagram().result(timeout=0.01)


@pytest.mark.parametrize("factory", [lambda: Upper, object, asyncio.Protocol])
def test_what_is_no_datagram_protocol_is_refused(
    datagram_harness: DatagramHarness, factory: Callable[[], Any]
) -> None:
    with pytest.raises(TypeError, match=r"the factory (gave|has to give)"):
        datagram_harness.connect(factory)


def test_what_connection_made_raises_is_the_callers(datagram_harness: DatagramHarness) -> None:
    class Raises(Upper):
        def connection_made(self, transport: Any) -> None:
            raise LookupError("no")

    with pytest.raises(LookupError, match="no"):
        datagram_harness.connect(Raises)


@pytest.mark.parametrize("harness", ["stream_harness", "datagram_harness"])
def test_a_connection_made_that_raises_leaves_nothing_on_the_tests_loop(
    downstream: Downstream, harness: str
) -> None:
    result = downstream.run_apart(
        f"""
        import asyncio
        import pytest

        class Raises(asyncio.Protocol, asyncio.DatagramProtocol):
            def connection_made(self, transport):
                self.task = asyncio.ensure_future(asyncio.sleep(100))
                Raises.made.append(self)
                raise LookupError("no")

            made = []

        def test_it({harness}):
            async def go():
                with pytest.raises(LookupError, match="no"):
                    await {harness}.connect_here(Raises)
                assert Raises.made[0].task.done()
                assert asyncio.get_running_loop().get_task_factory() is None

            asyncio.run(go())
        """
    )
    result.assert_outcomes(passed=1)


def test_sending_after_the_end_is_refused(datagram_harness: DatagramHarness) -> None:
    endpoint = datagram_harness.connect(Upper)
    endpoint.close().result()
    with pytest.raises(RuntimeError, match="closed"):
        endpoint.send(b"x")
    with pytest.raises(RuntimeError, match=r"refuse\(\) on endpoint-1, which is closed"):
        endpoint.refuse()
    with pytest.raises(ConnectionAbortedError, match="no other call"):
        endpoint.next_call("error_received").result()


def test_no_datagram_is_waited_for_after_the_close(datagram_harness: DatagramHarness) -> None:
    endpoint = datagram_harness.connect(Upper)
    endpoint.send(b"a")
    first, second, third = (endpoint.next_datagram() for _ in range(3))
    endpoint.send(b"b")
    endpoint.close().result()
    assert [first.result().data, second.result().data] == [b"A", b"B"]
    for waits in (third, endpoint.next_datagram()):
        with pytest.raises(ConnectionAbortedError, match="endpoint-1 is closed: no other datagram"):
            waits.result()


def test_what_came_before_the_close_is_taken_after_it(datagram_harness: DatagramHarness) -> None:
    endpoint = datagram_harness.connect(Upper)
    endpoint.send(b"a")
    endpoint.close().result()
    assert endpoint.next_datagram().result().data == b"A"


def test_closing_delivers_what_was_sent(datagram_harness: DatagramHarness) -> None:
    endpoint = datagram_harness.connect(Upper)
    for _ in range(100):
        endpoint.send(b"x")
    endpoint.close().result()
    assert len(endpoint.protocol.received) == 100
    assert len(endpoint.received) == 100


@pytest.mark.echoserver(host="::1")
def test_it_works_over_ipv6(datagram_harness: DatagramHarness) -> None:
    endpoint = datagram_harness.connect(Upper, remote=False)
    assert endpoint.address[0] == "::1"
    endpoint.send(b"a", source=("::1", 0))
    assert endpoint.next_datagram().result().data == b"A"


async def _burst(harness: DatagramHarness, here: bool) -> HarnessedEndpoint[Upper]:
    """An endpoint at which 100 datagrams have arrived at once, more than its socket has room for."""
    endpoint = await harness.connect_here(Upper) if here else harness.connect(Upper)
    sock = endpoint.transport.get_extra_info("socket")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as like_peers:
        like_peers.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER)
        room = like_peers.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF)
        assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF) == room
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)
    arrived = threading.Event()

    def burst() -> None:
        sent = [endpoint.send(b"x") for _ in range(100)]
        sent[-1].add_done_callback(lambda _: arrived.set())

    if here:
        burst()
    else:
        await endpoint.call(burst)
    assert arrived.wait(5)  # all in one turn of the engine's loop; and this one stands still
    return endpoint


@pytest.mark.skipif(sys.platform != "linux", reason="SO_MEMINFO is Linux's")
@pytest.mark.parametrize("here", [False, True])
def test_what_the_kernel_drops_at_the_protocol_is_told(
    datagram_harness: DatagramHarness, here: bool, run: Runner
) -> None:
    async def talk() -> None:
        endpoint = await _burst(datagram_harness, here)
        [lost] = [event.args[0] for event in endpoint.events if event.name == "dropped_by_kernel"]
        await endpoint.close()
        assert len(endpoint.protocol.received) + lost == 100
        assert [event.name for event in endpoint.events].count("dropped_by_kernel") == 1

    run(talk())


@pytest.mark.skipif(sys.platform != "linux", reason="SO_MEMINFO is Linux's")
@pytest.mark.parametrize("loop", EITHER_LOOP)
def test_what_the_kernel_drops_is_told_where_a_test_fails(downstream: Downstream, loop: str) -> None:
    result = downstream.run(
        """
        import asyncio, socket

        class Sends(asyncio.DatagramProtocol):
            def connection_made(self, transport):
                self.transport = transport

            def burst(self):
                for _ in range(100):
                    self.transport.sendto(b"x")

        def tighten(sock):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)

        def test_from_the_protocol(datagram_harness):
            endpoint = datagram_harness.connect(Sends)
            tighten(endpoint._far._transports[endpoint.address].get_extra_info("socket"))
            endpoint.call(endpoint.protocol.burst).result()
            for _ in range(100):
                endpoint.next_datagram().result()

        def test_to_it(datagram_harness):
            endpoint = datagram_harness.connect(Sends)
            tighten(endpoint.transport.get_extra_info("socket"))
            endpoint.call(lambda: [endpoint.send(b"x") for _ in range(100)]).result()
            for _ in range(100):
                endpoint.next_call("datagram_received").result()

        def test_to_one_that_closes(datagram_harness):
            endpoint = datagram_harness.connect(Sends)
            tighten(endpoint.transport.get_extra_info("socket"))
            sent = endpoint.call(lambda: [endpoint.send(b"x") for _ in range(100)]).result()
            sent[-1].add_done_callback(lambda _: endpoint.transport.abort())
            endpoint.lost.result()
            assert False
        """,
        f"--echoserver-loop={loop}",
        "--echoserver-timeout=0.3",
    )
    result.assert_outcomes(failed=3)
    result.stdout.fnmatch_lines(
        [
            "E*CaptureTimeout: *, and the kernel dropped * datagrams from it for want of room*",
            "*  !!  endpoint-1             the kernel dropped * for want of room",
            "E*CaptureTimeout: *, and the kernel dropped * datagrams to it for want of room*",
            "*  !!  endpoint-1's protocol  the kernel dropped * for want of room",
            "*  !!  endpoint-1's protocol  the kernel dropped * for want of room",
        ]
    )


async def _talk_here(datagram_harness: DatagramHarness) -> None:
    endpoint = await datagram_harness.connect_here(Upper)
    endpoint.send(b"ping")
    assert (await endpoint.next_datagram()).data == b"PING"
    await endpoint.close()
    assert [event.name for event in endpoint.events] == ["connection_made", "datagram_received", "connection_lost"]


def test_a_protocol_on_the_tests_own_loop(datagram_harness: DatagramHarness) -> None:
    asyncio.run(_talk_here(datagram_harness))


def test_a_protocol_on_uvloop(datagram_harness: DatagramHarness) -> None:
    uvloop = pytest.importorskip("uvloop")
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_talk_here(datagram_harness))


@pytest.mark.parametrize("loop", EITHER_LOOP)
def test_failures_are_the_tests(downstream: Downstream, loop: str) -> None:
    result = downstream.run(
        """
        import asyncio

        class Fails(asyncio.DatagramProtocol):
            def datagram_received(self, data, addr):
                assert data == b"ping", "an odd datagram"

        def test_fails(datagram_harness):
            endpoint = datagram_harness.connect(Fails)
            endpoint.send(b"pong")
            endpoint.send(b"ping")
            endpoint.next_call("datagram_received").result()

        def test_the_next_is_not_blamed(datagram_harness):
            datagram_harness.connect(Fails).send(b"ping").result()
        """,
        f"--echoserver-loop={loop}",
    )
    result.assert_outcomes(failed=1, passed=1)
    result.stdout.fnmatch_lines(
        ["*an odd datagram*", "endpoint-1's protocol", "*->  endpoint-1's protocol  b'pong'  datagram_received*"]
    )


@pytest.mark.parametrize("closed", [True, False])
def test_connect_here_leaves_nothing(downstream: Downstream, closed: bool) -> None:
    downstream.run(
        f"""
        import asyncio
        import pytest

        class Asks(asyncio.DatagramProtocol):
            def connection_made(self, transport):
                self.task = asyncio.create_task(self.ask(transport))

            async def ask(self, transport):
                transport.sendto(b"?")
                await asyncio.sleep(1000)

        @pytest.mark.asyncio
        async def test_it(datagram_harness):
            endpoint = await datagram_harness.connect_here(Asks)
            assert (await endpoint.next_datagram()).data == b"?"
            if {closed}:
                await endpoint.close()
                assert endpoint.protocol.task.cancelled()
                assert asyncio.all_tasks() == {{asyncio.current_task()}}
                assert asyncio.get_running_loop().get_task_factory() is None
        """,
        "-oasyncio_default_fixture_loop_scope=function",
        plugins=("pytest_asyncio.plugin",),
    ).assert_outcomes(passed=1)
