"""Telling when what was written to a stream has left."""

import asyncio
from collections import deque

from .._futures import CaptureFuture
from .._outcomes import fail, fulfil


class WriteQueue:
    """Writes to one transport, in order, each with a future of its having left our buffer for the kernel.

    The owner of the transport passes its ``resume_writing`` and its end on to here. (asyncio tells of the
    buffer's state by flow control alone: https://docs.python.org/3/library/asyncio-protocol.html.)
    """

    def __init__(self, transport: asyncio.WriteTransport) -> None:
        self._transport = transport
        self._waiting: deque[CaptureFuture[None]] = deque()
        if not self.closed:
            # With no room granted, resume_writing says that the buffer is empty.
            transport.set_write_buffer_limits(high=0)

    @property
    def closed(self) -> bool:
        return self._transport.is_closing()

    def write(self, data: bytes, future: CaptureFuture[None] | None) -> None:
        if not self.closed:
            self._transport.write(data)
        if future is None:
            return
        if self.closed:
            fail(future, BrokenPipeError("the other end is closed, or this one is"))
        else:
            self.when_empty(future)

    def write_eof(self, future: CaptureFuture[None] | None) -> None:
        """End our direction, once all before it has left."""
        if not self.closed:
            self._transport.write_eof()
        if future is not None:
            self.when_empty(future)

    def resume_writing(self) -> None:
        while self._waiting:
            fulfil(self._waiting.popleft(), None)

    def fail(self, error: BaseException) -> None:
        while self._waiting:
            fail(self._waiting.popleft(), error)

    def when_empty(self, future: CaptureFuture[None]) -> None:
        """Fulfil ``future`` once all that was written has left."""
        if self._transport.get_write_buffer_size():
            self._waiting.append(future)
        else:
            fulfil(future, None)
