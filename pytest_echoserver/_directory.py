"""The run's private directory: for Unix sockets and certificates, gone at the end even if the run is killed."""

import os
import shutil
import stat
import sys
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

if sys.platform != "win32":
    import fcntl

PREFIX = "echosrv-"
"""Short: the path of a Unix socket holds 104 bytes on some systems, 108 on Linux (unix(7))."""
LOCK_NAME = "lock"


class _Made(NamedTuple):
    path: Path
    lock: int | None


class PrivateDirectory:
    """A directory that only this user can read, made when its `path` is first asked for. `close` removes it.

    A killed run can't remove its own. A lock in it tells whether its run is alive (flock(2): the system lets go of
    it with the process), and whoever makes the next one removes those whose run isn't. There are no such locks on
    Windows, where the leftovers stay.
    """

    def __init__(self) -> None:
        # By process, for a forked child inherits its parent's, which isn't the child's to use or to remove.
        self._made: dict[int, _Made] = {}
        self._closed = False

    @property
    def path(self) -> Path:
        """Where it is; this process has one of its own.

        Raises:
            RuntimeError: it is closed.
        """
        if self._closed:
            raise RuntimeError("the run's private directory is closed")
        made = self._made.get(os.getpid())
        if made is None:
            remove_leftovers()
            new = _make()
            made = self._made.setdefault(os.getpid(), new)
            if made is not new:  # another thread was faster
                _remove(new)
        return made.path

    def close(self) -> None:
        """Remove it with all that is in it; not what a forked child, or its parent, has made.

        Raises:
            OSError: something in it can't be removed.
        """
        self._closed = True
        made = self._made.pop(os.getpid(), None)
        if made is not None:
            _remove(made)


def remove_leftovers() -> None:
    """Remove the directories of runs that were killed: ours by name and owner, with a lock that nobody holds."""
    if sys.platform == "win32":
        return
    for path in Path(tempfile.gettempdir()).glob(f"{PREFIX}*"):
        # Not ours to read, or on its way out by another's hand: then it isn't ours to remove either.
        with suppress(OSError):
            _remove_leftover(path)


def _remove_leftover(path: Path) -> None:
    if sys.platform == "win32":
        return
    found = path.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid():
        return
    lock = os.open(path / LOCK_NAME, os.O_RDWR | os.O_NOFOLLOW)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        _remove_tree(path)
    finally:
        os.close(lock)


def _make() -> _Made:
    path = Path(tempfile.mkdtemp(prefix=PREFIX))  # with mode 0700
    try:
        return _Made(path, _lock(path))
    except OSError:  # no descriptor is left, say; and without a lock no later run would take it for a leftover
        with suppress(OSError):
            path.rmdir()
        raise


def _lock(path: Path) -> int | None:
    if sys.platform == "win32":
        return None
    lock = os.open(path / "unlocked", os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:  # a file system without locks; without its name, nobody takes it for a leftover's
        os.close(lock)
        return None
    # It gets its name when it is held: others can't find one that isn't.
    (path / "unlocked").rename(path / LOCK_NAME)
    return lock


def _remove(made: _Made) -> None:
    try:
        _remove_tree(made.path)
    finally:
        if made.lock is not None:
            os.close(made.lock)


def _remove_tree(path: Path) -> None:
    # The lock last: if this is interrupted, what is left can still be told for a leftover.
    with suppress(FileNotFoundError):
        for entry in path.iterdir():
            if entry.name == LOCK_NAME:
                continue
            if entry.is_dir() and not entry.is_symlink():
                shutil.rmtree(entry)
            else:
                entry.unlink()
        shutil.rmtree(path)
