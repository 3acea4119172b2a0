"""Where a peer may be bound."""

import ipaddress
import itertools
import os
import socket
import sys
from functools import lru_cache
from pathlib import Path

__tracebackhide__ = True

LONGEST_PATH = 107 if sys.platform == "linux" else 103
"""Bytes of a Unix socket's path: sun_path of unix(7), less the zero that ends it."""
_numbers = itertools.count(1)


def check_host(host: object, *, allow_remote: bool = False) -> tuple[str, socket.AddressFamily]:
    """Give the address to bind for ``host``, and its family.

    Raises:
        TypeError: it isn't a string.
        ValueError: it is no IP address, or not a loopback one and ``allow_remote`` isn't set.
    """
    if not isinstance(host, str):
        raise TypeError(f"host must be a string like '127.0.0.1' or '::1', not {host!r}")
    return _checked(host, allow_remote)


@lru_cache  # peers are made by the thousand, and all at the same address
def _checked(host: str, allow_remote: bool) -> tuple[str, socket.AddressFamily]:
    if host == "localhost":  # to look it up costs a second or two on Windows
        host = "127.0.0.1"
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        raise ValueError(f"host must be an IP address like '127.0.0.1' or '::1', not {host!r}") from None
    if not (address.is_loopback or allow_remote):
        raise ValueError(
            f"host {host!r} isn't a loopback address, and others on the network could reach it; "
            "if that is meant, make the peer with allow_remote=True"
        )
    return host, socket.AF_INET if address.version == 4 else socket.AF_INET6


def check_port(port: object) -> int:
    """Give ``port`` back: 0 (any free one) to 65535."""
    if isinstance(port, bool) or not isinstance(port, int):
        raise TypeError(f"port must be an int, not {port!r}")
    if not 0 <= port <= 65_535:
        raise ValueError(f"port must be 0 (any free one) to 65535, not {port}")
    return port


def checked_path(path: object) -> str:
    """Give the path that a Unix socket may have.

    Raises:
        TypeError: it is no path.
        ValueError: it is too long, or can't be a file's.
    """
    if not isinstance(path, (str, os.PathLike)):
        raise TypeError(f"path must be a string or a path, not {path!r}")
    text = os.fsdecode(path)
    try:
        length = len(os.fsencode(text))
    except UnicodeEncodeError:
        raise ValueError(f"path must be of characters that the file system can have, not {text!r}") from None
    if "\0" in text:  # what begins with it is no file's (unix(7)); elsewhere the system takes what comes before it
        raise ValueError(f"path must be one of a file, without a NUL, not {text!r}")
    if not 0 < length <= LONGEST_PATH:
        raise ValueError(
            f"path must have 1 to {LONGEST_PATH} bytes, as Unix sockets have them here, not {length}: {text!r}"
        )
    return text


def free_path(directory: Path) -> str:
    """A path for a new Unix socket in ``directory``, which is ours."""
    return checked_path(directory / f"{next(_numbers)}.sock")
