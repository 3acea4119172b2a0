"""Tracebacks that begin where the code of whoever reads them does."""

import os
import sys
from pathlib import Path
from types import FrameType, TracebackType

_PACKAGE = str(Path(__file__).parent)
_ASYNCIO = str(Path(os.__file__).parent / "asyncio")


def behind_our_frames(trace: TracebackType | None) -> TracebackType | None:
    """The part of a traceback that lies behind this package's last frame, or all of it if nothing does."""
    rest, behind = trace, trace
    while rest is not None:
        if rest.tb_frame.f_code.co_filename.startswith(_PACKAGE) and rest.tb_next is not None:
            behind = rest.tb_next
        rest = rest.tb_next
    return behind


def is_of_users(frame: FrameType) -> bool:
    """Whether ``frame`` is in code that is neither ours nor asyncio's."""
    return not frame.f_code.co_filename.startswith((_PACKAGE, _ASYNCIO))


def call_site() -> str:
    """Where the code that called into this package stands, as "test_it.py:12"."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and frame.f_code.co_filename.startswith(_PACKAGE):
        frame = frame.f_back
    return f"{Path(frame.f_code.co_filename).name}:{frame.f_lineno}" if frame is not None else ""
