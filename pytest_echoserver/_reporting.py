"""What passed in a test, put where it is looked for: its report, the junit XML, files, a page; and hooks."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import chain
from typing import TYPE_CHECKING, Any

import pytest

from ._fixtures import SETTINGS

if TYPE_CHECKING:
    from ._evidence.timeline import Reading
    from ._scope import Scope
    from ._settings import Settings

IN_PAGE = "_echoserver_page"
"""The attribute of a report that has what the page shows of it."""
KEPT = pytest.StashKey[list[dict[str, Any]]]()
OURS = "(pytest-echoserver)"
"""How the titles of our sections end."""


def is_wanted(report: pytest.TestReport, settings: Settings) -> bool:
    """Whether there is to be evidence in this report."""
    return report.failed or (settings.traffic == "all" and report.when == "call" and report.passed)


def add_evidence(
    item: pytest.Item, report: pytest.TestReport, scopes: Sequence[Scope], errors: Sequence[Exception]
) -> None:
    """Put what a test's peers saw into its report, and into the files that were asked for.

    Args:
        scopes: those of the test's peers.
        errors: those of its peers that the report doesn't show by itself.
    """
    from ._evidence import text

    settings = item.config.stash[SETTINGS]
    reading = _reading(item)
    for scope in scopes:
        traffic = scope.traffic()
        shown = text.sections(traffic, errors, reading=reading, width=settings.width, limit=settings.payload_limit)
        for title, content in shown:
            if settings.traffic != "off" or title != text.TITLE:
                _add_section(report, title, content)
        errors = ()


def tell_hooks(item: pytest.Item, scope: Scope) -> None:
    """Tell those who want to know what a test's peers saw."""
    if item.ihook.pytest_echoserver_traffic.get_hookimpls():
        item.ihook.pytest_echoserver_traffic(item=item, traffic=scope.traffic())


@contextmanager
def shown_on_terminal(config: pytest.Config) -> Iterator[None]:
    """While the terminal's summary is written, have our sections in colour, and folded in a log of GitHub's.

    Those of tests that passed, where they are wanted, nobody else shows but with ``-rP``.
    """
    terminal: Any = config.pluginmanager.get_plugin("terminalreporter")
    shown = [] if terminal is None else [terminal.stats.get(kind, ()) for kind in ("failed", "error", "passed")]
    lists = [sections for report in chain(*shown) for sections in _sections_of(report)]
    before = [(sections, list(sections)) for sections in lists if any(map(_is_ours, sections))]
    if terminal is not None and before:
        from ._evidence import text

        colour, fold = terminal.hasmarkup, os.environ.get("GITHUB_ACTIONS") == "true"
        for sections, _ in before:
            for place, section in enumerate(sections):
                if _is_ours(section):
                    title, content, *more = section
                    sections[place] = (title, text.for_terminal(title, content, colour=colour, fold=fold), *more)
        if not terminal.hasopt("P"):
            _show_passed(terminal)
    yield
    for sections, as_they_were in before:
        sections[:] = as_they_were


def _show_passed(terminal: Any) -> None:
    passed = [report for report in terminal.stats.get("passed", ()) if any(map(_is_ours, report.sections))]
    if passed:
        terminal.section("TRAFFIC OF PASSED TESTS")
    for report in passed:
        terminal.section(report.head_line or report.nodeid, sep="_")
        for title, content in filter(_is_ours, report.sections):
            terminal.section(title, sep="-")
            terminal.line(content)


def _is_ours(section: Sequence[str]) -> bool:
    return section[0].endswith(OURS)


def _add_section(report: pytest.TestReport, title: str, content: str) -> None:
    # Beside the traceback rather than the captured output: so it is in the junit XML, and --show-capture=no is not
    # for it.
    longrepr: Any = report.longrepr
    if hasattr(longrepr, "addsection"):
        longrepr.addsection(title, content, "-")
    else:
        report.sections.append((title, content))


def _sections_of(report: pytest.TestReport) -> list[list[Any]]:
    return [report.sections, getattr(report.longrepr, "sections", [])]


def _reading(item: pytest.Item) -> Reading:
    """How payloads are read by the hooks of those who have a say in this test."""
    from ._evidence.timeline import Reading

    redactors = item.ihook.pytest_echoserver_redact.get_hookimpls()

    def redact(peer: object, data: bytes) -> bytes:
        given = {"peer": peer}
        for each in reversed(redactors):
            try:
                found: Any = each.function(*({**given, "data": data}[name] for name in each.argnames))
                data = data if found is None else bytes(memoryview(found))
            except Exception as error:  # noqa: BLE001  the report must not be lost by it, nor show what it hides
                return f"(left out: pytest_echoserver_redact raised {type(error).__name__})".encode()
        return data

    def decode(peer: object, data: bytes) -> str:
        try:
            return str(item.ihook.pytest_echoserver_decode(peer=peer, data=data) or "")
        except Exception as error:  # noqa: BLE001  as above
            return f"(pytest_echoserver_decode raised {error!r})"

    decodes = bool(item.ihook.pytest_echoserver_decode.get_hookimpls())
    return Reading(redact, decode) if decodes else Reading(redact)


def keep_for_page(report: pytest.TestReport) -> None:
    pass
