"""Who watches sockets for the engine's loop."""

import asyncio
import select
import socket
from collections.abc import Callable
from typing import Any

import pytest

from pytest_echoserver._readers import LoopReaders, best_readers


@pytest.fixture(params=[best_readers, LoopReaders])
def readers(request: pytest.FixtureRequest) -> Any:
    """Makes readers of the running loop."""
    return request.param


class Reads:
    def __init__(self, read: Callable[[], object]) -> None:
        self._read = read

    def readable(self, most: int, /) -> None:
        self._read()


def test_a_socket_is_watched_until_it_is_removed(readers: Any) -> None:
    async def watch() -> list[bytes]:
        came: list[bytes] = []
        near, far = socket.socketpair()
        with near, far:
            watching = readers(asyncio.get_running_loop())
            watching.add(near, Reads(lambda: came.append(near.recv(1))))
            far.send(b"ab")
            while len(came) < 2:
                await asyncio.sleep(0)
            watching.remove(near)
            watching.remove(near)
            watching.remove(far)
            far.send(b"c")
            for _ in range(5):
                await asyncio.sleep(0)
            watching.close()
        return came

    assert asyncio.run(watch()) == [b"a", b"b"]


@pytest.mark.skipif(not hasattr(select, "epoll"), reason="the nested poller is an epoll")
def test_a_socket_can_be_removed_after_the_end() -> None:
    async def end() -> None:
        near, far = socket.socketpair()
        with near, far:
            watching = best_readers(asyncio.get_running_loop())
            watching.add(near, Reads(lambda: None))
            watching.close()
            watching.remove(near)

    asyncio.run(end())
