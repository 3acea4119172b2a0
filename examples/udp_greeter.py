"""A UDP client in asyncio's idiom: greets a server, prints what comes back, and ends once that has come."""

import asyncio
import sys
from typing import cast


class GreeterProtocol(asyncio.DatagramProtocol):
    """Sends one greeting as soon as it is connected, and closes after the first answer."""

    def __init__(self, greeting: str, closed: "asyncio.Future[None]") -> None:
        self.greeting = greeting
        self.closed = closed

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.DatagramTransport", transport)
        self.transport.sendto(self.greeting.encode())

    def datagram_received(self, data: bytes, addr: object) -> None:
        print(f"answered: {data.decode()}")
        self.transport.close()

    def error_received(self, exc: Exception) -> None:
        print(f"failed: {exc}")
        self.transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        self.closed.set_result(None)


async def greet(greeting: str, address: tuple[str, int]) -> None:
    """Greet the server at ``address``; return when it has answered."""
    loop = asyncio.get_running_loop()
    closed = loop.create_future()
    await loop.create_datagram_endpoint(lambda: GreeterProtocol(greeting, closed), remote_addr=address)
    await closed


if __name__ == "__main__":
    asyncio.run(greet("hello", (sys.argv[1], int(sys.argv[2]))))
