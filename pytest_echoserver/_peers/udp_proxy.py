"""`UDPProxy`: stands between clients and a real server that speak UDP."""

import asyncio
import errno
import ipaddress
import os
import socket

from .._record import Address, Datagram
from .._scope import Scope
from .._telling import told_place
from .._transports.datagram import DrainingDatagramTransport, Sockaddr, bound_datagram_socket
from .datagram import DatagramPeer
from .defaults import CommonOptions
from .proxying import Proxying

__tracebackhide__ = True


class UDPProxy(Proxying, DatagramPeer):
    """Passes datagrams on to a target, and its answers back; a flow of its own for each client's address.

    Get one by ``peers.udp_proxy(target)``. It is a `DatagramPeer`, but takes no handler, script or rule
    (``RuntimeError``). ``received``, ``sent`` and ``next_datagram()`` are of the clients' side; the target's is in
    ``events``: ``target_datagram_sent(data, client)`` and ``target_datagram_received(data, client)``, with
    ``partitioned()`` and ``healed()``.

    An error that the target's system reports, such as a refused port, is an event, ``error_received(exc)``: a proxy
    can't pass it on. If too many files are open for one more client, that fails the test.
    """

    def __init__(
        self,
        scope: Scope,
        name: str,
        sock: socket.socket,
        options: CommonOptions,
        *,
        target: Address,
        family: socket.AddressFamily,
    ) -> None:
        self._target = target
        self._target_family = family
        self._flows: dict[Address, _Flow] = {}
        super().__init__(scope, name, sock, options, self._pass_on)

    def _pass_on(self, datagram: Datagram) -> None:
        flow = self._flows.get(datagram.source)
        try:
            if flow is None:
                flow = self._flows[datagram.source] = self._new_flow(datagram.source)
        except OSError as error:  # the network's, and no failure of the test
            self._record.note("error_received", error)
            if error.errno in (errno.EMFILE, errno.ENFILE):  # but that is one, which nothing else tells of
                self._blame_once_a_test(self._no_socket_for(datagram.source, error.errno))
            return
        self._record.note("target_datagram_sent", datagram.data, datagram.source)
        flow.transport.sendto(datagram.data)

    def _new_flow(self, client: Address) -> "_Flow":
        sock = bound_datagram_socket(self._target_family, _own_host(self._target[0]), 0)
        try:
            sock.connect(self._target)  # before it is read from: others' datagrams aren't the target's
            flow = _Flow(self, client)
            flow.transport = DrainingDatagramTransport(sock, flow, self._scope.engine.readers, self._scope.context)
        except BaseException:
            sock.close()
            raise
        return flow

    def _no_socket_for(self, client: Address, number: int) -> OSError:
        what = f"{self} keeps a socket for each client's address, and has none for {told_place(client)}"
        return OSError(number, f"{what}: {os.strerror(number)}")

    def _came_back(self, data: bytes, client: Address) -> None:
        self._record.note("target_datagram_received", data, client)
        self._end.send(data, client)

    def _cut(self) -> None:
        network, transport = self._needed_network(), self._end.transport
        if network is None or transport is None:
            return
        with transport.lock:
            transport.drain()  # what has come meets the network as it was
            self._record.note("partitioned" if self._partitioned else "healed")
            network.inbound.cut = network.outbound.cut = self._partitioned

    def _abort(self) -> None:
        for flow in tuple(self._flows.values()):
            flow.transport.drain()  # as long as what the target has answered can be passed on
        super()._abort()
        for flow in self._flows.values():
            flow.transport.abort()


class _Flow(asyncio.DatagramProtocol):
    """What comes from the target for one client."""

    transport: DrainingDatagramTransport

    def __init__(self, proxy: UDPProxy, client: Address) -> None:
        self._proxy = proxy
        self._client = client

    def datagram_received(self, data: bytes, addr: Sockaddr) -> None:  # noqa: ARG002  it is connected
        self._proxy._came_back(data, self._client)

    def error_received(self, exc: Exception) -> None:
        self._proxy._end.error_received(exc)


def _own_host(target: str) -> str:
    """Where to send from: loopback to loopback, or whatever the system takes."""
    address = ipaddress.ip_address(target)
    if address.is_loopback:
        return target if address.version == 6 else "127.0.0.1"
    return "::" if address.version == 6 else "0.0.0.0"  # noqa: S104  it only sends to its target
