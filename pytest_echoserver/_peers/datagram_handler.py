"""`DatagramHandler`: a function of the user's, plain or async, that says what goes back for each datagram."""

import asyncio
import inspect
from collections.abc import Awaitable
from typing import TYPE_CHECKING, Any

from .._record import Datagram
from .._telling import told_function
from .._transports.datagram import Sockaddr
from .behaviours import Answer, DatagramBehaviour, payloads_of, was_told_to_end

if TYPE_CHECKING:
    from .datagram import DatagramPeer

__tracebackhide__ = True


class DatagramHandler:
    """Answers what comes to ``peer``. An async function runs for each datagram by itself, in a task of its own."""

    def __init__(self, peer: "DatagramPeer", function: DatagramBehaviour) -> None:
        self._peer = peer
        self._end = peer._end
        self._function = function
        self._running: set[asyncio.Task[None]] = set()

    def came(self, _: bytes, addr: Sockaddr) -> None:
        self.handle(self._end.received[-1], addr)

    def handle(self, datagram: Datagram, addr: Sockaddr) -> None:
        """Have the function called, and what it gives sent to ``addr``."""
        try:
            answer = self._function(datagram)
            if inspect.isawaitable(answer):
                running = asyncio.tasks.ensure_future(self._answer_later(answer, addr))
                running.set_name(f"{told_function(self._function)} for {self._peer}")
                self._peer._scope.has_to_rest(running)
                self._running.add(running)
                running.add_done_callback(self._running.discard)
            else:
                self._answer(answer, addr)
        except BaseException as error:  # noqa: BLE001  whatever it is, the test fails with it
            self._peer._raised(error, addr)

    def cancel(self) -> None:
        """Have what still runs end."""
        for running in self._running:
            running.cancel()

    async def _answer_later(self, answer: Awaitable[Answer], addr: Sockaddr) -> None:
        task = asyncio.tasks.current_task()
        try:
            self._answer(await answer, addr)
        except BaseException as error:
            if was_told_to_end(error, task):
                raise
            self._peer._raised(error, addr)

    def _answer(self, answer: Any, addr: Sockaddr) -> None:
        for payload in payloads_of(answer, self._peer._payload, self._function):
            self._end.send(payload, addr)
