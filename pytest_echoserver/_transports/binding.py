"""Binding sockets, and what to say when an address can't be bound."""

import errno
import socket
from collections.abc import Callable
from typing import NoReturn

__tracebackhide__ = True


def bound_socket(
    family: socket.AddressFamily, kind: socket.SocketKind, what: str, bind: Callable[[socket.socket], object]
) -> socket.socket:
    """Give a non-blocking socket that ``bind`` has bound; ``what`` tells of it as "a UDP socket to 127.0.0.1".

    Raises:
        OSError: it can't be bound there; the text names it.
    """
    over_tcp = kind == socket.SOCK_STREAM and family in (socket.AF_INET, socket.AF_INET6)
    try:
        # asyncio turns off the delay of RFC 896 only where a socket, or the one that accepted it, is named TCP.
        sock = socket.socket(family, kind, socket.IPPROTO_TCP if over_tcp else 0)
    except OSError as error:
        _cannot_bind(error, what, family)
    try:
        sock.setblocking(False)
        bind(sock)
    except OSError as error:
        sock.close()
        _cannot_bind(error, what, family)
    return sock


def _cannot_bind(error: OSError, what: str, family: int) -> NoReturn:
    """Raise an error like ``error`` that names ``what`` could not be bound, and the usual reason over IPv6."""
    reason = error.strerror or str(error)
    if family == socket.AF_INET6 and error.errno in (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT):
        reason += " (is there IPv6 on this machine?)"
    raise type(error)(error.errno, f"can't bind {what}: {reason}") from None
