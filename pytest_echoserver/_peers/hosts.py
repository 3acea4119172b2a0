"""Where a peer may be bound."""

import ipaddress
import socket

__tracebackhide__ = True


def check_host(host: object, *, allow_remote: bool = False) -> tuple[str, socket.AddressFamily]:
    """Give the address to bind for ``host``, and its family.

    Raises:
        TypeError: it isn't a string.
        ValueError: it is no IP address, or not a loopback one and ``allow_remote`` isn't set.
    """
    if not isinstance(host, str):
        raise TypeError(f"host must be a string like '127.0.0.1' or '::1', not {host!r}")
    if host == "localhost":  # to look it up costs a second or two on Windows
        host = "127.0.0.1"
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        raise ValueError(f"host must be an IP address like '127.0.0.1' or '::1', not {host!r}") from None
    if not (address.is_loopback or allow_remote):
        raise ValueError(
            f"host {host!r} isn't a loopback address, and others on the network could reach it; "
            "if that is meant, make the peer with peers.udp_echo(host=..., allow_remote=True)"
        )
    return host, socket.AF_INET if address.version == 4 else socket.AF_INET6


def check_port(port: object) -> int:
    """Give ``port`` back: 0 (any free one) to 65535."""
    if isinstance(port, bool) or not isinstance(port, int):
        raise TypeError(f"port must be an int, not {port!r}")
    if not 0 <= port <= 65_535:
        raise ValueError(f"port must be 0 (any free one) to 65535, not {port}")
    return port
