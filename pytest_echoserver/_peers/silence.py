"""Silence on a datagram peer: how it is kept, and how it is broken."""

from concurrent.futures import Future
from typing import TYPE_CHECKING

from .._futures import CaptureFuture
from .._neighbours import real_monotonic
from .._outcomes import fail, fulfil
from .._record import Datagram
from .._telling import told_bytes, told_place
from .datagram_end import make_datagram
from .telling import first_bytes

if TYPE_CHECKING:
    from .datagram import DatagramPeer

__tracebackhide__ = True


def begin_silence(
    peer: "DatagramPeer", seconds: float, future: CaptureFuture[None], start: int, began: float
) -> None:
    """Fulfil ``future`` once it is over; or fail that and the test with the first datagram that comes.

    Args:
        seconds: how long it has to last.
        start: how many datagrams were taken before: the next one breaks it, though it may be here.
        began: when it was asked for, in monotonic seconds.
    """
    end = peer._end
    rows, clears = end.received_rows, end.clears

    def look() -> Datagram | None:
        first = start if end.clears == clears else 0
        while first in end.copies:  # which the network made
            first += 1
        return make_datagram(rows[first]) if len(rows) > first else None

    # By a future, not in `look`, which is called with the record's lock held. A breach ends all waits of the peer,
    # and a callback that the test has added to one of them may wait for another thread that uses the peer: it would
    # wait in vain for the lock. A future's callbacks run without it.
    broken: CaptureFuture[Datagram] = CaptureFuture("the first datagram")

    def breach(came: Future[Datagram]) -> None:
        if came.cancelled() or not future._claim():
            return
        error = came.exception()
        if error is None:
            error = _mismatch(peer, seconds, came.result(), began)
            peer._fail(error)
        fail(future, error)

    def kept() -> None:
        if end.transport is not None and not future.done():
            end.transport.drain()  # what has come counts, though the loop may not have read it
        fulfil(future, None)

    peer._at(real_monotonic() + seconds, kept, peer._own_agenda())
    end.watch(broken, look).add_done_callback(breach)
    future.add_done_callback(lambda _: broken.cancel())


def _mismatch(peer: "DatagramPeer", seconds: float, datagram: Datagram, began: float) -> Exception:
    from .mismatch import ScriptMismatch  # it is seldom broken, and what this needs takes longer to load

    when = f"after {datagram.time - began:.3g} s" if datagram.time > began else "before it began"
    return ScriptMismatch(
        f"{peer}: {seconds:g} s of silence were expected, but {when} {told_bytes(len(datagram.data))} came "
        f"from {told_place(datagram.source)}: {first_bytes(peer._redacted(datagram.data))}"
    )
