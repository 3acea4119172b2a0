"""Whose code runs here, asyncio's, trio's or Twisted's; and whether it may wait without awaiting."""

import asyncio
import sys
from types import FrameType
from typing import Any

from . import _engine
from ._neighbours import twisted_here

__tracebackhide__ = True

IN_A_THREAD = "`await deferToThread(future.result)` leaves Twisted's reactor free meanwhile"


def refuse_to_block(asked: str, instead: str = "`await`") -> None:
    """Raise if a blocking wait on this thread would stop an event loop, and so what it waits for."""
    if _engine.on_engine_thread():
        where = "the engine's own thread"
    elif asyncio_runs_here() or trio_here():
        where = "the thread of a running event loop"
    else:
        return
    way_out = IN_A_THREAD if twisteds_code_here() else f"use {instead} here"
    raise RuntimeError(f"{asked} would block {where}, and with it what it waits for: {way_out}")


def asyncio_runs_here() -> bool:
    return loop_here() is not None


def loop_here() -> asyncio.AbstractEventLoop | None:
    try:
        return asyncio.events.get_running_loop()
    except RuntimeError:
        return None


def asyncios_code_here() -> bool:
    """Whether this code runs in an asyncio task."""
    try:
        return asyncio.tasks.current_task() is not None
    except RuntimeError:
        return False


def asyncio_is_innermost() -> bool:
    """Whether asyncio runs this code, of asyncio and trio, of which one runs within the other on this thread."""
    frame: FrameType | None = sys._getframe()
    while frame is not None:
        name: object = frame.f_globals.get("__name__")
        if name in ("asyncio.events", "trio._core._run"):
            return name == "asyncio.events"
        frame = frame.f_back
    return False


def twisteds_code_here() -> bool:
    """Whether this code runs on Twisted's reactor, and not in an asyncio task that somebody runs there."""
    return not asyncios_code_here() and twisted_here()


def trio_here() -> Any:
    """The trio module, if this code runs in a trio task."""
    trio = sys.modules.get("trio")
    return trio if trio is not None and trio.lowlevel.in_trio_run() else None
