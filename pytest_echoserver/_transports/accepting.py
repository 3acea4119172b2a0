"""Accepting connections without asyncio's server, which waits for its clients when it is closed."""

import asyncio
import socket
import threading
from collections.abc import Callable
from contextvars import Context
from typing import Any

from .._readers import Readers, let_in
from .listening import close_listener, let_port_be_bound_again

ACCEPTS_AT_THE_END = 4096
"""As many as may wait (listen(2), somaxconn), lest clients that come and come keep a peer from closing."""

AGAIN = 0.05
"""Seconds after which it is tried again, where there were too many open files."""


class Acceptor:
    """Accepts on a listening, non-blocking socket, on the loop of ``readers``, in ``context``.

    To be made on the loop's thread, or on any that the readers allow. It accepts with ``_at_work`` held: who holds
    that, on any thread, and sees that nobody has come and nobody waits to be accepted, may close the socket.

    Args:
        accepted: called with each connection and the address it came from.
        failed: called each time that none can be accepted, because too many files are open; it is tried again.
    """

    __slots__ = (
        "_accepted",
        "_at_work",
        "_context",
        "_failed",
        "_readers",
        "_sock",
        "any_came",
        "waits_for_files",
    )

    def __init__(
        self,
        sock: socket.socket,
        readers: Readers,
        context: Context,
        *,
        accepted: Callable[[socket.socket, Any], None],
        failed: Callable[[OSError], None],
    ) -> None:
        self.any_came = self.waits_for_files = False
        self._sock = sock
        self._readers = readers
        self._context = context
        self._accepted = accepted
        self._failed = failed
        self._at_work = threading.RLock()
        readers.add(sock, self)

    def accept(self, most: int = ACCEPTS_AT_THE_END) -> None:
        """Accept what waits. Where that can't be, say so, and try again later."""
        with self._at_work:
            for _ in range(most):
                if self._sock.fileno() < 0:
                    return
                try:
                    connected, address = self._accept_one()
                except (BlockingIOError, InterruptedError):
                    return
                except ConnectionError:  # it was reset while it waited: accept(2), ECONNABORTED
                    continue
                except OSError as error:  # too many open files, mostly: they would be as many at every turn
                    self._try_again_later()
                    self._failed(error)
                    return
                self.any_came = True
                connected.setblocking(False)
                let_port_be_bound_again(connected)
                self._accepted(connected, address)

    def close(self) -> None:
        """Close the listening socket, after accepting what waits: what comes later is refused by the system.

        What can't be accepted is reset by it.
        """
        with self._at_work:
            if self._sock.fileno() >= 0:
                try:
                    self.accept()
                finally:
                    self._end()

    def close_unused(self) -> bool:
        """Close it on any thread, if nobody has connected so far; false if that can't be told from here."""
        if not let_in(self._at_work):
            return False
        try:
            if self._sock.fileno() >= 0 and not self.any_came and self._readers.nothing_waits(self._sock):
                self._end()
            return not self.any_came and self._sock.fileno() < 0
        finally:
            self._at_work.release()

    def readable(self, most: int) -> None:
        self._context.run(self.accept, most)

    def _accept_one(self) -> tuple[socket.socket, Any]:
        """What `socket.accept` does, but as another socket of the listener's class.

        That one makes a `socket.socket` of now: where pytest-socket has put its own there, that raises, and what
        was accepted is lost.
        """
        listener = self._sock
        descriptor, address = listener._accept()  # type: ignore[attr-defined,unused-ignore]
        return type(listener)(listener.family, listener.type, listener.proto, descriptor), address

    def _try_again_later(self) -> None:
        if not self.waits_for_files:
            self.waits_for_files = True
            self._readers.remove(self._sock)
            asyncio.events.get_running_loop().call_later(AGAIN, self._try_again)

    def _try_again(self) -> None:
        with self._at_work:
            self.waits_for_files = False
            if self._sock.fileno() >= 0:
                self._readers.add(self._sock, self)

    def _end(self) -> None:
        self._readers.remove(self._sock)
        close_listener(self._sock)
        del self._accepted, self._failed  # they know who knows this: a circle, work for the garbage collector
