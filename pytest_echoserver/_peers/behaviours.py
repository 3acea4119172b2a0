"""What peers do with what they receive: the echo, and what users may give instead."""

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Iterable
from typing import TYPE_CHECKING, Any

from .._checks import in_short
from .._record import Datagram
from .telling import shown

if TYPE_CHECKING:  # a UDP peer has no use for it
    from .connection import Connection

__tracebackhide__ = True

Answer = bytes | Iterable[bytes] | None
"""What goes back: nothing, one datagram, or several."""
DatagramBehaviour = Callable[[Datagram], Answer | Awaitable[Answer]]
"""From a datagram that came in to what goes back to its source; plain or async."""
StreamBehaviour = Callable[["Connection"], Awaitable[object]]
"""An async function of the connection: it ends when the conversation does, and the connection is closed then."""


def echo(datagram: Datagram) -> bytes:
    """Send back what came. A peer's end does that by itself, with no `Datagram` made: `DatagramEnd.echo`."""
    return datagram.data


class StreamEcho:
    """Sends back what comes on one connection, and closes it after its client's end."""

    def __init__(self, connection: "Connection") -> None:
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
        TypeError: it can't, as a coroutine that was called already can't, or would do nothing.
    """
    if inspect.iscoroutine(handler):
        handler.close()
        raise TypeError(f"a handler is called for each client: pass the function itself, not {handler!r}")
    if not callable(handler):
        raise TypeError(f"a handler must be callable, not {handler!r}")
    if inspect.isasyncgenfunction(handler):
        raise TypeError(
            f"a handler is a function, async or not; {handler!r} has a `yield` in it, and would never run"
        )
    return handler


def was_told_to_end(error: BaseException, task: "asyncio.Task[Any] | None") -> bool:
    """Whether ``task`` ends because it was told to, and not because what it awaited was cancelled.

    One that refuses to be cancelled is thrown away after its loop was closed: a ``GeneratorExit`` for what it runs,
    with the task itself not running. While it runs, it is an exception like any other.
    """
    if task is None:
        return False
    if isinstance(error, asyncio.CancelledError):
        return task.cancelling() > 0
    return isinstance(error, GeneratorExit) and asyncio.tasks.current_task(task.get_loop()) is not task


def payloads_of(value: Any, check: Callable[[object], bytes], giver: Callable[..., object]) -> list[bytes]:
    """What a handler or a callable reply gave, as a list: None, one payload, or several.

    Raises:
        TypeError: it is something else, a ``str`` say.
    """
    if value is None:
        return []
    if isinstance(value, (bytes, bytearray, memoryview)):
        return [check(value)]
    if isinstance(value, str) or not isinstance(value, Iterable):
        raise TypeError(
            f"an answer must be bytes, several of them, or None, not {in_short(value)}, which {shown(giver)} gave"
        )
    return [check(each) for each in value]
