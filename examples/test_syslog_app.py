from collections.abc import Iterator
from logging import Logger
from typing import Any

import pytest
import syslog_app

from pytest_echoserver import DatagramPeer

DAEMON, WARNING, INFO = 3, 4, 6
"""Facility and severities of RFC 5424; a message starts with facility * 8 + severity."""


@pytest.fixture
def logger(udp_echo_server: DatagramPeer, request: pytest.FixtureRequest) -> Iterator[Logger]:
    logger = syslog_app.syslog_logger(request.node.name, udp_echo_server.address)
    yield logger
    for handler in logger.handlers:
        handler.close()


def test_records_arrive_with_their_priority(udp_echo_server: DatagramPeer, logger: Logger) -> None:
    logger.warning("disk is %d %% full", 93)
    logger.info("cleaned up")
    first, second = udp_echo_server.wait_for(2).result()
    assert first.data.startswith(b"<%d>" % (DAEMON * 8 + WARNING))
    assert first.data.rstrip(b"\0").endswith(b": disk is 93 % full")
    assert second.data.startswith(b"<%d>" % (DAEMON * 8 + INFO))


def test_what_is_below_its_level_is_not_sent(udp_echo_server: DatagramPeer, logger: Logger) -> None:
    logger.debug("nobody hears this")
    logger.info("but this")
    seen: Any = udp_echo_server.next_datagram().result()
    assert b"but this" in seen.data
