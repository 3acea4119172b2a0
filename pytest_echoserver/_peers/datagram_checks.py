"""What a datagram can hold, and where it can go."""

import ipaddress

from .._checks import bytes_like
from .._record import Address

__tracebackhide__ = True

LARGEST_PAYLOAD, LARGEST_PAYLOAD_OVER_IPV6 = 65_507, 65_527
"""Bytes: 65,535 less the headers of UDP (RFC 768) and, for IPv4, of IP (RFC 791)."""


def checked_payload(data: object, host: str) -> bytes:
    """Give the payload of a datagram that is to be sent from ``host``.

    Raises:
        TypeError: it isn't bytes.
        ValueError: it is larger than any datagram.
    """
    payload = bytes_like(data)
    if len(payload) > LARGEST_PAYLOAD and len(payload) > (largest := _largest_payload(host)):
        raise ValueError(f"data has {len(payload)} bytes; the largest datagram here has {largest}")
    return payload


def checked_destination(to: object) -> Address:
    """Give the (host, port) that a datagram is to be sent to.

    Raises:
        TypeError: it is no such pair.
        ValueError: it names no IP address, or no port.
    """
    match to:
        case (str() as host, int() as port, *_) if not isinstance(port, bool):
            try:
                ipaddress.ip_address(host)
            except ValueError:
                raise ValueError(f"to must name an IP address like '127.0.0.1', not {to!r}") from None
            if not 0 < port <= 65_535:
                raise ValueError(f"to must name a port from 1 to 65535, not {to!r}")
            return host, port
    raise TypeError(f"to must be a (host, port) tuple, as in a datagram's `source`, not {to!r}")


def _largest_payload(host: str) -> int:
    address = ipaddress.ip_address(host)
    over_ipv6 = address.version == 6 and address.ipv4_mapped is None
    return LARGEST_PAYLOAD_OVER_IPV6 if over_ipv6 else LARGEST_PAYLOAD
