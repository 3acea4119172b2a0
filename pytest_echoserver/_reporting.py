"""What passed in a test, put where it is looked for: its report, the junit XML, files, a page; and hooks."""

from __future__ import annotations

import os
import re
import traceback
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from ._kept import INTERRUPTED, SETTINGS, TITLE_END, is_our_section
from ._redaction import redacted
from ._telling import escaped

if TYPE_CHECKING:
    from ._evidence.timeline import Reading
    from ._scope import Scope
    from ._settings import Settings
    from ._traffic import Traffic

IN_PAGE = "_echoserver_page"
"""The attribute of a report that has what the page shows of it."""
EXTRAS = "extras"
"""The attribute of a report that has what pytest-html shows beside it."""
PCAP_PROPERTY = "echoserver_pcap"
"""The property, as pytest's ``record_property`` makes one, that has the path of a test's pcapng file."""
SHOWN = pytest.StashKey[tuple[str, str]]()
"""Of a test that there is evidence of: its outcome, and why."""
LONGEST_NAME = 120
"""Characters of a test's id that stand in the name of a file."""


def is_wanted(report: pytest.TestReport, settings: Settings) -> bool:
    """Whether there is to be evidence in this report."""
    return report.failed or (settings.traffic == "all" and report.when == "call" and report.passed)


def tell_hooks(item: pytest.Item, report: pytest.TestReport, scopes: Sequence[Scope]) -> None:
    """At the end of a test's tear-down: tell the hooks; an error of one fails the test."""
    __tracebackhide__ = True
    if not item.config.hook.pytest_echoserver_traffic.get_hookimpls():  # to make item.ihook takes a while
        return
    with _losing_no_report(report):
        try:
            if item.ihook.pytest_echoserver_traffic.get_hookimpls():
                item.ihook.pytest_echoserver_traffic(item=item, traffic=_traffic_for_hooks(scopes))
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # noqa: BLE001  of a user's, maybe pytest.fail(): not the end of the run
            failure: Any = item.repr_failure(pytest.ExceptionInfo.from_exception(error))
            told = escaped(str(failure), keeping="\n\t")
            if report.failed:
                _add_section(report, f"error of pytest_echoserver_traffic {TITLE_END}", told)
            else:
                # What no encoding takes, xdist can't send: its worker would die of it.
                sent = str(failure).encode(errors="replace").decode() == str(failure)
                report.outcome, report.longrepr = "failed", failure if sent else told


def add_evidence(
    item: pytest.Item, report: pytest.TestReport, scopes: Sequence[Scope], errors: Sequence[Exception]
) -> None:
    """Put what a test's peers saw into its report, and into the files that were asked for.

    Args:
        scopes: those of the test's peers.
        errors: those of its peers that the report doesn't show by itself.
    """
    with _losing_no_report(report):
        settings, reading, traffic = item.config.stash[SETTINGS], _reading(item), _traffic(scopes)
        for title, content in _sections_of(settings, reading, traffic, errors):
            _add_section(report, title, content)
        _add_pcap(item, report, traffic, reading)
        outcome = "error" if report.failed and report.when != "call" else report.outcome
        if item.stash.get(SHOWN, ("passed", ""))[0] in ("passed", "skipped"):
            item.stash[SHOWN] = outcome, _message(report)


def keep_evidence(item: pytest.Item, scopes: Sequence[Scope], errors: Sequence[Exception]) -> None:
    """Keep for the end of the run what the peers saw of a test that ends it; unless a report has that already."""
    if SHOWN in item.stash:
        return
    sections: list[tuple[str, str]] = []
    try:
        settings, reading, traffic = item.config.stash[SETTINGS], _reading(item), _traffic(scopes)
        sections += _sections_of(settings, reading, traffic, errors)
        _write_pcap(item, traffic, reading)
    except Exception:  # noqa: BLE001  what ends the run must not be lost by it
        sections.append(_no_evidence())
    item.config.stash[INTERRUPTED] = item.nodeid, sections


def _sections_of(
    settings: Settings, reading: Reading, traffic: Traffic, errors: Sequence[Exception]
) -> list[tuple[str, str]]:
    """The titles and texts of what a report shows."""
    from ._evidence import text

    shown = text.sections(traffic, errors, reading=reading, width=settings.width, limit=settings.payload_limit)
    return [(title, told) for title, told in shown if settings.traffic != "off" or title != text.TITLE]


def wind_up(item: pytest.Item, report: pytest.TestReport, scopes: Sequence[Scope]) -> None:
    """At the end of a test's tear-down: complete the files, and have the page show it."""
    if SHOWN not in item.stash:
        return
    outcome, message = item.stash[SHOWN]
    del item.stash[SHOWN]
    with _losing_no_report(report):
        settings, reading, traffic = item.config.stash[SETTINGS], _reading(item), _traffic(scopes)
        _add_pcap(item, report, traffic, reading)
        for_pytest_html = bool(item.config.getoption("htmlpath", None))
        if settings.html is not None or for_pytest_html:
            from ._evidence import html

            told = html.told_test(traffic, reading, node=item.nodeid, outcome=outcome, message=message)
            if settings.html is not None:
                setattr(report, IN_PAGE, told)
            if for_pytest_html:
                from pytest_html import extras

                setattr(report, EXTRAS, [*getattr(report, EXTRAS, []), extras.html(html.frame(told))])


class Page:
    """Collects, in the process that shows the run, what each test's report has for the page, and writes it."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._tests: list[dict[str, Any]] = []
        self._told = ""

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if hasattr(report, IN_PAGE):
            self._tests.append(getattr(report, IN_PAGE))

    def pytest_sessionfinish(self) -> None:
        try:
            from ._evidence import html

            self._path.parent.mkdir(parents=True, exist_ok=True)
            with self._path.open("w", encoding="utf-8") as file:
                file.writelines(html.page(self._tests))
        except OSError as error:
            self._told = f"the page of the tests' traffic could not be written: {error}"
        else:
            self._told = f"the page of the tests' traffic: {self._path.as_uri()}"

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        terminalreporter.write_sep("-", self._told)


@contextmanager
def _losing_no_report(report: pytest.TestReport) -> Iterator[None]:
    """Have an error of ours stand in the test's report, rather than in place of it."""
    try:
        yield
    except Exception:  # noqa: BLE001  whatever it is, the test has its own outcome to report
        _add_section(report, *_no_evidence())


def _no_evidence() -> tuple[str, str]:
    """The section for an error of ours that is being handled."""
    # Nothing is imported here: that may be what has failed, with too many files open.
    return f"no evidence, for an error of its own {TITLE_END}", escaped(traceback.format_exc(), keeping="\n\t")


@contextmanager
def shown_on_terminal(terminal: Any, lists: Sequence[list[Any]]) -> Iterator[None]:
    """While the terminal's summary is written, have our sections in colour, and folded in a log of GitHub's.

    Those of tests that were skipped nobody else shows; nor, but with ``-rP``, of those that passed.

    Args:
        terminal: the terminal's reporter.
        lists: those of the reports' lists of sections that have some of ours.
    """
    from ._evidence import text

    before = [(sections, list(sections)) for sections in lists]
    colour, fold = terminal.hasmarkup, os.environ.get("GITHUB_ACTIONS") == "true"
    for sections, _ in before:
        for place, section in enumerate(sections):
            if is_our_section(section):
                title, content, *more = section
                sections[place] = (title, text.for_terminal(title, content, colour=colour, fold=fold), *more)
    if terminal.config.option.tbstyle != "no" and not terminal.no_summary:
        _show_of(terminal, "skipped", "SKIPPED, THOUGH SOMETHING HAD GONE WRONG AT PEERS")
    if not terminal.hasopt("P"):
        _show_of(terminal, "passed", "TRAFFIC OF PASSED TESTS")
    try:
        yield
    finally:
        for sections, as_they_were in before:
            sections[:] = as_they_were


def _show_of(terminal: Any, outcome: str, title: str) -> None:
    """Write our sections of all reports with this outcome."""
    shown = [report for report in terminal.stats.get(outcome, ()) if any(map(is_our_section, report.sections))]
    if shown:
        terminal.section(title)
    for report in shown:
        show(terminal, report.head_line or report.nodeid, filter(is_our_section, report.sections))


def show(terminal: Any, title: str, sections: Iterable[tuple[str, str]]) -> None:
    """Write these sections to the terminal, below this title."""
    terminal.section(title, sep="_")
    for each, content in sections:
        terminal.section(each, sep="-")
        terminal.line(content)


def _add_section(report: pytest.TestReport, title: str, content: str) -> None:
    # Beside the traceback rather than the captured output: so it is in the junit XML, and --show-capture=no is not
    # for it.
    longrepr: Any = report.longrepr
    if hasattr(longrepr, "addsection"):
        longrepr.addsection(title, content, "-")
    else:
        report.sections.append((title, content))


def _message(report: pytest.TestReport) -> str:
    if isinstance(report.longrepr, tuple):  # of a skip: the file, the line, the reason
        return report.longrepr[2]
    crash: Any = getattr(report.longrepr, "reprcrash", None)
    return str(report.longrepr or "") if crash is None else str(crash.message)


def _reading(item: pytest.Item) -> Reading:
    """How payloads are read by the hooks of those who have a say in this test."""
    from ._evidence.timeline import Reading

    redactors = [*reversed(item.ihook.pytest_echoserver_redact.get_hookimpls())]

    def decode(peer: object, data: bytes) -> str:
        try:
            return str(item.ihook.pytest_echoserver_decode(peer=peer, data=data) or "")
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # noqa: BLE001  the report must not be lost by it: pytest.fail() is no Exception
            return f"(pytest_echoserver_decode raised {error!r})"

    redact = partial(redacted, redactors)
    decodes = bool(item.ihook.pytest_echoserver_decode.get_hookimpls())
    return Reading(redact, decode) if decodes else Reading(redact)


def _traffic(scopes: Sequence[Scope]) -> Traffic:
    """What the peers of all these scopes saw, the test's own first."""
    first, *others = (scope.traffic() for scope in scopes)
    peers = first.peers + tuple(peer for other in others for peer in other.peers)
    return replace(first, peers=peers, repeat=first.repeat or "".join(other.repeat for other in others))


def _traffic_for_hooks(scopes: Sequence[Scope]) -> Traffic:
    try:
        return _traffic(scopes)
    except Exception as error:
        raise RuntimeError(f"what passed can't be put together for pytest_echoserver_traffic: {error}") from error


def _add_pcap(item: pytest.Item, report: pytest.TestReport, traffic: Traffic, reading: Reading) -> None:
    """Write a test's pcapng file, and have its report, and so the junit XML, say where that is, or why it isn't."""
    try:
        path = _write_pcap(item, traffic, reading)
    except OSError as error:
        _add_section(report, f"no file was written {TITLE_END}", f"{PCAP_PROPERTY}: {error}")
        return
    if path is None:
        return
    told = PCAP_PROPERTY, str(path)
    for properties in (item.user_properties, report.user_properties):
        if told not in properties:  # a file is written once more at the end of the tear-down
            properties.append(told)


def _write_pcap(item: pytest.Item, traffic: Traffic, reading: Reading) -> Path | None:
    """Write a test's pcapng file, and give its path; None if none was asked for, or nothing would be in it."""
    folder = item.config.stash[SETTINGS].pcap
    if folder is None:
        return None
    from ._evidence import pcapng

    if not pcapng.has_packets(traffic):
        return None
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{_file_name(item.nodeid)}.pcapng"
    with path.open("wb") as file:
        file.writelines(pcapng.file_of(traffic, reading, f"{item.nodeid}\nseed: {traffic.seed}"))
    return path


def _file_name(node: str) -> str:
    """A name for a file of a test: it can't lead out of its folder, and no other test has the same."""
    from hashlib import sha256

    readable = re.sub(r"[^A-Za-z0-9._-]+", "_", node).strip("._-")[-LONGEST_NAME:]
    return f"{readable}-{sha256(node.encode('utf-8', 'surrogatepass')).hexdigest()[:8]}"
