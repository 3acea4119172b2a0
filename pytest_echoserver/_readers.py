"""Telling when sockets can be read, on a loop; where the system allows, sockets come and go without waking it."""

import asyncio
import select
import socket
import threading
from typing import Any, Protocol

A_TURN = 16
"""Datagrams read from one socket, or connections accepted on it, before the loop's other work gets its turn."""
AT_WORK = 0.05
"""Seconds that a test's thread waits for what has come to be dealt with, before it asks the engine."""


def let_in(at_work: "threading.Lock | threading.RLock") -> bool:
    """Acquire a lock that is held while what has come is dealt with; false if it isn't let go soon."""
    # Without a time-out or a keyword first: that is quicker, and mostly enough.
    return at_work.acquire(False) or at_work.acquire(timeout=AT_WORK)


class Reading(Protocol):
    """Whoever reads from a socket: told on the loop's thread that there is something, and how much to read now."""

    def readable(self, most: int, /) -> object: ...


class Readers(Protocol):
    """Tells who reads from a socket whenever there is something to read."""

    loop: asyncio.AbstractEventLoop
    from_any_thread: bool
    """Whether sockets may be added and taken away by other threads than the loop's."""

    def add(self, sock: socket.socket, reading: Reading) -> None: ...
    def remove(self, sock: socket.socket) -> None: ...
    def nothing_waits(self, sock: socket.socket, /) -> bool:
        """Whether ``sock`` has nothing to be read, nor to be accepted; false where only the loop can tell."""
        ...

    def at_rest(self, sock: socket.socket, /) -> bool:
        """Whether, beside that, nobody is being told: then all that has come was dealt with."""
        ...

    def close(self) -> None: ...


class LoopReaders:
    """The plain way: the loop's own ``add_reader``."""

    from_any_thread = False

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop

    def add(self, sock: socket.socket, reading: Reading) -> None:
        self.loop.add_reader(sock, reading.readable, A_TURN)

    def remove(self, sock: socket.socket) -> None:
        self.loop.remove_reader(sock)

    def nothing_waits(self, _: socket.socket) -> bool:
        return False

    at_rest = nothing_waits

    def close(self) -> None:
        pass


class NestedPoller:
    """An epoll of our own that the loop watches as one descriptor (epoll(7): it is readable when one in it is).

    epoll_ctl(2) takes effect while another thread waits. So a test's thread adds a socket by itself, and need not
    wait for the loop to be woken and to answer. And to ask whether there is more, of all sockets at once, costs a
    third of asking one in vain: so one thing is read first, and a turn's worth only if there is more.
    """

    from_any_thread = True

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self._epoll: Any = select.epoll()  # type: ignore[attr-defined,unused-ignore]
        self._reading: list[Reading | None] = []
        """Who reads from which descriptor: they are small numbers, and there may be thousands."""
        self._at_work = threading.Lock()
        loop.add_reader(self._epoll.fileno(), self._serve)

    def add(self, sock: socket.socket, reading: Reading) -> None:
        fd = sock.fileno()
        if fd >= len(self._reading):
            self._reading.extend([None] * (fd + 1 - len(self._reading)))
        self._reading[fd] = reading
        self._epoll.register(fd, 1)  # EPOLLIN

    def remove(self, sock: socket.socket) -> None:
        # Before the socket is closed: a forked child may hold the descriptor, and keep the entry alive.
        fd = sock.fileno()
        if 0 <= fd < len(self._reading) and self._reading[fd] is not None:
            self._reading[fd] = None
            if not self._epoll.closed:
                self._epoll.unregister(fd)

    def nothing_waits(self, sock: socket.socket) -> bool:
        poll = select.poll()
        poll.register(sock, 1)  # POLLIN
        return not poll.poll(0)

    def at_rest(self, sock: socket.socket) -> bool:
        # In this order: what was read by now is dealt with before the lock is let go.
        if not (self.nothing_waits(sock) and let_in(self._at_work)):
            return False
        self._at_work.release()
        return True

    def close(self) -> None:
        self.loop.remove_reader(self._epoll.fileno())
        self._epoll.close()

    def _serve(self) -> None:
        with self._at_work:
            for most in (1, A_TURN):
                for fd, _ in self._epoll.poll(0):
                    reading = self._reading[fd]
                    if reading is not None:
                        reading.readable(most)


def best_readers(loop: asyncio.AbstractEventLoop) -> Readers:
    """What is to be had on this system. To be called on the loop's thread, or before it runs."""
    return NestedPoller(loop) if hasattr(select, "epoll") else LoopReaders(loop)
