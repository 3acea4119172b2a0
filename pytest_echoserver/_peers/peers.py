"""`Peers`: makes peers of any kind, in one scope.

What only some kinds need is imported where those are made: it takes longer than to make a peer.
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from contextlib import ExitStack
from functools import cache
from typing import TYPE_CHECKING, Any, Literal, Unpack

from .._directory import PrivateDirectory
from .._scope import Scope
from .._transports.datagram import bound_datagram_socket
from .._transports.listening import bound_stream_socket, bound_unix_socket, listen, set_receive_buffer
from .behaviours import DatagramBehaviour, StreamBehaviour, StreamEcho, check_handler, echo
from .bound import one_or_both
from .datagram import DatagramPeer
from .defaults import Defaults, StreamOptions, checked_size
from .hosts import free_path
from .options import TCPOptions, UDPOptions, UnixOptions

if TYPE_CHECKING:
    import ssl

    from .dead import DeadPeer
    from .stream import StreamPeer
    from .tcp_proxy import TCPProxy
    from .udp_proxy import UDPProxy

__tracebackhide__ = True

BACKLOG = 1024
"""Connections that may wait to be accepted; the system may allow fewer."""


class Peers:
    """Makes any number of peers, and closes them all at the end of the test.

    Get it from the fixture ``peers``; from ``session_peers`` they live as long as the session.

    Whatever makes a peer raises ``OSError`` if the address can't be bound, which the text names, and ``TypeError``
    or ``ValueError`` if an argument isn't what is allowed.
    """

    def __init__(
        self,
        scope: Scope,
        directory: PrivateDirectory,
        default_context: Callable[[], ssl.SSLContext],
        defaults: Defaults,
    ) -> None:
        self._scope = scope
        self._directory = directory
        self._default_context = default_context
        self._defaults = defaults

    if TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any:
            """Kinds of peers that ``pytest_echoserver_peer_types`` adds, of which no type checker can know."""

    def udp(self, behaviour: DatagramBehaviour | None = None, **options: Unpack[UDPOptions]) -> DatagramPeer:
        """Make a UDP peer, with or without a behaviour: see `DatagramPeer.serve`. Options: `UDPOptions`."""
        return self._datagram_peer("udp", _checked(behaviour), options)

    def udp_echo(self, **options: Unpack[UDPOptions]) -> DatagramPeer:
        """Make a UDP peer that sends every datagram back to where it came from. Options: `UDPOptions`."""
        return self._datagram_peer("udp_echo", echo, options)

    def tcp(self, behaviour: StreamBehaviour | None = None, **options: Unpack[TCPOptions]) -> StreamPeer:
        """Make a TCP peer, with or without a behaviour: see `StreamPeer.serve`. Options: `TCPOptions`."""
        return self._tcp_peer("tcp", _checked(behaviour), options)

    def tcp_echo(self, **options: Unpack[TCPOptions]) -> StreamPeer:
        """Make a TCP peer that sends back what comes, and ends each connection after its client. Options:
        `TCPOptions`."""
        return self._tcp_peer("tcp_echo", StreamEcho, options)

    def unix(self, behaviour: StreamBehaviour | None = None, **options: Unpack[UnixOptions]) -> StreamPeer:
        """Make a peer on a Unix socket, with or without a behaviour. Options: `UnixOptions`."""
        return self._unix_peer("unix", _checked(behaviour), options)

    def unix_echo(self, **options: Unpack[UnixOptions]) -> StreamPeer:
        """Make a peer on a Unix socket that sends back what comes. Options: `UnixOptions`."""
        return self._unix_peer("unix_echo", StreamEcho, options)

    def tls(self, behaviour: StreamBehaviour | None = None, **options: Unpack[TCPOptions]) -> StreamPeer:
        """Make a TCP peer that speaks TLS, with or without a behaviour. Options: `TCPOptions`.

        Its certificate is one of ``tls_authority``, unless ``tls=`` or ``echoserver_ssl_context`` says otherwise.
        """
        return self._tcp_peer("tls", _checked(behaviour), _with_tls(options))

    def tls_echo(self, **options: Unpack[TCPOptions]) -> StreamPeer:
        """Make a TLS peer that sends back what comes. Options: `TCPOptions`."""
        return self._tcp_peer("tls_echo", StreamEcho, _with_tls(options))

    def udp_proxy(
        self,
        target: Any,
        *,
        upstream: Any = None,
        downstream: Any = None,
        faults: Any = None,
        host: str | None = None,
        port: int = 0,
        allow_remote: bool = False,
        name: str | None = None,
        timeout: float | None = None,
    ) -> UDPProxy:
        """Make a UDP proxy: it passes datagrams on to a real server, by a bad network if there are faults.

        Args:
            target: the server's (host, port), or a peer.
            upstream: the faults from the client to the target, as for ``faults``.
            downstream: from the target to the client.
            faults: for both ways, in the place of these. See `PeerOptions`.
            host: the IP address to bind, by default the configured ``echoserver_host``.
            port: 0 for any free one.
            allow_remote: for a host that isn't loopback.
            name: what it is called in reports, and what its faults are decided by.
            timeout: seconds that a wait for it may take.
        """
        from .proxying import checked_target
        from .udp_proxy import UDPProxy

        checked, family = checked_target(target, "datagram")
        given = self._defaults.faults_of("datagram", one_or_both(faults, upstream=upstream, downstream=downstream))
        place = self._defaults.place(host, port, allow_remote)
        options = self._defaults.proxy(name, timeout, given)
        return UDPProxy(
            self._scope,
            self._scope.name_for("udp_proxy", options.name),
            bound_datagram_socket(*place),
            options,
            target=checked,
            family=family,
        )

    def tcp_proxy(
        self,
        target: Any,
        *,
        upstream: Any = None,
        downstream: Any = None,
        faults: Any = None,
        host: str | None = None,
        port: int = 0,
        allow_remote: bool = False,
        receive_buffer: int | None = None,
        name: str | None = None,
        timeout: float | None = None,
    ) -> TCPProxy:
        """Make a TCP proxy: it passes connections on to a real server, by a bad network if there are faults.

        Args:
            target: the server's (host, port), or a peer.
            upstream: the faults from the client to the target, as for ``faults``.
            downstream: from the target to the client.
            faults: for both ways, in the place of these. See `PeerOptions`.
            host: the IP address to bind, by default the configured ``echoserver_host``.
            port: 0 for any free one.
            allow_remote: for a host that isn't loopback.
            receive_buffer: bytes of the system's buffer for what comes from a client.
            name: what it is called in reports, and what its faults are decided by.
            timeout: seconds that a wait for it may take, and its connecting to the target.
        """
        from .proxying import checked_target
        from .tcp_proxy import TCPProxy

        checked, _ = checked_target(target, "stream")
        given = self._defaults.faults_of("stream", one_or_both(faults, upstream=upstream, downstream=downstream))
        place = self._defaults.place(host, port, allow_remote)
        size = None if receive_buffer is None else checked_size(receive_buffer)
        options = self._defaults.proxy(name, timeout, given)
        with ExitStack() as opened:
            sock = opened.enter_context(_listening(lambda: bound_stream_socket(*place), size))
            called = self._scope.name_for("tcp_proxy", options.name)
            proxy = TCPProxy(self._scope, called, sock, options, target=checked)
            opened.pop_all()
        return proxy

    def refusing(
        self,
        transport: Literal["tcp", "udp"],
        *,
        host: str | None = None,
        port: int = 0,
        name: str | None = None,
    ) -> DeadPeer:
        """Make an address that refuses: for what the code under test does when the server is down.

        Connecting to it over TCP raises ``ConnectionRefusedError``; so does, over UDP, what a connected socket does
        after it has sent there. The port stays reserved meanwhile: nobody else can bind it.

        Args:
            transport: ``"tcp"`` or ``"udp"``.
            host: the loopback address to bind, by default the configured ``echoserver_host``; ``"::1"`` for IPv6.
            port: the port to bind; 0 for any free one.
            name: what it is called in reports; by default its kind and ordinal in the test.

        Raises:
            OSError: the address can't be bound; the text names it.
            TypeError, ValueError: an argument isn't what is allowed.
        """
        return self._dead_peer("refusing", transport, host, port, name)

    def blackhole(
        self,
        transport: Literal["tcp", "udp"],
        *,
        host: str | None = None,
        port: int = 0,
        name: str | None = None,
    ) -> DeadPeer:
        """Make an address that never answers: for the timeouts of the code under test.

        Connecting to it over TCP hangs until the client gives up (on Linux after some two minutes, tcp(7)); a
        datagram sent to it is lost. By ``close()`` it begins to refuse.

        Args:
            transport: ``"tcp"`` or ``"udp"``.
            host: the loopback address to bind, by default the configured ``echoserver_host``; ``"::1"`` for IPv6.
            port: the port to bind; 0 for any free one.
            name: what it is called in reports; by default its kind and ordinal in the test.

        Raises:
            OSError: the address can't be bound; the text names it. Or the system can't do this over TCP: Windows
                refuses a connection where others leave it unanswered.
            TypeError, ValueError: an argument isn't what is allowed.
        """
        return self._dead_peer("blackhole", transport, host, port, name)

    def reserve_port(self) -> int:
        """Reserve a port number until the end of the test, for a server that must be told its port.

        See the fixture ``reserved_port`` for how that works, and where it can't.

        Raises:
            RuntimeError: no port can be reserved; the text says why.
        """
        from . import ports

        return ports.reserve(self._scope)

    def _datagram_peer(self, kind: str, behaviour: DatagramBehaviour | None, options: UDPOptions) -> DatagramPeer:
        place, receive_buffer, common = self._defaults.udp(kind, options)
        return DatagramPeer(
            self._scope,
            self._scope.name_for(kind, common.name),
            bound_datagram_socket(*place, receive_buffer),
            common,
            behaviour,
        )

    def _tcp_peer(self, kind: str, behaviour: Any, options: TCPOptions) -> StreamPeer:
        place, made = self._defaults.tcp(kind, options)
        return self._stream_peer(kind, behaviour, made, lambda: bound_stream_socket(*place))

    def _unix_peer(self, kind: str, behaviour: Any, options: UnixOptions) -> StreamPeer:
        path, made = self._defaults.unix(kind, options)
        peer = self._stream_peer(
            kind, behaviour, made, lambda: bound_unix_socket(path or free_path(self._directory.path))
        )
        if path is not None and peer._file is not None:
            peer._file.know()
        return peer

    def _stream_peer(
        self, kind: str, behaviour: Any, made: StreamOptions, bind: Callable[[], socket.socket]
    ) -> StreamPeer:
        context = self._server_context(made.tls)
        return _stream_peer_type()(
            self._scope,
            self._scope.name_for(kind, made.common.name),
            _listening(bind, made.receive_buffer),
            made.common,
            behaviour,
            framing=made.framing,
            tls=context,
        )

    def _dead_peer(self, kind: str, transport: str, host: str | None, port: int, name: str | None) -> DeadPeer:
        from . import dead

        return dead.make(self._scope, kind, transport, self._defaults.host if host is None else host, port, name)

    def _server_context(self, tls: object) -> Any:
        if tls is False:
            return None
        if tls is True:
            return self._default_context()
        from .tls import checked_context

        return checked_context(tls)


@cache
def _stream_peer_type() -> type[StreamPeer]:
    from .stream import StreamPeer

    return StreamPeer


def _listening(bind: Callable[[], socket.socket], receive_buffer: int | None) -> socket.socket:
    """A socket that listens where ``bind`` has bound it."""
    sock = bind()
    try:
        if receive_buffer is not None:
            set_receive_buffer(sock, receive_buffer)
        listen(sock, BACKLOG)
    except BaseException:
        sock.close()
        raise
    return sock


def _checked(behaviour: Any) -> Any:
    return None if behaviour is None else check_handler(behaviour)


def _with_tls(options: TCPOptions) -> TCPOptions:
    if options.get("tls", True) is False:
        raise ValueError("tls=False on a TLS peer: make it with peers.tcp() instead")
    return {"tls": True, **options}
