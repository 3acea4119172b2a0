"""`stream_harness` over socketpairs, TCP and TLS, as client and as server, on asyncio and on uvloop."""

import io
import socket
import ssl
from typing import Any, Literal

import pytest

from pytest_echoserver import CaptureTimeout, StreamHarness

from .conftest import Runner, Upper, names

Kind = Literal["socketpair", "tcp", "tls"]
Side = Literal["client", "server"]

KINDS: tuple[Kind, ...] = ("socketpair", "tcp", "tls")
SIDES: tuple[Side, ...] = ("client", "server")


@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize("kind", KINDS)
def test_a_protocol_talks_to_the_test(stream_harness: StreamHarness, kind: Kind, side: Side) -> None:
    stream = stream_harness.connect(Upper, kind=kind, side=side)
    stream.send(b"hello\n")
    assert stream.read_until(b"\n").result() == b"HELLO\n"
    stream.close().result()
    assert stream.lost.result() is None
    assert stream.protocol.ended_with == [None]
    assert stream.ended.result() == "eof"


@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize("kind", KINDS)
def test_a_protocol_on_the_tests_loop_does_so_too(
    stream_harness: StreamHarness, run: Runner, kind: Kind, side: Side
) -> None:
    async def talk() -> None:
        stream = await stream_harness.connect_here(Upper, kind=kind, side=side)
        stream.send(b"hello\n")
        assert await stream.read_until(b"\n") == b"HELLO\n"
        await stream.close()
        assert stream.protocol.ended_with == [None]
        assert names(stream)[:2] == ["connection_made", "data_received"]
        assert names(stream)[-1] == "connection_lost"

    run(talk())


def test_a_tcp_connection_has_addresses(stream_harness: StreamHarness) -> None:
    stream = stream_harness.connect(Upper, kind="tcp")
    assert stream.transport.get_extra_info("sockname") == stream.peername


def test_tls_is_verified_on_the_protocols_side(stream_harness: StreamHarness) -> None:
    stream = stream_harness.connect(Upper, kind="tls")
    ssl_object: ssl.SSLObject = stream.transport.get_extra_info("ssl_object")
    assert ssl_object.context.verify_mode == ssl.CERT_REQUIRED
    certificate: Any = ssl_object.getpeercert()
    assert ("DNS", "localhost") in certificate["subjectAltName"]


@pytest.mark.echoserver(host="::1")
def test_tcp_goes_by_the_configured_host(stream_harness: StreamHarness) -> None:
    assert stream_harness.connect(Upper, kind="tcp").peername[0] == "::1"


@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize("kind", ["tcp", "tls"])
def test_a_reset_arrives_as_connection_reset_error(stream_harness: StreamHarness, kind: Kind, side: Side) -> None:
    stream = stream_harness.connect(Upper, kind=kind, side=side)
    stream.send(b"half of a mess")
    stream.reset()
    assert isinstance(stream.lost.result(), ConnectionResetError)
    assert names(stream)[-1] == "connection_lost"
    assert "eof_received" not in names(stream)
    assert [event.args[0] for event in stream.events if event.name == "data_received"] == [b"half of a mess"]


def test_a_reset_of_a_protocol_on_the_tests_loop(stream_harness: StreamHarness, run: Runner) -> None:
    async def talk() -> None:
        stream = await stream_harness.connect_here(Upper, kind="tcp")
        await stream.reset()
        assert isinstance(await stream.lost, ConnectionResetError)
        await stream.close()
        assert len(stream.protocol.ended_with) == 1

    run(talk())


def test_a_socketpair_has_no_reset(stream_harness: StreamHarness) -> None:
    with pytest.raises(io.UnsupportedOperation, match='kind="tcp"'):
        stream_harness.connect(Upper).reset()


def test_tls_has_no_half_close(stream_harness: StreamHarness) -> None:
    with pytest.raises(io.UnsupportedOperation, match="no half-close"):
        stream_harness.connect(Upper, kind="tls").send_eof()


def test_a_kind_that_there_is_not_leaves_no_trace(stream_harness: StreamHarness) -> None:
    with pytest.raises(ValueError, match="kind must be"):
        stream_harness.connect(Upper, kind="unix")  # type: ignore[arg-type]
    assert str(stream_harness.connect(Upper)) == "stream-1"


@pytest.mark.parametrize("kind", KINDS)
def test_each_segment_is_one_call(stream_harness: StreamHarness, kind: Kind) -> None:
    stream = stream_harness.connect(Upper, kind=kind)
    data = bytes(number % 251 for number in range(2_000))
    stream.send(data, segments=1)
    stream.read_exactly(2_000).result(timeout=20)
    pieces = [event.args[0] for event in stream.events if event.name == "data_received"]
    assert pieces == [bytes([byte]) for byte in data]


@pytest.mark.parametrize("kind", KINDS)
def test_each_segment_is_one_call_on_the_tests_loop(stream_harness: StreamHarness, run: Runner, kind: Kind) -> None:
    async def talk() -> None:
        stream = await stream_harness.connect_here(Upper, kind=kind)
        await stream.send(bytes(500), segments=1)
        await stream.read_exactly(500)
        assert [event.args[0] for event in stream.events if event.name == "data_received"] == [b"\0"] * 500
        await stream.close()

    run(talk())


class Pours(Upper):
    """Writes two megabytes when it is told to, in pieces: over TLS a single one is not held back."""

    def data_received(self, data: bytes) -> None:
        for _ in range(20):
            self.transport.write(bytes(100_000))


@pytest.mark.parametrize("kind", KINDS)
def test_a_stalled_far_end_pauses_the_writing(stream_harness: StreamHarness, kind: Kind) -> None:
    stream = stream_harness.connect(Pours, kind=kind)
    stream.stall()
    stream.send(b"go")
    stream.next_call("pause_writing").result()
    if kind != "tls":  # there asyncio moves it on to a lower buffer, without a bound
        with pytest.raises(CaptureTimeout):
            stream.next_call("resume_writing").result(timeout=0.05)
    stream.unstall()
    stream.next_call("resume_writing").result()
    assert stream.read_exactly(2_000_000).result() == bytes(2_000_000)


def test_stalling_a_protocol_on_the_tests_loop(stream_harness: StreamHarness, run: Runner) -> None:
    async def talk() -> None:
        stream = await stream_harness.connect_here(Pours, kind="tcp")
        await stream.stall()
        stream.send(b"go")
        await stream.next_call("pause_writing")
        stream.unstall()
        await stream.next_call("resume_writing")
        await stream.close()

    run(talk())


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({"kind": "udp"}, "kind must be 'socketpair', 'tcp' or 'tls', not 'udp'"),
        ({"side": "left"}, "side must be 'client' or 'server', not 'left'"),
    ],
)
def test_a_kind_or_side_that_is_none_is_refused(
    stream_harness: StreamHarness, arguments: dict[str, Any], text: str
) -> None:
    with pytest.raises(ValueError, match=text):
        stream_harness.connect(Upper, **arguments)


@pytest.mark.parametrize("kind", KINDS)
def test_what_connection_made_raises_is_the_callers(stream_harness: StreamHarness, kind: Kind) -> None:
    class Raises(Upper):
        def connection_made(self, transport: Any) -> None:
            raise LookupError("no")

    with pytest.raises(LookupError, match="no"):
        stream_harness.connect(Raises, kind=kind)


@pytest.mark.parametrize("kind", ["tcp", "tls"])
@pytest.mark.parametrize("side", ["client", "server"])
def test_small_writes_are_not_held_back(stream_harness: StreamHarness, kind: Kind, side: Any) -> None:
    stream = stream_harness.connect(Upper, kind=kind, side=side)
    for end in (stream.transport.get_extra_info("socket"), stream._end.sock):
        assert end is not None
        assert end.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


async def made_later() -> Upper:
    return Upper()


def test_a_factory_that_nothing_would_await_is_refused(stream_harness: StreamHarness) -> None:
    with pytest.raises(
        TypeError, match="a factory of stream protocols must be a plain function: made_later is async"
    ):
        stream_harness.connect(made_later)
