"""What every run on the machine pays: the plugin loaded, and not used; and what the first peer costs."""

import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from .. import ours
from ..measure import Limit, Sample, Topic, Variant, each

EMPTY = "an empty plugin"
TEST = "def test_it():\n    pass\n"
FIRST = "def test_it(udp_echo_server):\n    pass\n"


def _run(plugin: str, test: str) -> Variant:
    @contextmanager
    def variant() -> Iterator[Sample]:
        with tempfile.TemporaryDirectory() as directory:
            Path(directory, "empty_plugin.py").touch()
            Path(directory, "test_it.py").write_text(test)
            command = [sys.executable, "-m", "pytest", "-q", "-p", plugin, "-p", "no:cacheprovider", "test_it.py"]
            environment = {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTHONPATH": f"{directory}:{Path.cwd()}"}

            def once() -> None:
                subprocess.run(command, cwd=directory, env=environment, check=True, capture_output=True)

            yield each(once)

    return variant


TOPICS = {
    "loading": Topic(
        "a pytest run of one empty test, with a plugin loaded",
        ("ms", 1e3),
        {ours.NAME: _run("pytest_echoserver", TEST), EMPTY: _run("empty_plugin", TEST)},
        3,
        (Limit(ours.NAME, 0.001, over=EMPTY),),
    ),
    "first-use": Topic(
        "the same, where that test asks for a UDP peer",
        ("ms", 1e3),
        {ours.NAME: _run("pytest_echoserver", FIRST), EMPTY: _run("empty_plugin", TEST)},
        3,
        (Limit(ours.NAME, 0.025, over=EMPTY),),
    ),
}
