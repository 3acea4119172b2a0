"""What every run on the machine pays: the plugin loaded, and not used; and what the first peer costs."""

import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from .. import ours
from ..measure import Limit, Sample, Topic, Variant

EMPTY = "an empty plugin"
HOLLOW = "one with as many fixtures, options and hooks"
PLUGIN = "pytest_echoserver"
TIMED = """
import sys, time
import pytest

load = pytest.PytestPluginManager.import_plugin

def timed_load(self, name, *args, **options):
    before = time.perf_counter()
    load(self, name, *args, **options)
    if name == "{plugin}":
        print("load", time.perf_counter() - before, file=sys.__stderr__)

pytest.PytestPluginManager.import_plugin = timed_load

@pytest.hookimpl(wrapper=True)
def pytest_runtest_setup():
    before = time.perf_counter()
    yield
    print("set-up", time.perf_counter() - before, file=sys.__stderr__)
"""
"""A plugin that tells how long pytest takes to load another one, as a whole, and to set up the test."""
HOLLOW_PLUGIN = """
import pytest

class Specs:
    pass

def fixture(request, pytestconfig):
    pass

def pytest_addhooks(pluginmanager):
    pluginmanager.add_hookspecs(Specs)

def pytest_addoption(parser):
    group = parser.getgroup("hollow")
    for number in range(9):
        group.addoption(f"--hollow-{number}", metavar="VALUE", help="")
        parser.addini(f"hollow_{number}", "")

@pytest.hookimpl(wrapper=True)
def pytest_runtest_call():
    return (yield)

pytest_runtest_makereport = pytest_runtest_teardown = pytest_terminal_summary = pytest_runtest_call

def pytest_configure():
    pass

pytest_sessionfinish = pytest_configure
pytest_configure_node = pytest.hookimpl(optionalhook=True)(lambda: None)

for number in range(7):
    setattr(Specs, f"pytest_hollow_{number}", pytest.hookspec(lambda self, item: None))
for number in range(18):
    globals()[f"fixture_{number}"] = pytest.fixture(name=f"fixture_{number}")(fixture)
"""
NOTHING = "def test_it():\n    pass\n"
A_PEER = "def test_it(udp_echo_server):\n    pass\n"
ASYNCIO = "def setup_function():\n    import asyncio\n\ndef test_it():\n    pass\n"


def _run(phase: str, plugin: str, test: str = NOTHING) -> Variant:
    @contextmanager
    def variant() -> Iterator[Sample]:
        with tempfile.TemporaryDirectory() as directory:
            Path(directory, "empty_plugin.py").touch()
            Path(directory, "hollow_plugin.py").write_text(HOLLOW_PLUGIN)
            Path(directory, "timed.py").write_text(TIMED.format(plugin=plugin))
            Path(directory, "test_it.py").write_text(test)
            command = [sys.executable, "-m", "pytest", "-s", "-p", "timed", "-p", plugin, "-p", "no:cacheprovider"]
            environment = {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTHONPATH": f"{directory}:{Path.cwd()}"}

            def once() -> float:
                run = subprocess.run(
                    [*command, "test_it.py"],
                    cwd=directory,
                    env=environment,
                    check=True,
                    capture_output=True,
                    text=True,
                )
                (figure,) = (line.split()[1] for line in run.stderr.splitlines() if line.startswith(phase))
                return float(figure)

            once()  # what it compiles is compiled then
            yield lambda times: statistics.median(once() for _ in range(times))

    return variant


TOPICS = {
    "loading": Topic(
        "pytest's loading of a plugin",
        ("ms", 1e3),
        {
            ours.NAME: _run("load", PLUGIN),
            EMPTY: _run("load", "empty_plugin"),
            HOLLOW: _run("load", "hollow_plugin"),
        },
        3,
        (Limit(ours.NAME, 0.001, over=EMPTY),),
    ),
    "first-use": Topic(
        "the set-up of the first test that asks for a UDP peer",
        ("ms", 1e3),
        {
            ours.NAME: _run("set-up", PLUGIN, A_PEER),
            "of one that imports asyncio": _run("set-up", "empty_plugin", ASYNCIO),
        },
        3,
        (Limit(ours.NAME, 0.025),),
    ),
}
