"""`Peers`: makes peers of any kind, in one scope."""

import warnings
from typing import Literal

from .. import _deadline
from .._scope import Scope
from .._transports.datagram import bound_datagram_socket
from . import dead, ports
from .behaviours import DatagramBehaviour, echo
from .datagram import DatagramPeer
from .hosts import check_host, check_port

__tracebackhide__ = True


class Peers:
    """Makes any number of peers, and closes them all at the end of the test.

    Get it from the fixture ``peers``.
    """

    def __init__(self, scope: Scope, host: str) -> None:
        self._scope = scope
        self._host = host

    def udp_echo(
        self,
        *,
        host: str | None = None,
        port: int = 0,
        name: str | None = None,
        timeout: float | None = None,
        allow_remote: bool = False,
    ) -> DatagramPeer:
        """Make a peer that sends every datagram back to where it came from.

        Args:
            host: the IP address to bind, by default the configured ``echoserver_host``; ``"::1"`` for IPv6.
            port: the port to bind; 0 for any free one.
            name: what it is called in reports; by default its kind and ordinal in the test.
            timeout: seconds that a wait for it may take, by default the configured ``echoserver_timeout``.
            allow_remote: let it be bound to a host that isn't loopback. Others on the network can then reach it.

        Raises:
            OSError: the address can't be bound; the text names it.
            TypeError, ValueError: an argument isn't what is allowed.
        """
        return self._udp(echo, "udp_echo", host, port, name, timeout, allow_remote)

    def refusing(
        self,
        transport: Literal["tcp", "udp"],
        *,
        host: str | None = None,
        port: int = 0,
        name: str | None = None,
    ) -> dead.DeadPeer:
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
        return dead.make(self._scope, "refusing", transport, self._host if host is None else host, port, name)

    def blackhole(
        self,
        transport: Literal["tcp", "udp"],
        *,
        host: str | None = None,
        port: int = 0,
        name: str | None = None,
    ) -> dead.DeadPeer:
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
        return dead.make(self._scope, "blackhole", transport, self._host if host is None else host, port, name)

    def reserve_port(self) -> int:
        """Reserve a port number until the end of the test, for a server that must be told its port.

        See the fixture ``reserved_port`` for how that works, and where it can't.

        Raises:
            RuntimeError: no port can be reserved; the text says why.
        """
        return ports.reserve(self._scope)

    def _udp(
        self,
        behaviour: DatagramBehaviour,
        kind: str,
        host: str | None,
        port: int,
        name: str | None,
        timeout: float | None,
        allow_remote: bool,
    ) -> DatagramPeer:
        address, family = check_host(self._host if host is None else host, allow_remote=allow_remote)
        limit = self._scope.timeout if timeout is None else _deadline.seconds(timeout)
        if name is not None and not isinstance(name, str):
            raise TypeError(f"name must be a string, not {name!r}")
        check_port(port)
        if allow_remote:
            warnings.warn(f"a UDP peer listens on {address}, where others can reach it", stacklevel=3)
        sock = bound_datagram_socket(family, address, port)
        return DatagramPeer(self._scope, name or self._scope.name_for(kind), sock, behaviour, limit)
