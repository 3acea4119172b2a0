"""Every code block of the documentation is run, page by page, in the order in which a reader meets them.

A block with a caption is a file of that name, until another with the same caption takes its place. A console block
is run where these files are, and has to print what stands there; a line ``...`` stands for any lines. Python
without a caption is a file of tests. All files of tests that no console block has run have to pass at the end of
their page.
"""

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[1] / "docs"
PAGES = sorted(str(path.relative_to(DOCS)) for path in DOCS.rglob("*.md") if "_build" not in path.parts)
BLOCK = re.compile(
    r"^(?P<fence>```+|:::+)(?:\{code-block\} )?(?P<kind>[\w-]+)\n(?P<text>.*?)^(?P=fence)$",
    re.MULTILINE | re.DOTALL,
)
CAPTION = re.compile(r":caption: (\S+)\n\n?")
TEST = re.compile(r"^ *(?:async )?def test_", re.MULTILINE)
DIFFERS = re.compile(
    r"\+\d+\.\d+ s|in \d+\.\d+s|\[ *\d+%\]|127\.0\.0\.1(:| port )\d+|\[::1\]:\d+"
    r"|[ =_-]{3,}|0x[0-9a-f]{6,}|0000  \w\w \w\w 01 00.*"
)
"""What is another one each time: times, ports, addresses, the width of rules, the number of a DNS message."""
PLUGINS = {"anyio": "anyio.pytest_plugin", "-n": "xdist.plugin", "httpserver": "pytest_httpserver.pytest_plugin"}
"""Other people's that readers of the pages have installed, by a word in the pages that use them: pytest loads all
of theirs, but here that would take longer than most of what the pages do."""
NOT_RUN = {"sh": "to install, or to build", "text": "a drawing", "html": "a drawing"}
PAGE_WIDTH = 90
"""Characters of code that a page shows without scrolling."""


@dataclass(frozen=True)
class Block:
    kind: str
    name: str | None
    text: str


def blocks(page: str) -> Iterator[Block]:
    for found in BLOCK.finditer((DOCS / page).read_text()):
        caption = CAPTION.match(found["text"])
        name, text = (caption[1], found["text"][caption.end() :]) if caption else (None, found["text"])
        yield Block(found["kind"], name, text)


class Reader:
    """Does what a page says, in a directory of its own."""

    def __init__(self, directory: Path, page: str) -> None:
        self.directory = directory
        text = (DOCS / page).read_text()
        self._plugins = ["pytest_asyncio.plugin", *(plugin for word, plugin in PLUGINS.items() if word in text)]
        self._unnamed = 0
        self._to_run: set[str] = set()

    def meet(self, block: Block) -> None:
        if block.kind == "console":
            self.run_console(block.text)
        elif block.name is not None:
            self.write(block.name, block.text)
        elif block.kind == "python":
            self._unnamed += 1
            self.write(f"test_of_page_{self._unnamed}.py", block.text)
        else:
            assert block.kind in NOT_RUN, f"a {block.kind} block needs a caption: which file is it?"

    def write(self, name: str, text: str) -> None:
        path = self.directory / name
        path.parent.mkdir(exist_ok=True, parents=True)
        path.write_text(text)
        if "def test_" in text:
            self._to_run.add(name)

    def run_console(self, text: str) -> None:
        """Run each line after a ``$``, and compare what it prints with the lines that follow."""
        for command, expected in re.findall(r"^\$ (.*)\n((?:(?!\$ ).*\n)*)", text, re.MULTILINE):
            argv = shlex.split(command)
            printed = self.run(*argv)
            self._to_run -= set(argv)
            assert matches(expected, printed), f"{command} should print:\n{expected}\nbut did print:\n{printed}"

    def end(self) -> None:
        if self._to_run:
            printed = self.run("pytest", "-q", "-W", "error", *sorted(self._to_run))
            passed = re.search(r"^(\d+) passed in", printed, re.MULTILINE)
            assert passed is not None, printed
            assert int(passed[1]) >= sum(len(TEST.findall(self.read(name))) for name in self._to_run)

    def read(self, name: str) -> str:
        return (self.directory / name).read_text()

    def run(self, program: str, *args: str) -> str:
        alone = {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "COLUMNS": "80", "PYTHONDONTWRITEBYTECODE": "1"}
        here = {"CI", "BUILD_NUMBER", "GITHUB_ACTIONS", "PYTEST_ADDOPTS"}
        environment = {name: value for name, value in os.environ.items() if name not in here}
        argv = [sys.executable, "-m", program, *args]
        if program == "pytest":
            argv[3:3] = ["-p", "pytest_echoserver", "-p", "no:cacheprovider"]
            for plugin in self._plugins:
                argv[3:3] = ["-p", plugin]
            argv += ["-oasyncio_default_fixture_loop_scope=function"]
        done = subprocess.run(
            argv,
            cwd=self.directory,
            env=environment | alone,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        return done.stdout + done.stderr


def matches(expected: str, printed: str) -> bool:
    """Whether all lines are there, in order; without gaps, but for where ``...`` stands."""
    parts = [re.escape(plain(line)) for line in expected.splitlines()]
    pattern = "".join(
        "(?:.*\n)*" if part == r"\.\.\." else f"{part.replace(re.escape('...'), '.*')}\n" for part in parts
    )
    return re.fullmatch(pattern, "".join(f"{plain(line)}\n" for line in printed.splitlines())) is not None


def plain(line: str) -> str:
    return DIFFERS.sub("_", line.rstrip())


def test_the_pages_are_built_without_a_warning_and_without_a_network(tmp_path: Path) -> None:
    build = [sys.executable, "-m", "sphinx", "-q", "-W", "--keep-going", "-d", "cache", str(DOCS), "html"]
    done = subprocess.run(build, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    page = (tmp_path / "html" / "reference" / "fixtures.html").read_text()
    assert 'id="udp-echo-server"' in page
    settings = (tmp_path / "html" / "reference" / "settings.html").read_text()
    assert "--echoserver-payload-limit" in settings


@pytest.mark.parametrize("page", PAGES)
def test_what_a_page_says_is_so(page: str, tmp_path: Path) -> None:
    reader = Reader(tmp_path, page)
    for block in blocks(page):
        reader.meet(block)
    reader.end()


@pytest.mark.parametrize("page", PAGES)
def test_its_code_fits_the_page(page: str) -> None:
    lines = [line for block in blocks(page) if block.kind == "python" for line in block.text.splitlines()]
    assert [line for line in lines if len(line) > PAGE_WIDTH] == []
