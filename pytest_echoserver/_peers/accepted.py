"""`PeerConnection`: a connection that a stream peer has accepted."""

import socket
from functools import partial
from typing import TYPE_CHECKING, Any

from .._outcomes import as_exception
from .connection import Connection
from .stream_end import StreamEnd
from .stream_script import StreamScript

if TYPE_CHECKING:
    from .._timetable import Agenda
    from .faulty_streams import FaultyStream
    from .stream import StreamPeer

__tracebackhide__ = True


class PeerConnection(Connection):
    """A `Connection` that a peer has accepted."""

    def __init__(self, peer: "StreamPeer", sock: socket.socket, peername: Any) -> None:
        self.number = next(peer._numbers)
        end = StreamEnd(peer._record, self.number)
        end.sock, end.tls = sock, peer._tls is not None
        super().__init__(peer._scope, f"connection {self.number} of {peer}", peer._timeout, end)
        self._short_name = f"connection {self.number}"
        self._peername = peername[:2] if isinstance(peername, tuple) else peername
        self._peer = peer
        self._older_than_script = 0
        self._network: FaultyStream | None = None
        self._framing, self._strict, self._rules = peer._framing, peer._strict, peer._rules

    def _redacted(self, data: bytes) -> bytes:
        return self._peer._redacted(data)

    def _what_came(self) -> str:
        return super()._what_came() + ("" if self._network is None else self._network.told())

    def _forget_script(self) -> None:
        if self._own_script is not None:
            self._own_script.drop()
        self._own_script = None
        self._end.listen(None)

    def _make_script(self) -> StreamScript:
        peer = self._peer
        peer._refuse_if_served("expect()")
        peer._scripted = True
        peer._with_scripts.append(self)
        return super()._make_script()

    def _follow_script(self) -> None:
        assert self._own_script is not None
        shared = self._peer._script
        start = max(self._for_test.position, 0 if shared is None else shared.leave(self))
        self._own_script.follow(self, start, self._end.arrived)

    def _blame(self, error: Exception, *, of_user: bool, code: str) -> bool:
        place = f"{code or self._peer._code}, on {self._short_name}" if of_user else ""
        return self._peer._blame(error, self._told_by, place)

    def _failed(self, error: Exception) -> None:
        self._peer._end_all_waits(error)

    def _needed_network(self) -> "FaultyStream":
        """Its network, which stands between it and its transport from now on; without faults, if it had none."""
        if self._network is None:
            self._network = self._make_network()
            self._network.stand_between()
        return self._network

    def _make_network(self) -> "FaultyStream":
        from .faulty_streams import FaultyStream  # few peers have any faults

        agenda: Agenda = {}
        return FaultyStream(
            self._end,
            self.number - 1,
            self._timeout,
            at=partial(self._peer._at, agenda=agenda),
            agenda=agenda,
            fail=lambda error: self._fail(as_exception(error), code=f"the faults of {self._peer}"),
        )
