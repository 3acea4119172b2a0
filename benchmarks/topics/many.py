"""What many UDP peers at once take, and how quick an echo is among them."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from .. import ours
from ..measure import Goal, Sample, Topic, Unavailable, Variant

ASYNCIO = "asyncio's endpoints, made one after the other on a loop in a thread"
ONE = "a peer with no other"
PEERS = 5_000
ECHOES = 200

# Each in a process of its own: what one has freed would do for the next. Prints what the topics below tell of.
PROCESS = """
import contextlib, resource, socket, statistics, sys, time
from benchmarks import ours, rivals

def resident():
    with open("/proc/self/statm") as statm:
        return int(statm.read().split()[1]) * resource.getpagesize()

@contextlib.contextmanager
def of_ours(count):
    with ours.peers() as peers:
        yield [peers.udp_echo().address for _ in range(count)]

@contextlib.contextmanager
def asyncios(count):
    with rivals.shared_loop() as run:
        transports = [run(rivals.udp_endpoint()) for _ in range(count)]
        yield [transport.get_extra_info("sockname") for transport in transports]
        for transport in transports:
            run(rivals.close(transport))

count, echoes = int(sys.argv[2]), int(sys.argv[3])
resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
make = {"ours": of_ours, "asyncio": asyncios}[sys.argv[1]]
with make(1):
    pass
before, started = resident(), time.perf_counter()
taken = []
with make(count) as addresses, rivals.udp_client(addresses[-1]) as client:
    memory = (resident() - before) / count
    paused = time.perf_counter()
    for _ in range(echoes):
        sent = time.perf_counter()
        client.send(bytes(64))
        client.recv(2048)
        taken.append(time.perf_counter() - sent)
    started += time.perf_counter() - paused
print((time.perf_counter() - started) / count, memory, statistics.median(taken))
"""


def _figure(place: int, make: str, count: int | None = None) -> Variant:
    @contextmanager
    def variant() -> Iterator[Sample]:
        if sys.platform != "linux":
            raise Unavailable("/proc/self/statm")

        def sample(times: int) -> float:
            command = [sys.executable, "-c", PROCESS, make, str(count or times), str(ECHOES)]
            told = subprocess.run(command, check=True, capture_output=True).stdout
            return float(told.split()[place])

        yield sample

    return variant


TOPICS = {
    "many-peers-time": Topic(
        f"opening and closing {PEERS:,} UDP peers, each of them",
        ("µs", 1e6),
        {ours.NAME: _figure(0, "ours"), ASYNCIO: _figure(0, "asyncio")},
        PEERS,
        (Goal(ours.NAME, ASYNCIO, 1 / 2),),
    ),
    "many-peers-memory": Topic(
        f"memory of each of {PEERS:,} UDP peers",
        ("bytes", 1.0),
        {ours.NAME: _figure(1, "ours"), ASYNCIO: _figure(1, "asyncio")},
        PEERS,
        (Goal(ours.NAME, ASYNCIO, 1 / 3),),
    ),
    "many-peers-echo": Topic(
        f"a UDP round trip among {PEERS:,} peers",
        ("µs", 1e6),
        {ours.NAME: _figure(2, "ours"), ONE: _figure(2, "ours", 1)},
        PEERS,
        (Goal(ours.NAME, ONE, 1.1),),
    ),
}
