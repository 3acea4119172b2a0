"""`Peers`: makes peers of any kind, in one scope."""

import warnings

from .. import _deadline
from .._scope import Scope
from .._transports.datagram import bound_datagram_socket
from . import ports
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
