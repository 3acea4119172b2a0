"""Recording the calls that a transport makes to a user's protocol, from outside of it."""

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any, Protocol

from .._outcomes import as_exception
from .calls import Calls

__tracebackhide__ = True


class Listener(Protocol):
    """Who hears of a recorded protocol's calls."""

    calls: Calls

    def making(self, transport: Any, recorded: "Recorded") -> None:
        """``connection_made`` is about to be called."""

    def losing(self) -> None:
        """``connection_lost`` is about to be called."""

    def calling(self) -> None:
        """Some method is about to be called."""

    def called(self) -> None:
        """It has returned, or raised."""

    def failed(self, error: Exception) -> None:
        """Some method has raised ``error``."""

    def eof_received(self) -> None:
        """``eof_received`` has returned."""

    def connection_lost(self, exc: Exception | None) -> None:
        """``connection_lost`` has returned."""


class Recorded(asyncio.BaseProtocol):
    """Stands between a transport and the user's protocol: notes each call, then makes it."""

    def __init__(self, protocol: Any, listener: Listener) -> None:
        self.protocol = protocol
        self._listener = listener
        self._calls = listener.calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._listener.making(transport, self)
        self._pass_on("connection_made", transport)

    def pause_writing(self) -> None:
        self._pass_on("pause_writing")

    def resume_writing(self) -> None:
        self._pass_on("resume_writing")

    def connection_lost(self, exc: Exception | None) -> None:
        self._listener.losing()
        try:
            self._pass_on("connection_lost", exc)
        finally:
            self._listener.connection_lost(exc)

    def _pass_on(self, name: str, *args: Any) -> None:
        self._make(self._calls.begin(name, *args), name, *args)

    def _make(self, noted_at: int, name: str, *args: Any) -> None:
        """Make a call that is noted at that place in the record."""
        try:
            self._guarded(name, *args)
        finally:
            self._calls.returned(noted_at)

    def _guarded(self, name: str, *args: Any) -> Any:
        """Call the user's method; what it raises is its owner's, and goes on to the transport as well."""
        self._listener.calling()
        try:
            return getattr(self.protocol, name)(*args)
        except Exception as error:
            self._listener.failed(error)
            raise
        except BaseException as error:  # the loop would end with it, and with the loop every peer
            stand_in = as_exception(error)
            self._listener.failed(stand_in)
            raise stand_in from error
        finally:
            self._listener.called()


class RecordedStream(Recorded):
    def eof_received(self) -> bool | None:
        noted_at = self._calls.begin("eof_received")
        result: tuple[Any, ...] = ()
        try:
            keep_open: bool | None = self._guarded("eof_received")
            result = (keep_open,)
        finally:
            self._calls.returned(noted_at, *result)
            self._listener.eof_received()
        return keep_open


class RecordedProtocol(RecordedStream, asyncio.Protocol):
    def data_received(self, data: bytes) -> None:
        self._pass_on("data_received", data)


class RecordedBufferedProtocol(RecordedStream, asyncio.BufferedProtocol):
    """The calls of a `asyncio.BufferedProtocol`; what came is noted with ``buffer_updated``, as bytes."""

    def get_buffer(self, sizehint: int) -> Any:
        self._buffer = self._guarded("get_buffer", sizehint)
        return self._buffer

    def buffer_updated(self, nbytes: int) -> None:
        noted_at = self._calls.begin("buffer_updated", bytes(memoryview(self._buffer).cast("B")[:nbytes]))
        self._make(noted_at, "buffer_updated", nbytes)


class RecordedDatagramProtocol(Recorded, asyncio.DatagramProtocol):
    def datagram_received(self, data: bytes, addr: Any) -> None:
        self._pass_on("datagram_received", data, addr)

    def error_received(self, exc: Exception) -> None:
        self._pass_on("error_received", exc)


@dataclass(frozen=True, slots=True)
class ProtocolKind:
    """What a harness is for: the name of such protocols, the methods that a transport calls, how to record those.

    ``needed`` gives the methods without which a given protocol is none; ``calls`` names all that is noted.
    """

    name: str
    calls: tuple[str, ...]
    needed: Callable[[Any], tuple[str, ...]]
    record: Callable[[Any, Listener], Recorded]

    def check(self, protocol: Any) -> None:
        """Raise TypeError for what is no such protocol."""
        if isinstance(protocol, type):
            raise TypeError(
                f"the factory gave the class {protocol.__qualname__}, not a protocol: pass the class itself, "
                f"or `lambda: {protocol.__qualname__}(...)`"
            )
        missing = [name for name in self.needed(protocol) if not callable(getattr(protocol, name, None))]
        if missing:
            if isinstance(protocol, Coroutine):
                protocol.close()  # or its end warns that nothing has awaited it, amid any other test
            raise TypeError(
                f"the factory has to give an {self.name}, not {protocol!r}, which has no {' and no '.join(missing)}"
            )


def _needed_of_stream(protocol: Any) -> tuple[str, ...]:
    get = "get_buffer" if isinstance(protocol, asyncio.BufferedProtocol) else "data_received"
    return "connection_made", get, "connection_lost"


def _record_stream(protocol: Any, listener: Listener) -> Recorded:
    kind = RecordedBufferedProtocol if isinstance(protocol, asyncio.BufferedProtocol) else RecordedProtocol
    return kind(protocol, listener)


_FLOW = ("pause_writing", "resume_writing", "connection_lost")

STREAMS = ProtocolKind(
    "asyncio.Protocol or asyncio.BufferedProtocol",
    ("connection_made", "data_received", "buffer_updated", "eof_received", *_FLOW, "set_protocol", "start_tls"),
    _needed_of_stream,
    _record_stream,
)
DATAGRAMS = ProtocolKind(
    "asyncio.DatagramProtocol",
    ("connection_made", "datagram_received", "error_received", *_FLOW, "set_protocol"),
    lambda _: ("connection_made", "datagram_received", "connection_lost"),
    RecordedDatagramProtocol,
)
