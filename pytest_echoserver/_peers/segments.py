"""Sending in segments: pieces, each of which arrives as a read of its own at the other end."""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING

from .._checks import whole_number
from .._futures import CaptureFuture, CaptureTimeout
from .._outcomes import fail
from .._telling import told_bytes
from .._transports.arrival import await_reader, until_read

if TYPE_CHECKING:
    from .stream_end import StreamEnd

__tracebackhide__ = True


def sizes_of(segments: object, length: int) -> list[int] | None:
    """The sizes that ``segments`` means for ``length`` bytes; None if they go in one piece.

    Raises:
        TypeError, ValueError: they aren't sizes, or don't sum to that.
    """
    if segments is None:
        return None
    if isinstance(segments, int) and not isinstance(segments, bool):
        size = whole_number(segments, "segments", least=1)
        return [min(size, length - at) for at in range(0, length, size)]
    if not isinstance(segments, Sequence) or isinstance(segments, (str, bytes)):
        raise TypeError(f"segments must be sizes in bytes, as in [1, 4], or one size for all, not {segments!r}")
    sizes = [whole_number(size, "each of segments", least=1) for size in segments]
    if sum(sizes) != length:
        raise ValueError(f"segments {sizes} sum to {sum(sizes)}, but the data has {told_bytes(length)}")
    return sizes


async def write_segments(
    end: "StreamEnd", data: bytes, sizes: Sequence[int], limit: float, future: CaptureFuture[None]
) -> None:
    """Write ``data`` in pieces of these sizes, each once the other end has read what was sent before it."""
    at = 0
    for number, size in enumerate(sizes, 1):
        if not await _read_there(end, limit):
            end._write(data[at:], None)  # lest there be a hole in what is sent
            what = f"segment {number - 1} of {len(sizes)}" if number > 1 else "what was sent before"
            fail(
                future,
                CaptureTimeout(
                    f"{what} was not read at the other end within {limit:g} s, "
                    f"so the last {len(data) - at} bytes were sent in one piece"
                ),
            )
            return
        end._write(data[at : at + size], future if number == len(sizes) else None)
        at += size
    if sizes:
        await _read_there(end, limit)  # lest what is sent next be read together with the last of these


async def _read_there(end: "StreamEnd", limit: float) -> bool:
    """Wait until the other end has read all that was sent; false if not in ``limit`` seconds."""
    if end._transport is None or end._transport.is_closing():
        return True
    loop = asyncio.events.get_running_loop()
    deadline = loop.time() + limit
    with suppress(OSError):
        async with asyncio.timeouts.timeout_at(deadline):
            await end._emptied()
    if end.sock is None or end.sock.fileno() < 0:
        return True
    read = await until_read(end.sock, deadline - loop.time())
    if end.reader is not None:
        await_reader(end.reader)
    return read
