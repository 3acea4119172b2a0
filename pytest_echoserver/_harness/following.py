"""Following a transport from one protocol to the next, so that the calls to each are recorded."""

from asyncio.sslproto import SSLProtocol
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from .calls import Calls
from .recording import Recorded

__tracebackhide__ = True


class Following:
    """Keeps a recorder before whatever protocol a transport has.

    On asyncio's own transports ``set_protocol`` is followed when it is called, and so is ``loop.start_tls``. On
    others, uvloop's for one, that can only be looked up: after each call to the protocol, when nothing can have
    been missed. A change that is found at another time is where the record ends.
    """

    def __init__(self, calls: Calls, record: Callable[[Any], Recorded]) -> None:
        self.transport: Any = None
        self.lost = False
        """Whether there was a change that could not be followed."""
        self.recorded: Recorded | None = None
        """The last that was followed."""
        self._calls = calls
        self._record = record
        self._recorded: Recorded | None = None
        self._begun = self._returned = 0

    def begin(self, transport: Any, recorded: Recorded) -> None:
        """Follow ``transport`` from where it has ``recorded`` for its protocol."""
        self.end()
        self.transport, self._recorded, self.recorded = transport, recorded, recorded
        self._get, self._set = transport.get_protocol, transport.set_protocol
        with suppress(AttributeError):  # not an object of Python's
            transport.set_protocol = self._set_protocol
            transport.get_protocol = self._get_protocol

    def end(self) -> None:
        """Leave the transport as it was."""
        for name in ("set_protocol", "get_protocol"):
            getattr(self.transport, "__dict__", {}).pop(name, None)
        self._recorded = None

    def calling(self) -> None:
        """A call to the protocol begins."""
        self._begun += 1

    def called(self) -> None:
        """It has ended. If it changed the protocol, the new one is followed from here."""
        if self._changed and not self.lost:
            self._set_protocol(self._current)
        self._returned += 1

    def look(self) -> None:
        """Note a change that was made at another time, once. Any thread may ask for it."""
        begun = self._begun
        if self._changed and begun == self._returned and begun == self._begun and not self.lost:
            self.lost = True
            self._calls.note("record_ended", self._current)

    @property
    def in_place(self) -> bool:
        """Whether the transport's next call would be seen."""
        return self._recorded is not None and self._current is self._recorded

    @property
    def _changed(self) -> bool:
        return self._recorded is not None and self._current not in (self._recorded, None)

    @property
    def _current(self) -> Any:
        """The protocol that the transport has; None once it has let go of it."""
        try:
            return self._get()
        except AttributeError:  # as asyncio's TLS has it after a second close()
            return None

    def _get_protocol(self) -> Any:
        return self._recorded and self._recorded.protocol

    def _set_protocol(self, protocol: Any) -> None:
        if isinstance(protocol, SSLProtocol):
            self._follow_tls(protocol)
            return
        recorded = protocol if isinstance(protocol, Recorded) else self._record(protocol)
        self._calls.note("set_protocol", recorded.protocol)
        self._set(recorded)
        self._recorded = self.recorded = recorded

    def _follow_tls(self, below: SSLProtocol) -> None:
        """Go on with the transport that `asyncio.loop.start_tls` is about to give; ``below`` carries it."""
        self._calls.note("start_tls")
        self._set(below)
        above: Any = below._get_app_transport()  # type: ignore[attr-defined]  # there is no other way to it
        protocol = above.get_protocol()
        recorded = protocol if isinstance(protocol, Recorded) else self._record(protocol)
        above.set_protocol(recorded)
        self.begin(above, recorded)
