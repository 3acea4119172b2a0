"""`Defaults`: what a new peer is made with, by what is said of it, or else by what holds where nothing is said."""

import ipaddress
import socket
from collections.abc import Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn

from .. import _deadline
from .._checks import flag, whole_number
from .._tracebacks import warn
from .._transports.datagram import RECEIVE_BUFFER
from .bound import one_or_both
from .hosts import check_host, check_port, checked_path
from .options import TCPOptions, UDPOptions, UnixOptions

if TYPE_CHECKING:
    from .._faults.deciding import Kind

__tracebackhide__ = True

LARGEST_BUFFER = 2**31 - 1
"""Bytes, as setsockopt(2) takes an int."""


class Place(NamedTuple):
    """Where a peer over IP is bound."""

    family: socket.AddressFamily
    host: str
    port: int


class CommonOptions(NamedTuple):
    """What a peer of any kind is made with, checked."""

    name: str | None
    timeout: float
    strict: bool
    faults: Any


class DatagramOptions(NamedTuple):
    """What a UDP peer is made with, checked."""

    place: Place
    receive_buffer: int
    common: CommonOptions


class StreamOptions(NamedTuple):
    """What a stream peer is made with, checked; but for ``tls``, which only who has a certificate can look at."""

    receive_buffer: int | None
    framing: Any
    tls: Any
    common: CommonOptions


class Defaults:
    """What holds for peers of which nothing else is said, and the check of what is said.

    Nearly all peers are made without options: what they are made with is put together once.
    """

    def __init__(self, *, timeout: float, host: str, strict: bool, faults: Any = None) -> None:
        self.host = host
        self._timeout = timeout
        self._strict = strict
        self._faults = faults

    def udp(self, kind: str, options: UDPOptions) -> DatagramOptions:
        """Those of a UDP peer of this kind."""
        return self._udp(kind, **options) if options else self._usual_udp

    def tcp(self, kind: str, options: TCPOptions) -> tuple[Place, StreamOptions]:
        """Those of a TCP peer of this kind."""
        return self._tcp(kind, **options) if options else self._usual_tcp

    def unix(self, kind: str, options: UnixOptions) -> tuple[str | None, StreamOptions]:
        """Those of a peer of this kind on a Unix socket, and the path of that, if one was given."""
        return self._unix(kind, **options)

    def proxy(self, name: str | None, timeout: float | None, faults: Any) -> CommonOptions:
        """Those of a proxy, whose faults are checked already: it has no script to be strict about."""
        return CommonOptions(checked_peer_name(name), self._limit(timeout), strict=False, faults=faults)

    def place(self, host: str | None, port: int, allow_remote: bool) -> Place:
        """Where to bind what was made with these options."""
        flag(allow_remote, "allow_remote")
        address, family = check_host(self.host if host is None else host, allow_remote=allow_remote)
        if allow_remote and not ipaddress.ip_address(address).is_loopback:
            warn(f"a peer listens on {address}, where others can reach it")
        return Place(family, address, check_port(port))

    def _limit(self, timeout: float | None) -> float:
        return self._timeout if timeout is None else _deadline.seconds(timeout)

    def faults_of(self, kind: "Kind", given: Any) -> Any:
        """What was given; or else what of the marker's is for peers of this kind."""
        if given is None and self._faults is None:
            return None
        from .._faults import deciding  # few peers have any

        chosen = deciding.of_kind(self._faults, kind) if given is None else given
        deciding.both_ways(chosen, kind)
        return chosen

    @cached_property
    def _usual_udp(self) -> DatagramOptions:
        return self._udp("udp")

    @cached_property
    def _usual_tcp(self) -> tuple[Place, StreamOptions]:
        return self._tcp("tcp")

    def _udp(
        self,
        kind: str,
        /,
        *,
        host: str | None = None,
        port: int = 0,
        allow_remote: bool = False,
        receive_buffer: int | None = None,
        **common: Any,
    ) -> DatagramOptions:
        return DatagramOptions(
            self.place(host, port, allow_remote),
            RECEIVE_BUFFER if receive_buffer is None else checked_size(receive_buffer),
            self._common(kind, "datagram", UDPOptions, **common),
        )

    def _tcp(
        self,
        kind: str,
        /,
        *,
        host: str | None = None,
        port: int = 0,
        allow_remote: bool = False,
        **options: Any,
    ) -> tuple[Place, StreamOptions]:
        return self.place(host, port, allow_remote), self._stream(kind, TCPOptions, **options)

    def _unix(self, kind: str, /, *, path: str | None = None, **options: Any) -> tuple[str | None, StreamOptions]:
        return None if path is None else checked_path(path), self._stream(kind, UnixOptions, **options)

    def _stream(
        self,
        kind: str,
        known: Any,
        /,
        *,
        framing: Any = None,
        tls: Any = False,
        receive_buffer: int | None = None,
        **common: Any,
    ) -> StreamOptions:
        return StreamOptions(
            None if receive_buffer is None else checked_size(receive_buffer),
            None if framing is None else _checked_framing(framing),
            tls,
            self._common(kind, "stream", known, **common),
        )

    def _common(
        self,
        kind: str,
        kind_of_faults: "Kind",
        known: Any,
        /,
        *,
        name: str | None = None,
        timeout: float | None = None,
        strict: bool | None = None,
        faults: Any = None,
        inbound: Any = None,
        outbound: Any = None,
        **unknown: Any,
    ) -> CommonOptions:
        if unknown:
            _refuse(unknown, kind, known)
        return CommonOptions(
            checked_peer_name(name),
            self._limit(timeout),
            self._strict if strict is None else flag(strict, "strict"),
            self.faults_of(kind_of_faults, one_or_both(faults, inbound=inbound, outbound=outbound)),
        )


def checked_peer_name(name: object) -> str | None:
    """Give ``name`` back; None, or nothing in it, has the peer named by its kind and ordinal."""
    if name is not None and not isinstance(name, str):
        raise TypeError(f"name must be a string, not {name!r}")
    return name


def checked_size(receive_buffer: object) -> int:
    """Give the bytes of a receive buffer back."""
    return whole_number(receive_buffer, "receive_buffer", least=1, most=LARGEST_BUFFER)


def _checked_framing(framing: Any) -> Any:
    from .matching import check_framing

    return check_framing(framing)


def _refuse(unknown: Mapping[str, object], kind: str, options: Any) -> NoReturn:
    """Raise TypeError for such options, and say which there are."""
    known = ", ".join(sorted(options.__optional_keys__))
    raise TypeError(f"peers.{kind}() got an unexpected keyword argument {next(iter(unknown))!r}; it takes {known}")
