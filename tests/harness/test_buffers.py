"""What a `BufferedProtocol` gives to be filled, and what of it is recorded."""

import array
import asyncio
from typing import Any

import pytest

from pytest_echoserver import StreamHarness


class Gives(asyncio.BufferedProtocol):
    def __init__(self, buffer: Any) -> None:
        self.buffer = buffer

    def get_buffer(self, sizehint: int) -> Any:
        return self.buffer


@pytest.mark.parametrize(
    "buffer",
    [
        bytearray(16),
        memoryview(bytearray(32))[3:],
        array.array("I", [0] * 4),
        memoryview(bytearray(16)).cast("B", (4, 4)),
    ],
    ids=["bytearray", "memoryview", "array of integers", "two dimensions"],
)
@pytest.mark.parametrize("kind", ["socketpair", "tcp"])
def test_the_bytes_that_came_are_recorded(stream_harness: StreamHarness, kind: Any, buffer: Any) -> None:
    stream = stream_harness.connect(lambda: Gives(buffer), kind=kind)
    stream.send(b"abcde").result()
    assert stream.next_call("buffer_updated").result().args == (b"abcde",)
