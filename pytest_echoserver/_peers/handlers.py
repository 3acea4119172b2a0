"""Running a stream handler as users write them, from its connection's begin to its end."""

import asyncio
import inspect
from typing import Any

from .._bytestream import EndOfStream
from .._checks import in_short
from .._outcomes import as_exception
from .._telling import told_function
from .behaviours import StreamBehaviour, was_told_to_end
from .connection import HANDLED, Connection

__tracebackhide__ = True


def start_handler(handler: StreamBehaviour, connection: Connection) -> "asyncio.Task[None]":
    """Run a stream handler for ``connection``, and close that when it returns."""
    name = f"{told_function(handler)} for {connection}"
    task = asyncio.events.get_running_loop().create_task(_run_handler(handler, connection), name=name)
    connection._scope.has_to_rest(task)
    return task


async def _run_handler(handler: StreamBehaviour, connection: Connection) -> None:
    HANDLED.set(connection)
    task = asyncio.tasks.current_task()
    try:
        await _call(handler, connection)
    except BaseException as error:
        if was_told_to_end(error, task):
            raise
        if not _client_has_left(connection, error):
            connection._fail(as_exception(error))
            return
    connection._end.close()


async def _call(handler: StreamBehaviour, connection: Connection) -> None:
    running: Any = handler(connection)
    if not inspect.isawaitable(running):
        raise TypeError(
            f"a stream handler must be an async function of its connection; {handler!r} gave {running!r}"
        )
    answer = await running
    if isinstance(answer, (bytes, bytearray)) and answer not in connection.received:  # else it was what came
        raise TypeError(
            f"{told_function(handler)} returned {in_short(answer)}, and that goes nowhere: "
            "a stream handler answers by connection.send(...)"
        )


def _client_has_left(connection: Connection, error: BaseException) -> bool:
    """Whether a handler ended because its client did: by a clean EOF at the start of a read, or a reset."""
    end = connection._end
    if isinstance(error, EndOfStream):
        return error._stream is end.inbound and not error.partial
    return isinstance(error, ConnectionError) and (
        error is end.inbound.error or getattr(error, "_end", None) is end
    )
