"""`DatagramHarness`: your datagram protocol on a real UDP socket."""

import asyncio
import io
import socket
from collections.abc import Callable, Coroutine, Sequence
from functools import partial
from typing import Any, TypeVar

from .._adopted import Member
from .._checks import factory as checked_factory
from .._checks import flag
from .._futures import CaptureFuture
from .._outcomes import end_with, fail, fulfil, raise_together, start
from .._peers.datagram_checks import checked_payload
from .._peers.hosts import check_host, check_port
from .._record import Address, SentDatagram
from .._scope import Scope
from .._telling import told_datagrams
from .._traffic import PeerTraffic
from .far_datagrams import FarEnd, HarnessDatagram
from .harnessed import Harnessed, running_loop
from .losses import Losses
from .near import NearEnd
from .recording import DATAGRAMS

__tracebackhide__ = True

P = TypeVar("P")


class DatagramHarness:
    """Puts your `asyncio.DatagramProtocol` on a real UDP socket.

    Get it from the fixture ``datagram_harness``.
    """

    def __init__(self, scope: Scope, host: str) -> None:
        self._scope = scope
        self._host = host

    def connect(self, factory: Callable[[], P], remote: bool = True) -> "HarnessedEndpoint[P]":
        """Put a protocol on the engine's loop; return once its ``connection_made`` has returned.

        For any kind of test. The protocol's callbacks run on the engine's thread.

        Args:
            factory: called on that loop, without arguments, to make the protocol.
            remote: whether its socket is connected to the far end, as with ``remote_addr=`` of
                `asyncio.loop.create_datagram_endpoint`. If not, it hears of anybody, and names whom it sends to.

        Raises:
            TypeError: the factory gave no protocol; or ``remote`` is no bool.
            Exception: whatever the factory or ``connection_made`` raises.
        """
        checked_factory(factory, "datagram protocols")
        endpoint: HarnessedEndpoint[P] = HarnessedEndpoint(self._scope, self._scope.engine.loop, remote=remote)
        self._scope.run(endpoint._attach, factory, self._host)
        return endpoint

    async def connect_here(self, factory: Callable[[], P], remote: bool = True) -> "HarnessedEndpoint[P]":
        """Put a protocol on the running asyncio loop of an async test; the far end lives on the engine.

        ``await endpoint.close()`` before the test ends: then ``connection_lost`` was called, and no task that its
        calls have started is left. What those raise fails the test, as with `StreamHarness.connect_here`.

        Raises:
            RuntimeError: no asyncio loop runs here. `connect` works in any test.
            TypeError: the factory gave no protocol; or ``remote`` is no bool.
            Exception: whatever the factory or ``connection_made`` raises.
        """
        loop = running_loop()
        checked_factory(factory, "datagram protocols")
        endpoint: HarnessedEndpoint[P] = HarnessedEndpoint(self._scope, loop, remote=remote)
        await endpoint._attach(factory, self._host)
        return endpoint


class HarnessedEndpoint(Harnessed[P]):
    """A protocol of yours on a UDP socket, and the far end, which sends to it and sees what it sends.

    On Linux, what the kernel drops at either for want of room is told in the traffic, in errors of waits, and of
    the protocol's own socket in ``events``, as ``dropped_by_kernel(count)``.
    """

    def __init__(self, scope: Scope, loop: asyncio.AbstractEventLoop, *, remote: bool) -> None:
        super().__init__()
        self._remote = flag(remote, "remote")
        self._scope = scope
        self._timeout = scope.timeout
        self._name = scope.name_for("endpoint")
        on_engine = loop is scope.engine.loop
        self._near = NearEnd(loop, DATAGRAMS, self._failed, scope.blame, on_engine=on_engine, datagrams=True)
        self._far = FarEnd()
        self._adopt_near()
        scope.adopt(Member(self._far_traffic, self._far.record, self._shut))

    @property
    def transport(self) -> asyncio.DatagramTransport:
        """The protocol's transport. It belongs to the protocol's loop: use it through `call`."""
        transport: asyncio.DatagramTransport = self._near.transport
        return transport

    @property
    def address(self) -> Address:
        """Where the far end is: (host, port)."""
        return self._far.address

    @property
    def near_address(self) -> Address:
        """Where the protocol's socket is: (host, port)."""
        host, port = self._near.sockname[:2]
        return host, port

    @property
    def received(self) -> Sequence[HarnessDatagram]:
        """What the protocol has sent to the far end, and to the other addresses that `send` was told. What it sent
        just now may still be on its way: `next_datagram` waits for it."""
        return self._far.received

    @property
    def sent(self) -> Sequence[SentDatagram]:
        """What was sent to the protocol. It is noted before it leaves."""
        return self._far.sent

    def next_datagram(self) -> CaptureFuture[HarnessDatagram]:
        """The next datagram that the protocol sends: each call takes the next that none has taken yet.

        After the close a wait for one that never came is a `ConnectionAbortedError`.
        """
        received = self._far.received
        future: CaptureFuture[HarnessDatagram] = self._call_future("a datagram of the protocol's")

        def take(at: int) -> tuple[HarnessDatagram, int] | None:
            closed = self._far.closed  # before a look at what came: at the close some may come yet
            if at < len(received):
                return received[at], at + 1
            if closed:
                raise ConnectionAbortedError(
                    f"{self} is closed: no other datagram of the protocol's comes after that"
                )
            return None

        return self._far.cursor.ask(future, take)

    def send(self, data: bytes, source: Address | None = None) -> CaptureFuture[None]:
        """Send the protocol a datagram; the future is done when the kernel has taken it.

        Args:
            data: 0 to 65,507 bytes (65,527 over IPv6).
            source: the address, (host, port), that it comes from, for a protocol connected with ``remote=False``;
                by default the far end's. Port 0 is a new one with each call. What the protocol sends there is
                `received`, too.

        Raises:
            TypeError: the data isn't bytes, or the source no address.
            ValueError: it is larger than any datagram; or the source can't be one, or the protocol hears of the far
                end alone (``remote=True``).
            RuntimeError: it is closed.
        """
        payload = checked_payload(data, self.near_address[0])
        place = None if source is None else self._checked_source(source)
        self._refuse_if_closed("send()")
        future: CaptureFuture[None] = self._call_future(f"a datagram of {len(payload)} bytes to be sent")
        self._scope.post(self._far.send, payload, self._near.sockname, place, partial(end_with, future))
        return future

    def error(self, exc: Exception) -> CaptureFuture[None]:
        """Call the protocol's ``error_received`` with ``exc``, on its loop; done when it has returned.

        Raises:
            TypeError: it is no exception.
            RuntimeError: it is closed.
        """
        if not isinstance(exc, Exception):
            raise TypeError(f"error() takes an exception such as ConnectionRefusedError(), not {exc!r}")
        self._refuse_if_closed("error()")
        return self.call(lambda: self._near.recorded.error_received(exc))

    def refuse(self) -> CaptureFuture[None]:
        """From now on have the system refuse what the protocol sends to the far end.

        It answers each datagram with ICMP "port unreachable", of which a connected socket hears: the protocol gets
        ``error_received(ConnectionRefusedError)`` (udp(7)). The address stays reserved.

        Raises:
            io.UnsupportedOperation: the protocol's socket isn't connected, so it would never hear of that.
            RuntimeError: it is closed.
        """
        if not self._remote:
            raise io.UnsupportedOperation(
                f"refuse() on {self}: a socket that isn't connected hears nothing of refusals; take remote=True"
            )
        self._refuse_if_closed("refuse()")
        future: CaptureFuture[None] = self._call_future("the far end to refuse")

        def refuse() -> None:
            if self._far.closed:
                fail(future, ConnectionAbortedError("the endpoint was closed before it refused anything"))
            else:
                self._far.refuse()
                fulfil(future, None)

        self._scope.post(refuse)
        return future

    def close(self) -> CaptureFuture[None]:
        """Close both ends: the protocol gets all that was sent, and loses its connection."""
        return self._on_engine(self._call_future("the endpoint to be closed"), self._close)

    def _far_traffic(self) -> PeerTraffic:
        return PeerTraffic(self._name, "endpoint", self._far.address, self._far.record.events, peer=self)

    def __str__(self) -> str:
        return self._name

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self}>"

    async def _attach(self, factory: Callable[[], P], host: str) -> None:
        """Open the far end, and put the factory's protocol on a socket and the running loop."""

        async def open_near(recorded: Callable[[], Any]) -> tuple[Any, Any]:
            loop = asyncio.events.get_running_loop()
            if self._remote:
                return await loop.create_datagram_endpoint(recorded, remote_addr=self.address)
            return await loop.create_datagram_endpoint(recorded, local_addr=(host, 0))

        opened: CaptureFuture[None] = self._call_future("the far end to be opened")
        try:
            await self._on_engine(opened, lambda: self._far.open(host))
            await self._near.connect(open_near, factory)
        except BaseException as error:
            self._scope.pardon(error)  # it is the caller's now
            raise
        if not self._near.on_engine:
            await self._near.close_with_its_loop(self._engine_done)

    def _refuse_if_closed(self, asked: str) -> None:
        if self._far.closed:
            raise RuntimeError(f"{asked} on {self}, which is closed")

    def _look(self) -> None:
        super()._look()
        for losses in self._losses:
            losses.look()

    def _tell_calls(self) -> str:
        self._look()
        dropped = [
            f", and the kernel dropped {told_datagrams(losses.count, ',')} {way} it for want of room"
            for losses, way in zip(self._losses, ("to", "from"), strict=True)
            if losses.count
        ]
        return super()._tell_calls() + "".join(dropped)

    @property
    def _losses(self) -> tuple[Losses, Losses]:
        """At the protocol's end, and at the far one."""
        assert self._near.losses is not None
        return self._near.losses, self._far.losses

    def _checked_source(self, source: Any) -> Address:
        if self._remote:
            raise ValueError(
                f"source {source!r}: the protocol's socket is connected to {self.address}, and hears of nobody "
                "else; connect it with remote=False"
            )
        if not (isinstance(source, tuple) and len(source) == 2):
            raise TypeError(f"source must be an address of this machine like ('127.0.0.1', 0), not {source!r}")
        host, family = check_host(source[0])
        if (family == socket.AF_INET6) != (":" in self.near_address[0]):
            raise ValueError(f"source {source!r} can't reach the protocol at {self.near_address}")
        return host, check_port(source[1])

    def _failed(self, error: Exception) -> None:
        self._scope.blame(error)
        self._far.cursor.fail(error)

    async def _close(self) -> None:
        errors = await self._close_near()
        await self.lost
        await self._far.close()
        raise_together(errors, "tasks of the protocol that go on")

    async def _shut(self) -> None:
        try:
            if self._near.on_engine:
                await self._near.abort()
        finally:
            await self._far.close()

    def _on_engine(
        self, future: CaptureFuture[None], function: Callable[[], Coroutine[Any, Any, None]]
    ) -> CaptureFuture[None]:
        """Run a coroutine function on the engine's loop; ``future`` gets its outcome."""
        self._scope.post(start, future, function)
        return future
