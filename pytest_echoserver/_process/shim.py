"""A few lines of Python that become the program: for what has to be done between fork and exec.

Code of our own there would have to be `preexec_fn`, which is unsafe beside threads.
"""

import asyncio
import os
import sys
from typing import Any

from .._neighbours import real_programs
from .protocol import CapturingProtocol

# Python has ignored SIGPIPE and SIGXFSZ by then, and may have set LC_CTYPE (PEP 538); the program gets neither.
SHIM = """
import fcntl, os, signal, sys, termios
errors, terminal, locale, *argv = sys.argv[1:]
errors = int(errors)
os.set_inheritable(errors, False)
os.closerange(3, errors)
os.closerange(errors + 1, os.sysconf("SC_OPEN_MAX"))
for name in ("SIGPIPE", "SIGXFSZ"):
    signal.signal(getattr(signal, name), signal.SIG_DFL)
if locale:
    os.environ["LC_CTYPE"] = locale
else:
    os.environ.pop("LC_CTYPE", None)
try:
    if terminal:
        fcntl.ioctl(0, termios.TIOCSCTTY, 0)
    os.execvp(argv[0], argv)
except OSError as error:
    os.write(errors, b"%d" % error.errno)
os._exit(127)
"""


def is_needed(loop: asyncio.AbstractEventLoop) -> bool:
    """Whether children of this loop have each pipe twice, so that closing one ends nothing: as uvloop has it."""
    return type(loop).__module__.partition(".")[0] == "uvloop"


async def exec_by_shim(
    protocol: CapturingProtocol, argv: list[str], options: dict[str, Any], *, terminal: bool
) -> asyncio.SubprocessTransport:
    """What ``subprocess_exec`` does; with ``terminal``, stdin becomes the program's controlling terminal.

    Raises:
        OSError: the program can't be executed.
    """
    near, far = os.pipe()
    try:
        locale = options["env"].get("LC_CTYPE", "")
        shim = [sys.executable, "-I", "-S", "-c", SHIM, str(far), "1" if terminal else "", locale]
        with real_programs():
            transport, _ = await asyncio.events.get_running_loop().subprocess_exec(
                lambda: protocol, *shim, *argv, pass_fds=(far,), start_new_session=True, **options
            )
        os.close(far)
        far = -1
        try:
            failure = await _read(near)
        except BaseException:
            transport.close()
            raise
    finally:
        os.close(near)
        if far >= 0:
            os.close(far)
    if failure:
        await protocol.exited.wait()  # it is about to; uvloop's transport would else outlive its loop
        transport.close()
        code = int(failure)
        raise OSError(code, os.strerror(code), argv[0])
    return transport


async def _read(fd: int) -> bytes:
    """What is written to ``fd``: one small piece, or nothing before it is closed, as exec does."""
    loop = asyncio.events.get_running_loop()
    readable = asyncio.locks.Event()
    loop.add_reader(fd, readable.set)
    try:
        await readable.wait()
        return os.read(fd, 100)
    finally:
        loop.remove_reader(fd)
