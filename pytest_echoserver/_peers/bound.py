"""`BoundPeer`: what all peers have in common, a place where they are bound and an end."""

import socket
from abc import ABC, abstractmethod
from types import TracebackType
from typing import Any, Self

from .._record import Address
from .._scope import Scope
from .._telling import escaped

__tracebackhide__ = True

HOSTS = {host: host for host in ("127.0.0.1", "::1")}
"""One string of each, for thousands of peers: the system gives a new one each time."""


def one_or_both(faults: Any, **each: Any) -> Any:
    """What was given for both directions at once, or for one or both by name.

    Raises:
        TypeError: it was given in both ways.
    """
    given = {name: value for name, value in each.items() if value is not None}
    if not given:
        return faults
    if faults is not None:
        told = ", ".join(f"{name}={value!r}" for name, value in {"faults": faults, **given}.items())
        raise TypeError(
            f"give faults for both directions, or {' and '.join(each)}, but not all of them: got {told}"
        )
    return tuple(each.values())


class BoundPeer(ABC):
    """A peer at an address. It is a context manager, and closed at the end of its scope in any case."""

    _transport: str
    """What it speaks, unless it is on a Unix socket: "udp", "tcp", "tls"."""
    _captured_in = "received"
    _close_is_told = False

    def __init__(self, scope: Scope, name: str, sock: socket.socket) -> None:
        self._scope = scope
        self._name = name
        self._socket = sock
        address = sock.getsockname()
        self._address: Any = address
        if isinstance(address, tuple):
            self._address = HOSTS.get(address[0], address[0]), address[1]

    @property
    def address(self) -> Any:
        """Where it is bound: (host, port), over IPv6 too; of a Unix socket the path."""
        return self._address

    @property
    def host(self) -> str:
        """The IP address that it is bound to. A Unix socket has none: an `AttributeError`."""
        return str(self._ip_address("host")[0])

    @property
    def port(self) -> int:
        """The port that it is bound to. A Unix socket has none: an `AttributeError`."""
        return int(self._ip_address("port")[1])

    @property
    def netloc(self) -> str:
        """Host and port as a URL has them: ``127.0.0.1:80``, ``[::1]:80`` (RFC 3986)."""
        host, port = self._ip_address("netloc")
        return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"

    @property
    def family(self) -> socket.AddressFamily:
        """``AF_INET``, ``AF_INET6`` or ``AF_UNIX``, for a socket of your own."""
        return self._socket.family

    @abstractmethod
    def close(self) -> None:
        """Close it. When this returns, nothing more is recorded; what was recorded stays."""

    @property
    def _is_unix(self) -> bool:
        return not isinstance(self._address, tuple)

    def _ip_address(self, asked: str) -> Address:
        if self._is_unix:
            raise AttributeError(f"a Unix socket has no {asked}; its address is the path {self._address!r}")
        address: Address = self._address
        return address

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __str__(self) -> str:
        where = f"unix {self._address}" if self._is_unix else f"{self._transport} {self.netloc}"
        return escaped(f"{self._name} ({where})")

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self}{' closed' if self._closed else ''}>"

    @property
    def _closed(self) -> bool:
        return self._socket.fileno() < 0

    def _tell_closed(self) -> None:
        """Tell who wants to know that it is closed, once."""
        if not self._close_is_told:
            self._close_is_told = True
            self._scope.closed(self)

    def _refuse_if_closed(self, asked: str) -> None:
        if self._closed:
            raise RuntimeError(f"{asked}: {self} is closed; what it captured is in its `{self._captured_in}`")
