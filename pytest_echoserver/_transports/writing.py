"""Telling when what was written to a stream has left."""

import asyncio
import select
import socket
import struct
import sys
from collections import deque
from collections.abc import Callable
from contextlib import suppress

from .._futures import CaptureFuture
from .._outcomes import fail, fulfil
from .._sleep import sleep

TURNS = 3
"""Turns of the loop in a row with room in the system's buffer: what waited for room has left by then."""
REST = 0.001


async def until_taken(sock: socket.socket) -> None:
    """Wait until the system has all that was written on ``sock``, in whatever buffers it waits.

    For TLS: what is encrypted waits in a transport below the one we write to, which tells nothing of it.
    """
    turns = 0
    while turns < TURNS and sock.fileno() >= 0:
        turns = turns + 1 if _has_room(sock) else 0
        await sleep(0 if turns else REST)


def _has_room(sock: socket.socket) -> bool:
    if sys.platform == "win32":  # it has no poll(), and select() takes any descriptor there
        return bool(select.select([], [sock], [], 0)[1])
    poll = select.poll()
    poll.register(sock, select.POLLOUT)
    return bool(poll.poll(0))


def linger_not(sock: socket.socket) -> None:
    """Make the close of a TCP socket a RST rather than a FIN (socket(7), SO_LINGER with a time of 0)."""
    linger = struct.pack("hh" if sys.platform == "win32" else "ii", 1, 0)
    with suppress(OSError):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)


class WriteQueue:
    """Writes to one transport, in order, each with a future of its having left our buffer for the kernel.

    The owner of the transport passes its ``resume_writing`` and its end on to here. (asyncio tells of the
    buffer's state by flow control alone: https://docs.python.org/3/library/asyncio-protocol.html.)
    """

    def __init__(self, transport: asyncio.WriteTransport, closed_error: Callable[[], Exception]) -> None:
        self._transport = transport
        self._closed_error = closed_error
        self._waiting: deque[CaptureFuture[None]] = deque()
        if not self.closed:
            # With no room granted, resume_writing says that the buffer is empty.
            transport.set_write_buffer_limits(high=0)

    @property
    def closed(self) -> bool:
        return self._transport.is_closing()

    @property
    def empty(self) -> bool:
        """Whether all that was written has left."""
        return not self._transport.get_write_buffer_size()

    def write(self, data: bytes, future: CaptureFuture[None] | None) -> None:
        if not self.closed:
            self._transport.write(data)
        if future is None:
            return
        if self.closed:
            fail(future, self._closed_error())
        else:
            self.when_empty(future)

    def write_eof(self, future: CaptureFuture[None] | None) -> None:
        """End our direction, once all before it has left."""
        if not self.closed:
            with suppress(OSError):  # it was reset, which a read is still to tell
                self._transport.write_eof()
        if future is not None:
            self.when_empty(future)

    def resume_writing(self) -> None:
        while self._waiting:
            fulfil(self._waiting.popleft(), None)

    def fail(self, error: BaseException) -> None:
        while self._waiting:
            fail(self._waiting.popleft(), error)

    def take_over(self, before: "WriteQueue") -> None:
        """Serve those who waited there."""
        self._waiting.extend(before._waiting)

    def when_empty(self, future: CaptureFuture[None]) -> None:
        """Fulfil ``future`` once all that was written has left."""
        if self.empty:
            fulfil(future, None)
        else:
            self._waiting.append(future)
