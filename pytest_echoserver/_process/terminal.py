"""A pseudo-terminal (pty(7)): the end of it that the test has in its hands, and a program started on the other."""

import asyncio
import os
from collections import deque
from collections.abc import Callable

from .._futures import CaptureFuture
from .._outcomes import fail, fulfil

__tracebackhide__ = True

READ_SIZE = 65_536


class Terminal:
    """The near end of a pseudo-terminal: what is written to it the program reads as typed, and the other way round.

    It stands where stdin's queue does, see `protocol.Stdin`.
    """

    def __init__(self, size: os.terminal_size) -> None:
        self.far: int
        self._near, self.far = os.openpty()
        os.set_blocking(self._near, False)
        self._closed = False
        self._last = b"\n"
        self._waiting: deque[tuple[bytes | None, CaptureFuture[None] | None]] = deque()
        self._loop = asyncio.events.get_running_loop()
        self.resize(size)

    @property
    def closed(self) -> bool:
        return self._closed

    def resize(self, size: os.terminal_size) -> None:
        """Tell the window's size; who runs in it gets SIGWINCH (ioctl_tty(2))."""
        import termios

        termios.tcsetwinsize(self._near, (size.lines, size.columns))

    def listen(self, on_data: Callable[[bytes], object], on_end: Callable[[], object]) -> None:
        """Pass on what the program prints; its last process to close the terminal ends it."""
        self._on_data, self._on_end = on_data, on_end
        self._loop.add_reader(self._near, self._read)

    def leave_far_end(self) -> None:
        """Leave the far end to the program."""
        if self.far >= 0:
            os.close(self.far)
            self.far = -1

    def write(self, data: bytes, future: CaptureFuture[None] | None) -> None:
        self._put(data, future)

    def write_eof(self, future: CaptureFuture[None] | None) -> None:
        self._put(None, future)

    def fail(self, error: BaseException) -> None:
        while self._waiting:
            _, future = self._waiting.popleft()
            if future is not None:
                fail(future, error)

    def close(self) -> None:
        self.leave_far_end()
        if self._closed:
            return
        self._closed = True
        self._loop.remove_reader(self._near)
        self._loop.remove_writer(self._near)
        os.close(self._near)
        self.fail(BrokenPipeError("the terminal is closed"))

    def _put(self, data: bytes | None, future: CaptureFuture[None] | None) -> None:
        if self._closed:
            if future is not None:
                fail(future, BrokenPipeError("the terminal is closed"))
            return
        self._waiting.append((data, future))
        if len(self._waiting) == 1:
            self._write()

    def _write(self) -> None:
        while self._waiting:
            data, future = self._waiting[0]
            typed = self._end_of_file() if data is None else data
            try:
                written = os.write(self._near, typed)
            except BlockingIOError:
                written = 0
            except OSError as error:  # EIO: nobody has the far end
                self._loop.remove_writer(self._near)
                self.fail(error)
                return
            if written < len(typed):
                self._last = typed[written - 1 : written] or self._last
                self._waiting[0] = (typed[written:], future)
                self._loop.add_writer(self._near, self._write)
                return
            # After EOF a line begins anew.
            self._last = b"\n" if data is None else typed[-1:] or self._last
            self._waiting.popleft()
            if future is not None:
                fulfil(future, None)
        self._loop.remove_writer(self._near)

    def _end_of_file(self) -> bytes:
        """What means EOF (VEOF of termios(3)); twice where the first would only end the line that was begun."""
        import termios

        attributes = termios.tcgetattr(self._near)
        lflag, characters = attributes[3], attributes[6]
        begun = bool(lflag & termios.ICANON) and self._last != b"\n"
        eof: bytes = characters[termios.VEOF]
        return eof * (2 if begun else 1)

    def _read(self) -> None:
        try:
            data = os.read(self._near, READ_SIZE)
        except BlockingIOError:
            return
        except OSError:  # EIO is how Linux tells that nobody has the far end any more; elsewhere it reads as EOF
            data = b""
        if data:
            self._on_data(data)
        else:
            self._loop.remove_reader(self._near)
            self._on_end()
