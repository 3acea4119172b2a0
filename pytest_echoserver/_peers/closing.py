"""How a stream connection is closed so that the other side sees no more than was asked for: a FIN, or a RST."""

import asyncio
import socket
from contextlib import suppress
from typing import TYPE_CHECKING

from .._quiet import until_quiet
from .._sleep import let_turn
from .._transports.arrival import turn, until_arrived

if TYPE_CHECKING:
    from .stream_end import StreamEnd

__tracebackhide__ = True

PATIENCE = 1.0
"""Seconds that a reset waits for what was sent before it to arrive, and a close for what was sent to us."""
TURNS = 3
"""Turns of the loop in which a transport reads what has arrived, or writes what it holds."""
LARGEST_READ = 65_536
MOST_DRAINED = 16 * 1024 * 1024
"""Bytes read at a close: more than both sides' buffers hold; and no more, for a client may send and send."""


def hang_up(end: "StreamEnd") -> None:
    """Close it now: cleanly, unless something waits to be sent."""
    end.closed_by_us = True
    transport = end._transport
    at_rest = end.outbox.idle and transport is not None and not transport.get_write_buffer_size()
    if transport is None or transport.is_closing() or not at_rest:
        end.abort()
        return
    end.note_our_end()
    if end.tls:
        transport.close()
        _shut_down(end)
    else:
        transport.pause_reading()
        _shut_down(end)
        _drain(end, MOST_DRAINED)
    transport.abort()


async def drain_and_close(end: "StreamEnd") -> None:
    """Close it once our buffer is empty and what is in the kernel's was read.

    To close with unread input would be a reset for the other side. So it gets our FIN first, which it sees whatever
    comes after; and we read last.
    """
    transport = end._transport
    if transport is None or end.lost.is_set():
        return
    if not transport.is_closing():
        with suppress(OSError):  # it was lost meanwhile
            await end._emptied()
    if not transport.is_closing():
        end.closed_by_us = True
        end.note_our_end()
    if transport.is_closing() or transport.get_write_buffer_size():
        transport.close()
    elif end.tls:
        await _close_tls(end, transport)
    else:
        transport.pause_reading()
        _shut_down(end)
        await _drain_to_the_last(end)
        transport.abort()
    await end.lost.wait()


async def arrive_and_reset(end: "StreamEnd") -> None:
    """Reset it, once what was sent has arrived."""
    transport = end._transport
    if transport is None or transport.is_closing():
        return
    loop = asyncio.events.get_running_loop()
    deadline = loop.time() + PATIENCE
    with suppress(OSError):
        async with asyncio.timeouts.timeout_at(deadline):
            await end._emptied()
    if end.sock is not None and end.sock.fileno() >= 0:
        await until_arrived(end.sock, deadline - loop.time())
    end.closed_by_us = True
    end.note("reset_sent")
    end.linger_not()
    transport.abort()
    await end.lost.wait()


async def until_all_is_read(end: "StreamEnd", deadline: float) -> None:
    """Have the loop read what the other side has sent by now, unless it isn't to be read."""
    most, turns = len(end.inbound) + MOST_DRAINED, 0
    while not end._paused_by and (end._more_to_come or end._unread) and len(end.inbound) < most:
        if asyncio.events.get_running_loop().time() > deadline:
            return
        turns = await turn(turns)


async def _close_tls(end: "StreamEnd", transport: asyncio.Transport) -> None:
    end.read_on()
    await until_all_is_read(end, asyncio.events.get_running_loop().time() + PATIENCE)
    most = len(end.inbound) + MOST_DRAINED
    await until_quiet(lambda: end.arrived, lambda: len(end.inbound) < most, TURNS)
    transport.close()  # sends close_notify, and would wait for that of the client
    await let_turn(TURNS)
    if not end.lost.is_set():
        _shut_down(end)
        transport.abort()


def _shut_down(end: "StreamEnd") -> None:
    if end.sock is not None:
        # A Unix socket that is closed with unread input resets whatever went before: so no more may come in.
        with suppress(OSError):
            end.sock.shutdown(socket.SHUT_RDWR if end.is_unix else socket.SHUT_WR)


async def _drain_to_the_last(end: "StreamEnd") -> None:
    """Read what the other side has sent by now."""
    loop = asyncio.events.get_running_loop()
    left, turns, deadline = MOST_DRAINED, 0, loop.time() + PATIENCE
    while left > 0 and loop.time() < deadline:
        more = end._more_to_come  # asked first: what has come since is read
        left = _drain(end, left)
        if not more:
            return
        turns = await turn(turns)


def _drain(end: "StreamEnd", most: int) -> int:
    """Read what has arrived, and give what is left of ``most``: 0 as well if nothing can come any more.

    If the other side had ended before us, that is noted, and nobody is told: the connection is closed by us.
    """
    try:
        while end.sock is not None and most > 0 and (data := end.sock.recv(LARGEST_READ)):
            end.network.data_received(data)
            most -= len(data)
        if most > 0 and end._eof_is_unread:
            end.note("eof_received")
            end._ended("eof")
    except BlockingIOError:
        return most
    except OSError:
        pass
    return 0
