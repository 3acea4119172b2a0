"""`BoundPeer`: what all peers have in common, a place where they are bound and an end."""

import socket
from abc import ABC, abstractmethod
from types import TracebackType
from typing import Self

from .._record import Address
from .._scope import Scope

__tracebackhide__ = True


class BoundPeer(ABC):
    """A peer at an address. It is a context manager, and closed at the end of its scope in any case."""

    def __init__(self, scope: Scope, name: str, transport: str, sock: socket.socket) -> None:
        self._scope = scope
        self._name = name
        self._transport = transport
        self._socket = sock
        self._family = socket.AddressFamily(sock.family)
        self._address: Address = sock.getsockname()[:2]

    @property
    def address(self) -> Address:
        """Where it is bound: (host, port), over IPv6 too."""
        return self._address

    @property
    def host(self) -> str:
        return self._address[0]

    @property
    def port(self) -> int:
        return self._address[1]

    @property
    def netloc(self) -> str:
        """Host and port as a URL has them: ``127.0.0.1:80``, ``[::1]:80`` (RFC 3986)."""
        return f"[{self.host}]:{self.port}" if self.family == socket.AF_INET6 else f"{self.host}:{self.port}"

    @property
    def family(self) -> socket.AddressFamily:
        """``AF_INET`` or ``AF_INET6``, for a socket of your own."""
        return self._family

    @abstractmethod
    def close(self) -> None:
        """Close it. When this returns, nothing more is recorded; what was recorded stays."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __str__(self) -> str:
        return f"{self._name} ({self._transport} {self.netloc})"

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self}{' closed' if self._closed else ''}>"

    @property
    def _closed(self) -> bool:
        return self._socket.fileno() < 0

    def _refuse_if_closed(self, asked: str) -> None:
        if self._closed:
            raise RuntimeError(f"{asked}: {self} is closed; what it captured is in its `received`")
