"""What was meant by an attribute that a thing of ours doesn't have: a note for who reads the error."""

import subprocess
import sys
from types import AsyncGeneratorType, CoroutineType
from typing import Any

from ._futures import CaptureFuture
from ._tracebacks import is_ours

OF_SUBPROCESS = (subprocess.Popen, subprocess.CompletedProcess)


def what_was_meant(error: BaseException) -> str:
    """Of an error of who asked one of our objects for what another has, which one; else nothing.

    A ``__getattr__`` could say so itself, and would be asked in passing, too: a future's had all that it does take
    twice as long.
    """
    if not isinstance(error, AttributeError) or not isinstance(error.name, str) or error.name.startswith("_"):
        return ""
    return _of_a_value(error) or _forgotten_await(error) or _of_a_connection(error) or _of_subprocess(error)


def _of_a_value(error: AttributeError) -> str:
    if not _is_a(error, CaptureFuture):
        return ""
    return "if the value that it is the promise of is meant: `await` it, or take .result()"


def _forgotten_await(error: AttributeError) -> str:
    asked: Any = error.obj
    if _is_a(error, CoroutineType) and is_ours(asked.cr_code.co_filename):
        return f"`await` it: {asked.__name__}() gives its value only then"
    if _is_a(error, AsyncGeneratorType) and is_ours(asked.ag_code.co_filename):
        return f"{asked.__name__}() is for `async for`"
    return ""


def _of_a_connection(error: AttributeError) -> str:
    # Who has a stream peer has loaded what it is made of; nobody else needs to.
    streams: Any = sys.modules.get(f"{__package__}._peers.stream")
    if streams is None or not _is_a(error, streams.StreamPeer) or not hasattr(streams.Connection, str(error.name)):
        return ""
    return (
        f"a stream peer has connections, and each has this: its only one's is .connection.{error.name}; "
        "in an async test, take that of `await peer.next_connection()`"
    )


def _of_subprocess(error: AttributeError) -> str:
    programs: Any = sys.modules.get(f"{__package__}._process.process")
    if programs is None or not _is_a(error, programs.Process):
        return ""
    name = str(error.name)
    if name not in ("stdin", "text", "output") and not any(hasattr(kind, name) for kind in OF_SUBPROCESS):
        return ""
    return (
        "it is no subprocess.Popen: wait().result() gives returncode, stdout and stderr, as bytes; "
        "write() and write_eof() are for its stdin"
    )


def _is_a(error: AttributeError, kind: type) -> bool:
    # By its type: an object may be a stand-in that runs the user's code to say what it is.
    return issubclass(type(error.obj), kind)
