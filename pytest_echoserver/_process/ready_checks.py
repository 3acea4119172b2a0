"""When a program is ready: what it printed, an address that accepts, a path, or what the caller's own code says."""

import asyncio
import errno
import ipaddress
import os
import re
import socket
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import suppress
from contextvars import copy_context
from pathlib import Path
from typing import Any

from .._checks import not_async, whole_number
from .._deadline import UNTIL_THE_TEST_ENDS
from .._futures import CaptureFuture
from .._patterns import Shortest, compile_pattern
from .._sleep import sleep
from .._telling import told_function, told_place
from .child import Child

__tracebackhide__ = True

Ready = bytes | re.Pattern[bytes] | tuple[str, int] | str | os.PathLike[str] | Callable[[], object]

FIRST_PROBE, LONGEST_PROBE = 0.005, 0.05
"""Seconds between two looks at what can't tell us of itself: growing from the one to the other."""


class Check(ABC):
    """One way to be ready."""

    @abstractmethod
    def __str__(self) -> str:
        """What is waited for."""

    @abstractmethod
    def seen(self) -> str:
        """What was seen instead, as a clause; empty if that is told by the program's output."""

    @abstractmethod
    async def until_met(self, child: Child) -> BaseException | None:
        """Wait until it is; what went wrong with the asking is given, not raised: it may be a SystemExit."""


def checked_ready(value: object, cwd: str | os.PathLike[str] | None) -> Check:
    """Make a check of what a user gave; a path counts from ``cwd``.

    Raises:
        TypeError, ValueError: it is none of what ``ready=`` takes.
    """
    match value:
        case bytes() | re.Pattern():
            return Printed(value)
        case str() | os.PathLike():
            if not (path := os.fspath(value)):
                raise ValueError("ready= got an empty path")
            return _Path(Path(cwd or "", os.fsdecode(path)))
        case (str() as host, port):
            return _Accepting(host, whole_number(port, "the port of ready=", least=1, most=65_535))
        case _ if callable(value):
            return _Callable(not_async(value, "ready="))
    raise TypeError(
        "ready= takes bytes or a compiled regular expression of bytes, to be printed; a tuple (host, port), to "
        f"accept connections; a path, to exist; or a callable, to return true: not {value!r}"
    )


class Printed(Check):
    """Waits for a pattern in each output that is captured, until it is met or all of them have ended."""

    def __init__(self, pattern: bytes | re.Pattern[bytes]) -> None:
        self._asked: list[CaptureFuture[Any]] = []
        self._redact: Callable[[bytes], bytes] = bytes
        try:
            self._pattern: Any = compile_pattern(pattern, anchored=False)
        except ValueError:
            if not isinstance(pattern, re.Pattern):
                raise
            self._pattern = Anywhere(pattern)

    def __str__(self) -> str:
        return f"to print {self._pattern.told(self._redact)}"

    def seen(self) -> str:
        return ""

    @property
    def met(self) -> bool:
        """Whether it was met so far."""
        decided = (future for future in self._asked if future.done() and not future.cancelled())
        return any(future.exception() is None for future in decided)

    async def until_met(self, child: Child) -> None:
        decided = asyncio.locks.Event()
        loop = asyncio.events.get_running_loop()
        for fd in child.outputs.captured:
            stream = child.outputs.streams[fd]
            self._redact = stream.redact
            future: CaptureFuture[Any] = CaptureFuture(str(self), timeout=UNTIL_THE_TEST_ENDS)
            self._asked.append(stream.reader().read_until(future, self._pattern))
            # It may be served by the thread of a test, too.
            future.add_done_callback(lambda _: loop.call_soon_threadsafe(decided.set))
        try:
            while not (self.met or all(future.done() for future in self._asked)):
                await decided.wait()
                decided.clear()
        finally:
            for future in self._asked:
                future.cancel()


class Anywhere:
    """Met by a match anywhere in what came up to any byte: of use where only that there is one counts."""

    def __init__(self, regex: re.Pattern[bytes], start: int = 0) -> None:
        self.start = start
        self._regex = regex
        self._shortest = Shortest(regex, None)

    def told(self, redact: Callable[[bytes], bytes]) -> str:
        return repr(redact(self._regex.pattern))

    def search_from(self, start: int) -> "Anywhere":
        return Anywhere(self._regex, start)

    def find(self, buffer: bytearray) -> tuple[bytes, int] | None:
        with memoryview(buffer) as whole, whole[self.start :] as unread:
            return None if self._shortest.find(unread) is None else (b"", self.start)


class _Probed(Check):
    """What can't tell us of itself: it is looked at again and again, on the engine's loop."""

    async def until_met(self, child: Child) -> None:  # noqa: ARG002  the program isn't asked
        for pause in _pauses():
            if await self._look():
                return
            await sleep(pause)

    @abstractmethod
    async def _look(self) -> bool:
        """Look whether it is met now."""


class _Accepting(_Probed):
    def __init__(self, host: str, port: int) -> None:
        self._host = host
        self._port = port
        self._error = "it was not tried"

    def __str__(self) -> str:
        return f"to accept at {told_place((self._host, self._port))}"

    def seen(self) -> str:
        return f"the last try to connect gave {self._error}"

    async def _look(self) -> bool:
        try:
            addresses = await self._addresses()
        except OSError as error:
            self._error = _told(error)
            return False
        for family, address in addresses:
            try:
                if await _accepts_at(family, address):
                    return True
            except OSError as error:
                self._error = _told(error)
        return False

    async def _addresses(self) -> list[tuple[int, Any]]:
        if self._host == "localhost":  # to look it up costs a second or two on Windows
            return [(socket.AF_INET, ("127.0.0.1", self._port)), (socket.AF_INET6, ("::1", self._port))]
        try:
            address = ipaddress.ip_address(self._host)
        except ValueError:
            found = await asyncio.events.get_running_loop().getaddrinfo(
                self._host, self._port, type=socket.SOCK_STREAM
            )
            return [(family, sockaddr) for family, *_, sockaddr in found]
        return [(socket.AF_INET if address.version == 4 else socket.AF_INET6, (self._host, self._port))]


async def _accepts_at(family: int, address: Any) -> bool:
    with socket.socket(family) as sock:
        sock.setblocking(False)
        await asyncio.events.get_running_loop().sock_connect(sock, address)
        # A connect to a port of the ephemeral range that nobody has can meet itself.
        return bool(sock.getsockname() != sock.getpeername())


class _Path(_Probed):
    def __init__(self, path: Path) -> None:
        self._path = path
        self._error = ""

    def __str__(self) -> str:
        return f"the path {os.fspath(self._path)!r} to exist, or accept if it is a socket"

    def seen(self) -> str:
        pattern = "; a pattern of the output would be bytes, or re.compile(rb'...')"
        return self._error or f"there is no such path{pattern}"

    async def _look(self) -> bool:
        try:
            return self._path.exists() and (not self._path.is_socket() or self._accepts())
        except OSError as error:
            self._error = f"the last try gave {_told(error)}"
            return False

    def _accepts(self) -> bool:
        kinds = (socket.SOCK_STREAM, socket.SOCK_DGRAM, socket.SOCK_SEQPACKET)
        for kind in kinds:
            with socket.socket(socket.AF_UNIX, kind) as sock:
                sock.setblocking(False)  # such a connect ends at once, EAGAIN being a full backlog: unix(7)
                try:
                    sock.connect(os.fspath(self._path))
                except OSError as error:
                    if error.errno != errno.EPROTOTYPE or kind == kinds[-1]:
                        raise
                    continue
                return True
        return False


class _Callable(Check):
    def __init__(self, function: Callable[[], object]) -> None:
        self._function = function
        self._stopped = threading.Event()
        self._calls = 0
        self._inside = False
        self._context = copy_context()

    def __str__(self) -> str:
        return f"{told_function(self._function)}() to return true"

    def seen(self) -> str:
        if self._inside:
            return f"its call number {self._calls} has not returned"
        return f"it was called {'once' if self._calls == 1 else f'{self._calls} times'}"

    async def until_met(self, child: Child) -> BaseException | None:  # noqa: ARG002  the program isn't asked
        loop = asyncio.events.get_running_loop()
        outcome: list[BaseException | None] = []
        done = asyncio.locks.Event()

        def poll() -> None:
            outcome.append(self._poll())
            with suppress(RuntimeError):  # the loop is closed: nobody waits any more
                loop.call_soon_threadsafe(done.set)

        # A thread of its own, and a daemon: it may be in somebody's code for ever.
        threading.Thread(
            target=self._context.run, args=(poll,), name="pytest-echoserver-ready", daemon=True
        ).start()
        try:
            await done.wait()
        finally:
            self._stopped.set()
        return outcome[0]

    def _poll(self) -> BaseException | None:
        try:
            for pause in _pauses():
                self._calls += 1
                self._inside = True
                if self._function():
                    break
                self._inside = False
                if self._stopped.wait(pause):
                    break
        except BaseException as error:  # noqa: BLE001  it is raised where the program was started
            return error
        return None


def _pauses() -> Iterator[float]:
    """The seconds between one look and the next."""
    pause = FIRST_PROBE
    while True:
        yield pause
        pause = min(2 * pause, LONGEST_PROBE)


def _told(error: OSError) -> str:
    return f"{type(error).__name__}: {error.strerror or error}"
