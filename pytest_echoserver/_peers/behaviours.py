"""What peers do with what they receive."""

from collections.abc import Callable, Iterable

from .._record import Datagram

DatagramBehaviour = Callable[[Datagram], bytes | Iterable[bytes] | None]
"""From a datagram that came in to what goes back to its source: nothing, one datagram, or several."""


def echo(datagram: Datagram) -> bytes:
    """Send back what came."""
    return datagram.data
