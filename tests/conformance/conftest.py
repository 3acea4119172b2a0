"""What the tests of checks of protocols share."""

from collections.abc import Callable

import pytest

from pytest_echoserver.conformance import ConformanceError


def flaws_of(check: Callable[[], None]) -> dict[str, str]:
    """By the name of each check that has failed, what it tells."""
    try:
        check()
    except ConformanceError as flaw:
        flaws: list[BaseException] = [flaw]
    except ExceptionGroup as group:
        flaws = list(group.exceptions)
    else:
        flaws = []
    assert all(isinstance(flaw, ConformanceError) for flaw in flaws)
    return dict(str(flaw).split(": ", 1) for flaw in flaws)


@pytest.fixture(autouse=True)
def soon_over(request: pytest.FixtureRequest) -> None:
    """A flaw that shows by what doesn't come takes the whole timeout to show."""
    request.node.add_marker(pytest.mark.echoserver(timeout=3))
