import pytest
import udp_greeter

from pytest_echoserver import DatagramPeer


@pytest.mark.asyncio
async def test_it_prints_what_comes_back(udp_echo_server: DatagramPeer, capsys: pytest.CaptureFixture[str]) -> None:
    await udp_greeter.greet("hello", udp_echo_server.address)
    assert capsys.readouterr().out == "answered: hello\n"
    assert [datagram.data for datagram in udp_echo_server.received] == [b"hello"]


@pytest.mark.asyncio
async def test_it_tells_that_nobody_is_there(
    udp_echo_server: DatagramPeer, capsys: pytest.CaptureFixture[str]
) -> None:
    udp_echo_server.close()
    await udp_greeter.greet("hello", udp_echo_server.address)
    assert capsys.readouterr().out.startswith("failed: ")
