"""Not to read from a transport, for any number of reasons at once."""

import asyncio
from typing import cast

__tracebackhide__ = True


class PausableProtocol(asyncio.Protocol):
    """A protocol that can be told not to read, for any number of reasons, also before it has a transport."""

    def __init__(self) -> None:
        self._transport: asyncio.Transport | None = None
        self._paused_by: set[str] = set()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        if self._paused_by:
            self._transport.pause_reading()

    def pause_reading(self, why: str) -> None:
        """Don't read, for this reason; there may be several."""
        self._paused_by.add(why)
        if self._transport is not None and not self._transport.is_closing():
            self._transport.pause_reading()

    def resume_reading(self, why: str) -> None:
        """This reason is gone."""
        self._paused_by.discard(why)
        if not (self._paused_by or self._transport is None or self._transport.is_closing()):
            self._transport.resume_reading()
