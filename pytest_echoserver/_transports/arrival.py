"""Telling when what was sent on a stream has arrived at the other end, when it was read there, and what is to come.

Only where both ends are on this machine, as they are with us, and only on Linux; elsewhere it is given a moment.
"""

import errno
import ipaddress
import os
import select
import socket
import struct
import sys
from contextlib import closing, suppress
from typing import NamedTuple

from .._neighbours import real_monotonic
from .._sleep import sleep

Plain = socket.SocketType
"""For what never leaves this module: what others put in the place of `socket.socket` is not for that."""
MOMENT = 0.005
"""Seconds that the other end is given where nothing tells what it has read."""
BUSY_TURNS = 8
"""So many turns of the loop are looked at one after the other, before it is left to rest in between."""
REST = 0.001

_SIOCOUTQNSD = 0x894B  # linux/sockios.h
_SOCK_DIAG = 4  # NETLINK_SOCK_DIAG of linux/netlink.h
_SOCK_DIAG_BY_FAMILY = 20
_NLMSG_ERROR = 2
_REQUEST = 1
_TCP_INFO_EXTENSION = 2
_NETLINK_HEADER = struct.Struct("=IHHII")
_REQUEST_BODY = struct.Struct("=BBBBI2s2s16s16sIII")
_BYTES_RECEIVED, _BYTES_SENT, _BYTES_RETRANSMITTED = 128, 200, 208
"""Where linux/tcp.h has them in struct tcp_info, each an unsigned 64-bit figure."""
_ANSWER_BODY = 72
"""Bytes of struct inet_diag_msg; its idiag_state stands at 1, its idiag_rqueue at 56, its idiag_wqueue at 60."""
_LISTENING = 10  # TCP_LISTEN of linux/tcp_states.h


class _OtherEnd(NamedTuple):
    """What the system has of the other end of a connection, in bytes."""

    received: int
    unread: int
    unacknowledged: int
    """Sent by the program there, and not known there to have come here."""


async def until_arrived(sock: socket.socket, limit: float) -> bool:
    """Wait until the other end's kernel has all that was written to ``sock``; false if not in ``limit`` seconds."""
    return await _until(sock, limit, read=False)


async def until_read(sock: socket.socket, limit: float) -> bool:
    """Wait until the other end has read all that was written to ``sock``; false if not in ``limit`` seconds."""
    return await _until(sock, limit, read=True)


def await_reader(reader: socket.socket) -> None:
    """Wait until nobody is within a system call that reads from ``reader``: it would take what comes now, too.

    What was read is gone from the system's figures before the call that reads it has ended. A peek waits for it. It
    goes by another object for the same descriptor: one with a timeout would wait for something to come.
    """
    dont_wait = getattr(socket, "MSG_DONTWAIT", None)
    if (
        dont_wait is None or reader.fileno() < 0 or socket.getdefaulttimeout() is not None
    ):  # the object would have that
        return
    peek = Plain(reader.family, reader.type, reader.proto, reader.fileno())
    try:
        with suppress(OSError):  # nothing is there, or it is closed
            peek.recv(1, socket.MSG_PEEK | dont_wait)
    finally:
        peek.detach()


def acknowledge(sock: socket.socket) -> None:
    """Acknowledge now what has come (tcp(7), TCP_QUICKACK), where the system would wait 40 ms for what we send.

    The other end may have more to say, and hold it back till then: Nagle's algorithm, RFC 896.
    """
    if sys.platform == "linux" and sock.family in (socket.AF_INET, socket.AF_INET6):
        with suppress(OSError):  # it is gone already
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)


async def turn(turns: int) -> int:
    """Let the loop go on, and count its turns: after some it is left to rest."""
    turns += 1
    await sleep(0 if turns < BUSY_TURNS else REST)
    return turns


async def _until(sock: socket.socket, limit: float, *, read: bool) -> bool:
    deadline = real_monotonic() + limit
    turns = 0
    while True:
        try:
            pending = _pending(sock, read=read)
        except OSError:  # one end is gone: nothing arrives any more
            return True
        if pending is None:
            await sleep(MOMENT)
            return True
        if not pending:
            return True
        if real_monotonic() > deadline:
            return False
        turns = await turn(turns)


def _pending(sock: socket.socket, *, read: bool) -> bool | None:
    """Whether something is still on its way to the other end, or waits there; None where it can't be told."""
    if sys.platform != "linux":
        return None
    if sock.family == socket.AF_UNIX:
        # What is sent is there at once; unix(7): SIOCOUTQ, which is TIOCOUTQ, tells what hasn't been read.
        return read and _output_queue(sock) > 0
    if sock.family not in (socket.AF_INET, socket.AF_INET6):
        return None
    if _unsent(sock):  # asked first: what leaves from here on is counted as sent
        return True
    sent = _bytes_sent(sock)
    if sent is None:
        return _output_queue(sock) > 0
    there = _other_end(sock)
    if there is None:
        # Not on this machine, or the system has no inet_diag: all we know is what was acknowledged.
        return _output_queue(sock) > 0
    return there.received < sent or (read and there.unread > 0)


def input_queue(sock: socket.socket) -> int:
    """How many bytes have arrived at ``sock`` that nobody has read; 0 where it can't be told."""
    if sys.platform == "win32" or sock.fileno() < 0:
        return 0
    import fcntl
    import termios

    return int(struct.unpack("=i", fcntl.ioctl(sock.fileno(), termios.FIONREAD, bytes(4)))[0])


def eof_arrived(sock: socket.socket) -> bool:
    """Whether the other end's EOF is here, be it behind what nobody has read; false where it can't be told."""
    if sys.platform != "linux" or sock.fileno() < 0:
        return False
    poll = select.poll()
    poll.register(sock, select.POLLRDHUP)  # poll(2)
    return bool(poll.poll(0))


def still_to_come(sock: socket.socket) -> bool:
    """Whether the other end's program has sent what isn't here yet; false where it can't be told."""
    if sys.platform != "linux" or sock.fileno() < 0 or sock.family not in (socket.AF_INET, socket.AF_INET6):
        return False  # on a Unix socket, what is sent is here
    acknowledge(sock)
    try:
        there = _other_end(sock)
    except OSError:  # it is gone, or this end was reset
        return False
    return there is not None and there.unacknowledged > 0


def _output_queue(sock: socket.socket) -> int:
    import termios

    return _asked(sock, termios.TIOCOUTQ)


def _unsent(sock: socket.socket) -> int:
    """How many bytes of a TCP connection wait in this end's kernel, because the other end has no room."""
    return _asked(sock, _SIOCOUTQNSD)


def _asked(sock: socket.socket, request: int) -> int:
    import fcntl

    if sock.fileno() < 0:
        raise OSError(errno.EBADF, "this end is closed")
    return int(struct.unpack("=i", fcntl.ioctl(sock.fileno(), request, bytes(4)))[0])


def _bytes_sent(sock: socket.socket) -> int | None:
    """How many bytes this end has sent, once each (tcp(7): TCP_INFO); None on a kernel that doesn't tell."""
    info = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 256)
    if len(info) < _BYTES_RETRANSMITTED + 8:
        return None
    return _u64(info, _BYTES_SENT) - _u64(info, _BYTES_RETRANSMITTED)


def _other_end(sock: socket.socket) -> _OtherEnd | None:
    """Look at the other end of a TCP connection, by sock_diag(7), at exactly that socket.

    None if there is no such socket here, or no sock_diag.
    """
    question = _question(sock)  # OSError if this end was reset: not the same as to be told nothing
    try:
        with closing(Plain(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, _SOCK_DIAG)) as diag:
            diag.setblocking(False)  # the kernel answers before send() returns
            diag.send(question)
            answer = diag.recv(4096)
    except OSError:
        return None
    header = _NETLINK_HEADER.size
    kind = _NETLINK_HEADER.unpack_from(answer)[1]
    if kind == _NLMSG_ERROR and struct.unpack_from("=i", answer, header)[0] == -errno.ENOENT and _is_here(sock):
        raise ConnectionResetError(errno.ECONNRESET, "the other end is gone")
    if kind != _SOCK_DIAG_BY_FAMILY:
        return None
    if answer[header + 1] == _LISTENING:  # the kernel gives it where that very connection is gone
        return None
    unread, unacknowledged = struct.unpack_from("=II", answer, header + 56)
    at = header + _ANSWER_BODY
    while at + 4 <= len(answer):
        length, kind = struct.unpack_from("=HH", answer, at)
        if kind == _TCP_INFO_EXTENSION and length >= 4 + _BYTES_RECEIVED + 8:
            return _OtherEnd(_u64(answer, at + 4 + _BYTES_RECEIVED), unread, unacknowledged)
        at += max(4, (length + 3) & ~3)
    return None


def _is_here(sock: socket.socket) -> bool:
    """Whether the other end is on this machine, as far as its address tells."""
    there = sock.getpeername()[0]
    return there == sock.getsockname()[0] or ipaddress.ip_address(there.partition("%")[0]).is_loopback


def _question(sock: socket.socket) -> bytes:
    """What asks for the other end of ``sock``: struct inet_diag_req_v2 of linux/inet_diag.h."""
    (here, here_port), (there, there_port) = sock.getsockname()[:2], sock.getpeername()[:2]
    any_cookie = 0xFFFFFFFF
    body = _REQUEST_BODY.pack(
        sock.family,
        socket.IPPROTO_TCP,
        1 << (_TCP_INFO_EXTENSION - 1),
        0,
        0xFFFFFFFF,  # in whatever state it is
        there_port.to_bytes(2, "big"),
        here_port.to_bytes(2, "big"),
        _packed(sock.family, there),
        _packed(sock.family, here),
        0,
        any_cookie,
        any_cookie,
    )
    size = _NETLINK_HEADER.size + len(body)
    return _NETLINK_HEADER.pack(size, _SOCK_DIAG_BY_FAMILY, _REQUEST, 0, os.getpid()) + body


def _packed(family: int, host: str) -> bytes:
    return socket.inet_pton(family, host.partition("%")[0]).ljust(16, b"\0")


def _u64(data: bytes, at: int) -> int:
    return int.from_bytes(data[at : at + 8], sys.byteorder)
