"""Keys of pytest's stashes, and titles of sections in its reports, that several modules use."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from ._scope import Scope
    from ._session import OfSession, OfTest
    from ._settings import Settings

SETTINGS: pytest.StashKey[Settings] = pytest.StashKey()
SCOPE: pytest.StashKey[Scope] = pytest.StashKey()
SESSION_SCOPE: pytest.StashKey[Scope] = pytest.StashKey()
CLOSED_SESSION_SCOPE: pytest.StashKey[Scope] = pytest.StashKey()
"""The session's, until the test that it was closed after is reported."""
OF_SESSION: pytest.StashKey[OfSession] = pytest.StashKey()
OF_TEST: pytest.StashKey[OfTest] = pytest.StashKey()
TESTS_ARE_OVER: pytest.StashKey[bool] = pytest.StashKey()
"""Set once no test runs any more: what is torn down after that was left by a run that was interrupted."""
INTERRUPTED: pytest.StashKey[tuple[str, list[tuple[str, str]]]] = pytest.StashKey()
"""The id of the test that the run ended in, and the sections that its report would have."""

TITLE_END = "(pytest-echoserver)"
"""How the titles of our sections in a report end."""


def has_peers(item: pytest.Item) -> bool:
    """Whether a test has peers, of its own or the session's, which may have been closed with it just now."""
    of_session = item.config.stash
    return SCOPE in item.stash or SESSION_SCOPE in of_session or CLOSED_SESSION_SCOPE in of_session


def is_our_section(section: Sequence[str]) -> bool:
    return section[0].endswith(TITLE_END)
