"""The table that is made of junit XML."""

import subprocess
import sys
from pathlib import Path

import pytest

from ..conftest import Downstream
from .table import failures, markdown, read

ROWS = """
    import pytest

    @pytest.mark.parametrize("row", ["a|b", "away", "bad"])
    def test_row(row, record_property):
        for name, value in [("row", row), ("neighbours", "n 1.0"), ("python", "3.{minor}.1"), ("pytest", "9.2.0")]:
            record_property(name, value)
        record_property("loop", "{loop}")
        if row == "away" and "{loop}" == "uvloop":
            pytest.skip("n isn't there")
        record_property("outcomes", "4 passed, 1 failed")
        assert row != "bad" or {minor} == 11, "it went wrong"

    def test_that_is_no_row():
        pass
"""
TABLE = """\
| row | neighbours | tests (what fails is meant to) | Python 3.9.1, pytest 9.2.0 | Python 3.11.1, pytest 9.2.0 |
| --- | --- | --- | --- | --- |
| a\\|b | n 1.0 | 4 passed, 1 failed | asyncio, uvloop | asyncio |
| away | n 1.0 | 4 passed, 1 failed | asyncio, uvloop skipped [1] | asyncio |
| bad | n 1.0 | 4 passed, 1 failed | asyncio FAILED [2], uvloop FAILED [2] | asyncio |

[1] n isn't there
[2] AssertionError: it went wrong

6 ran as they should, 1 skipped, 2 failed
"""


@pytest.fixture
def files(downstream: Downstream) -> list[Path]:
    files = []
    for minor, loop in [(11, "asyncio"), (9, "asyncio"), (9, "uvloop")]:
        suite = ROWS.replace("{minor}", str(minor)).replace("{loop}", loop)
        files.append(downstream.pytester.path / f"{minor}-{loop}.xml")
        downstream.run(suite, f"--junitxml={files[-1]}", "-ojunit_family=xunit1")
        for module in [name for name in sys.modules if name.startswith("test_the_table")]:
            del sys.modules[module]
    return files


def test_the_table(files: list[Path]) -> None:
    assert markdown(read(files)) + "\n" == TABLE
    assert [failure.partition(": ")[2] for failure in failures(files)] == ["test_row[bad]"] * 2


def test_the_command(files: list[Path], request: pytest.FixtureRequest) -> None:
    missing = str(files[0].with_name("missing.xml"))
    command = [sys.executable, "-m", "tests.matrix", *map(str, files), missing]
    done = subprocess.run(command, cwd=request.config.rootpath, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (1, TABLE)
    assert f"{missing}: there is none" in done.stderr
