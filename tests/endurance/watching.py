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
EVERY = int(os.environ.get("ECHOSERVER_SAMPLE_EVERY", "0"))
"""After so many tests a sample is taken; 0: there is none."""


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
    def _sample(self, request: pytest.FixtureRequest, _echoserver_engine: Any) -> Any:
        yield
        self.count += 1
        if EVERY and self.count % EVERY == 0:
            self.samples.append(sample(_echoserver_engine.get()))
        if EVERY:  # what pytest keeps of each test, a report or two, is not ours to be measured by
            terminal: Any = request.config.pluginmanager.get_plugin("terminalreporter")
            terminal.stats.clear()

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        if EVERY:  # all kinds in turn: what is held depends on what has been used so far
            items.sort(key=lambda item: vars(item)["callspec"].params["number"])

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
