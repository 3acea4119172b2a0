"""The two sides of a connection, connected with each other before either has a transport."""

import asyncio
import socket
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from .._peers.hosts import check_host
from .._transports.binding import bound_socket, connected_pair

__tracebackhide__ = True

Kind = Literal["socketpair", "tcp", "tls"]
WhichSide = Literal["client", "server"]
BUFFER = 65_536
"""Bytes asked of the kernel for what the protocol writes over TCP. By default megabytes go before it is stalled."""


@dataclass(frozen=True, slots=True)
class Side:
    """One end of a connection: its socket, and how a transport is put on it."""

    sock: socket.socket
    accepted: bool
    context: ssl.SSLContext | None = None

    async def open(self, factory: Callable[[], Any]) -> tuple[Any, Any]:
        """Put a transport and the factory's protocol on the socket and the running loop."""
        loop = asyncio.events.get_running_loop()
        if self.accepted:
            return await loop.connect_accepted_socket(factory, self.sock, ssl=self.context)
        name = None if self.context is None else "localhost"
        return await loop.create_connection(factory, sock=self.sock, ssl=self.context, server_hostname=name)


def connected_sides(
    kind: Kind, side: WhichSide, host: str, contexts: Callable[[], tuple[ssl.SSLContext, ssl.SSLContext]]
) -> tuple[Side, Side]:
    """Make a connection; give the protocol's side of it, and the far one.

    Args:
        kind: what they are connected by.
        side: which one the protocol gets.
        host: the loopback address for TCP.
        contexts: called for TLS; gives that of the client and that of the server.
    """
    is_client = side == "client"
    client_context, server_context = contexts() if kind == "tls" else (None, None)
    if kind == "socketpair":
        client, server = connected_pair()
    else:
        client, server = _tcp_pair(host, far_is_server=is_client)
    client.setblocking(False)
    server.setblocking(False)
    sides = Side(client, False, client_context), Side(server, True, server_context)
    return sides if is_client else (sides[1], sides[0])


def _tcp_pair(host: str, *, far_is_server: bool) -> tuple[socket.socket, socket.socket]:
    """Two TCP sockets, connected with each other: the one that connected, and the one that was accepted.

    The far one's receive buffer is set before it is connected: the window follows from it (tcp(7)).
    """
    host, family = check_host(host)

    def listen(listener: socket.socket, address: tuple[str, int]) -> None:
        if far_is_server:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BUFFER)
        listener.bind(address)
        listener.listen()

    with bound_socket(family, socket.SOCK_STREAM, (host, 0), listen, protocol=socket.IPPROTO_TCP) as listener:
        listener.setblocking(True)
        client = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        try:
            if not far_is_server:
                client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BUFFER)
            client.connect(listener.getsockname())
            server, source = listener.accept()
            while source != client.getsockname():  # somebody else knocked
                server.close()
                server, source = listener.accept()
        except BaseException:
            client.close()
            raise
    near = client if far_is_server else server
    near.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, BUFFER)
    return client, server
