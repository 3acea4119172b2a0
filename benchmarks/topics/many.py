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
ECHOES = 1_000

# Each in a process of its own: what one has freed would do for the next. For each number of echoes that it is asked
# for it prints what one took, in the median; then the time that a peer took beside these, and its memory.
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

def echo(client):
    sent = time.perf_counter()
    client.send(bytes(64))
    client.recv(2048)
    return time.perf_counter() - sent

count = int(sys.argv[2])
resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
make = {"ours": of_ours, "asyncio": asyncios}[sys.argv[1]]
with make(500):  # these take the room that has become free while all this was loaded
    before, started = resident(), time.perf_counter()
    with make(count) as addresses, rivals.udp_client(addresses[-1]) as client:
        memory = (resident() - before) / count
        paused = time.perf_counter()
        for line in sys.stdin:
            print(statistics.median(echo(client) for _ in range(int(line))), flush=True)
        started += time.perf_counter() - paused
    print((time.perf_counter() - started) / count, memory)
"""


def _command(make: str) -> list[str]:
    """What runs such a process; how many peers it opens is to follow."""
    if sys.platform != "linux":
        raise Unavailable("/proc/self/statm")
    return [sys.executable, "-c", PROCESS, make]


def _figure(place: int, make: str) -> Variant:
    @contextmanager
    def variant() -> Iterator[Sample]:
        command = _command(make)

        def sample(times: int) -> float:
            told = subprocess.run([*command, str(times)], check=True, capture_output=True, input=b"").stdout
            return float(told.split()[place])

        yield sample

    return variant


def _echoes(count: int) -> Variant:
    """Among so many peers, which stay open: the machine is quicker at times and slower at others, so they take
    turns, and what opening them has left in the processor's caches is of the round that doesn't count."""

    @contextmanager
    def variant() -> Iterator[Sample]:
        command = [*_command("ours"), str(count)]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdin is not None
            assert process.stdout is not None
            asked, told = process.stdin, process.stdout

            def sample(times: int) -> float:
                asked.write(f"{times}\n")
                asked.flush()
                return float(told.readline())

            yield sample
            asked.close()
            told.read()

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
        {ours.NAME: _echoes(PEERS), ONE: _echoes(1)},
        ECHOES,
        (Goal(ours.NAME, ONE, 1.1),),
    ),
}
