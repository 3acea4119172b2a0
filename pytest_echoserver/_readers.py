"""Telling when sockets can be read, on a loop; where the system allows, sockets come and go without waking it."""

import asyncio
import select
import socket
from collections.abc import Callable
from typing import Any, Protocol


class Readers(Protocol):
    """Calls ``readable`` of a socket on the loop's thread whenever there is something to read."""

    from_any_thread: bool
    """Whether sockets may be added and taken away by other threads than the loop's."""

    def add(self, sock: socket.socket, readable: Callable[[], object]) -> None: ...
    def remove(self, sock: socket.socket) -> None: ...
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
        loop.add_reader(self._epoll.fileno(), self._serve)

    def add(self, sock: socket.socket, readable: Callable[[], object]) -> None:
        self._readable[sock.fileno()] = readable
        self._epoll.register(sock.fileno(), 1)  # EPOLLIN

    def remove(self, sock: socket.socket) -> None:
        # Before the socket is closed: a forked child may hold the descriptor, and keep the entry alive.
        if self._readable.pop(sock.fileno(), None) is not None and not self._epoll.closed:
            self._epoll.unregister(sock.fileno())

    def close(self) -> None:
        self._loop.remove_reader(self._epoll.fileno())
        self._epoll.close()

    def _serve(self) -> None:
        for fd, _ in self._epoll.poll(0):
            readable = self._readable.get(fd)
            if readable is not None:
                readable()


def best_readers(loop: asyncio.AbstractEventLoop) -> Readers:
    """What is to be had on this system. To be called on the loop's thread, or before it runs."""
    return NestedPoller(loop) if hasattr(select, "epoll") else LoopReaders(loop)
