"""`Verdict`: what the network does to one `Packet`."""

import ipaddress
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Literal

from .. import _deadline
from .._checks import bytes_like, choice, flag, whole_number
from .._record import Address
from .._telling import ToldInShort, differing

__tracebackhide__ = True

Direction = Literal["in", "out"]
"""Towards the peer, or away from it. Of a proxy: from the client to the target, or back."""
Ending = Literal["reset", "close", "stall"]
ENDINGS = ("reset", "close", "stall")
BLOCK = 1024
"""Bytes of a stream that are decided on together: how the system cuts it isn't repeatable."""


@dataclass(frozen=True, slots=True)
class Packet:
    """What a verdict is asked for: a datagram, or a piece of a stream.

    Attributes:
        data: its payload.
        direction: ``"in"`` towards the peer (of a proxy: from the client), ``"out"`` away from it.
        flow: the ordinal of the client's address, or of the connection, from 0.
        index: of a datagram, its place in its flow and direction, from 0; of a piece of a stream, the block of
            1,024 bytes that it lies in, since how the system cuts a stream isn't repeatable.
        time: when it came, in monotonic seconds.
    """

    data: bytes
    direction: Direction
    flow: int
    index: int
    time: float


@dataclass(frozen=True, slots=True, repr=False)
class Verdict(ToldInShort):
    """What the network does to one packet.

    Args:
        drop: it never arrives. Not on a stream.
        delay: seconds by which it arrives later. What comes after it in its flow waits for it.
        copies: how often it arrives. On a stream, once.
        data: what arrives in its place.
        flip: the bit of it that is flipped, from 0, or several; it wraps at the end.
        reorder: the next of its flow arrives before it, if there is one within 50 ms. Not on a stream.
        late: the same, however long that takes: an answer that comes after the next one. Not on a stream.
        stale: what arrives is a copy of the packet before it, in its flow or, for the first of a flow, in any: an
            answer to the query before.
        source: (host, port) that it comes from, another than the peer's; host "" for its own, port 0 for any
            other. For what the peer sends, and not on a stream.
        end: a stream ends here: ``"reset"``, ``"close"``, or ``"stall"``, where nothing passes any more.
        at: how many bytes of the stream pass before that end; if that isn't given, or they have passed already,
            those before this packet.
    """

    drop: bool = False
    delay: float = 0.0
    copies: int = 1
    data: bytes | None = None
    flip: int | tuple[int, ...] | None = field(default=None, kw_only=True)
    reorder: bool = field(default=False, kw_only=True)
    late: bool = field(default=False, kw_only=True)
    stale: bool = field(default=False, kw_only=True)
    source: Address | None = field(default=None, kw_only=True)
    end: Literal["reset", "close", "stall"] | None = field(default=None, kw_only=True)
    at: int | None = field(default=None, kw_only=True)

    def __post_init__(self) -> None:
        for name in ("drop", "reorder", "late", "stale"):
            flag(getattr(self, name), name)
        _deadline.seconds(self.delay, "delay")
        whole_number(self.copies, "copies", least=1)
        if self.data is not None and type(self.data) is not bytes:
            object.__setattr__(self, "data", bytes_like(self.data))  # what isn't might still change
        if self.at is not None:
            whole_number(self.at, "at", least=0)
        for bit in bits_of(self):
            whole_number(bit, "flip", least=0)
        if isinstance(self.flip, tuple):
            object.__setattr__(self, "flip", _in_short(self.flip))
        if self.end is not None:
            choice(self.end, "end", ENDINGS)
        if self.source is not None:
            _check_source(self.source)


def bits_of(verdict: Verdict) -> tuple[int, ...]:
    """Those that are flipped."""
    if isinstance(verdict.flip, tuple):
        return verdict.flip
    return () if verdict.flip is None else (verdict.flip,)


def together(first: Verdict, second: Verdict) -> Verdict:
    """What two do to the same packet: delays add up, each bit is flipped, and of all else the first's holds."""
    fields = differing(second) | differing(first)
    if "drop" in fields:
        return Verdict(drop=True)
    delay = min(first.delay + second.delay, _deadline.UNTIL_THE_TEST_ENDS)
    return Verdict(**fields | {"delay": delay, "flip": bits_of(first) + bits_of(second)})


PASS = Verdict()
Judge = Callable[[Packet], Verdict | None]
"""A verdict of the user's own, or None where it has none."""


def flipped(data: bytes, bits: Iterable[int]) -> bytes:
    """``data`` with these of its bits flipped, counted from the first byte's highest."""
    changed = bytearray(data)
    for bit in bits:
        at, within = divmod(bit, 8)
        changed[at] ^= 0x80 >> within
    return bytes(changed)


def _in_short(bits: tuple[int, ...]) -> int | tuple[int, ...] | None:
    """The same ones always in the same way."""
    each = tuple(sorted(set(bits)))
    return each if len(each) > 1 else next(iter(each), None)


def _check_source(source: object) -> None:
    match source:
        case (str() as host, int() as port) if not isinstance(port, bool):
            whole_number(port, "the port of source", least=0, most=65_535)
            try:
                ipaddress.ip_address(host or "::")
            except ValueError:
                raise ValueError(
                    f"the host of source must be an IP address like '127.0.0.2', or '' for the peer's, not {host!r}"
                ) from None
        case _:
            raise TypeError(f"source must be (host, port), not {source!r}")
