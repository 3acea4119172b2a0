"""A sample taken in a process of its own: what another has allocated and freed before would change it.

glibc maps memory for whatever is larger than 128 KiB, until something larger was mapped and freed; asyncio reads
every datagram into 256 KiB. Whether it pays a mapping for each is a matter of what the process has done before.
"""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module

from .measure import Sample, Unavailable, Variant

MAPPED = {"MALLOC_MMAP_THRESHOLD_": str(128 * 1024)}
"""Keeps glibc at what it begins with (mallopt(3)), whatever was freed."""


def in_a_child(
    measure: Callable[[str, int], float], server: str, environment: dict[str, str] | None = None
) -> Variant:
    """Take each sample by ``measure(server, times)``, a function of a module's, in a new process.

    Args:
        environment: what to set there, beside what is set here.
    """

    @contextmanager
    def variant() -> Iterator[Sample]:
        if sys.platform != "linux":
            raise Unavailable("Linux")
        command = [sys.executable, "-m", __name__, measure.__module__, measure.__name__, server]

        def sample(times: int) -> float:
            given = {**os.environ, **(environment or {})}
            return float(subprocess.run([*command, str(times)], env=given, check=True, capture_output=True).stdout)

        yield sample

    return variant


if __name__ == "__main__":
    module, function, server, times = sys.argv[1:]
    sys.stdout.write(str(getattr(import_module(module), function)(server, int(times))))
