"""What every suite has: a look at what is open and running before its tests, and once more after them."""

import pytest

from tests.conftest import open_and_running


def leftovers():
    # uvloop opens /dev/null with the first child process, and Twisted's reactor has threads, until the process ends.
    return {one for one in open_and_running() if "PoolThread-twisted" not in one and not one.endswith("/dev/null")}


@pytest.fixture(scope="session", autouse=True)
def nothing_is_left():
    before = leftovers()
    yield
    assert leftovers() - before == set()
