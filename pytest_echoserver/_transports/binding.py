"""What to say when an address can't be bound."""

import errno
import socket
from typing import NoReturn

__tracebackhide__ = True


def cannot_bind(error: OSError, what: str, family: int) -> NoReturn:
    """Raise an error like ``error`` that names ``what`` could not be bound, and the usual reason over IPv6."""
    reason = error.strerror or str(error)
    if family == socket.AF_INET6 and error.errno in (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT):
        reason += " (is there IPv6 on this machine?)"
    raise type(error)(error.errno, f"can't bind {what}: {reason}") from None
