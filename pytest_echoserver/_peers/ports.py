"""Port numbers reserved for servers that must be told their port: locked by files, bound by nobody."""

import functools
import itertools
import os
import random
import socket
import stat
import sys
import tempfile
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

from .._adopted import Member
from .._neighbours import refuse_if_blocked
from .._record import RowRecord
from .._scope import Scope
from .._traffic import PeerTraffic

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl

__tracebackhide__ = True

LOWEST, HIGHEST = 10_000, 65_535
"""Below are the ports of common services."""
EPHEMERAL = 49_152, HIGHEST
"""The ports that a system gives to who asks for any, unless it tells of others (RFC 6335, 6)."""
EPHEMERAL_ON_LINUX = Path("/proc/sys/net/ipv4/ip_local_port_range")

_recent: deque[int] = deque(maxlen=1000)
"""Given out lately, and only given again if there is no other: a client of the last test may still be at it."""
_random = random.SystemRandom()
"""Its own source: the global one may be seeded alike in all workers, and a fork inherits its state."""


def reserve(scope: Scope) -> int:
    """Reserve a port number until ``scope`` closes.

    Raises:
        RuntimeError: none can be; the text says why.
    """
    refuse_if_blocked(socket.AF_INET)
    name = scope.name_for("reserved_port")
    low, high = ephemeral_range()
    ports = candidates(low, high)
    if not ports:
        raise RuntimeError(
            f"no port can be reserved: the system gives those from {low} to {high} to who asks for any, and "
            f"none is left from {LOWEST} up; on Linux, narrow net.ipv4.ip_local_port_range"
        )
    folder = machine_folder()
    _sweep_once(folder)
    lock = lock_a_port(ports, folder)
    try:
        traffic = PeerTraffic(f"{name} (port {lock.port})", "none", None, ())
        scope.adopt(Member(lambda: traffic, RowRecord(), lock.shut))
    except BaseException:
        lock.release()
        raise
    return lock.port


class PortLock:
    """A port number locked against all who use the same folder, by flock(2) on a file named after it.

    The system drops the lock of a process that dies. The file that it leaves locks nothing, and goes when the next
    one has locked it.
    """

    def __init__(self, port: int, path: Path, descriptor: int) -> None:
        self.port = port
        self._path = path
        self._descriptor = descriptor
        self._pid = os.getpid()

    @classmethod
    def take(cls, port: int, folder: Path, *, create: bool = True) -> "PortLock | None":
        """Lock ``port``, or give None if another has it."""
        path = folder / str(port)
        try:
            descriptor = os.open(path, os.O_RDWR | (os.O_CREAT if create else 0), 0o600)
        except FileNotFoundError:  # with the last file its folder goes, too
            return None
        try:
            # Its last owner may have removed the file between open and lock: then that lock protects nothing.
            if _locked(descriptor) and _is_at(descriptor, path):
                lock = cls(port, path, descriptor)
                descriptor = -1
                return lock
            return None
        finally:
            if descriptor >= 0:
                os.close(descriptor)

    def release(self) -> None:
        """Give the number back and remove the file. In a forked child nothing happens: the lock is its parent's."""
        if self._descriptor < 0 or self._pid != os.getpid():
            return
        descriptor, self._descriptor = self._descriptor, -1
        if sys.platform == "win32":
            os.close(descriptor)  # an open file can't be removed there, nor can one that another has since opened
            with suppress(OSError):
                self._path.unlink()
        else:
            self._path.unlink(missing_ok=True)  # while it is locked, so that it is still ours
            os.close(descriptor)
        with suppress(OSError):  # others still lock ports here
            self._path.parent.rmdir()

    async def shut(self) -> None:
        self.release()


def lock_a_port(ports: Sequence[int], folder: Path) -> PortLock:
    """Lock one of ``ports``, at least one, that anyone could bind now.

    Raises:
        RuntimeError: there is none.
    """
    for port in _in_random_order(ports):
        make_private(folder)
        lock = PortLock.take(port, folder)
        if lock is None:
            continue
        if bindable(port):
            _recent.append(port)
            return lock
        lock.release()
    raise RuntimeError(
        f"no port can be reserved: of the {len(ports)} from {ports[0]} to {ports[-1]} outside the system's "
        f"ephemeral range, each is in use, or locked in {folder}"
    )


def _in_random_order(ports: Sequence[int]) -> Iterator[int]:
    """Each of ``ports``, from a random one onwards; those given out lately come last."""
    start = _random.randrange(len(ports))
    around = (ports[(start + step) % len(ports)] for step in range(len(ports)))
    yield from (port for port in around if port not in _recent)
    yield from (port for port in list(_recent) if port in ports)


@functools.cache
def candidates(low: int, high: int) -> Sequence[int]:
    """The ports that may be reserved where the ephemeral ones are ``low`` to ``high``."""
    return (*range(LOWEST, min(low, HIGHEST + 1)), *range(max(high + 1, LOWEST), HIGHEST + 1))


def ephemeral_range() -> tuple[int, int]:
    """The first and the last port that the system gives to who asks for any (ip(7), ip_local_port_range)."""
    if sys.platform == "linux":
        low, high = map(int, EPHEMERAL_ON_LINUX.read_text().split())
        return low, high
    return EPHEMERAL


def bindable(port: int) -> bool:
    """Whether anyone could bind ``port`` now: for TCP and UDP, on all addresses, without SO_REUSEADDR."""
    kinds = itertools.product((socket.AF_INET, socket.AF_INET6), (socket.SOCK_STREAM, socket.SOCK_DGRAM))
    return all(_bindable(port, family, kind) for family, kind in kinds if family == socket.AF_INET or _has_ipv6())


def _bindable(port: int, family: socket.AddressFamily, kind: socket.SocketKind) -> bool:
    with socket.socket(family, kind) as sock:
        if sys.platform == "win32":
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_EXCLUSIVEADDRUSE, 1)
        try:
            sock.bind(("", port))
        except OSError:
            return False
        return True


@functools.cache
def _has_ipv6() -> bool:
    if not socket.has_ipv6:
        return False
    try:
        with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as sock:
            sock.bind(("::", 0))
    except OSError:
        return False
    return True


def machine_folder() -> Path:
    """Where this user's locks are, in every run on this machine: so not by TMPDIR, which may differ."""
    if sys.platform == "win32":
        return Path(tempfile.gettempdir(), "pytest-echoserver-ports")
    fixed = Path("/tmp")  # noqa: S108  what is made in it is checked to be the user's own
    base = fixed if fixed.is_dir() and os.access(fixed, os.W_OK | os.X_OK) else Path(tempfile.gettempdir())
    return base / f"pytest-echoserver-ports-{os.getuid()}"


def make_private(folder: Path) -> None:
    """Make ``folder``, or make sure that it is one which only this user can write to.

    Raises:
        RuntimeError: it isn't.
    """
    with suppress(FileExistsError):
        folder.mkdir(mode=0o700)
    if sys.platform == "win32":
        return
    try:
        found = folder.lstat()
    except FileNotFoundError:  # removed again, by who released the last lock in it
        return
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o022:
        raise RuntimeError(
            f"ports are locked by files in {folder}, which must be a directory that user {os.getuid()} owns and no "
            "other can write to; it is not: remove it"
        )


@functools.cache  # what killed processes left is seldom, and harmless
def _sweep_once(folder: Path) -> None:
    """Remove the files of processes that were killed."""
    make_private(folder)
    with suppress(FileNotFoundError):
        for path in list(folder.iterdir()):
            lock = PortLock.take(int(path.name), folder, create=False) if path.name.isdecimal() else None
            if lock is not None:
                lock.release()


def _locked(descriptor: int) -> bool:
    """Lock an open file without waiting; false if another has."""
    try:
        if sys.platform == "win32":
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        else:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):  # flock(2) and _locking of Windows say so
        return False
    return True


def _is_at(descriptor: int, path: Path) -> bool:
    """Whether an open file is the one at ``path`` still."""
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False
