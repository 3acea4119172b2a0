"""What the kernel drops at UDP sockets for want of room."""

from contextlib import suppress
from typing import Any

from .._record import Record
from .._transports.datagram import dropped_datagrams

__tracebackhide__ = True


class Losses:
    """Notes in a record how many datagrams were dropped at one end's sockets since it was looked last."""

    def __init__(self, record: Record) -> None:
        self.count = 0
        self._record = record
        self._seen: dict[Any, int] = {}

    def watch(self, sock: Any) -> None:
        with self._record.lock:
            self._seen[sock] = 0

    def look(self) -> None:
        """Note what was dropped meanwhile; any thread may ask for it. A closed socket tells no more."""
        with self._record.lock:
            for sock, seen in list(self._seen.items()):
                with suppress(OSError, ValueError):  # the latter by uvloop
                    more = (dropped_datagrams(sock) or 0) - seen
                    if more > 0:
                        self._seen[sock] += more
                        self.count += more
                        self._record.note("dropped_by_kernel", more)
