"""A pseudo-terminal (pty(7)): the end of it that the test has in its hands, and a program started on the other."""

import asyncio
import os
import sys
from collections import deque
from collections.abc import Callable
from typing import Any

from .._futures import CaptureFuture
from .._outcomes import fail, fulfil

__tracebackhide__ = True

READ_SIZE = 65_536

# Becomes the program, in place: the only way to a controlling terminal without code of ours between fork and exec.
# Python has ignored SIGPIPE and SIGXFSZ by then, and may have set LC_CTYPE (PEP 538); the program gets neither.
SHIM = """
import fcntl, os, signal, sys, termios
errors, locale, *argv = sys.argv[1:]
os.set_inheritable(int(errors), False)
for name in ("SIGPIPE", "SIGXFSZ"):
    signal.signal(getattr(signal, name), signal.SIG_DFL)
if not locale:
    os.environ.pop("LC_CTYPE", None)
try:
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)
    os.execvp(argv[0], argv)
except OSError as error:
    os.write(int(errors), b"%d" % error.errno)
os._exit(127)
"""


class Terminal:
    """The near end of a pseudo-terminal: what is written to it the program reads as typed, and the other way round.

    It stands where stdin's queue does, see `protocol.Stdin`.
    """

    def __init__(self, size: os.terminal_size) -> None:
        self._near, self.far = os.openpty()
        os.set_blocking(self._near, False)
        self._closed = False
        self._last = b"\n"
        self._waiting: deque[tuple[bytes | None, CaptureFuture[None] | None]] = deque()
        self._loop = asyncio.get_running_loop()
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


async def exec_on_terminal(
    terminal: Terminal,
    protocol: asyncio.SubprocessProtocol,
    argv: list[str],
    environment: dict[str, str],
    cwd: str | os.PathLike[str] | None,
) -> asyncio.SubprocessTransport:
    """Start a program at the far end of ``terminal``, which becomes its controlling terminal.

    Raises:
        OSError: it can't be executed.
    """
    loop = asyncio.get_running_loop()
    near, far = os.pipe()
    try:
        shim = [sys.executable, "-I", "-S", "-c", SHIM, str(far), environment.get("LC_CTYPE", "")]
        transport, _ = await loop.subprocess_exec(
            lambda: protocol,
            *shim,
            *argv,
            stdin=terminal.far,
            stdout=terminal.far,
            stderr=terminal.far,
            pass_fds=(far,),
            start_new_session=True,
            env=environment,
            cwd=cwd,
        )
        os.close(far)
        far = -1
        terminal.leave_far_end()
        failure = await _read_all(near)
    finally:
        os.close(near)
        if far >= 0:
            os.close(far)
    if failure:
        transport.close()
        code = int(failure)
        raise OSError(code, os.strerror(code), argv[0])
    return transport


async def _read_all(fd: int) -> bytes:
    loop = asyncio.get_running_loop()
    data: Any = loop.create_future()
    # All of it is one small write, or none.
    loop.add_reader(fd, lambda: data.done() or data.set_result(os.read(fd, 100)))
    try:
        return bytes(await data)
    finally:
        loop.remove_reader(fd)
