"""What captured datagrams need."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from .. import ours
from ..measure import Goal, Sample, Topic, Unavailable, Variant

ASYNCIO = "asyncio's endpoint, appending (data, addr)"

# Each in a process of its own: what one has freed would do for the next. In turns, lest the kernel drop any.
CLIENT = """
import resource, socket, sys
from benchmarks.topics.udp_echo import SERVERS
def resident():
    with open("/proc/self/statm") as statm:
        return int(statm.read().split()[1]) * resource.getpagesize()
times = int(sys.argv[2])
with SERVERS[sys.argv[1]]() as address, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
    client.connect(address)
    def echo(times):
        for _ in range(times):
            client.send(bytes(64))
            client.recv(2048)
    echo(200)
    before = resident()
    echo(times)
    print((resident() - before) / times)
"""


def _captured(server: str) -> Variant:
    @contextmanager
    def variant() -> Iterator[Sample]:
        if sys.platform != "linux":
            raise Unavailable("/proc/self/statm")

        def sample(times: int) -> float:
            command = [sys.executable, "-c", CLIENT, server, str(times)]
            return float(subprocess.run(command, check=True, capture_output=True).stdout)

        yield sample

    return variant


TOPICS = {
    "memory": Topic(
        "memory of one captured datagram of 64 bytes",
        ("bytes", 1.0),
        {ours.NAME: _captured(ours.NAME), ASYNCIO: _captured("asyncio's endpoint in a thread")},
        20_000,
        (Goal(ours.NAME, ASYNCIO, 0.1),),
    )
}
