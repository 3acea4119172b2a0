"""TCP sockets bound so that nobody else gets the port, and made to listen."""

import errno
import os
import socket
import sys
from contextlib import suppress

from .._telling import told_place
from .binding import bound_socket

__tracebackhide__ = True

ETHERNET_SEGMENT = 1448
LARGE_BUFFER = 65_536

_has_forked = False


def _notice_fork() -> None:
    global _has_forked
    _has_forked = True


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_parent=_notice_fork)


def bound_stream_socket(family: socket.AddressFamily, host: str, port: int) -> socket.socket:
    """Give a non-blocking TCP socket bound to ``host`` and ``port`` (0: any free one), which doesn't listen yet.

    Until it does, the system refuses who connects. Nobody else can bind the port, whatever options they set; but
    connections of an earlier server there that wait out their TIME_WAIT are no hindrance (RFC 9293, 3.6).

    Raises:
        OSError: it can't be bound there; the text names the address.
    """
    # asyncio turns off the delay of RFC 896 only where a socket, or the one that accepted it, is named TCP.
    return bound_socket(family, socket.SOCK_STREAM, (host, port), _bind, protocol=socket.IPPROTO_TCP)


def bound_unix_socket(path: str) -> socket.socket:
    """Give a non-blocking Unix stream socket bound to ``path``, which doesn't listen yet.

    Raises:
        OSError: it can't be bound there, or the system has no Unix sockets; the text names the path.
    """
    if not hasattr(socket, "AF_UNIX"):
        raise OSError(f"can't bind a Unix socket to {path}: Python has none on {sys.platform}")
    return bound_socket(socket.AF_UNIX, socket.SOCK_STREAM, path)


def set_receive_buffer(sock: socket.socket, size: int) -> None:
    """Have what ``sock`` accepts receive into so many bytes. To be called before it listens."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, size)
    if sys.platform == "linux" and sock.family != socket.AF_UNIX and size < LARGE_BUFFER:
        # Linux gives who connects a send buffer of some ten segments, and loopback has segments of 64 KB: so
        # megabytes went before a sender stalled. With the segments of an Ethernet these are some 80 KB.
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, ETHERNET_SEGMENT)


def listen(sock: socket.socket, backlog: int) -> None:
    """Make a bound socket listen, such that its port can be bound again at once after it is closed.

    On Linux a port whose connections are in TIME_WAIT can be bound only if they, too, have SO_REUSEADDR, which
    they have from their listener.

    Raises:
        OSError: another socket listens there; the text names the address.
    """
    try:
        try:
            sock.listen(backlog)
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise
            # Linux looks once more for other users of the port, and takes TIME_WAIT for one.
            _share(sock, True)
            sock.listen(backlog)
        if sock.proto == socket.IPPROTO_TCP:
            _share(sock, True)  # not before: whoever shares, too, could have the port until this listens
    except OSError as error:
        where = told_place(sock.getsockname())
        raise type(error)(error.errno, f"can't listen on {where}: {error.strerror or error}") from None


def close_listener(sock: socket.socket) -> None:
    """Close a listening socket of this process's own: who connects from now on is refused.

    A child forked meanwhile has a copy of the descriptor, which would go on listening. What is shut down listens
    nowhere (shutdown(2)); elsewhere than on Linux that may be an error. Few runs fork, and those that don't are
    spared a microsecond or two for each peer.
    """
    if _has_forked:
        with suppress(OSError):
            sock.shutdown(socket.SHUT_RDWR)
    sock.close()


def _bind(sock: socket.socket, address: tuple[str, int]) -> None:
    if sys.platform == "win32":
        # Without it another socket can steal the port by SO_REUSEADDR, which means that on Windows.
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_EXCLUSIVEADDRUSE, 1)
        sock.bind(address)
        return
    # Without SO_REUSEADDR. Measured on Linux: where two sockets have it and neither listens, both get the port,
    # and the later one can go on to listen: a reserved port would not refuse, but be somebody else's.
    try:
        sock.bind(address)
    except OSError as error:
        if error.errno != errno.EADDRINUSE or not address[1]:
            raise
        # Perhaps only TIME_WAIT is in the way. SO_REUSEADDR gets past that; once withdrawn, it keeps others out.
        _share(sock, True)
        sock.bind(address)
        _share(sock, False)


def let_port_be_bound_again(sock: socket.socket) -> None:
    """Have a connection not keep its port in TIME_WAIT: one that came as `listen` began may have missed that."""
    if sock.proto == socket.IPPROTO_TCP:
        _share(sock, True)


def _share(sock: socket.socket, share: bool) -> None:
    if sys.platform != "win32":
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, share)
