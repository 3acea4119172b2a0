"""Checks of protocol classes: what an `asyncio` protocol has to get right, whatever it speaks.

One call holds a conversation with a protocol of yours, as it is given, and then goes through what a network and the
other side may make of it: what is sent arrives in other pieces, two clients come at a time, they hang up or reset
amid a message, send what makes no sense, or don't read. Each trial has a new protocol on a real connection, on the
engine's loop: some thirty for a conversation of one turn, some 260 for a long one, of milliseconds each.
"""

import re
from collections.abc import Callable, Collection, Iterable, Sequence
from typing import TypeVar

from ._checks import factory as checked_factory
from ._checks import flag
from ._conformance import datagrams, streams
from ._conformance.trials import ConformanceError, checked_outcome
from ._harness.datagram import DatagramHarness
from ._harness.stream import StreamHarness

__all__ = ["ConformanceError", "check_datagram_protocol", "check_stream_protocol"]

__tracebackhide__ = True

P = TypeVar("P")


def check_stream_protocol(
    harness: StreamHarness,
    factory: Callable[[], P],
    conversation: Iterable[tuple[bytes, bytes | re.Pattern[bytes]]],
    *,
    outcome: Callable[[P], object] = lambda _: None,
    repeats: bool = False,
    skip: Collection[str] = (),
) -> None:
    """Check an `asyncio.Protocol` or `asyncio.BufferedProtocol` for what such classes get wrong.

    ==============  ===================================================================================
    ``cut``         what is sent arrives byte by byte, or cut in two at each place: all comes out the same
    ``two``         two connections at a time share nothing
    ``eof``         the other side hangs up, at the beginning, within a message, or after it: nothing is raised, and
                    the connection is lost by that (what returns True from ``eof_received`` closes it later)
    ``reset``       the same by a RST
    ``damaged``     bits are flipped, messages cut short, or something else altogether comes: nothing is raised
    ``left``        a second after the connection is lost none of its tasks runs on, and no future that is an
                    attribute of the protocol is pending: who awaits that would wait for ever
    ``joined``      if it ``repeats``: all that is sent arrives at once, and twice: all is answered, in order
    ``flow``        if it ``repeats``: a client sends on and on and doesn't read: after ``pause_writing()`` it
                    writes and reads no more; once the client reads, all is answered (not tried if answers are
                    regular expressions, if it takes more than 1 MiB to fill what keeps them, or if it is so slow
                    that it isn't called in time)
    ==============  ===================================================================================

    Args:
        harness: the fixture ``stream_harness``.
        factory: called without arguments, on the engine's loop, to make each protocol.
        conversation: turn by turn, what the other side sends, and all that the protocol answers to that, as bytes
            or, where it is another each time, as a regular expression that ends in a literal. Of a protocol that
            speaks first, the first turn sends ``b""``.
        outcome: gives what has come of a protocol that has lost its connection, such as the messages that it has
            got; called on the engine's loop. It has to be equal however the conversation was held.
        repeats: whether the protocol takes the conversation again and again on one connection, without waiting
            for its answers, as servers do whose requests stand by themselves.
        skip: names of checks to leave out.

    Raises:
        ConformanceError: a check has failed; several, as an `ExceptionGroup`. Each tells of its first trial that
            went wrong. Where the conversation as it is given goes wrong, or two at a time, nothing else is tried.
        TypeError, ValueError: an argument isn't what is allowed.
        RuntimeError: it would block a running event loop: there ``await asyncio.to_thread(...)``.
    """
    checked_factory(factory, "stream protocols")
    streams.StreamTrials(
        harness,
        factory,
        streams.checked_conversation(conversation),
        checked_outcome(outcome),
        skip,
        repeats=flag(repeats, "repeats"),
    ).run()


def check_datagram_protocol(
    harness: DatagramHarness,
    factory: Callable[[], P],
    conversation: Iterable[tuple[bytes | None, bytes | Sequence[bytes]]],
    *,
    remote: bool = True,
    outcome: Callable[[P], object] = lambda _: None,
    skip: Collection[str] = (),
) -> None:
    """Check an `asyncio.DatagramProtocol` for what such classes get wrong.

    ==============  ===================================================================================
    ``two``         two endpoints at a time share nothing
    ``stranger``    without ``remote``: another address sends the same before: all comes out the same
    ``close``       it is closed after each turn: nothing is raised
    ``error``       what it sent was refused (``error_received``): nothing is raised
    ``duplicate``   each datagram arrives twice: nothing is raised
    ``damaged``     bits are flipped, datagrams cut short, empty, or as large as can be: nothing is raised
    ``left``        a second after the connection is lost none of its tasks runs on, and no future that is an
                    attribute of the protocol is pending: who awaits that would wait for ever
    ==============  ===================================================================================

    Args:
        harness: the fixture ``datagram_harness``.
        factory: called without arguments, on the engine's loop, to make each protocol.
        conversation: turn by turn, the datagram that the other side sends, and the one, or the list of those, that
            the protocol answers with. Of a protocol that speaks first, the first turn sends None.
        remote: whether its socket is connected to the other side, as with `DatagramHarness.connect`.
        outcome: gives what has come of a protocol that has lost its connection; called on the engine's loop. It
            has to be equal wherever all has to come out the same.
        skip: names of checks to leave out.

    Raises:
        ConformanceError: a check has failed; several, as an `ExceptionGroup`. Each tells of its first trial that
            went wrong. Where the conversation as it is given goes wrong, or two at a time, nothing else is tried.
        TypeError, ValueError: an argument isn't what is allowed.
        RuntimeError: it would block a running event loop: there ``await asyncio.to_thread(...)``.
    """
    checked_factory(factory, "datagram protocols")
    datagrams.DatagramTrials(
        harness,
        factory,
        datagrams.checked_conversation(conversation),
        checked_outcome(outcome),
        skip,
        remote=flag(remote, "remote"),
    ).run()
