"""A protocol attached to a socket that exists already: waits for one message on it, then closes it."""

import asyncio
import socket
from typing import cast


class OneMessageProtocol(asyncio.Protocol):
    """Takes a message that ends in a newline, however it is cut, and hangs up."""

    def __init__(self, message: "asyncio.Future[str]") -> None:
        self.message = message
        self.received = bytearray()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        self.received += data
        if b"\n" in self.received and not self.message.done():
            self.message.set_result(self.received.partition(b"\n")[0].decode())
            self.transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.message.done():
            self.message.set_exception(EOFError("the other side hung up in the middle of its message"))


async def message_from(sock: socket.socket) -> str:
    """Wait for a message on a connected socket."""
    loop = asyncio.get_running_loop()
    message = loop.create_future()
    await loop.create_connection(lambda: OneMessageProtocol(message), sock=sock)
    return cast("str", await message)


async def main() -> None:
    near, far = socket.socketpair()
    asyncio.get_running_loop().call_soon(far.send, b"hello\n")
    print("received:", await message_from(near))
    far.close()


if __name__ == "__main__":
    asyncio.run(main())
