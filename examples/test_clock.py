import struct
import time

import pytest
from clock import seconds_off

from pytest_echoserver import Datagram, DatagramPeer

SINCE_1900 = 2_208_988_800
"""Seconds from NTP's epoch to that of Unix."""


@pytest.mark.parametrize("fast", [0, 3600])
def test_it_compares_its_clock_with_the_server(udp_peer: DatagramPeer, fast: int) -> None:
    @udp_peer.serve
    def ntp_server(datagram: Datagram) -> bytes:
        now = int((time.time() + SINCE_1900 + fast) * 2**32)
        client_sent = datagram.data[40:48]
        return struct.pack("!BBbb11x1x8x8s8s8s", 0x24, 2, 0, -20, client_sent, *[now.to_bytes(8)] * 2)

    assert seconds_off(udp_peer.host, udp_peer.port) == pytest.approx(fast, abs=1)
