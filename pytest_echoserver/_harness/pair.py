"""A connected socket for a test, and the far end of it."""

import socket
from contextlib import suppress

from .._adopted import Member
from .._peers.connection import Connection
from .._peers.stream_end import StreamEnd
from .._record import RowRecord
from .._scope import Scope

__tracebackhide__ = True


class PairedConnection(Connection):
    """The far end of a socket that the test has."""

    def __init__(self, scope: Scope, near: socket.socket) -> None:
        record = RowRecord()
        super().__init__(scope, scope.name_for("pair"), scope.timeout, StreamEnd(record))
        self._near_socket = near
        scope.adopt(Member(self._traffic, record, self._shut, verdict=self._verdict))

    async def _shut(self) -> None:
        if self._near_socket.gettimeout() == 0:
            # A loop has it: to free its number would have the loop mistake the next socket for it.
            with suppress(OSError):
                self._near_socket.shutdown(socket.SHUT_RDWR)
        else:
            self._near_socket.close()
        await super()._shut()
