"""pytest's side, as it is loaded with every run: options, the marker, hooks."""

from collections.abc import Generator
from typing import Any

import pytest

from . import (
    _deadline,
    _neighbours,  # noqa: F401  now, before a test puts something in the place of subprocess.Popen
    _settings,
    hookspecs,
)
from ._kept import INTERRUPTED, SESSION_SCOPE, SETTINGS, TESTS_ARE_OVER, TITLE_END, has_peers, is_our_section


def pytest_addhooks(pluginmanager: pytest.PytestPluginManager) -> None:
    pluginmanager.add_hookspecs(hookspecs)


def pytest_addoption(parser: pytest.Parser) -> None:
    _settings.add_options(parser)


def pytest_configure(config: pytest.Config) -> None:
    settings = config.stash[SETTINGS] = _settings.of_run(config)
    config.addinivalue_line("markers", _settings.MARKER_LINE)
    if settings.html is not None and not hasattr(config, "workerinput") and not _only_lists(config):
        from ._reporting import Page

        config.pluginmanager.register(Page(settings.html))
    before, _deadline.default = _deadline.default, settings.timeout
    # A run within a run, as pytester makes them, must not change the outer one's.
    config.add_cleanup(lambda: setattr(_deadline, "default", before))


def _only_lists(config: pytest.Config) -> bool:
    """Whether no test is run: then the page of the run before is to stay."""
    options = ("collectonly", "showfixtures", "show_fixtures_per_test", "setuponly", "setupplan")
    return any(config.getoption(name, False) for name in options)  # the last two are of plugins that may be off


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """pytest-xdist is about to start a worker."""
    _settings.share(node.config.stash[SETTINGS], node.workerinput)


# A test without peers pays for no more than a look whether it has any.


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    try:
        return (yield)
    except (KeyboardInterrupt, pytest.exit.Exception) as raised:
        if has_peers(item):
            from . import _judging

            _judging.tell_of_interrupted(item, raised)
        raise


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, object, object]:
    __tracebackhide__ = True
    try:
        result = yield
    except BaseException:
        if has_peers(item):
            from . import _judging

            _judging.judge_failed(item)
        raise
    if has_peers(item):
        from . import _judging

        _judging.judge(item)
    return result


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown(item: pytest.Item) -> Generator[None, object, object]:
    __tracebackhide__ = True
    try:
        result = yield
    except BaseException as raised:
        # pytest before 9.1 can't show a group without any frame, and leaves its own out.
        __tracebackhide__ = not isinstance(raised, BaseExceptionGroup)
        if has_peers(item):
            from . import _judging

            _judging.judge_failed_tear_down(item)
        raise
    if SESSION_SCOPE in item.config.stash:
        from . import _judging

        _judging.judge_tear_down(item)
    return result


@pytest.hookimpl(specname="pytest_runtest_makereport")
def pytest_explain(item: pytest.Item, call: pytest.CallInfo[None]) -> None:
    """Add our notes to an error before its report is made.

    Not in the wrapper below: of a unittest pytest puts the error into ``call`` only once wrappers have begun.
    """
    if call.excinfo is not None and has_peers(item):
        from . import _judging

        _judging.explain(call.excinfo.value)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if (call.when != "setup" or not report.passed) and has_peers(item):
        from . import _judging

        _judging.tell(item, call, report)
    return report


@pytest.hookimpl(tryfirst=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    session.config.stash[TESTS_ARE_OVER] = True


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> Generator[None, object, object]:
    kinds = ("failed", "error", "skipped", *(["passed"] if config.stash[SETTINGS].traffic == "all" else []))
    reports = [report for kind in kinds for report in terminalreporter.stats.get(kind, ())]
    lists = [sections for report in reports for sections in _sections(report) if any(map(is_our_section, sections))]
    interrupted, of_interrupted = config.stash.get(INTERRUPTED, ("", []))
    if not (lists or of_interrupted):
        return (yield)
    try:  # only here: to load that may need a descriptor, and there may be none
        from . import _reporting
        from ._evidence import text  # noqa: F401
    except OSError as error:
        terminalreporter.write_line(f"what peers saw is not shown as it should be {TITLE_END}: {error}")
        return (yield)
    with _reporting.shown_on_terminal(terminalreporter, [*lists, of_interrupted]):
        result = yield
        if of_interrupted:
            _reporting.show(terminalreporter, f"interrupted: {interrupted}", of_interrupted)
        return result


def _sections(report: pytest.TestReport) -> list[list[Any]]:
    return [report.sections, getattr(report.longrepr, "sections", [])]
