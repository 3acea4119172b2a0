"""pymodbus' server protocol, a binary one, on `stream_harness`."""

import asyncio
import struct
from typing import Any

import pytest
from pymodbus.server import ModbusTcpServer
from pymodbus.simulator import DataType, SimData, SimDevice

from pytest_echoserver import HarnessedStream, StreamHarness

SEGMENTS = pytest.mark.parametrize("segments", [None, 1], ids=["whole", "byte-by-byte"])


def server() -> Any:
    """What pymodbus' server makes for a connection; its registers from 0 on hold 100, 101, ..."""
    registers = [SimData(0, values=list(range(100, 110)), datatype=DataType.REGISTERS)]
    server: Any = ModbusTcpServer(SimDevice(1, simdata=registers), address=("127.0.0.1", 0))
    return server.callback_new_connection()


def read_registers(transaction: int, first: int, count: int) -> bytes:
    """A request of "Modbus Messaging on TCP/IP", 3.1: the header, the unit 1, the function 3."""
    return struct.pack(">HHHBBHH", transaction, 0, 6, 1, 3, first, count)


def answer(transaction: int, *values: int) -> bytes:
    size = 2 * len(values)
    return struct.pack(f">HHHBBB{len(values)}H", transaction, 0, 3 + size, 1, 3, size, *values)


@SEGMENTS
@pytest.mark.parametrize("kind", ["socketpair", "tcp", "tls"])
def test_registers_are_read(stream_harness: StreamHarness, kind: Any, segments: int | None) -> None:
    stream = stream_harness.connect(server, kind=kind, side="server")
    for transaction in (1, 2):
        stream.send(read_registers(transaction, 2, 3), segments=segments)
        assert stream.read_exactly(15).result() == answer(transaction, 102, 103, 104)


def test_registers_are_read_on_the_tests_loop(stream_harness: StreamHarness) -> None:
    async def talk() -> None:
        stream = await stream_harness.connect_here(server, kind="tcp", side="server")
        stream.send(read_registers(7, 0, 1), segments=1)
        assert await stream.read_exactly(11) == answer(7, 100)
        await stream.close()

    asyncio.run(talk())


def test_eof_in_the_middle_of_a_request(stream_harness: StreamHarness) -> None:
    stream = stream_harness.connect(server, side="server")
    stream.send(read_registers(1, 0, 1)[:5])
    stream.send_eof()
    assert ended(stream) is None
    assert stream.received == b""


def test_a_reset_in_the_middle_of_a_request(stream_harness: StreamHarness) -> None:
    stream = stream_harness.connect(server, kind="tcp", side="server")
    stream.send(read_registers(1, 0, 1)[:5])
    stream.reset()
    assert isinstance(ended(stream), ConnectionResetError)


def ended(stream: HarnessedStream[Any]) -> Exception | None:
    return stream.lost.result()
