"""Checks of protocol classes: what an `asyncio` protocol has to get right, whatever it speaks.

One call holds a conversation with a protocol of yours, as it is given, and then goes through what a network and the
other side may make of it: what is sent arrives in other pieces, two clients come at a time, they hang up or reset
amid a message, send what makes no sense, or don't read. Each trial has a new protocol on a real connection, on the
engine's loop: some thirty for a conversation of one short turn, up to 180 for a longer one. If the protocol
answers at once, a trial of a few turns takes milliseconds, and a check of hundreds of turns takes seconds.

Of what is long, samples are tried. A message is cut at up to 64 places: near its edges, where its lines end, and
evenly spread. A conversation is ended at up to 24 places, and up to 64 things come in place of one of its messages.
Each trial holds again what comes before its place, so of a long one there are fewer, of about 2,000 turns in all
for a check: of 200 turns, 20 places to end it, 20 damages, and 5 trials in each of which all messages are cut. At
least four are made, however many turns those take. Parts of a conversation, checked one by one, are tried more
closely.

Where ``outcome`` tells anything, the conversation is held twice as it is given: that has to come out the same.
``left`` is looked for in each trial, until one protocol takes a while to end: a second after the connection is lost
none of the protocol's tasks runs on, and no future that is an attribute of the protocol is pending: who awaits that
would wait for ever.

Of each check that fails, the first trial that went wrong is told. Where the conversation as it is given goes wrong,
or two at a time, nothing else is tried.
"""

import re
from collections.abc import Callable, Collection, Iterable, Sequence
from typing import TypeVar

from ._conformance.datagrams import DatagramTrials
from ._conformance.streams import StreamTrials
from ._conformance.trials import ConformanceError
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
    ``cut``         what is sent arrives byte by byte (long messages in 512 pieces), or cut in two: all comes out
                    the same
    ``two``         two connections at a time share nothing
    ``eof``         the other side hangs up, at the beginning, within a message, or after it: nothing is raised, and
                    the connection is lost by that (what returns True from ``eof_received`` closes it later)
    ``reset``       the same by a RST
    ``damaged``     bits are flipped, messages cut short, or something else altogether comes: nothing is raised
    ``left``        nothing of it goes on, or is waited for, a second after the connection is lost
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
        ConformanceError: a check has failed; several, as an `ExceptionGroup`.
        TypeError, ValueError: an argument isn't what is allowed, nor what the factory gives.
        RuntimeError: it would block a running event loop: there ``await asyncio.to_thread(...)``.
    """
    StreamTrials(harness, factory, conversation, outcome, skip, repeats=repeats).run()


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
    ``left``        nothing of it goes on, or is waited for, a second after the connection is lost
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
        ConformanceError: a check has failed; several, as an `ExceptionGroup`.
        TypeError, ValueError: an argument isn't what is allowed, nor what the factory gives.
        RuntimeError: it would block a running event loop: there ``await asyncio.to_thread(...)``.
    """
    DatagramTrials(harness, factory, conversation, outcome, skip, remote=remote).run()
