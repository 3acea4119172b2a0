"""`DeadPeer`: an address where nobody answers, because the system refuses or because nothing comes back."""

import selectors
import socket
import sys
from collections.abc import Callable
from contextlib import ExitStack

from .._adopted import Member
from .._neighbours import real_monotonic
from .._record import RowRecord
from .._scope import Scope
from .._telling import told_place
from .._traffic import PeerTraffic
from .._transports.datagram import bound_datagram_socket
from .._transports.listening import bound_stream_socket, close_listener, listen
from .bound import BoundPeer
from .defaults import checked_peer_name
from .hosts import check_host, check_port

__tracebackhide__ = True

FULL_WITHIN = 5.0
"""Seconds that our own connection has to fill the backlog; on loopback it takes less than a millisecond."""
PROBE = 0.25
"""Seconds after which a connection over loopback that still isn't made will not be."""
MOST_PROBES = 512
"""More connections than the shortest backlog of any system holds."""

Sockets = list[socket.socket]
"""A peer's own socket, and then those that keep its backlog full."""


class DeadPeer(BoundPeer):
    """An address with nobody behind it: connecting to it, or sending there, is refused or never answered.

    Get one from ``peers.refusing()`` or ``peers.blackhole()``. It is a context manager, and closed at the end of
    the test in any case. Until then the port is its own. It records nothing: what reaches it, only the system sees.
    """

    def __init__(self, scope: Scope, name: str, transport: str, sockets: Sockets) -> None:
        super().__init__(scope, name, sockets[0])
        self._transport = transport
        self._sockets = sockets
        self._nothing = RowRecord()
        try:
            scope.adopt(Member(self._traffic, self._nothing, self._shut, tell_closed=self._tell_closed))
        except BaseException:
            self._close_sockets()
            raise
        scope.opened(self)

    def close(self) -> None:
        """Give the port back."""
        self._close_sockets()
        self._tell_closed()
        if self._scope.wide:
            self._scope.release(self._nothing)

    def _traffic(self) -> PeerTraffic:
        return PeerTraffic(self._name, "none", self.address, (), peer=self)

    async def _shut(self) -> None:
        self._close_sockets()

    def _close_sockets(self) -> None:
        # The peer's own first: that resets our connections in its backlog, and leaves none in TIME_WAIT.
        if not self._scope.engine.forked:  # in a forked child it is the parent's, and goes on
            close_listener(self._socket)
        for sock in self._sockets:
            sock.close()


def make(scope: Scope, kind: str, transport: object, host: object, port: object, name: object) -> DeadPeer:
    """Make a peer of the kind ``"refusing"`` or ``"blackhole"``.

    Raises:
        OSError: the address can't be bound; the text names it.
        TypeError, ValueError: an argument isn't what is allowed.
    """
    transport = _check_transport(transport)
    address, family = check_host(host)
    given = checked_peer_name(name)
    port = check_port(port)
    with ExitStack() as opened:
        sockets = [opened.enter_context(sock) for sock in _OPEN[kind, transport](family, address, port)]
        peer = DeadPeer(scope, scope.name_for(f"{kind}_{transport}", given), transport, sockets)
        opened.pop_all()
    return peer


def _check_transport(transport: object) -> str:
    if not isinstance(transport, str):
        raise TypeError(f"transport must be 'tcp' or 'udp', not {transport!r}")
    if transport not in ("tcp", "udp"):
        raise ValueError(f"transport must be 'tcp' or 'udp', not {transport!r}")
    return transport


def _refusing_tcp(family: socket.AddressFamily, host: str, port: int) -> Sockets:
    return [bound_stream_socket(family, host, port)]  # who connects to what doesn't listen gets RST


def _refusing_udp(family: socket.AddressFamily, host: str, port: int) -> Sockets:
    with ExitStack() as opened:
        sock = opened.enter_context(bound_datagram_socket(family, host, port))
        # A connected socket takes datagrams from its peer alone (connect(2)), and this one is its own. All others
        # get ICMP "port unreachable", as if nothing were bound here (RFC 1122, 4.1.3.1).
        sock.connect(sock.getsockname())
        opened.pop_all()
    return [sock]


def _blackhole_udp(family: socket.AddressFamily, host: str, port: int) -> Sockets:
    return [bound_datagram_socket(family, host, port)]  # never read: when its buffer is full, the kernel drops


def _blackhole_tcp(family: socket.AddressFamily, host: str, port: int) -> Sockets:
    with ExitStack() as opened:
        sock = opened.enter_context(bound_stream_socket(family, host, port))
        if sys.platform == "win32":
            raise OSError("there is no TCP blackhole on Windows: where the backlog is full, it refuses")
        listen(sock, 0)
        own = _fill_the_one_place(sock) if sys.platform == "linux" else _fill_all_places(sock)
        opened.pop_all()
    return [sock, *own]


def _fill_the_one_place(listener: socket.socket) -> Sockets:
    """Fill the backlog of ``listen(0)`` on Linux.

    There a listener drops every SYN while more connections wait to be accepted than its backlog says (listen(2);
    sk_acceptq_is_full in include/net/sock.h): more than none. So it is full exactly when it is readable. It is all
    the same whose connection made it so.
    """
    with ExitStack() as opened:
        own = opened.enter_context(_connecting(listener))
        if not _ready(listener, selectors.EVENT_READ, FULL_WITHIN):  # or there is no descriptor left to wait by
            where = told_place(listener.getsockname())
            raise TimeoutError(f"no connection reached {where} within {FULL_WITHIN:g} s; is it firewalled?")
        opened.pop_all()
    return [own]


def _fill_all_places(listener: socket.socket) -> Sockets:
    """Fill a backlog of unknown length: connect until a connection isn't made any more.

    Raises:
        OSError: this system refuses when the backlog is full, or takes more than any backlog should.
    """
    with ExitStack() as opened:
        own: Sockets = []
        for _ in range(MOST_PROBES):
            own.append(opened.enter_context(_connecting(listener)))
            if not _ready(own[-1], selectors.EVENT_WRITE, PROBE):
                opened.pop_all()
                return own
            if own[-1].getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
                break
        where = told_place(listener.getsockname())
        raise OSError(f"this system can't make a TCP blackhole at {where}: it refuses or takes them all")


def _connecting(listener: socket.socket) -> socket.socket:
    sock = socket.socket(listener.family, socket.SOCK_STREAM)
    sock.setblocking(False)
    sock.connect_ex(listener.getsockname())
    return sock


def _ready(sock: socket.socket, event: int, within: float) -> bool:
    """Whether ``sock`` becomes readable or writable within so many seconds."""
    with selectors.DefaultSelector() as selector:
        selector.register(sock, event)
        deadline = real_monotonic() + within
        while (left := deadline - real_monotonic()) > 0:
            if selector.select(left):
                return True
    return False


_OPEN: dict[tuple[str, str], Callable[[socket.AddressFamily, str, int], Sockets]] = {
    ("refusing", "tcp"): _refusing_tcp,
    ("refusing", "udp"): _refusing_udp,
    ("blackhole", "tcp"): _blackhole_tcp,
    ("blackhole", "udp"): _blackhole_udp,
}
