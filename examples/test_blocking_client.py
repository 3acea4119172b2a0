import blocking_client

from pytest_echoserver import DatagramPeer


def test_it_asks_once_if_it_is_answered(udp_echo_server: DatagramPeer) -> None:
    assert blocking_client.ask(b"ping", udp_echo_server.address) == b"ping"
    assert udp_echo_server.wait_for(1).result()[0].data == b"ping"
    assert len(udp_echo_server.received) == 1
