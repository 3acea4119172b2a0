"""pymodbus' server protocol over UDP, on `datagram_harness`."""

import struct
from typing import Any

import pytest
from pymodbus.server import ModbusUdpServer
from pymodbus.simulator import DataType, SimData, SimDevice

from pytest_echoserver import DatagramHarness

from ..conftest import Runner

REQUEST = struct.pack(">HHHBBHH", 7, 0, 6, 1, 3, 2, 3)
"""Reads three registers, from the third on ("Modbus Messaging on TCP/IP", 3.1)."""
ANSWER = struct.pack(">HHHBBBHHH", 7, 0, 9, 1, 3, 6, 102, 103, 104)


def server() -> Any:
    """The protocol that pymodbus' server has for its socket; its registers from 0 on hold 100, 101, ..."""
    registers = [SimData(0, values=list(range(100, 110)), datatype=DataType.REGISTERS)]
    server: Any = ModbusUdpServer(SimDevice(1, simdata=registers), address=("127.0.0.1", 0))
    return server.callback_new_connection()


@pytest.mark.parametrize("remote", [True, False])
def test_registers_are_read(datagram_harness: DatagramHarness, remote: bool) -> None:
    endpoint = datagram_harness.connect(server, remote=remote)
    for _ in range(2):
        endpoint.send(REQUEST)
        assert endpoint.next_datagram().result().data == ANSWER


def test_each_client_gets_its_own_answer(datagram_harness: DatagramHarness) -> None:
    endpoint = datagram_harness.connect(server, remote=False)
    for _ in range(3):
        endpoint.send(REQUEST, source=("127.0.0.1", 0))
        answer = endpoint.next_datagram().result()
        assert answer.data == ANSWER
        assert answer.to != endpoint.address
    assert len({datagram.to for datagram in endpoint.received}) == 3


def test_registers_are_read_on_the_tests_loop(datagram_harness: DatagramHarness, run: Runner) -> None:
    async def talk() -> None:
        endpoint = await datagram_harness.connect_here(server, remote=False)
        endpoint.send(REQUEST)
        assert (await endpoint.next_datagram()).data == ANSWER
        await endpoint.close()
        assert [event.name for event in endpoint.events][-1] == "connection_lost"

    run(talk())


@pytest.mark.parametrize(
    "noise", [b"", b"\xff", REQUEST[:5], bytes(600)], ids=["empty", "garbage", "a part", "too long"]
)
def test_what_is_no_request_gets_no_answer(datagram_harness: DatagramHarness, noise: bytes) -> None:
    endpoint = datagram_harness.connect(server)
    endpoint.send(noise)
    assert endpoint.next_call("datagram_received").result().args == (noise, endpoint.address)
    endpoint.close().result()
    assert list(endpoint.received) == []


def test_a_refused_answer_is_an_error_that_the_server_survives(datagram_harness: DatagramHarness) -> None:
    endpoint = datagram_harness.connect(server)
    endpoint.refuse().result()
    endpoint.send(REQUEST)
    assert isinstance(endpoint.next_call("error_received").result().args[0], ConnectionRefusedError)
    endpoint.send(REQUEST)
    assert isinstance(endpoint.next_call("error_received").result().args[0], ConnectionRefusedError)
    assert endpoint.call(endpoint.protocol.is_active).result()
