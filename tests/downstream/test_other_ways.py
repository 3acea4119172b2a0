"""Tests of what has to do with transports, again: on uvloop, and where the system has no fast way.

Not those that take long: `nox -s uvloop plain` runs all.
"""

from pathlib import Path

import pytest

from ..conftest import needs_uvloop

FILES = (
    "peers/test_stream.py",
    "peers/test_stream_connection.py",
    "peers/test_handlers.py",
    "harness/test_calls.py",
    "harness/test_datagram.py",
    "harness/test_kinds.py",
    "harness/protocols",
    "process/test_programs.py",
    "process/test_terminal.py",
)
PLAIN_FILES = (
    "peers/test_datagram.py",
    "peers/test_datagram_handlers.py",
    "peers/test_datagram_script.py",
    "peers/test_stream.py",
    "harness/test_datagram.py",
    "process/test_programs.py",
)


@pytest.fixture(autouse=True)
def _no_other_plugins(monkeypatch: pytest.MonkeyPatch) -> None:
    # To load all that are installed takes longer than most of the tests.
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")


@needs_uvloop
@pytest.mark.parametrize("name", FILES)
def test_they_pass_on_uvloop(pytester: pytest.Pytester, request: pytest.FixtureRequest, name: str) -> None:
    if request.config.getoption("--echoserver-loop") == "uvloop":
        pytest.skip("they run on it already")
    _run(pytester, request, name, "--echoserver-loop=uvloop")


@pytest.mark.parametrize("name", PLAIN_FILES)
def test_they_pass_the_plain_way(pytester: pytest.Pytester, request: pytest.FixtureRequest, name: str) -> None:
    _run(pytester, request, name, "-p", "tests.downstream.plain_ways")


def _run(pytester: pytest.Pytester, request: pytest.FixtureRequest, name: str, *options: str) -> None:
    root = request.config.rootpath
    result = pytester.runpytest_subprocess(
        "-c",
        str(root / "pyproject.toml"),
        f"--rootdir={root}",
        *("-p", "pytest_echoserver", "-p", "pytest_asyncio.plugin", "-p", "no:cacheprovider"),
        *options,
        "--tb=short",
        str(Path(__file__).parents[1] / name),
        timeout=120,
    )
    assert result.ret == pytest.ExitCode.OK
