"""A protocol on a real socketpair, beside a mock of its transport."""

import asyncio
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from unittest.mock import MagicMock

from .. import ours, rivals
from ..measure import Calls, Goal, Sample, Topic

MOCK = "a MagicMock for the transport"
BY_HAND = "a socketpair by hand, the protocol on a loop in a thread (keeps nothing)"
HERE = f"{ours.NAME}, on the loop of an async test"


class Upper(asyncio.Protocol):
    """Answers in capitals."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.WriteTransport)
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.transport.write(data.upper())


@contextmanager
def _ours() -> Iterator[Sample]:
    with ours.stream_harness() as harness:

        def once() -> None:
            stream = harness.connect(Upper)
            stream.send(b"hello")
            assert stream.read_exactly(5).result() == b"HELLO"
            stream.close().result()

        yield Calls(once)


@contextmanager
def _ours_here() -> Iterator[Sample]:
    with ours.stream_harness() as harness, asyncio.Runner() as runner:
        loop = runner.get_loop()

        async def once() -> None:
            stream = await harness.connect_here(Upper)
            stream.send(b"hello")
            assert await stream.read_exactly(5) == b"HELLO"
            await stream.close()

        yield Calls(lambda: loop.run_until_complete(once()))


@contextmanager
def _mock() -> Iterator[Sample]:
    def once() -> None:
        protocol = Upper()
        transport = MagicMock(spec=asyncio.Transport)
        protocol.connection_made(transport)
        protocol.data_received(b"hello")
        transport.write.assert_called_once_with(b"HELLO")
        protocol.connection_lost(None)

    yield Calls(once)


@contextmanager
def _by_hand() -> Iterator[Sample]:
    async def connect(sock: socket.socket) -> asyncio.Transport:
        transport, _ = await asyncio.get_running_loop().create_connection(Upper, sock=sock)
        return transport

    with rivals.shared_loop() as run:

        def once() -> None:
            near, far = socket.socketpair()
            near.setblocking(False)
            transport = run(connect(near))
            with far:
                far.sendall(b"hello")
                assert far.recv(5) == b"HELLO"
                run(rivals.close(transport))

        yield Calls(once)


TOPICS = {
    "stream-harness": Topic(
        "a stream protocol: connect, one message, close",
        ("µs", 1e6),
        {ours.NAME: _ours, HERE: _ours_here, MOCK: _mock, BY_HAND: _by_hand},
        100,
        (Goal(ours.NAME, MOCK, 0.3),),
    )
}
