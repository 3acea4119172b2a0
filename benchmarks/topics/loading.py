"""What every run on the machine pays: the plugin loaded, and not used; and what the first peer costs."""

import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from .. import ours
from ..measure import Limit, Sample, Topic, Unavailable, Variant

if sys.platform != "win32":
    import resource

EMPTY = "an empty plugin"
TEST = "def test_it():\n    pass\n"
FIRST = "def test_it(udp_echo_server):\n    pass\n"
ASYNCIO = f"import asyncio\n\n{TEST}"


def _run(plugin: str, test: str) -> Variant:
    @contextmanager
    def variant() -> Iterator[Sample]:
        if sys.platform == "win32":
            raise Unavailable("getrusage")
        with tempfile.TemporaryDirectory() as directory:
            Path(directory, "empty_plugin.py").touch()
            Path(directory, "test_it.py").write_text(test)
            command = [sys.executable, "-m", "pytest", "-q", "-p", plugin, "-p", "no:cacheprovider", "test_it.py"]
            environment = {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTHONPATH": f"{directory}:{Path.cwd()}"}

            def sample(times: int) -> float:
                return statistics.median(
                    _processor_time(command, cwd=directory, env=environment) for _ in range(times)
                )

            yield sample

    return variant


def _processor_time(command: list[str], **options: Any) -> float:
    """What a process takes of it, in seconds: what else runs on the machine matters less to it than to a clock."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, check=True, capture_output=True, **options)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


TOPICS = {
    "loading": Topic(
        "processor time of a pytest run of one empty test, with a plugin loaded",
        ("ms", 1e3),
        {ours.NAME: _run("pytest_echoserver", TEST), EMPTY: _run("empty_plugin", TEST)},
        3,
        (Limit(ours.NAME, 0.001, over=EMPTY),),
    ),
    "first-use": Topic(
        "the same, where that test asks for a UDP peer",
        ("ms", 1e3),
        {
            ours.NAME: _run("pytest_echoserver", FIRST),
            EMPTY: _run("empty_plugin", TEST),
            "the same, and a test that imports asyncio": _run("empty_plugin", ASYNCIO),
        },
        3,
        (Limit(ours.NAME, 0.025, over=EMPTY),),
    ),
}
