"""A datagram transport that drains its socket, sends empty datagrams, and closes at once."""

import asyncio
import socket
import struct
import sys
from collections import deque
from collections.abc import Callable
from contextvars import Context, copy_context
from typing import Any

from .._locks import Locked
from .._readers import Readers
from .._telling import told_place
from .binding import bound_socket

__tracebackhide__ = True

Sockaddr = tuple[Any, ...]
Sent = Callable[[OSError | None], object]

LARGEST_READ = 65_536
"""Longer than any datagram, short enough for malloc to serve without a memory mapping for each."""
MOST_QUEUED = 65_536
"""More datagrams than wait in any receive buffer: so many are read at a close, and no flood can hold it up."""
LEAST_TAKEN = 256
"""Bytes of kernel memory, fewer than any datagram takes: the kernel's own struct for one is about as long."""
MEMORY_FIGURES = struct.Struct("=I28xI")
"""Of what Linux tells by SO_MEMINFO, include/uapi/linux/sock_diag.h: SK_MEMINFO_RMEM_ALLOC, SK_MEMINFO_DROPS."""
RECEIVE_BUFFER = 4 * 1024 * 1024
"""Bytes asked of the kernel; it gives what its limit allows. The default holds some 250 small datagrams."""


class DrainingDatagramTransport(Locked, asyncio.DatagramTransport):
    """An asyncio datagram transport over a bound, non-blocking socket, on any loop with ``add_reader``.

    asyncio's own reads one datagram a turn into a buffer of 256 KiB, and up to Python 3.12 sends no empty one.
    To be made on the loop's thread, or on any that ``readers`` allow.

    Its ``lock`` is held while datagrams are read and passed on: who holds it, on any thread, may close it in the
    certainty that nothing is in the middle of being passed on, and that nothing comes after.

    Peers are made by the thousand, and most queue nothing and are asked for nothing: so it has slots, makes its
    lock and its queue when they are needed, and keeps no dictionary of what ``get_extra_info`` gives.
    """

    __slots__ = ("_closing", "_context", "_lock", "_protocol", "_readers", "_sock", "_unsent")

    def __init__(
        self,
        sock: socket.socket,
        protocol: asyncio.DatagramProtocol,
        readers: Readers,
        context: Context | None = None,
    ) -> None:
        self._sock = sock
        self._protocol: Any = protocol
        self._unsent: deque[tuple[bytes, Sockaddr | None, Sent | None]] | None = None
        self._closing = False
        self._lock = None
        self._readers = readers
        self._context = context or copy_context()
        protocol.connection_made(self)
        self._readers.add(sock, self)

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """``"socket"``, and its ``"sockname"`` until it is closed."""
        if name == "sockname" and not self._closing:
            return self._sock.getsockname()
        return self._sock if name == "socket" else default

    def get_protocol(self) -> Any:
        """The protocol; None once it is closed, as of asyncio's own."""
        return self._protocol

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        assert isinstance(protocol, asyncio.DatagramProtocol)
        self._protocol = protocol

    def is_closing(self) -> bool:
        return self._closing

    def close(self) -> None:
        self.drain()
        self.abort()

    def drain(self) -> None:
        """Read what has arrived, and no more than that if more keeps coming."""
        with self.lock:
            if not self._closing:
                self._read(_most_waiting(self._sock) + 1)

    def connect(self, address: Sockaddr) -> None:
        """Connect the socket (udp(7)): it then gets datagrams from there alone, and others' senders are refused."""
        self._sock.connect(address)

    def abort(self) -> None:
        """Close the socket before returning: nothing is read after it. What the kernel hasn't taken is lost."""
        if self._closing:
            return
        self._closing = True
        self._readers.remove(self._sock)
        if self._unsent:
            self._readers.loop.remove_writer(self._sock)
        self._sock.close()
        while self._unsent:
            _, _, sent = self._unsent.popleft()
            if sent is not None:
                sent(ConnectionAbortedError("the transport was closed before the datagram was sent"))
        self._protocol.connection_lost(None)
        self._protocol = None  # it knows this: a circle, work for the garbage collector

    def sendto(self, data: Any, addr: Any = None, sent: Sent | None = None) -> None:
        """Send a datagram, after those that wait for room; without ``addr``, to where the socket is connected.

        ``sent`` hears of it: None, or what went wrong.
        """
        if self._closing:
            raise RuntimeError("the transport is closed")
        if self._unsent or not self._send(data, addr, sent):
            if not self._unsent:
                self._readers.loop.add_writer(self._sock, self._writable)
                self._unsent = deque()
            self._unsent.append((bytes(data), addr, sent))

    def _send(self, data: bytes, addr: Sockaddr | None, sent: Sent | None) -> bool:
        """Hand a datagram to the kernel; false if it has no room for it now."""
        try:
            if addr is None:
                self._sock.send(data)
            else:
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
        with self.lock:
            while self._unsent and self._send(*self._unsent[0]):
                self._unsent.popleft()
            if not (self._unsent or self._closing):
                self._readers.loop.remove_writer(self._sock)

    def idle_and_dropped(self) -> tuple[bool, int | None]:
        """Whether nothing waits to be read or sent, and how many datagrams were dropped here.

        One look at the socket tells both. With ``lock`` held nothing of ours makes it otherwise.
        """
        taken, dropped = _taken_and_dropped(self._sock)
        return not (self._unsent or (self._waits() if taken is None else taken)), dropped

    def _waits(self) -> bool:
        try:
            self._sock.recv(1, socket.MSG_PEEK)
        except (BlockingIOError, InterruptedError):
            return False
        except OSError:
            pass
        return True

    def readable(self, most: int) -> None:
        self._context.run(self._read, most)

    def _read(self, most: int) -> None:
        with self.lock:
            if self._closing:  # on another thread, after the poller had seen that there was something
                return
            receive, received = self._sock.recvfrom, self._protocol.datagram_received
            for _ in range(most):
                try:
                    data, source = receive(LARGEST_READ)
                except (BlockingIOError, InterruptedError):
                    return
                except OSError as error:  # Windows reports an ICMP refusal of an earlier send here
                    self._protocol.error_received(error)
                    return
                received(data, source)
                if self._closing:
                    return


def bound_datagram_socket(
    family: socket.AddressFamily, host: str, port: int, receive_buffer: int = RECEIVE_BUFFER
) -> socket.socket:
    """Give a non-blocking UDP socket bound to ``host`` and ``port`` (0: any free one), with a large buffer.

    Raises:
        OSError: it can't be bound there, or have such a buffer; the text names the address.
    """
    sock = bound_socket(family, socket.SOCK_DGRAM, (host, port))
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    except OSError as error:
        sock.close()
        where = f"a UDP socket on {told_place((host, port))}"
        text = f"can't give {where} a receive buffer of {receive_buffer} bytes: {error.strerror or error}"
        raise type(error)(error.errno, text) from None
    return sock


def dropped_datagrams(sock: socket.socket) -> int | None:
    """How many datagrams the kernel dropped at this socket, or None where the system doesn't tell."""
    return _taken_and_dropped(sock)[1]


def _most_waiting(sock: socket.socket) -> int:
    """How many datagrams may wait to be read, at most."""
    taken, _ = _taken_and_dropped(sock)
    return MOST_QUEUED if taken is None else taken // LEAST_TAKEN


def _taken_and_dropped(sock: socket.socket) -> tuple[int | None, int | None]:
    """The bytes of memory that what waits to be read takes, and how many datagrams were dropped for want of more.

    By SO_MEMINFO of Linux; elsewhere the system doesn't tell.
    """
    if sys.platform != "linux":
        return None, None
    so_meminfo = 55
    taken, dropped = MEMORY_FIGURES.unpack(sock.getsockopt(socket.SOL_SOCKET, so_meminfo, MEMORY_FIGURES.size))
    return taken, dropped
