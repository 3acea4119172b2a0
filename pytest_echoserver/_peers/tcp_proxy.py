"""`TCPProxy`: stands between clients and a real server that speak TCP."""

import asyncio
import socket

from .. import _deadline
from .._futures import CaptureFuture
from .._record import Address
from .._scope import Scope
from .._tasks import cancel_all
from .._transports.writing import linger_not
from .accepted import PeerConnection
from .defaults import CommonOptions
from .pausing import PausableProtocol
from .proxying import Proxying
from .stream import StreamPeer
from .stream_end import StreamEnd

__tracebackhide__ = True

MOST_UNSENT = 256 * 1024
"""Bytes that wait for the client, from which on no more are read from the target."""
NOT_CONNECTED = "the target isn't connected yet"
CLIENT_BEHIND = "the client is behind"
TARGET_BEHIND = "the target is behind"
PARTITIONED = "the network is partitioned"


class TCPProxy(Proxying, StreamPeer):
    """Passes each connection on to a target, both ways, with its half-closes and its resets.

    Get one by ``peers.tcp_proxy(target)``. It is a `StreamPeer`, but takes no handler, script or rule
    (``RuntimeError``). Its ``connections`` are those of the clients: ``received`` is what came from there, ``sent``
    what went back. What one side doesn't read isn't read from the other, as in one connection.

    The target's side is in ``events``: ``target_connected(n, address)`` or ``target_refused(n, exc)``,
    ``target_data_sent(n, data)``, ``target_data_received(n, data)``, ``target_eof_sent(n)``,
    ``target_eof_received(n)``, ``target_lost(n, exc)``, with ``partitioned(n)`` and ``healed(n)``.
    """

    def __init__(
        self,
        scope: Scope,
        name: str,
        sock: socket.socket,
        options: CommonOptions,
        *,
        target: Address,
    ) -> None:
        self._target = target
        self._relays: dict[PeerConnection, Relay] = {}
        self._relaying: set[asyncio.Task[None]] = set()
        super().__init__(scope, name, sock, options, Relay)

    def _start(self, connection: PeerConnection, start: int = 0) -> None:  # noqa: ARG002  it always has all
        relay = connection._end.listener = Relay(connection._end, self._target, self._timeout)
        self._relays[connection] = relay
        if self._partitioned:
            self._stall(connection, relay)
        relaying = asyncio.tasks.ensure_future(relay.connect())
        self._relaying.add(relaying)
        relaying.add_done_callback(self._relaying.discard)

    def _cut(self) -> None:
        for connection, relay in self._relays.items():
            if connection._end.lost.is_set():
                continue
            if self._partitioned:
                self._stall(connection, relay)
            elif connection._network is not None:
                connection._end.note("healed")
                connection._network.heal()
                relay.target.resume_reading(PARTITIONED)

    def _stall(self, connection: PeerConnection, relay: "Relay") -> None:
        network = connection._needed_network()
        connection._end.note("partitioned")
        network.cut_off()
        relay.target.pause_reading(PARTITIONED)

    def _clear(self, script: bool) -> None:
        super()._clear(script)
        # One whose target still has bytes to take outlives its client's connection, and is to be closed with us.
        self._relays = {
            connection: relay
            for connection, relay in self._relays.items()
            if not (connection._end.lost.is_set() and relay.target.lost.is_set())
        }

    async def _shut(self) -> None:
        await super()._shut()
        await cancel_all(self._relaying)
        for relay in self._relays.values():
            await relay.target.abort()


class Relay:
    """One client's connection, passed on: listens to the client's end, and speaks to the target."""

    def __init__(self, client: StreamEnd, target: Address, limit: float) -> None:
        self.client = client
        self.target = TargetEnd(client)
        self._address = target
        self._limit = limit

    async def connect(self) -> None:
        """Connect to the target; until then nothing is read from the client."""
        self.client.pause_reading(NOT_CONNECTED)
        loop = asyncio.events.get_running_loop()
        try:
            async with asyncio.timeouts.timeout(self._limit):
                await loop.create_connection(lambda: self.target, *self._address)
        except OSError as error:
            self.target.lost.set()
            self.client.note("target_refused", error)
            self.client.reset()
        else:
            self.client.resume_reading(NOT_CONNECTED)
            await self.target.lost.wait()

    def data_received(self, data: bytes) -> None:
        self.target.send(data)

    def eof_received(self) -> None:
        self.target.send_eof()

    def connection_lost(self) -> None:
        self.target.end(reset=self.client.ends == ["reset"])


class TargetEnd(PausableProtocol):
    """The connection to the target: what comes from there goes to the client."""

    def __init__(self, client: StreamEnd) -> None:
        super().__init__()
        self.lost = asyncio.locks.Event()
        self._client = client
        self._eof_sent = self._eof_received = False
        self._early: list[bytes] = []
        """What came before the target was connected, EOF as empty bytes: uvloop reads once in spite of a pause."""

    def send(self, data: bytes) -> None:
        """Pass on what came from the client."""
        if self._transport is None:
            self._early.append(data)
        elif not self._transport.is_closing():
            self._client.note("target_data_sent", data)
            self._transport.write(data)

    def send_eof(self) -> None:
        """Pass on the client's end of its direction."""
        if self._transport is None:
            self._early.append(b"")
        elif not (self._transport.is_closing() or self._eof_sent):
            self._eof_sent = True
            self._client.note("target_eof_sent")
            self._transport.write_eof()
            self._close_if_both_ended()

    def end(self, *, reset: bool) -> None:
        """The client is gone: so is this connection, in the same way."""
        transport = self._transport
        if transport is None or transport.is_closing():
            return
        if reset:
            linger_not(transport.get_extra_info("socket"))
            transport.abort()
        else:
            transport.close()

    async def abort(self) -> None:
        """Close it now."""
        if self._transport is not None:
            self._transport.abort()
            await self.lost.wait()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._client.note("target_connected", transport.get_extra_info("peername")[:2])
        for data in self._early:
            if data:
                self.send(data)
            else:
                self.send_eof()
        self._early.clear()
        if self._client.lost.is_set():
            self.end(reset=self._client.ends == ["reset"])

    def data_received(self, data: bytes) -> None:
        self._client.note("target_data_received", data)
        self._client.send(data)
        if self._client.unsent > MOST_UNSENT:
            self.pause_reading(CLIENT_BEHIND)
            room: CaptureFuture[None] = CaptureFuture("room for more", timeout=_deadline.UNTIL_THE_TEST_ENDS)
            room.add_done_callback(lambda _: self.resume_reading(CLIENT_BEHIND))
            self._client.when_sent(room)

    def eof_received(self) -> bool:
        self._eof_received = True
        self._client.note("target_eof_received")
        self._client.send_eof()
        self._close_if_both_ended()
        return True

    def pause_writing(self) -> None:
        self._client.pause_reading(TARGET_BEHIND)

    def resume_writing(self) -> None:
        self._client.resume_reading(TARGET_BEHIND)

    def connection_lost(self, exc: Exception | None) -> None:
        self._client.note("target_lost", exc)
        self.lost.set()
        if self._client.lost.is_set():
            return
        if exc is None:
            self._client.close()
        else:
            self._client.reset()

    def _close_if_both_ended(self) -> None:
        if self._eof_sent and self._eof_received and self._transport is not None:
            self._transport.close()
