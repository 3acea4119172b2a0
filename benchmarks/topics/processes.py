"""Child processes: from start to exit, and how fast their output comes."""

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from time import perf_counter

from .. import ours, rivals
from ..measure import Calls, Goal, Sample, Topic, Variant

RUN = "subprocess.run(capture_output=True)"
PROTOCOL = "asyncio's SubprocessProtocol"
READS = "a loop of reads into a bytearray, which can do nothing else"
MIB = 1024 * 1024
PRINTS = "import sys\nfor _ in range(int(sys.argv[1])): sys.stdout.buffer.write(bytes(2**20))"

CHILDREN = {"true": ["true"], "python": [sys.executable, "-I", "-S", "-c", ""]}


def _ours(argv: list[str]) -> Variant:
    @contextmanager
    def variant() -> Iterator[Sample]:
        with ours.runner() as runner:
            yield Calls(lambda: runner(*argv).wait().result())

    return variant


def _run(argv: list[str]) -> Variant:
    @contextmanager
    def variant() -> Iterator[Sample]:
        yield Calls(lambda: subprocess.run(argv, capture_output=True, check=True))

    return variant


@contextmanager
def _our_output() -> Iterator[Sample]:
    def sample(times: int) -> float:
        with ours.runner() as runner:  # one for each, as for each test: it keeps what came
            before = perf_counter()
            done = runner(sys.executable, "-c", PRINTS, str(times)).wait().result()
            taken = perf_counter() - before
            assert len(done.stdout) == times * MIB
            return times / taken

    yield sample


class _Collects(asyncio.SubprocessProtocol):
    def __init__(self) -> None:
        self.output = bytearray()
        self.done = asyncio.get_running_loop().create_future()

    def pipe_data_received(self, fd: int, data: bytes) -> None:
        self.output.extend(data)

    def connection_lost(self, exc: Exception | None) -> None:
        self.done.set_result(None)


@contextmanager
def _protocols_output() -> Iterator[Sample]:
    async def collect(times: int) -> None:
        loop = asyncio.get_running_loop()
        transport, protocol = await loop.subprocess_exec(_Collects, sys.executable, "-c", PRINTS, str(times))
        await protocol.done
        transport.close()
        assert len(protocol.output) == times * MIB

    with rivals.shared_loop() as run:

        def sample(times: int) -> float:
            before = perf_counter()
            run(collect(times))
            return times / (perf_counter() - before)

        yield sample


@contextmanager
def _reads() -> Iterator[Sample]:
    def sample(times: int) -> float:
        before = perf_counter()
        output = bytearray()
        with subprocess.Popen(
            [sys.executable, "-c", PRINTS, str(times)], stdout=subprocess.PIPE, bufsize=0
        ) as child:
            assert child.stdout is not None
            while data := child.stdout.read(MIB):
                output += data
        assert len(output) == times * MIB
        return times / (perf_counter() - before)

    yield sample


TOPICS = {
    f"start-{name}": Topic(
        f"a child process from start to exit: {name}",
        ("µs", 1e6),
        {ours.NAME: _ours(argv), RUN: _run(argv)},
        20,
        (Goal(ours.NAME, RUN, 1.8 if name == "true" else 1.3),),
    )
    for name, argv in CHILDREN.items()
} | {
    "output": Topic(
        "the output of a child process, captured",
        ("MiB/s", 1.0),
        {ours.NAME: _our_output, PROTOCOL: _protocols_output, READS: _reads},
        256,
        (Goal(ours.NAME, PROTOCOL, 1.7, more=True),),
        bigger_is_better=True,
    )
}
