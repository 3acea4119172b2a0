"""Tests of what has to do with transports, again, with the engine on uvloop."""

from pathlib import Path

import pytest

FILES = (
    "peers/test_stream.py",
    "peers/test_stream_connection.py",
    "peers/test_handlers.py",
    "harness/test_calls.py",
    "harness/test_datagram.py",
    "harness/test_kinds.py",
    "harness/protocols",
    "process/test_programs.py",
    "process/test_ready.py",
    "process/test_runner.py",
    "process/test_terminal.py",
)


@pytest.mark.parametrize("name", FILES)
def test_they_pass_there_too(pytester: pytest.Pytester, request: pytest.FixtureRequest, name: str) -> None:
    pytest.importorskip("uvloop")
    if request.config.getoption("--echoserver-loop") == "uvloop":
        pytest.skip("they run on it already")
    root = request.config.rootpath
    result = pytester.runpytest_subprocess(
        "-c",
        str(root / "pyproject.toml"),
        f"--rootdir={root}",
        "-p",
        "pytest_echoserver",
        "-p",
        "no:cacheprovider",
        "--echoserver-loop=uvloop",
        "--tb=short",
        str(Path(__file__).parents[1] / name),
        timeout=120,
    )
    assert result.ret == pytest.ExitCode.OK
