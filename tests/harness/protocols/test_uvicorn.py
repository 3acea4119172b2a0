"""uvicorn's HTTP protocol, its upgrade to WebSocket, on `stream_harness`."""

import asyncio
import base64
import os
from typing import Any, Literal

import pytest
import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.server import ServerState

from pytest_echoserver import HarnessedStream, StreamHarness

from ..conftest import Runner, names

POST = b"POST /shout HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n\r\nhello"
UPGRADE = (
    b"GET /ws HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: %b\r\n\r\n" % base64.b64encode(bytes(16))
)
SEGMENTS = pytest.mark.parametrize("segments", [None, 1], ids=["whole", "byte-by-byte"])


async def app(scope: Any, receive: Any, send: Any) -> None:
    """Answers a request with its body in capitals, and a WebSocket's messages with theirs."""
    if scope["type"] == "websocket":
        assert (await receive())["type"] == "websocket.connect"
        await send({"type": "websocket.accept"})
        while (message := await receive())["type"] == "websocket.receive":
            await send({"type": "websocket.send", "text": message["text"].upper()})
        return
    body = b""
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return
        body += message["body"]
        if not message["more_body"]:
            break
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"5")]})
    await send({"type": "http.response.body", "body": body.upper()})


def server(ws: Literal["wsproto", "websockets-sansio"] = "wsproto") -> H11Protocol:
    config = uvicorn.Config(app, ws=ws, log_config=None, lifespan="off")
    config.load()
    return H11Protocol(config, ServerState(), {}, asyncio.get_running_loop())


@SEGMENTS
@pytest.mark.parametrize("kind", ["socketpair", "tcp", "tls"])
def test_a_request_is_answered(stream_harness: StreamHarness, kind: Any, segments: int | None) -> None:
    stream = stream_harness.connect(server, kind=kind, side="server")
    for _ in range(2):
        stream.send(POST, segments=segments)
        assert stream.read_until(b"\r\n\r\n").result().startswith(b"HTTP/1.1 200 OK\r\n")
        assert stream.read_exactly(5).result() == b"HELLO"
    if segments == 1:
        assert names(stream).count("data_received") == 2 * len(POST)


def test_a_request_is_answered_on_the_tests_loop(stream_harness: StreamHarness, run: Runner) -> None:
    async def talk() -> None:
        stream = await stream_harness.connect_here(server, side="server")
        await stream.send(POST, segments=1)
        await stream.read_until(b"HELLO")
        await stream.close()
        assert names(stream)[-1] == "connection_lost"

    run(talk())


def test_eof_in_the_middle_of_a_request(stream_harness: StreamHarness) -> None:
    stream = stream_harness.connect(server, side="server")
    stream.send(POST[:-2])
    stream.send_eof()
    assert stream.lost.result() is None
    assert stream.received == b""


def test_a_reset_in_the_middle_of_a_request(stream_harness: StreamHarness) -> None:
    stream = stream_harness.connect(server, kind="tcp", side="server")
    stream.send(POST[:-2])
    stream.reset()
    assert isinstance(stream.lost.result(), ConnectionResetError)
    assert names(stream)[-1] == "connection_lost"


WEBSOCKETS = pytest.mark.parametrize(
    ("ws", "name"), [("wsproto", "WSProtocol"), ("websockets-sansio", "WebSocketsSansIOProtocol")]
)


@SEGMENTS
@WEBSOCKETS
@pytest.mark.parametrize("kind", ["socketpair", "tcp", "tls"])
def test_an_upgrade_to_websocket_is_followed(
    stream_harness: StreamHarness, kind: Any, ws: Any, name: str, segments: int | None
) -> None:
    stream = stream_harness.connect(lambda: server(ws), kind=kind, side="server")
    stream.send(UPGRADE, segments=segments)
    assert stream.read_until(b"\r\n\r\n").result().startswith(b"HTTP/1.1 101 ")
    frame = _masked_text(b"hello")
    stream.send(frame, segments=segments)
    assert stream.read_exactly(7).result() == b"\x81\x05HELLO"
    assert isinstance(stream.protocol, H11Protocol)
    assert _got_after_upgrade(stream, name) == frame


@WEBSOCKETS
def test_an_upgrade_is_followed_on_the_tests_loop(
    stream_harness: StreamHarness, run: Runner, ws: Any, name: str
) -> None:
    async def talk() -> None:
        stream = await stream_harness.connect_here(lambda: server(ws), side="server")
        stream.send(UPGRADE)
        await stream.read_until(b"\r\n\r\n")
        frame = _masked_text(b"hello")
        stream.send(frame, segments=1)
        assert await stream.read_exactly(7) == b"\x81\x05HELLO"
        await stream.close()
        assert _got_after_upgrade(stream, name) == frame
        assert names(stream).count("connection_lost") == 1

    run(talk())


@WEBSOCKETS
@pytest.mark.parametrize("kind", ["tcp", "tls"])
def test_a_reset_in_the_middle_of_a_frame(stream_harness: StreamHarness, kind: Any, ws: Any, name: str) -> None:
    stream = stream_harness.connect(lambda: server(ws), kind=kind, side="server")
    stream.send(UPGRADE)
    stream.read_until(b"\r\n\r\n").result()
    part = _masked_text(b"hello")[:-2]
    stream.send(part)
    stream.reset()
    assert isinstance(stream.lost.result(), ConnectionResetError)
    assert _got_after_upgrade(stream, name) == part


def _got_after_upgrade(stream: HarnessedStream[Any], name: str) -> bytes:
    """What the protocol of that name has got, after it took the other's place."""
    calls = list(stream.events)
    at = [call.name for call in calls].index("set_protocol")
    assert type(calls[at].args[0]).__name__ == name
    return b"".join(call.args[0] for call in calls[at:] if call.name == "data_received")


def _masked_text(text: bytes) -> bytes:
    """A client's frame with a short text (RFC 6455, 5.2)."""
    mask = os.urandom(4)
    return bytes([0x81, 0x80 | len(text)]) + mask + bytes(byte ^ mask[at % 4] for at, byte in enumerate(text))
