"""The judgement of a test that has peers, and the evidence in its report: what the hooks of `_plugin` do there."""

from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import pytest

from . import _reporting
from ._kept import CLOSED_SESSION_SCOPE, OF_TEST, SCOPE, SESSION_SCOPE, SETTINGS
from ._meant import what_was_meant
from ._neighbours import why_unreachable
from ._outcomes import raise_together
from ._tracebacks import behind_our_frames, is_of_pytest, is_ours, put_traceback

if TYPE_CHECKING:
    from ._scope import Scope

ERRORS = pytest.StashKey[Sequence[Exception]]()


def judge(item: pytest.Item) -> None:
    """Fail the test, in its call phase, with the errors of its peers."""
    __tracebackhide__ = True
    _raise(_errors_of(_scopes_of(item), item), "this test's peers")


def judge_failed(item: pytest.Item) -> None:
    """Keep the errors of a test's peers, to be shown beside the one that it failed by."""
    _errors_of(_scopes_of(item), item)


def tell_of_interrupted(item: pytest.Item, raised: BaseException) -> None:
    """Have what its peers saw told at the end of the run, which has come: pytest makes no report of such a test."""
    _reporting.keep_evidence(item, _scopes_of(item), _beside(raised, item.stash.get(ERRORS, [])))


def judge_tear_down(item: pytest.Item) -> None:
    """Fail the tear-down with what went wrong in it at peers of the session: it is no fault of the next test."""
    __tracebackhide__ = True
    _raise(_errors_of([item.config.stash[SESSION_SCOPE]], item), "the session's peers")


def judge_failed_tear_down(item: pytest.Item) -> None:
    """Keep them, to be shown beside what the tear-down failed by; and end what pytest has not ended."""
    errors: list[Exception] = []
    if OF_TEST in item.stash:
        try:
            item.stash[OF_TEST].end_instead()
        except Exception as error:  # noqa: BLE001  it is told below, beside what raised
            explain(error)
            errors.append(error)
    if SESSION_SCOPE in item.config.stash:
        errors += _errors_of([item.config.stash[SESSION_SCOPE]], item)
    if errors:
        item.stash[ERRORS] = errors


def tell(item: pytest.Item, call: pytest.CallInfo[None], report: pytest.TestReport) -> None:
    """Add to a failed test's report what its peers saw; and let go of it at the end of its tear-down."""
    is_wanted = _reporting.is_wanted(report, item.config.stash[SETTINGS]) or _hides_errors(item, call, report)
    if not is_wanted and call.when != "teardown":
        return
    scopes = _scopes_of(item)
    raised = call.excinfo.value if call.excinfo else None
    if report.failed:
        if call.when == "setup":  # there is no call phase, so this is the judgement
            _errors_of(scopes, item)
        _leave_out_that_frames_are_hidden(report)
        _point_at_the_test(item, report, raised)
    if call.when == "teardown":
        _reporting.tell_hooks(item, report, scopes)
        is_wanted = is_wanted or report.failed
    if is_wanted:
        _reporting.add_evidence(item, report, scopes, _beside(raised, item.stash.get(ERRORS, [])))
    if call.when == "teardown":
        _reporting.wind_up(item, report, scopes)
        for scope in scopes:
            scope.test_is_over()
        _forget(item.stash, SCOPE)  # pytest keeps the item as long as the session
        _forget(item.config.stash, CLOSED_SESSION_SCOPE)
    _forget(item.stash, ERRORS)  # they are told


def _hides_errors(item: pytest.Item, call: pytest.CallInfo[None], report: pytest.TestReport) -> bool:
    """Whether a test was skipped, which it stays, after something had gone wrong at its peers.

    A helper that skips where it finds no server, say, does so too if the peer refused what it said. That something
    never happened is no wonder, after a skip.
    """
    if not report.skipped or hasattr(report, "wasxfail"):
        return False
    scopes = _scopes_of(item)
    if call.when == "setup":  # the session's errors fail its tear-down
        scopes = [scope for scope in scopes if not scope.wide]
        _errors_of(scopes, item)
    errors = item.stash[ERRORS] = [
        error for error in item.stash.get(ERRORS, []) if not getattr(error, "_only_missing", False)
    ]
    return bool(errors)


def _forget(stash: pytest.Stash, key: pytest.StashKey[Any]) -> None:
    if key in stash:
        del stash[key]


def _leave_out_that_frames_are_hidden(report: pytest.TestReport) -> None:
    """An error of a peer has no frame of the user's; that ours are hidden helps nobody."""
    shown = getattr(report.longrepr, "reprtraceback", None)
    if shown is not None and not shown.reprentries[:-1] and "entries are hidden" in (shown.extraline or ""):
        shown.extraline = None


def _point_at_the_test(item: pytest.Item, report: pytest.TestReport, raised: BaseException | None) -> None:
    """An error of a peer has crashed within pytest or here, as far as pytest can tell; to say so helps nobody."""
    crash = getattr(report.longrepr, "reprcrash", None)
    errors = item.stash.get(ERRORS, ())
    is_one = any(error is raised for error in errors)  # not by `in`: it would ask a user's __eq__
    if crash is None or not (is_one or (errors and not _beside(raised, errors))):
        return
    if is_ours(crash.path) or is_of_pytest(crash.path):
        _, line, _ = item.location
        crash.path, crash.lineno = str(item.path), (line or 0) + 1


def _scopes_of(item: pytest.Item) -> "list[Scope]":
    """What a test has peers in: its own scope, and the session's, though it may have been closed just now."""
    of_session = item.config.stash
    scopes = [item.stash[SCOPE]] if SCOPE in item.stash else []
    if SESSION_SCOPE in of_session:
        scopes.append(of_session[SESSION_SCOPE])
    elif CLOSED_SESSION_SCOPE in of_session:
        scopes.append(of_session[CLOSED_SESSION_SCOPE])
    return scopes


def _errors_of(scopes: "Sequence[Scope]", item: pytest.Item) -> Sequence[Exception]:
    errors = [error for scope in scopes for error in scope.judge()]
    if errors:
        item.stash[ERRORS] = errors
    for error in errors:
        explain(error)
    return errors


def explain(error: BaseException) -> None:
    """Add to an error, and to those that it is told with, what a user would have to know to understand them."""
    told: set[int] = set()
    left: list[BaseException | None] = [error]
    while left:
        each = left.pop()
        if each is None or id(each) in told:
            continue
        told.add(id(each))
        with suppress(Exception):  # an error is the user's code, and the report must not be lost by it
            for note in (why_unreachable(each), what_was_meant(each)):
                if note and note not in getattr(each, "__notes__", ()):
                    each.add_note(note)
        left += [each.__cause__, each.__context__]
        if isinstance(each, BaseExceptionGroup):
            left += each.exceptions


def _raise(errors: Sequence[Exception], whose: str) -> None:
    """Raise these errors, if there are any; their tracebacks then begin with the code of whoever reads them."""
    __tracebackhide__ = True
    for error in errors:
        put_traceback(error, behind_our_frames(error.__traceback__))
    raise_together(errors, f"errors of {whose}")


def _beside(raised: BaseException | None, errors: Sequence[Exception]) -> list[Exception]:
    """The errors that the report's own exception doesn't show."""
    shown = (raised, *raised.exceptions) if isinstance(raised, BaseExceptionGroup) else (raised,)
    return [error for error in errors if not any(error is one for one in shown)]
