"""What a round trip takes while another thread computes: the engine has to wait for the interpreter."""

import statistics
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from time import perf_counter, sleep

from .. import ours, rivals
from ..measure import Sample, Topic, Variant

INTERVALS = (0.005, 0.001, 0.0001)
"""Seconds. The first is Python's own."""
PAYLOAD = bytes(64)
PAUSE = 0.001
"""Seconds before each round trip, in which the other thread gets the interpreter."""


@contextmanager
def _computing() -> Iterator[None]:
    """A thread that lets go of the interpreter only when it must."""
    stop = False

    def compute() -> None:
        while not stop:
            sum(range(1_000))

    thread = threading.Thread(target=compute)
    thread.start()
    yield
    stop = True
    thread.join()


def _round_trip(interval: float) -> Variant:
    @contextmanager
    def variant() -> Iterator[Sample]:
        with ours.peers() as peers, peers.udp_echo() as peer, rivals.udp_client(peer.address) as client:

            def once() -> float:
                sleep(PAUSE)
                before = perf_counter()
                client.send(PAYLOAD)
                client.recv(2_048)
                return perf_counter() - before

            def sample(times: int) -> float:
                before = sys.getswitchinterval()
                sys.setswitchinterval(interval)
                try:
                    with _computing():
                        return statistics.mean(once() for _ in range(times))
                finally:
                    sys.setswitchinterval(before)

            yield sample

    return variant


TOPICS = {
    "busy-thread": Topic(
        "a UDP round trip of 64 bytes beside a thread that computes, by --echoserver-switch-interval",
        ("µs", 1e6),
        {f"{interval:g} s": _round_trip(interval) for interval in INTERVALS},
        50,
    )
}
