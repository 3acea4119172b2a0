"""A datagram transport that drains its socket, sends empty datagrams, and closes at once."""

import asyncio
import socket
import struct
import sys
from collections import deque
from collections.abc import Callable
from typing import Any

from .binding import bound_socket

__tracebackhide__ = True

Sockaddr = tuple[Any, ...]
Sent = Callable[[OSError | None], object]

LARGEST_READ = 65_536
"""Longer than any datagram, short enough for malloc to serve without a memory mapping for each."""
READS_A_TURN = 16
"""So many datagrams are read before the loop's other work gets its turn."""
MOST_QUEUED = 65_536
"""More datagrams than wait in any receive buffer: so many are read at a close, and no flood can hold it up."""
RECEIVE_BUFFER = 4 * 1024 * 1024
"""Bytes asked of the kernel; it gives what its limit allows. The default holds some 250 small datagrams."""


class DrainingDatagramTransport(asyncio.DatagramTransport):
    """An asyncio datagram transport over a bound, non-blocking socket, on any loop with ``add_reader``.

    asyncio's own reads one datagram a turn into a buffer of 256 KiB, and up to Python 3.12 sends no empty one.
    To be made on the loop's thread.
    """

    def __init__(
        self, loop: asyncio.AbstractEventLoop, sock: socket.socket, protocol: asyncio.DatagramProtocol
    ) -> None:
        super().__init__({"socket": sock, "sockname": sock.getsockname()})
        self._loop = loop
        self._sock = sock
        self._protocol = protocol
        self._unsent: deque[tuple[bytes, Sockaddr, Sent | None]] = deque()
        self._closing = False
        protocol.connection_made(self)
        loop.add_reader(sock, self._readable)

    def is_closing(self) -> bool:
        return self._closing

    def close(self) -> None:
        self.drain()
        self.abort()

    def drain(self) -> None:
        """Read what has arrived."""
        for _ in range(MOST_QUEUED // READS_A_TURN):
            if not self._readable():
                break

    def connect(self, address: Sockaddr) -> None:
        """Connect the socket (udp(7)): it then gets datagrams from there alone, and others' senders are refused."""
        self._sock.connect(address)

    def abort(self) -> None:
        """Close the socket before returning: nothing is read after it. What the kernel hasn't taken is lost."""
        if self._closing:
            return
        self._closing = True
        self._loop.remove_reader(self._sock)
        self._loop.remove_writer(self._sock)
        self._sock.close()
        lost = ConnectionAbortedError("the transport was closed before the datagram was sent")
        while self._unsent:
            _, _, sent = self._unsent.popleft()
            if sent is not None:
                sent(lost)
        self._protocol.connection_lost(None)

    def sendto(self, data: Any, addr: Any = None, sent: Sent | None = None) -> None:
        """Send a datagram, after those that wait for room; ``sent`` hears of it: None, or what went wrong."""
        if self._closing:
            raise RuntimeError("the transport is closed")
        if self._unsent or not self._send(data, addr, sent):
            if not self._unsent:
                self._loop.add_writer(self._sock, self._writable)
            self._unsent.append((bytes(data), addr, sent))

    def _send(self, data: bytes, addr: Sockaddr, sent: Sent | None) -> bool:
        """Hand a datagram to the kernel; false if it has no room for it now."""
        try:
            self._sock.sendto(data, addr)
        except (BlockingIOError, InterruptedError):
            return False
        except OSError as error:
            self._protocol.error_received(error)
            outcome: OSError | None = error
        else:
            outcome = None
        if sent is not None:
            sent(outcome)
        return True

    def _writable(self) -> None:
        while self._unsent and self._send(*self._unsent[0]):
            self._unsent.popleft()
        if not self._unsent:
            self._loop.remove_writer(self._sock)

    def _readable(self) -> bool:
        """Read a turn's worth; false if there was less."""
        for _ in range(READS_A_TURN):
            if self._closing:
                return False
            try:
                data, source = self._sock.recvfrom(LARGEST_READ)
            except (BlockingIOError, InterruptedError):
                return False
            except OSError as error:  # Windows reports an ICMP refusal of an earlier send here
                self._protocol.error_received(error)
                return False
            self._protocol.datagram_received(data, source)
        return True


def bound_datagram_socket(
    family: socket.AddressFamily, host: str, port: int, receive_buffer: int = RECEIVE_BUFFER
) -> socket.socket:
    """Give a non-blocking UDP socket bound to ``host`` and ``port`` (0: any free one), with a large buffer.

    Raises:
        OSError: it can't be bound there; the text names the address.
    """

    def bind(sock: socket.socket) -> None:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        sock.bind((host, port))

    return bound_socket(family, socket.SOCK_DGRAM, f"a UDP socket to {host} port {port}", bind)


def dropped_datagrams(sock: socket.socket) -> int | None:
    """How many datagrams the kernel dropped at this socket, or None where the system doesn't tell.

    By SO_MEMINFO of Linux (socket(7), include/uapi/linux/sock_diag.h): nine unsigned 32-bit figures, the last
    being SK_MEMINFO_DROPS.
    """
    if sys.platform != "linux":
        return None
    so_meminfo, figures = 55, struct.Struct("=9I")
    drops: int = figures.unpack(sock.getsockopt(socket.SOL_SOCKET, so_meminfo, figures.size))[-1]
    return drops
