"""What a program had started, and now holds its outputs open: seen on Linux alone."""

from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path

from .escaped import told_process

MOST = 3
"""How many an error names."""


def told_holders(pipes: Mapping[int, str], pids: Iterable[int]) -> str:
    """Who of ``pids`` has which of ``pipes`` open, the outputs' names by the pipes' inodes; "" if nobody has."""
    told = []
    for pid in sorted(pids):
        open_pipes = _open_pipes(pid)
        names = [name for inode, name in pipes.items() if inode in open_pipes]
        if names:
            told.append(f"{told_process(pid)}, which it started, still holds its {' and '.join(names)}")
    if len(told) > MOST:
        told[MOST:] = [f"so do {len(told) - MOST} more"]
    return "; ".join(told)


def _open_pipes(pid: int) -> set[int]:
    """The inodes of the pipes that a process has open (proc_pid_fd(5)); none if it is gone, or not ours to see."""
    found = set()
    with suppress(OSError):
        for link in Path(f"/proc/{pid}/fd").iterdir():
            kind, _, inode = str(link.readlink()).partition(":")
            if kind == "pipe":
                found.add(int(inode[1:-1]))
    return found
