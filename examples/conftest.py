"""What a conftest of a suite for DNS software may have: its failed tests then show DNS in words."""

from dns_in_words import told

from pytest_echoserver import DatagramPeer


def pytest_echoserver_decode(peer: object, data: bytes) -> str | None:
    return told(data) if isinstance(peer, DatagramPeer) else None
