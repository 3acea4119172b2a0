"""What other plugins do to the whole process: undone for us, or told in a line with the way out."""

import os
import subprocess
import sys
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any


class _RealSubprocess:
    """The module `subprocess` as it was when this one was loaded, before any test had changed it."""

    def __init__(self) -> None:
        # Not as a name of this module: pytest-subprocess changes those, too.
        self.Popen = subprocess.Popen

    def __getattr__(self, name: str) -> Any:
        return getattr(subprocess, name)


_REAL = _RealSubprocess()

# As they were before any test had replaced them, to see what its code would have done.
real_kill = os.kill
real_killpg: Any = getattr(os, "killpg", None)  # not on Windows
real_open = open
real_sleep = time.sleep
# freezegun changes names of ours, too, wherever they stand for these functions themselves.
real_monotonic = partial(time.monotonic)
real_time_ns = partial(time.time_ns)


def real_popen() -> type["subprocess.Popen[Any]"]:
    """What `subprocess.Popen` is, whatever pytest-subprocess or a mock has put in its place."""
    return _REAL.Popen


@contextmanager
def real_programs() -> Iterator[None]:
    """Have asyncio start a program, and not what pytest-subprocess or a mock has put in the place of `Popen`.

    What was put there stays untouched, for the test may take it away meanwhile, on any thread. Instead asyncio's
    module is given another `subprocess`. It looks there before it first awaits anything, so several starts may be
    in here at once: the first to be through gives asyncio its own `subprocess` back. A program that another
    thread starts by asyncio meanwhile is a real one, too.
    """
    starting: Any = sys.modules.get("asyncio.unix_events")
    if starting is None:  # Windows has a Popen of asyncio's own
        yield
        return
    there = starting.subprocess
    starting.subprocess = _REAL
    try:
        yield
    finally:
        starting.subprocess = subprocess if there is _REAL else there


def refuse_if_blocked(family: int) -> None:
    """Raise if pytest-socket lets nobody make sockets of this family.

    Raises:
        RuntimeError: it doesn't; the text says what does.
    """
    # Not imported: not above, for this is loaded with the plugin, nor here, for that takes longer for each peer.
    socket: Any = sys.modules["socket"]
    if socket.socket.__module__ != "pytest_socket":
        return
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it warns as well as raises
        try:
            socket.socket(family, socket.SOCK_STREAM).close()
        except RuntimeError:
            blocked = True
        else:
            blocked = False
    if blocked:
        raise RuntimeError(
            "pytest-socket (--disable-socket) blocks the sockets that peers are made of: mark this test with "
            "@pytest.mark.enable_socket, or run with --allow-hosts=127.0.0.1,::1, which blocks other hosts alone"
        )


def why_unreachable(error: BaseException) -> str:
    """Of an error of pytest-socket, which lets nobody connect to a peer, what does; else nothing."""
    # The type first, which under -W error is that of its warning: str() of a user's error is the user's code.
    theirs = type(error).__module__ == "pytest_socket" or type(error) is UserWarning
    if theirs and "A test tried to use socket.socket.connect()" in str(error):
        return (
            "pytest-socket blocks this; it lets tests connect to peers with --allow-hosts=127.0.0.1,::1, and with "
            "--allow-unix-socket to those on a Unix socket, or with @pytest.mark.enable_socket"
        )
    return ""


def twisted_is_loaded() -> bool:
    """Whether there is a reactor of Twisted's. Trial runs a test up to its first wait before the reactor runs."""
    return "twisted.internet.reactor" in sys.modules


def twisted_here() -> bool:
    """Whether Twisted's reactor runs on this thread."""
    # Twisted has the reactor itself in the place of the module.
    reactor, threadable = (sys.modules.get(f"twisted.{name}") for name in ("internet.reactor", "python.threadable"))
    return reactor is not None and threadable is not None and reactor.running and bool(threadable.isInIOThread())
