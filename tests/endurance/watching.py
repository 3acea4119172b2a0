"""A plugin of the suites that are run here: it watches what their process holds, and tells it in the last line.

That line begins with `TOLD`. What follows is JSON: ``left``, what is open or running after the session that was not
before it; ``samples`` of what was held in between; and what the suite itself noted.
"""

import asyncio
import contextvars
import gc
import json
import os
import re
import resource
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from ..conftest import open_and_running

TOLD = "told by the watch: "
PATIENCE = 30.0
"""Seconds that a thread may take to end whose engine was given up while it was held up."""
ROUNDS = int(os.environ.get("ECHOSERVER_ROUNDS", "0"))
"""How often all tests are run, with a sample after each round; 0: once, with none."""


class Watch:
    def __init__(self) -> None:
        self.noted: dict[str, Any] = {}
        self.samples: list[dict[str, int]] = []
        self.count = 0
        self.before: set[str] = set()

    @pytest.hookimpl(trylast=True)
    def pytest_sessionstart(self) -> None:
        self.before = open_and_running()

    @pytest.fixture
    def note(self) -> dict[str, Any]:
        """What a suite has to say."""
        return self.noted

    @pytest.fixture(autouse=True)
    def _sample(self, request: pytest.FixtureRequest, _echoserver_session: Any) -> Any:
        yield
        self.count += 1
        if ROUNDS and self.count % len(request.session.items) == 0:
            terminal: Any = request.config.pluginmanager.get_plugin("terminalreporter")
            terminal.stats.clear()  # which has a report of each test, of each round
            forget_finalizers(request.session)
            self.samples.append(sample(_echoserver_session.engine.get()))

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool | None:
        """Run the tests over and over, where that was asked for.

        pytest keeps each test of a session to its end. So many tests more are so much more memory; so many rounds
        of them are none.
        """
        if not ROUNDS:
            return None
        items = session.items * ROUNDS
        for item, following in zip(items, [*items[1:], None], strict=True):
            session.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
        return True

    @pytest.hookimpl(wrapper=True, trylast=True)  # after all is torn down, before the terminal's summary
    def pytest_sessionfinish(self) -> Any:
        result = yield
        end = time.monotonic() + PATIENCE
        for thread in threading.enumerate():
            if f"thread {thread.name}" not in self.before:
                thread.join(max(0, end - time.monotonic()))
        # The first three are pytest's: it captures no more once it was interrupted.
        left = {one for one in open_and_running() - self.before if not re.match("descriptor [012] ", one)}
        self.noted["left"] = sorted(left)
        return result

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        told = {"samples": self.samples, "count": self.count, **self.noted}
        terminalreporter.write_line(TOLD + json.dumps(told))


def pytest_configure(config: pytest.Config) -> None:
    config.pluginmanager.register(Watch())


def forget_finalizers(session: pytest.Session) -> None:
    """Forget what is kept of fixtures that are long gone.

    Where a function's fixture asks for the session's, pytest adds its finalizer to those of that one, in each test
    anew, and keeps them, with all that they refer to, as long as the session.
    """
    infos = [vars(item)["_fixtureinfo"] for item in session.items]
    for fixture in {each for info in infos for fixtures in info.name2fixturedefs.values() for each in fixtures}:
        if fixture.scope == "session":
            fixture._finalizers[:] = [one for one in fixture._finalizers if not of_a_function(one)]


def of_a_function(finalizer: Any) -> bool:
    request = getattr(finalizer, "keywords", {}).get("request")
    return isinstance(request, pytest.FixtureRequest) and request.scope == "function"


def sample(engine: Any) -> dict[str, int]:
    """What the process holds right now."""

    async def tasks() -> int:
        return len(asyncio.all_tasks()) - 1

    gc.collect()
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return {
        "descriptors": len(list(Path("/proc/self/fd").iterdir())) - 1,
        "threads": threading.active_count(),
        "tasks": engine.run(contextvars.Context(), tasks),
        "kilobytes": pages * resource.getpagesize() // 1024,
    }
