"""Tracebacks that begin where the code of whoever reads them does."""

import os
import sys
import warnings
from pathlib import Path
from types import FrameType, TracebackType

import _pytest
import pluggy

_PACKAGE = str(Path(__file__).parent)
_PYTESTS = tuple(str(Path(str(package.__file__)).parent) + os.sep for package in (_pytest, pluggy))


def behind_our_frames(trace: TracebackType | None) -> TracebackType | None:
    """The part of a traceback that begins where this package last called code of others, a handler say.

    What that code called in turn stays, even if it is ours: else the line that made the call would be missing. If
    there is no such code, what lies behind this package's last frame, or all of it if nothing does.
    """
    rest, found, behind = trace, None, trace
    called_by_us = True
    while rest is not None:
        ours, loop = _is_of_us(rest.tb_frame), _is_of_the_loop(rest.tb_frame)
        if called_by_us and not (ours or loop):
            found = rest
        if ours and rest.tb_next is not None:
            behind = rest.tb_next
        called_by_us = ours or (called_by_us and loop)
        rest = rest.tb_next
    return found or behind


def without_our_frames(trace: TracebackType | None) -> TracebackType | None:
    """The same, but nothing where there is no code but ours and the loop's."""
    rest = trace
    while rest is not None and not is_of_users(rest.tb_frame):
        rest = rest.tb_next
    return rest and behind_our_frames(trace)


def put_traceback(error: BaseException, trace: TracebackType | None) -> None:
    """Have ``error`` be told with this traceback, though it be of a frozen class of the user's."""
    BaseException.with_traceback(error, trace)


def is_of_users(frame: FrameType) -> bool:
    """Whether ``frame`` is in code that is neither ours nor an event loop's."""
    return not (_is_of_us(frame) or _is_of_the_loop(frame))


def call_site() -> str:
    """Where the code that called into this package stands, as "test_it.py:12"."""
    frame, _ = _caller()
    return f"{Path(frame.f_code.co_filename).name}:{frame.f_lineno}" if frame is not None else ""


def warn(text: str) -> None:
    """Warn of the line that called into this package."""
    _, level = _caller()
    warnings.warn(text, stacklevel=level)


def _caller() -> tuple[FrameType | None, int]:
    """The frame that called into this package, and its level in the stack, as who has called this counts it."""
    frame, level = sys._getframe(1).f_back, 2
    while frame is not None and _is_of_us(frame):
        frame, level = frame.f_back, level + 1
    return frame, level


def is_ours(filename: str) -> bool:
    """Whether a frame with this file is of this package."""
    return filename.startswith(_PACKAGE)


def is_of_pytest(filename: str) -> bool:
    """Whether a frame with this file is of pytest's own code, as it calls a hook."""
    return filename.startswith(_PYTESTS)


def _is_of_us(frame: FrameType) -> bool:
    return is_ours(frame.f_code.co_filename)


def _is_of_the_loop(frame: FrameType) -> bool:
    return str(frame.f_globals.get("__name__")).startswith(("asyncio.", "uvloop."))
