"""How a connection goes on over TLS, as after STARTTLS."""

import asyncio
import ssl
from functools import partial

from .._futures import CaptureFuture
from .._transports.writing import WriteQueue
from .stream_end import STALLED, StreamEnd

__tracebackhide__ = True

HANDSHAKE = 0.25
"""Seconds that a TLS handshake has to end, once the connection is to be closed. The other side may not be in it."""


def start_tls(
    end: StreamEnd, context: ssl.SSLContext, server_name: str | None, last: bytes, future: CaptureFuture[None]
) -> None:
    """Send ``last`` and go on over TLS, with nothing read in between: as its client if there is a name."""
    told = "the TLS handshake is not over"
    end.outbox.put(partial(_start_tls, end, context, server_name, last), future, told)


async def end_handshake(end: StreamEnd) -> None:
    """Wait for a TLS handshake that was begun, for a while: then what was to be done after it is dropped."""
    if end.handshake is not None:
        await asyncio.tasks.wait({end.handshake}, timeout=HANDSHAKE)
        if not end.handshake.done():
            end.closed_by_us = True
            end.outbox.cancel()


async def _start_tls(end: StreamEnd, context: ssl.SSLContext, server_name: str | None, last: bytes) -> None:
    transport = end._transport
    if transport is None or transport.is_closing():
        raise end._gone()
    transport.pause_reading()  # the other side may begin its handshake as soon as it has got that
    if last:
        end._write(last, None)
    await end._emptied()
    end.note("start_tls")
    loop = asyncio.events.get_running_loop()
    end.handshake = loop.create_future()
    try:
        upgraded = await loop.start_tls(
            transport, end, context, server_side=server_name is None, server_hostname=server_name
        )
    except BaseException as error:
        transport.abort()  # a context for the wrong side is refused before asyncio has a hold on it
        # Of a connection that ends in its handshake asyncio doesn't tell.
        end.connection_lost(error if isinstance(error, Exception) else None)
        raise
    finally:
        end.handshake.cancel()
    if upgraded is None:
        raise end._gone("the connection was lost in the TLS handshake")
    end.tls = True
    end._transport, end._queue = upgraded, WriteQueue(upgraded, end._gone)
    if STALLED in end._paused_by:  # what came with the handshake's end was passed on by now
        end.stall()
