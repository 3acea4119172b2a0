from typing import Any

import pytest
from socket_watcher import OneMessageProtocol, message_from

from pytest_echoserver import CaptureFuture, StreamHarness


def test_the_message_may_come_in_pieces(stream_harness: StreamHarness) -> None:
    message: Any = CaptureFuture()
    stream = stream_harness.connect(lambda: OneMessageProtocol(message))
    stream.send(b"hel").result()
    stream.send(b"lo\nmore")
    assert message.result() == "hello"
    assert stream.lost.result() is None


@pytest.mark.asyncio
async def test_on_the_loop_of_the_test(stream_harness: StreamHarness) -> None:
    sock, connection = stream_harness.pair()
    connection.send(b"hello\n")
    assert await message_from(sock) == "hello"
    assert await connection.ended == "eof"


@pytest.mark.asyncio
async def test_hanging_up_in_the_middle_is_an_error(stream_harness: StreamHarness) -> None:
    sock, connection = stream_harness.pair()
    connection.send(b"hel")
    connection.close()
    with pytest.raises(EOFError, match="in the middle"):
        await message_from(sock)
