"""Each row of the matrix, as far as its neighbours are installed here."""

import platform
import re
import shutil
from collections.abc import Callable
from importlib import metadata
from pathlib import Path

import pytest

from ..conftest import Downstream
from .rows import ROWS, Row

SUITES = Path(__file__).parent / "suites"
FAILED = re.compile(r"FAILED \S*test_meant_to_fail.*")
REASON = re.compile(r"E +pytest_echoserver\.ScriptMismatch: .*")


@pytest.fixture(params=ROWS, ids=lambda row: row.name)
def row(request: pytest.FixtureRequest, record_property: Callable[[str, object], None]) -> Row:
    """One row, whose neighbours are installed; what it is run with goes into the junit XML, for the table."""
    row: Row = request.param
    versions = {name: version(name) for name in row.packages}
    record_property("row", row.name)
    record_property("neighbours", ", ".join(f"{name} {number}" for name, number in versions.items()))
    record_property("python", platform.python_version())
    record_property("pytest", pytest.__version__)
    record_property("loop", request.config.getoption("--echoserver-loop") or "asyncio")
    missing = [name for name, number in versions.items() if not number]
    if missing:
        pytest.skip(f"{' and '.join(missing)} not installed: pip install 'pytest-echoserver[matrix]'")
    return row


def version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return ""


def test_row(
    row: Row,
    downstream: Downstream,
    monkeypatch: pytest.MonkeyPatch,
    request: pytest.FixtureRequest,
    record_property: Callable[[str, object], None],
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(request.config.rootpath))
    monkeypatch.setenv("COLUMNS", "200")  # the lines of the summary are cut to this
    if row.plugins is None:
        monkeypatch.delenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD")
    for name in ("app.py", "conftest.py"):
        shutil.copy(SUITES / name, downstream.pytester.path)
    suite = shutil.copy(SUITES / row.suite, downstream.pytester.path / f"test_{row.suite}")
    loop = request.config.getoption("--echoserver-loop") or "asyncio"

    result = downstream.run_file_apart(str(suite), *arguments(row), f"--echoserver-loop={loop}")

    outcomes = result.parseoutcomes()
    told = ", ".join(f"{count} {outcome}" for outcome, count in sorted(outcomes.items(), reverse=True))
    record_property("outcomes", told)
    if outcomes != row.outcomes and fails_by_itself(downstream.pytester, row):
        what = "`def test_nothing(): pass` without this plugin as well"
        pytest.skip(f"{' and '.join(row.packages)} with pytest {pytest.__version__} fails {what}")
    assert outcomes == row.outcomes
    result.stdout.fnmatch_lines(row.prints)
    failed = [line for line in result.outlines if line.startswith("FAILED")]
    assert len(failed) == row.outcomes["failed"]
    assert all(map(FAILED.match, failed))
    assert sum(map(bool, map(REASON.match, result.outlines))) == len(failed)


def arguments(row: Row) -> list[str]:
    arguments = list(row.options)
    for plugin in row.plugins or ():
        arguments += ["-p", plugin]
    return arguments


def fails_by_itself(pytester: pytest.Pytester, row: Row) -> bool:
    (pytester.path / "conftest.py").unlink()
    nothing = pytester.makepyfile(test_nothing="def test_nothing():\n    pass\n")
    result = pytester.runpytest_subprocess("-W", "error", *arguments(row), str(nothing), timeout=120)
    return result.ret not in (pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED)
