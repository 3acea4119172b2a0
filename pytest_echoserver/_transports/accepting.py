"""Accepting connections without asyncio's server, which waits for its clients when it is closed."""

import asyncio
import socket
from collections.abc import Callable
from typing import Any

ACCEPTS_A_TURN = 64
"""So many connections are accepted before the loop's other work gets its turn."""

ACCEPTS_AT_THE_END = 4096
"""As many as may wait (listen(2), somaxconn), lest clients that come and come keep a peer from closing."""


class Acceptor:
    """Accepts on a listening, non-blocking socket, on any loop with ``add_reader``. To be made on its thread."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        sock: socket.socket,
        accepted: Callable[[socket.socket, Any], None],
    ) -> None:
        self._loop = loop
        self._sock = sock
        self._accepted = accepted
        loop.add_reader(sock, self.accept)

    def accept(self, most: int = ACCEPTS_A_TURN) -> None:
        """Accept what waits, a turn's worth."""
        for _ in range(most):
            if self._sock.fileno() < 0:
                return
            try:
                connected, address = self._sock.accept()
            except (BlockingIOError, InterruptedError):
                return
            except ConnectionError:  # it was reset while it waited: accept(2), ECONNABORTED
                continue
            except OSError:  # too many open files, mostly: they would be as many at every turn
                self._loop.remove_reader(self._sock)
                raise
            connected.setblocking(False)
            self._accepted(connected, address)

    def close(self) -> None:
        """Close the listening socket, after accepting what waits: what comes later is refused by the system."""
        if self._sock.fileno() >= 0:
            try:
                self.accept(ACCEPTS_AT_THE_END)
            finally:
                self._loop.remove_reader(self._sock)
                self._sock.close()
