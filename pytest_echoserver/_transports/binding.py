"""Binding sockets, and what to say when an address can't be bound."""

import errno
import socket
from collections.abc import Callable
from typing import Any, NoReturn

from .._neighbours import refuse_if_blocked
from .._telling import told_place

__tracebackhide__ = True


NON_BLOCKING: int = getattr(socket, "SOCK_NONBLOCK", 0)
"""Where socket(2) takes it, it spares a call."""


def bound_socket(
    family: socket.AddressFamily,
    kind: socket.SocketKind,
    address: Any,
    bind: Callable[[socket.socket, Any], object] = socket.socket.bind,
    *,
    protocol: int = 0,
) -> socket.socket:
    """Give a non-blocking socket that ``bind``, called with it and the address, has bound.

    Raises:
        OSError: it can't be bound there; the text names the address.
        RuntimeError: pytest-socket forbids it.
    """
    refuse_if_blocked(family)
    try:
        sock = socket.socket(family, kind | NON_BLOCKING, protocol)
    except OSError as error:
        _cannot_bind(error, family, kind, address)
    try:
        if not NON_BLOCKING:
            sock.setblocking(False)
        bind(sock, address)
    except OSError as error:
        sock.close()
        _cannot_bind(error, family, kind, address)
    return sock


def connected_pair() -> tuple[socket.socket, socket.socket]:
    """Give what `socket.socketpair` does.

    Raises:
        RuntimeError: pytest-socket forbids it.
    """
    refuse_if_blocked(getattr(socket, "AF_UNIX", socket.AF_INET))
    return socket.socketpair()


def _cannot_bind(error: OSError, family: int, kind: int, address: Any) -> NoReturn:
    """Raise an error like ``error`` that names what could not be bound, and the usual reason over IPv6."""
    if isinstance(address, str):
        what = f"a Unix socket to {address}"
    else:
        what = f"a {'UDP' if kind == socket.SOCK_DGRAM else 'TCP'} socket to {told_place(address)}"
    reason = error.strerror or str(error)
    if family == socket.AF_INET6 and error.errno in (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT):
        reason += " (is there IPv6 on this machine?)"
    raise type(error)(error.errno, f"can't bind {what}: {reason}") from None
