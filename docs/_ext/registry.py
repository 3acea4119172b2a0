"""Directives that ask pytest and the plugin what there is: what they print is what is registered.

`echoserver-fixtures` lists the fixtures as `pytest --fixtures -v` does, with what they give; `echoserver-marker`
has the marker as of `pytest --markers`; `echoserver-options` the settings that the plugin adds to the command line
and the ini file.
"""

import inspect
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from textwrap import dedent
from typing import Any

from docutils import nodes
from sphinx.addnodes import pending_xref
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.util.docutils import SphinxDirective
from sphinx.util.typing import ExtensionMetadata

import pytest_echoserver

PACKAGE = pytest_echoserver.__name__


@cache
def pytest_says(*args: str) -> str:
    """What pytest prints about a suite that has our plugin and no tests."""
    command = [sys.executable, "-m", "pytest", "-p", PACKAGE, "-p", "no:cacheprovider", *args]
    alone = os.environ | {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "COLUMNS": "200"}
    package = Path(pytest_echoserver.__file__).parent  # a folder that has no tests and no ini file
    return subprocess.run(command, cwd=package, env=alone, capture_output=True, text=True, check=False).stdout  # noqa: S603


def fixtures() -> Iterator[tuple[str, str, str]]:
    """Name, scope and text of each fixture, as they stand in the source."""
    _, _, ours = pytest_says("--fixtures", "-v").partition(f"fixtures defined from {PACKAGE}")
    shown = re.findall(r"^(\w+)(?: \[(\w+) scope\])? -- \S+:(\d+)\n((?:    .*\n|\s*\n)*)", ours, re.MULTILINE)
    for name, scope, _, text in sorted(shown, key=lambda each: int(each[2])):
        if not name.startswith("_"):
            yield name, scope or "function", dedent(text).strip()


class Options:
    """Stands in for pytest's parser, and keeps what the plugin adds to it."""

    def __init__(self) -> None:
        self.command_line: dict[str, dict[str, Any]] = {}
        self.ini: dict[str, str] = {}
        add_options: Callable[[Any], None] = vars(pytest_echoserver)["pytest_addoption"]
        add_options(self)

    def getgroup(self, *_: str) -> "Options":
        return self

    def addoption(self, name: str, **attributes: Any) -> None:
        self.command_line[name] = attributes

    def addini(self, name: str, text: str, *_: object, **__: object) -> None:
        self.ini[name] = text


class Generated(SphinxDirective):
    """A directive whose content, in reStructuredText, is made when the page is."""

    def lines(self) -> Iterator[str]:
        raise NotImplementedError

    def run(self) -> list[nodes.Node]:
        return self.parse_text_to_nodes("\n".join(self.lines()), allow_section_headings=True)


class FixtureList(Generated):
    """Each fixture, with what it gives, its scope and its text."""

    def lines(self) -> Iterator[str]:
        for name, scope, text in fixtures():
            annotation = inspect.signature(getattr(pytest_echoserver, name)).return_annotation
            gives = re.sub(r"^Iterator\[(.*)\]$", r"\1", annotation)  # of a fixture that yields
            told = f":py:class:`~{PACKAGE}.{gives}`" if gives in pytest_echoserver.__all__ else f"``{gives}``"
            yield from (f".. _{name}:", "", name, "-" * len(name), "")
            yield from (f"Gives {told}; {scope} scope.", "", *text.splitlines(), "")


class OptionList(Generated):
    """Each setting, as on the command line and in the ini file, with its text."""

    def lines(self) -> Iterator[str]:
        options = Options()
        for name, attributes in options.command_line.items():
            ini = name.lstrip("-").replace("-", "_")
            assert options.ini[ini] == attributes["help"]
            yield from (f".. option:: {name}={attributes['metavar']}", "")
            yield from (f"   {attributes['help']} In the ini file: ``{ini}``.", "")


class MarkerLine(Generated):
    """The marker's line."""

    def lines(self) -> Iterator[str]:
        signature, text = re.findall(
            r"^(@pytest.mark.echoserver\(.*?\)): (.*)$", pytest_says("--markers"), re.MULTILINE
        )[0]
        yield from (f".. describe:: {signature}", "", f"   {text[0].upper()}{text[1:]}")


def documented(app: Sphinx, env: BuildEnvironment, node: pending_xref, content: nodes.Element) -> nodes.Node | None:
    """Have a reference lead to what is documented by that name, wherever it is made and by whatever module."""
    python = env.domains.python_domain
    target: str = node.get("reftarget", "")
    ours = [full for full, entry in python.objects.items() if full.startswith(PACKAGE) and not entry.aliased]
    found = [full for full in ours if full.endswith(f".{target}")]
    if not found:
        found = [full for full in ours if full.rpartition(".")[2] == target.rpartition(".")[2]]
    if node.get("refdomain") != "py" or len(found) != 1:
        return None
    return python.resolve_xref(env, node["refdoc"], app.builder, "obj", found[0], node, content)


def setup(app: Sphinx) -> ExtensionMetadata:
    app.add_directive("echoserver-fixtures", FixtureList)
    app.add_directive("echoserver-options", OptionList)
    app.add_directive("echoserver-marker", MarkerLine)
    app.connect("missing-reference", documented)
    return {"parallel_read_safe": True}
