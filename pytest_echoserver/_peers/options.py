"""What can be said of a new peer, by its kind."""

import ssl
from collections.abc import Callable
from typing import Any, TypedDict


class PeerOptions(TypedDict, total=False):
    """What can be said of a peer of any kind.

    - ``name``: what it is called in reports, and what its faults are decided by; by default its kind and ordinal in
      the test.
    - ``timeout``: seconds that a wait for it may take, by default the configured ``echoserver_timeout``.
    - ``strict``: whether the test fails if something comes that neither script nor rules match; else that is only
      recorded. By default the marker's ``strict=``, or True.
    - ``receive_buffer``: bytes of the system's buffer for what comes in; small for a zero window soon after
      ``stall()``.
    - ``faults``: of its network, both ways: `DatagramFaults` or `StreamFaults`, a `Schedule`, a callable from
      `Packet` to `Verdict` or None, a list of these, of which the first that decides wins, or a pair of all that,
      (inbound, outbound).
    - ``inbound``, ``outbound``: the faults of one direction alone, towards the peer or away from it.
    """

    name: str | None
    timeout: float | None
    strict: bool | None
    receive_buffer: int | None
    faults: Any
    inbound: Any
    outbound: Any


class UDPOptions(PeerOptions, total=False):
    """Beside those of `PeerOptions`: what a peer over IP has.

    - ``host``: the IP address to bind, by default the configured ``echoserver_host``.
    - ``port``: 0, as by default, for any free one.
    - ``allow_remote``: for a host that isn't loopback, where others on the network can reach the peer.
    """

    host: str | None
    port: int
    allow_remote: bool


class TCPOptions(UDPOptions, total=False):
    """Beside those of `UDPOptions`: what a stream has.

    - ``framing``: where a message ends: a delimiter, which belongs to it, or a callable that gets what is unread
      and gives the length of the first message, or None as long as that isn't known; one that has given a length is
      asked again once so much is there. A script's patterns then match whole messages.
    - ``tls``: True, or an `ssl.SSLContext` for the server's side.
    """

    framing: bytes | Callable[[bytes], int | None] | None
    tls: bool | ssl.SSLContext


class UnixOptions(PeerOptions, total=False):
    """Beside those of `PeerOptions`: what a peer on a Unix socket has.

    - ``path``: that of the socket, by default a new one in a private directory.
    - ``framing``, ``tls``: as in `TCPOptions`.
    """

    path: str | None
    framing: bytes | Callable[[bytes], int | None] | None
    tls: bool | ssl.SSLContext
