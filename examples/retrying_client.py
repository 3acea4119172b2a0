"""A client that connects anew when its connection is lost before the answer."""

import asyncio


async def ask(question: bytes, host: str, port: int, *, tries: int = 3) -> bytes:
    """Give the line that is answered to ``question``.

    Raises:
        ConnectionError: there was none, ``tries`` times.
    """
    for _ in range(tries):
        try:
            return await _ask_once(question, host, port)
        except (ConnectionError, asyncio.IncompleteReadError):
            continue
    raise ConnectionError(f"no answer from {host} port {port} in {tries} tries")


async def _ask_once(question: bytes, host: str, port: int) -> bytes:
    reader, writer = await asyncio.open_connection(host, port)
    try:
        writer.write(question + b"\n")
        return await reader.readuntil(b"\n")
    finally:
        writer.close()
