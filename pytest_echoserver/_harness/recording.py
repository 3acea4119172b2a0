"""Recording the calls that a transport makes to a user's protocol, from outside of it."""

import asyncio
from collections.abc import Callable
from typing import Any, Protocol

from .._outcomes import as_exception
from .._record import Record

__tracebackhide__ = True


class Listener(Protocol):
    """Who hears of a recorded protocol's calls, after they have returned."""

    calls: Record

    def failed(self, error: Exception) -> None: ...
    def eof_received(self) -> None: ...
    def connection_lost(self, exc: Exception | None) -> None: ...


def recorded_stream_protocol(factory: Callable[[], Any], listener: Listener) -> "Recorded":
    """Call ``factory`` and put its protocol behind one that records each call before passing it on.

    Raises:
        TypeError: the factory gave no stream protocol.
    """
    protocol = factory()
    if isinstance(protocol, type):
        raise TypeError(
            f"the factory gave the class {protocol.__qualname__}, not a protocol: pass the class itself, "
            f"or `lambda: {protocol.__qualname__}(...)`"
        )
    buffered = isinstance(protocol, asyncio.BufferedProtocol)
    needed = ("connection_made", "get_buffer" if buffered else "data_received", "connection_lost")
    missing = [name for name in needed if not callable(getattr(protocol, name, None))]
    if missing:
        raise TypeError(
            f"the factory has to give an asyncio.Protocol or asyncio.BufferedProtocol, not {protocol!r}, "
            f"which has no {' and no '.join(missing)}"
        )
    kind = RecordedBufferedProtocol if buffered else RecordedProtocol
    return kind(protocol, listener)


class Recorded(asyncio.BaseProtocol):
    """Stands between a transport and the user's protocol: notes each call, then makes it."""

    def __init__(self, protocol: Any, listener: Listener) -> None:
        self.protocol = protocol
        self._listener = listener
        self._record = listener.calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._pass_on("connection_made", transport)

    def eof_received(self) -> bool | None:
        try:
            keep_open: bool | None = self._pass_on("eof_received")
        finally:
            self._listener.eof_received()
        return keep_open

    def pause_writing(self) -> None:
        self._pass_on("pause_writing")

    def resume_writing(self) -> None:
        self._pass_on("resume_writing")

    def connection_lost(self, exc: Exception | None) -> None:
        try:
            self._pass_on("connection_lost", exc)
        finally:
            self._listener.connection_lost(exc)

    def _pass_on(self, name: str, *args: Any) -> Any:
        self._record.note(name, *args)
        return self._guarded(name, *args)

    def _guarded(self, name: str, *args: Any) -> Any:
        """Call the user's method; what it raises is its owner's, and goes on to the transport as well."""
        try:
            return getattr(self.protocol, name)(*args)
        except Exception as error:
            self._listener.failed(error)
            raise
        except BaseException as error:  # the loop would end with it, and with the loop every peer
            stand_in = as_exception(error)
            self._listener.failed(stand_in)
            raise stand_in from error


class RecordedProtocol(Recorded, asyncio.Protocol):
    def data_received(self, data: bytes) -> None:
        self._pass_on("data_received", data)


class RecordedBufferedProtocol(Recorded, asyncio.BufferedProtocol):
    """The calls of a `asyncio.BufferedProtocol`; what came is noted with ``buffer_updated``, as bytes."""

    def get_buffer(self, sizehint: int) -> Any:
        self._buffer = self._guarded("get_buffer", sizehint)
        return self._buffer

    def buffer_updated(self, nbytes: int) -> None:
        self._record.note("buffer_updated", bytes(memoryview(self._buffer)[:nbytes]))
        self._guarded("buffer_updated", nbytes)
