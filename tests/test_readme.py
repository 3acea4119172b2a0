"""Every code block of the README is run."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from .conftest import Downstream

ROOT = Path(__file__).parents[1]
BLOCKS: list[tuple[str, str]] = re.findall(
    r"^```(\w*)\n(.*?)^```$", (ROOT / "README.md").read_text(), re.MULTILINE | re.DOTALL
)


def blocks(language: str) -> list[str]:
    return [text for kind, text in BLOCKS if kind == language]


def plain(text: str) -> str:
    """Without what differs from run to run: times, ports, and the file's name."""
    return re.sub(r"\+\d+\.\d+ s|\b\w+\.py\b|127.0.0.1(:| port )\d+", "_", text)


def test_there_is_no_other_kind_of_block() -> None:
    assert {kind for kind, _ in BLOCKS} == {"python", "text", "sh"}


@pytest.mark.parametrize("code", [code for code in blocks("python") if "def greet" not in code])
def test_a_test_that_passes(downstream: Downstream, code: str) -> None:
    result = downstream.run_apart(
        code, "-oasyncio_default_fixture_loop_scope=function", plugins=("pytest_asyncio.plugin",)
    )
    result.assert_outcomes(passed=len(re.findall(r"^(?:async )?def test_", code, re.MULTILINE)))


def test_the_one_that_fails_shows_what_is_shown(downstream: Downstream) -> None:
    (code,) = (code for code in blocks("python") if "def greet" in code)
    (shown,) = blocks("text")
    result = downstream.run(code)
    result.assert_outcomes(failed=1)
    assert plain(shown) in plain(result.stdout.str())


def test_one_command_runs_the_examples(tmp_path: Path) -> None:
    command, _ = blocks("sh")
    clone = tmp_path / "clone"
    ignored = shutil.ignore_patterns(".*", "__pycache__")
    shutil.copytree(ROOT, clone, ignore=ignored)
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST", "COV"))}
    done = subprocess.run(
        ["bash", "-c", command],
        cwd=clone,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"^=+ \d+ passed in", done.stdout, re.MULTILINE)


def test_the_other_runs_this_suite_and_is_what_ci_calls() -> None:
    _, command = blocks("sh")
    assert command.rstrip().endswith("&& .venv/bin/pytest -n auto")
    assert "README.md" in (ROOT / ".ci" / "run").read_text()
