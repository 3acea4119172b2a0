"""What proxies of both kinds have in common: a target, and faults of each way apart."""

import ipaddress
import socket
from abc import abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from .._checks import whole_number
from .._record import Address
from .._telling import told_place
from .bound import BoundPeer
from .served import ServedPeer

if TYPE_CHECKING:
    from .._faults.deciding import Kind
    from .._traffic import PeerTraffic

__tracebackhide__ = True


class Proxying(ServedPeer):
    """A peer that passes on what comes to a target, and what comes from there back."""

    _target: Address
    _partitioned = False

    @property
    def target(self) -> Address:
        """The (host, port) that it passes on to."""
        return self._target

    @property
    def upstream(self) -> Any:
        """The faults on the way from the client to the target; settable while it runs."""
        return self._ways[0]

    @upstream.setter
    def upstream(self, given: Any) -> None:
        self.faults = (given, self.downstream)

    @property
    def downstream(self) -> Any:
        """The faults on the way from the target to the client; settable while it runs."""
        return self._ways[1]

    @downstream.setter
    def downstream(self, given: Any) -> None:
        self.faults = (self.upstream, given)

    @contextmanager
    def faulty(
        self,
        faults: Any = None,
        *,
        inbound: Any = None,
        outbound: Any = None,
        upstream: Any = None,
        downstream: Any = None,
    ) -> Iterator[None]:
        """Have these faults within a ``with`` block, and those before it after that.

        What they have ended or stalled stays so: a stream by ``stall_after``, say.

        Args:
            faults: as for ``faults=`` of a new proxy.
            inbound: the same as ``upstream``.
            outbound: the same as ``downstream``.
            upstream: from the client to the target alone.
            downstream: from the target to the client alone.

        Raises:
            TypeError, ValueError: such faults can't be given to this proxy, or one way by both of its names.
            RuntimeError: the proxy is closed.
        """
        up = _by_either_name(inbound=inbound, upstream=upstream)
        down = _by_either_name(outbound=outbound, downstream=downstream)
        with super().faulty(faults, inbound=up, outbound=down):
            yield

    def partition(self) -> None:
        """Let nothing pass either way, until `heal`: datagrams are lost, a stream stalls.

        Raises:
            RuntimeError: the proxy is closed.
        """
        self._refuse_if_closed("partition()")
        self._scope.call(self._partition, True)

    def heal(self) -> None:
        """Let pass again what comes.

        Raises:
            RuntimeError: the proxy is closed.
        """
        self._refuse_if_closed("heal()")
        self._scope.call(self._partition, False)

    def _partition(self, partitioned: bool) -> None:
        if partitioned != self._partitioned and not self._closed:
            self._partitioned = partitioned
            self._cut()

    @abstractmethod
    def _cut(self) -> None:
        """Let nothing pass, or all again, as ``_partitioned`` says; and note it."""

    def _traffic(self) -> "PeerTraffic":
        traffic = super()._traffic()
        return replace(traffic, detail="partitioned") if self._partitioned else traffic

    @property
    def _ways(self) -> tuple[Any, Any]:
        given = self.faults
        return given if isinstance(given, tuple) else (given, given)

    @property
    def _what_it_does(self) -> str:
        return f"passes on to {told_place(self._target)}"


def _by_either_name(**given: Any) -> Any:
    """What was given for a way that has two names.

    Raises:
        TypeError: it was given by both.
    """
    faults = [each for each in given.values() if each is not None]
    if len(faults) > 1:
        raise TypeError(f"{' and '.join(given)} are the same way: give one of them")
    return faults[0] if faults else None


def checked_target(target: Any, kind: "Kind") -> tuple[Address, socket.AddressFamily]:
    """The address that is meant, (host, port) or a peer of this kind, and its family.

    Raises:
        TypeError, ValueError: it is none.
    """
    if isinstance(target, BoundPeer) and (target._transport == "udp") != (kind == "datagram"):
        raise TypeError(f"the target of a proxy for {kind}s must be a peer for those, not {target}")
    address = getattr(target, "address", target)
    match address:
        case (str(host), int(port), *_) if not isinstance(port, bool):
            pass
        case _:
            raise TypeError(f"a proxy's target must be (host, port) or a peer on an IP address, not {target!r}")
    whole_number(port, "the target's port", least=1, most=65_535)
    try:
        version = ipaddress.ip_address(host).version
    except ValueError:
        raise ValueError(
            f"a proxy's target must be an IP address and a port, as in ('127.0.0.1', 80), not {address!r}"
        ) from None
    return (host, port), socket.AF_INET if version == 4 else socket.AF_INET6
