"""Telling when sockets can be read, on a loop; where the system allows, sockets come and go without waking it."""

import asyncio
import select
import socket
import threading
from collections.abc import Callable
from typing import Any, Protocol

AT_WORK = 0.05
"""Seconds that a test's thread waits for what has come to be dealt with, before it asks the engine."""


class Readers(Protocol):
    """Calls ``readable`` of a socket on the loop's thread whenever there is something to read."""

    from_any_thread: bool
    """Whether sockets may be added and taken away by other threads than the loop's."""

    def add(self, sock: socket.socket, readable: Callable[[], object]) -> None: ...
    def remove(self, sock: socket.socket) -> None: ...
    def nothing_waits(self, sock: socket.socket, /) -> bool:
        """Whether ``sock`` has nothing to be read, nor to be accepted; false where only the loop can tell."""
        ...

    def at_rest(self, sock: socket.socket, /) -> bool:
        """Whether, beside that, ``readable`` isn't being called: then it has dealt with all that has come."""
        ...

    def close(self) -> None: ...


class LoopReaders:
    """The plain way: the loop's own ``add_reader``."""

    from_any_thread = False

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop

    def add(self, sock: socket.socket, readable: Callable[[], object]) -> None:
        self._loop.add_reader(sock, readable)

    def remove(self, sock: socket.socket) -> None:
        self._loop.remove_reader(sock)

    def nothing_waits(self, _: socket.socket) -> bool:
        return False

    at_rest = nothing_waits

    def close(self) -> None:
        pass


class NestedPoller:
    """An epoll of our own that the loop watches as one descriptor (epoll(7): it is readable when one in it is).

    epoll_ctl(2) takes effect while another thread waits. So a test's thread adds a socket by itself, and need not
    wait for the loop to be woken and to answer.
    """

    from_any_thread = True

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._epoll: Any = select.epoll()  # type: ignore[attr-defined,unused-ignore]
        self._readable: dict[int, Callable[[], object]] = {}
        self._at_work = threading.Lock()
        loop.add_reader(self._epoll.fileno(), self._serve)

    def add(self, sock: socket.socket, readable: Callable[[], object]) -> None:
        self._readable[sock.fileno()] = readable
        self._epoll.register(sock.fileno(), 1)  # EPOLLIN

    def remove(self, sock: socket.socket) -> None:
        # Before the socket is closed: a forked child may hold the descriptor, and keep the entry alive.
        if self._readable.pop(sock.fileno(), None) is not None and not self._epoll.closed:
            self._epoll.unregister(sock.fileno())

    def nothing_waits(self, sock: socket.socket) -> bool:
        poll = select.poll()
        poll.register(sock, 1)  # POLLIN
        return not poll.poll(0)

    def at_rest(self, sock: socket.socket) -> bool:
        # In this order: what was read by now is dealt with before the lock is let go.
        if not (self.nothing_waits(sock) and self._at_work.acquire(timeout=AT_WORK)):
            return False
        self._at_work.release()
        return True

    def close(self) -> None:
        self._loop.remove_reader(self._epoll.fileno())
        self._epoll.close()

    def _serve(self) -> None:
        with self._at_work:
            for fd, _ in self._epoll.poll(0):
                readable = self._readable.get(fd)
                if readable is not None:
                    readable()


def best_readers(loop: asyncio.AbstractEventLoop) -> Readers:
    """What is to be had on this system. To be called on the loop's thread, or before it runs."""
    return NestedPoller(loop) if hasattr(select, "epoll") else LoopReaders(loop)
