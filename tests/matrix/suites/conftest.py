"""What every suite has: a look at what is open and running before its tests, and once more after them."""

import pytest

from tests.conftest import open_and_running

# Trio and Twisted keep threads for the next who needs one, uvloop what it started its first child process with.
KEPT = ("thread Trio", "thread PoolThread-twisted", "/dev/null")


@pytest.fixture(scope="session", autouse=True)
def nothing_is_left(request):
    if request.config.pluginmanager.hasplugin("pytest_twisted"):
        start_reactor()
    if request.config.getoption("--echoserver-loop") == "uvloop":
        start_uvloop()
    before = open_and_running()
    yield
    assert [one for one in open_and_running() - before if not any(kept in one for kept in KEPT)] == []


def start_reactor():
    """Have it open what it needs: it stays until the process ends."""
    import pytest_twisted
    from twisted.internet import reactor, task

    pytest_twisted.blockon(task.deferLater(reactor, 0, lambda: None))


def start_uvloop():
    """Have its library open the pipe that it keeps, once in a process."""
    import uvloop

    uvloop.new_event_loop().close()
