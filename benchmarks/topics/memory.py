"""What captured datagrams need."""

import os
import socket
from pathlib import Path

from .. import ours, rivals
from ..child import MAPPED, in_a_child
from ..measure import Goal, Limit, Topic
from .udp_echo import ASYNCIO, ASYNCIO_MAPPED, PAYLOAD, SERVERS


def kept(server: str, times: int) -> float:
    """How many bytes the process grows by with each echo."""
    with SERVERS[server]() as address, rivals.udp_client(address) as client:
        _echo(client, 200)
        before = _resident()
        _echo(client, times)
        return (_resident() - before) / times


def _echo(client: socket.socket, times: int) -> None:
    for _ in range(times):  # in turns, lest the kernel drop any
        client.send(PAYLOAD)
        client.recv(2_048)


def _resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


TOPICS = {
    "memory": Topic(
        "memory of one captured datagram of 64 bytes",
        ("bytes", 1.0),
        {
            ours.NAME: in_a_child(kept, ours.NAME),
            ASYNCIO: in_a_child(kept, ASYNCIO),
            ASYNCIO_MAPPED: in_a_child(kept, ASYNCIO, MAPPED),
        },
        60_000,  # as many as asyncio can keep, with a mapping each: a process has room for some 65,000
        (Limit(ours.NAME, 250), Goal(ours.NAME, ASYNCIO_MAPPED, 0.1)),
    )
}
