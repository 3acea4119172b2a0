"""pytest-echoserver: real network peers as pytest fixtures.

This module is the plugin: its hooks and fixtures are here. The types of what the fixtures give are here as well,
for annotations and for `CaptureFuture()`; they are loaded when they are asked for.

PYTEST_DONT_REWRITE: nothing here asserts, and pytest 8 would else warn if a suite names a plugin that it has
imported already.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from . import _unrewritten  # before all others
from ._fixtures import (
    _echoserver_session,
    datagram_harness,
    echoserver_listen_host,
    echoserver_ssl_context,
    peers,
    pytest_fixture_setup,
    reserved_port,
    session_peers,
    stream_harness,
    subprocess_runner,
    tcp_echo_server,
    tcp_peer,
    tls_authority,
    tls_echo_server,
    tls_peer,
    udp_echo_server,
    udp_peer,
    unix_echo_server,
    unix_peer,
)
from ._plugin import (
    pytest_addhooks,
    pytest_addoption,
    pytest_configure,
    pytest_configure_node,
    pytest_explain,
    pytest_runtest_call,
    pytest_runtest_makereport,
    pytest_runtest_protocol,
    pytest_runtest_teardown,
    pytest_sessionfinish,
    pytest_terminal_summary,
)

if TYPE_CHECKING:
    from ._bytestream import EndOfStream
    from ._faults.model import DatagramFaults, DatagramPlace, StreamFaults, StreamPlace
    from ._faults.peer import FaultNotMet
    from ._faults.schedule import PacketKey, Schedule
    from ._faults.verdict import Direction, Packet, Verdict
    from ._futures import CaptureFuture, CaptureTimeout
    from ._harness.datagram import DatagramHarness, HarnessedEndpoint
    from ._harness.far_datagrams import HarnessDatagram
    from ._harness.stream import HarnessedStream, StreamHarness
    from ._peers.behaviours import DatagramBehaviour, StreamBehaviour
    from ._peers.bound import BoundPeer
    from ._peers.connection import Connection
    from ._peers.datagram import DatagramPeer
    from ._peers.dead import DeadPeer
    from ._peers.expectations import Expectation, PatternLike, ReplyLike, Rule, StreamExpectation, StreamRule
    from ._peers.mismatch import ScriptMismatch
    from ._peers.options import PeerOptions, TCPOptions, UDPOptions, UnixOptions
    from ._peers.peers import Peers
    from ._peers.stream import StreamPeer
    from ._peers.tcp_proxy import TCPProxy
    from ._peers.tls import Certificate, TLSAuthority, TLSHandshakeError
    from ._peers.udp_proxy import UDPProxy
    from ._process.process import Process
    from ._process.ready import ProcessDied
    from ._process.ready_checks import Ready
    from ._process.runner import SubprocessRunner
    from ._record import Address, Datagram, Event, SentDatagram
    from ._traffic import Expected, PeerTraffic, Traffic

__version__ = "0.1.0"

__all__ = [
    "Address",
    "BoundPeer",
    "CaptureFuture",
    "CaptureTimeout",
    "Certificate",
    "Connection",
    "Datagram",
    "DatagramBehaviour",
    "DatagramFaults",
    "DatagramHarness",
    "DatagramPeer",
    "DatagramPlace",
    "DeadPeer",
    "Direction",
    "EndOfStream",
    "Event",
    "Expectation",
    "Expected",
    "FaultNotMet",
    "HarnessDatagram",
    "HarnessedEndpoint",
    "HarnessedStream",
    "Packet",
    "PacketKey",
    "PatternLike",
    "PeerOptions",
    "PeerTraffic",
    "Peers",
    "Process",
    "ProcessDied",
    "Ready",
    "ReplyLike",
    "Rule",
    "Schedule",
    "ScriptMismatch",
    "SentDatagram",
    "StreamBehaviour",
    "StreamExpectation",
    "StreamFaults",
    "StreamHarness",
    "StreamPeer",
    "StreamPlace",
    "StreamRule",
    "SubprocessRunner",
    "TCPOptions",
    "TCPProxy",
    "TLSAuthority",
    "TLSHandshakeError",
    "Traffic",
    "UDPOptions",
    "UDPProxy",
    "UnixOptions",
    "Verdict",
    "datagram_harness",
    "echoserver_listen_host",
    "echoserver_ssl_context",
    "peers",
    "reserved_port",
    "session_peers",
    "stream_harness",
    "subprocess_runner",
    "tcp_echo_server",
    "tcp_peer",
    "tls_authority",
    "tls_echo_server",
    "tls_peer",
    "udp_echo_server",
    "udp_peer",
    "unix_echo_server",
    "unix_peer",
]

_TYPES = {
    "Address": "_record",
    "BoundPeer": "_peers.bound",
    "CaptureFuture": "_futures",
    "CaptureTimeout": "_futures",
    "Certificate": "_peers.tls",
    "Connection": "_peers.connection",
    "Datagram": "_record",
    "DatagramBehaviour": "_peers.behaviours",
    "DatagramFaults": "_faults.model",
    "DatagramHarness": "_harness.datagram",
    "DatagramPeer": "_peers.datagram",
    "DatagramPlace": "_faults.model",
    "DeadPeer": "_peers.dead",
    "Direction": "_faults.verdict",
    "EndOfStream": "_bytestream",
    "Event": "_record",
    "Expectation": "_peers.expectations",
    "Expected": "_traffic",
    "FaultNotMet": "_faults.peer",
    "HarnessDatagram": "_harness.far_datagrams",
    "HarnessedEndpoint": "_harness.datagram",
    "HarnessedStream": "_harness.stream",
    "Packet": "_faults.verdict",
    "PacketKey": "_faults.schedule",
    "PatternLike": "_peers.expectations",
    "PeerOptions": "_peers.options",
    "PeerTraffic": "_traffic",
    "Peers": "_peers.peers",
    "Process": "_process.process",
    "ProcessDied": "_process.ready",
    "Ready": "_process.ready_checks",
    "ReplyLike": "_peers.expectations",
    "Rule": "_peers.expectations",
    "Schedule": "_faults.schedule",
    "ScriptMismatch": "_peers.mismatch",
    "SentDatagram": "_record",
    "StreamBehaviour": "_peers.behaviours",
    "StreamExpectation": "_peers.expectations",
    "StreamFaults": "_faults.model",
    "StreamHarness": "_harness.stream",
    "StreamPeer": "_peers.stream",
    "StreamPlace": "_faults.model",
    "StreamRule": "_peers.expectations",
    "SubprocessRunner": "_process.runner",
    "TCPOptions": "_peers.options",
    "TCPProxy": "_peers.tcp_proxy",
    "TLSAuthority": "_peers.tls",
    "TLSHandshakeError": "_peers.tls",
    "Traffic": "_traffic",
    "UDPOptions": "_peers.options",
    "UDPProxy": "_peers.udp_proxy",
    "UnixOptions": "_peers.options",
    "Verdict": "_faults.verdict",
}


def __getattr__(name: str) -> Any:
    if name in _TYPES:
        return getattr(import_module(f"{__name__}.{_TYPES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    # Without the types: pytest looks at all that is listed here in its search for fixtures, and would load them.
    return [name for name in globals() if name not in _TYPES]
