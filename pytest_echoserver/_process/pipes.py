"""Pipes that much comes by, made wider: then a program and who reads it have to take turns less often."""

import asyncio
import sys
from contextlib import suppress
from typing import Any

FULL = 65_536
"""Bytes that a pipe holds on Linux if nobody asks for more, see pipe(7)."""
WIDE = 2**20
"""Bytes that anybody may ask for there, if the system's limits are what they are by default."""

can_widen = sys.platform == "linux"


def widen(pipe: int) -> bool:
    """Have a pipe hold more; false where that can't be.

    What all pipes of a user hold together is limited, so only one that was found full should be widened.
    """
    if sys.platform != "linux" or not can_widen:
        return False
    from fcntl import F_SETPIPE_SZ, fcntl

    with suppress(OSError):
        fcntl(pipe, F_SETPIPE_SZ, WIDE)
        return True
    return False


def widen_transport(transport: asyncio.BaseTransport | None) -> None:
    """Have a pipe hold more, and its transport read as much at once; where that can't be, it stays as it is."""
    readable: Any = transport
    if readable is None or not hasattr(readable, "max_size"):  # uvloop's haven't
        return
    if (pipe := readable.get_extra_info("pipe")) is not None and widen(pipe.fileno()):
        readable.max_size = WIDE
