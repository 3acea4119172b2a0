"""The draining datagram transport, where the peer's tests don't reach: a kernel that has no room."""

import asyncio
import socket
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from pytest_echoserver._readers import LoopReaders
from pytest_echoserver._transports.datagram import DrainingDatagramTransport

pytestmark = pytest.mark.skipif(
    sys.platform != "linux", reason="a Unix datagram socket that isn't read stops its senders"
)


class Noting(asyncio.DatagramProtocol):
    def __init__(self) -> None:
        self.calls: list[Any] = []

    def datagram_received(self, data: bytes, addr: Any) -> None:
        self.calls.append(data)

    def error_received(self, exc: Exception) -> None:
        self.calls.append(exc)

    def connection_lost(self, exc: Exception | None) -> None:
        self.calls.append("lost")


class Ends:
    """A transport, and a socket for it to send to, which is read or not."""

    def __init__(self, folder: Path) -> None:
        near, self.far = (socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) for _ in range(2))
        for sock, name in ((near, "near"), (self.far, "far")):
            sock.setblocking(False)
            sock.bind(str(folder / name))
        self.address: Any = str(folder / "far")
        self.protocol = Noting()
        self.sent: list[OSError | None] = []
        self.transport = DrainingDatagramTransport(near, self.protocol, LoopReaders(asyncio.get_running_loop()))

    def send(self, count: int) -> None:
        for number in range(count):
            self.transport.sendto(b"%d" % number, self.address, self.sent.append)

    def close(self) -> None:
        self.transport.close()
        self.far.close()


async def turn_until(met: Any) -> None:
    async with asyncio.timeout(5):
        while not met():
            await asyncio.sleep(0)


@pytest.mark.asyncio
async def test_what_the_kernel_has_no_room_for_is_sent_later_in_order(tmp_path: Path) -> None:
    ends = Ends(tmp_path)
    ends.send(199)
    assert 0 < len(ends.sent) < 199
    received = [ends.far.recv(10)]
    ends.transport.sendto(b"199", ends.address, ends.sent.append)  # there is room, but others wait for it

    def all_received() -> bool:
        with suppress(BlockingIOError):
            received.append(ends.far.recv(10))
        return len(received) == 200

    await turn_until(all_received)
    assert received == [b"%d" % number for number in range(200)]
    assert ends.sent == [None] * 200
    ends.close()


@pytest.mark.asyncio
async def test_what_still_waits_when_it_is_closed_is_told_as_lost(tmp_path: Path) -> None:
    ends = Ends(tmp_path)
    ends.send(200)
    taken = len(ends.sent)
    ends.close()
    ends.transport.close()
    assert ends.sent[:taken] == [None] * taken
    assert [type(error) for error in ends.sent[taken:]] == [ConnectionAbortedError] * (200 - taken)
    assert ends.protocol.calls == ["lost"]
    with pytest.raises(RuntimeError, match="the transport is closed"):
        ends.transport.sendto(b"x", ends.address)


@pytest.mark.asyncio
async def test_an_error_in_sending_is_the_protocols_and_the_senders(tmp_path: Path) -> None:
    ends = Ends(tmp_path)
    ends.address = str(tmp_path / "nowhere")
    ends.send(1)
    ends.transport.sendto(b"x", ends.address)
    assert [type(error) for error in ends.sent] == [FileNotFoundError]
    assert [type(call) for call in ends.protocol.calls] == [FileNotFoundError] * 2
    ends.close()


@pytest.mark.asyncio
async def test_it_may_be_closed_by_what_it_has_received(tmp_path: Path) -> None:
    ends = Ends(tmp_path)
    ends.protocol.datagram_received = lambda *_: ends.transport.close()  # type: ignore[method-assign]
    for _ in range(3):
        ends.far.sendto(b"x", str(tmp_path / "near"))
    await turn_until(ends.transport.is_closing)
    assert ends.protocol.calls == ["lost"]
    ends.close()


@pytest.mark.asyncio
async def test_it_may_be_closed_while_the_poller_is_about_to_tell_it(tmp_path: Path) -> None:
    ends = Ends(tmp_path)
    ends.far.sendto(b"x", str(tmp_path / "near"))
    ends.transport.abort()
    ends.transport.readable(1)
    assert ends.protocol.calls == ["lost"]
    ends.close()


@pytest.mark.asyncio
async def test_it_reads_many_a_turn_but_not_all() -> None:
    near, far = (socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(2))
    near.setblocking(False)
    near.bind(("127.0.0.1", 0))
    for _ in range(160):
        far.sendto(b"x", near.getsockname())
    protocol = Noting()
    transport = DrainingDatagramTransport(near, protocol, LoopReaders(asyncio.get_running_loop()))
    turns = 0

    def all_read() -> bool:
        nonlocal turns
        turns += 1
        return len(protocol.calls) == 160

    await turn_until(all_read)
    assert 10 <= turns <= 13
    transport.close()
    far.close()
