"""The same tests of stream peers again, with the peers on uvloop."""

from pathlib import Path

import pytest


@pytest.mark.parametrize("name", ["test_stream.py", "test_stream_connection.py", "test_handlers.py"])
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
        str(Path(__file__).with_name(name)),
        timeout=120,
    )
    assert result.ret == pytest.ExitCode.OK
