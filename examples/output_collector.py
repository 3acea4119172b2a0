"""A program's output, collected by a SubprocessProtocol until the program has exited."""

import asyncio
import sys


class CollectorProtocol(asyncio.SubprocessProtocol):
    """Keeps what the child prints; done once the child has exited and its output has come whole."""

    def __init__(self, done: "asyncio.Future[bytes]") -> None:
        self.done = done
        self.output = bytearray()

    def pipe_data_received(self, fd: int, data: bytes) -> None:
        self.output += data

    def connection_lost(self, exc: Exception | None) -> None:
        self.done.set_result(bytes(self.output))


async def output_of(*argv: str) -> bytes:
    """Run a program and give all that it printed."""
    loop = asyncio.get_running_loop()
    done = loop.create_future()
    transport, _ = await loop.subprocess_exec(lambda: CollectorProtocol(done), *argv, stdin=None, stderr=None)
    output: bytes = await done
    transport.close()
    return output


if __name__ == "__main__":
    print(asyncio.run(output_of(*sys.argv[1:])).decode(), end="")
