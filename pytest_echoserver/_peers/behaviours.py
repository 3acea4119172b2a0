"""What peers do with what they receive: the echo, and handlers as users write them."""

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

from .._bytestream import EndOfStream
from .._outcomes import as_exception
from .._record import Datagram
from .connection import HANDLED, Connection

__tracebackhide__ = True

Answer = bytes | Iterable[bytes] | None
"""What goes back: nothing, one datagram, or several."""
DatagramBehaviour = Callable[[Datagram], Answer | Awaitable[Answer]]
"""From a datagram that came in to what goes back to its source; plain or async."""
StreamBehaviour = Callable[[Connection], Awaitable[object]]
"""An async function of the connection: it ends when the conversation does, and the connection is closed then."""


def echo(datagram: Datagram) -> bytes:
    """Send back what came. A peer's end does that by itself, with no `Datagram` made: `DatagramEnd.echo`."""
    return datagram.data


class StreamEcho:
    """Sends back what comes on one connection, and closes it after its client's end."""

    def __init__(self, connection: Connection) -> None:
        self._end = connection._end

    def data_received(self, data: bytes) -> None:
        self._end.send(data)

    def eof_received(self) -> None:
        self._end.close()

    def connection_lost(self) -> None:
        pass


def check_handler(handler: Any) -> Any:
    """Give ``handler`` back if it can be called.

    Raises:
        TypeError: it can't, as a coroutine that was called already can't.
    """
    if inspect.iscoroutine(handler):
        handler.close()
        raise TypeError(f"a handler is called for each client: pass the function itself, not {handler!r}")
    if not callable(handler):
        raise TypeError(f"a handler must be callable, not {handler!r}")
    return handler


def start_handler(
    handler: StreamBehaviour, connection: Connection, fail: Callable[[Connection, Exception], None]
) -> "asyncio.Task[None]":
    """Run a stream handler for ``connection``, and close that when it returns."""
    name = f"{getattr(handler, '__qualname__', handler)} for {connection}"
    task = asyncio.get_running_loop().create_task(_run_handler(handler, connection, fail), name=name)
    connection._scope.has_to_rest(task)
    return task


async def _run_handler(
    handler: StreamBehaviour, connection: Connection, fail: Callable[[Connection, Exception], None]
) -> None:
    HANDLED.set(connection)
    try:
        await _called(handler, connection)
    except BaseException as error:
        if was_cancelled(error):
            raise
        if not _client_has_left(connection, error):
            fail(connection, as_exception(error))
            return
    connection._end.close()


def was_cancelled(error: BaseException) -> bool:
    """Whether the running task ends because it was told to, and not because what it awaited was cancelled."""
    task = asyncio.current_task()
    return isinstance(error, asyncio.CancelledError) and task is not None and task.cancelling() > 0


def _called(handler: StreamBehaviour, connection: Connection) -> Awaitable[object]:
    running: Any = handler(connection)
    if inspect.isawaitable(running):
        return running
    raise TypeError(f"a stream handler must be an async function of its connection; {handler!r} gave {running!r}")


def _client_has_left(connection: Connection, error: BaseException) -> bool:
    """Whether a handler ended because its client did: by a clean EOF at the start of a read, or a reset."""
    end = connection._end
    if isinstance(error, EndOfStream):
        return error.stream is end.inbound and not error.partial
    return isinstance(error, ConnectionError) and (error is end.inbound.error or getattr(error, "end", None) is end)
