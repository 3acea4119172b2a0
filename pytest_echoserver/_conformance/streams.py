"""What is tried with a stream protocol."""

import asyncio
import re
import socket
from collections.abc import Callable, Collection, Iterator
from contextlib import suppress
from typing import Any, TypeVar

from .._checks import bytes_like, flag
from .._futures import CaptureFuture, CaptureTimeout
from .._harness.recording import STREAMS
from .._harness.sides import Kind
from .._harness.stream import HarnessedStream, StreamHarness
from .._neighbours import real_monotonic
from .._patterns import compile_pattern
from .._peers.telling import first_bytes
from .._telling import told_bytes
from .telling import answered, told_in_short
from .trials import (
    AS_GIVEN,
    MOST_ENDS,
    MOST_PLACES,
    ONCE_MORE,
    Trial,
    Trials,
    Turn,
    Unlike,
    checked_turns,
    see_outcome,
    spread,
    walk,
)

__tracebackhide__ = True

P = TypeVar("P")

Answers = bytes | re.Pattern[bytes]
Segments = int | list[int] | None

LONG = b"x" * 100_000
"""More than a line or a message has as a rule: asyncio's streams, for one, take 64 KiB by default."""
MOST_PIECES = 512
"""In so many pieces a message arrives, at most."""
MOST_PIECES_IN_ALL = 4_096
"""And all messages of a conversation."""
CUT_TURN = 2
"""How many times as long as another a turn takes that arrives in two pieces."""
EDGE = 4
"""So many bytes at the beginning of a message and at its end are each tried as a place to cut it."""
SMALL = 4_096
"""Bytes that a client that doesn't read sends at once, and that a transport may keep before it says so: few, for
asyncio's transports take longer for each piece the more they have."""
IN_KERNEL = 65_536
"""Bytes that the system takes of what a client doesn't read, where it was told to take few."""
MOST_SENT = 1_048_576
"""Bytes that are sent to fill all that, at most."""


def checked_conversation(conversation: Any) -> list[Turn[Answers]]:
    """Check what a far end is to send, and to get.

    Raises:
        TypeError, ValueError: it isn't what is allowed.
    """
    turns = []
    for sends, answers in checked_turns(conversation, "(bytes to send, bytes of the answer)"):
        if isinstance(answers, re.Pattern):
            compile_pattern(answers, anchored=True)  # raises for what can't be told on a stream
        else:
            answers = bytes_like(answers, "an answer, if it isn't a regular expression,")
        data = bytes_like(sends, "what is sent")
        turns.append(Turn(data, answers, unasked=not data))
    if all(turn.unasked for turn in turns):
        raise ValueError("a conversation has to send something, or there is nothing to try")
    return turns


class StreamTrials(Trials[P, Answers]):
    """Tries a stream protocol with a conversation, and what may come in its place.

    Args:
        repeats: whether it can be held again and again on one connection.
    """

    kind = STREAMS
    kind_told = "stream protocols"
    checks = ("conversation", "cut", "two", "eof", "reset", "damaged", "joined", "flow")

    def __init__(
        self,
        harness: StreamHarness,
        factory: Callable[[], P],
        conversation: object,
        outcome: Callable[[P], object],
        skip: Collection[str],
        *,
        repeats: bool,
    ) -> None:
        super().__init__(harness._scope, factory, checked_conversation(conversation), outcome, skip)
        self._harness = harness
        self._repeats = flag(repeats, "repeats")
        self._came: tuple[bytes, object] = (b"", None)

    @property
    def _known_in_advance(self) -> bool:
        """Whether all answers are the same each time."""
        return not any(isinstance(turn.answers, re.Pattern) for turn in self._turns)

    def conversation(self) -> None:
        with self._trial(AS_GIVEN) as trial:
            stream = self._connect(trial)
            self._hold(stream, self._turns)
            trial.scope.settle()
            if more := _unread(stream):
                raise Unlike(f"after all that it was to answer, it also answered {first_bytes(more)}")
            self._came = self._end(stream)
        if self._came[1] is not None:
            with self._trial(f"{AS_GIVEN}, once more") as trial:
                stream = self._connect(trial)
                self._hold(stream, self._turns)
                self._see_the_same(stream, ONCE_MORE)

    def cut(self) -> None:
        """What is sent arrives in other pieces."""
        longest, in_all = (of(len(turn.sends) for turn in self._turns) for of in (max, sum))
        size = max(-(-longest // MOST_PIECES), -(-in_all // MOST_PIECES_IN_ALL))
        with self._trial(f"what is sent arrives in pieces of {told_bytes(size)}") as trial:
            stream = self._connect(trial)
            self._hold(stream, self._turns, size)
            self._see_the_same(stream)
        for cuts in self._cuts():
            many = len(cuts) > 1
            tried = "each message arrives in two pieces" if many else self._told_cut(*next(iter(cuts.items())))
            with self._trial(tried) as trial:
                stream = self._connect(trial)
                for at, turn in enumerate(self._turns):
                    if (place := cuts.get(at)) is None:
                        trial.tried = tried
                        self._hold(stream, [turn])
                    else:
                        others = ", as all others are, somewhere" if many else ""
                        trial.tried = f"{self._told_cut(at, place)}{others}"
                        self._hold(stream, [turn], [place, len(turn.sends) - place])
                trial.tried = tried
                self._see_the_same(stream)

    def _told_cut(self, at: int, place: int) -> str:
        return f"{first_bytes(self._turns[at].sends)} arrives in two pieces, cut after {told_bytes(place)}"

    def _cuts(self) -> Iterator[dict[int, int]]:
        """Where each turn is cut: one in each trial, or, where that takes too many, all in each of a few."""
        most = self._within_bounds(MOST_PLACES, CUT_TURN * len(self._turns))
        places_of_each = [_places_to_cut(turn.sends) for turn in self._turns]
        longest, in_all = (of(map(len, places_of_each)) for of in (max, sum))
        if in_all <= most:
            yield from ({at: place} for at, places in enumerate(places_of_each) for place in places)
            return
        count = min(most, longest)
        walks = {at: walk(places, count, at) for at, places in enumerate(places_of_each) if places}
        for each in range(count):
            yield {at: places[each] for at, places in walks.items()}

    def two(self) -> None:
        """Two connections at a time, which have nothing to do with each other."""
        with self._trial("two connections at a time") as trial:
            streams = [self._connect(trial), self._connect(trial)]
            for turn in self._turns:
                half = 0 if "cut" in self._failed else len(turn.sends) // 2
                for part in (turn.sends[:half], turn.sends[half:]):
                    for stream in streams:
                        stream.send(part)
                    trial.scope.settle()
                for stream in streams:
                    self._see(stream, turn)
            for stream in streams:
                self._see_the_same(stream)

    def eof(self) -> None:
        self._end_amid("EOF", HarnessedStream.send_eof)

    def reset(self) -> None:
        self._end_amid("a reset", HarnessedStream.reset)

    def _end_amid(self, told: str, end: Callable[[HarnessedStream[P]], CaptureFuture[None]]) -> None:
        """The client ends it wherever it may: nothing may be raised, and the connection has to be lost by that."""
        for turns, part, where in self._places():
            with self._trial(f"{told} {where}") as trial:
                stream = self._connect(trial)
                self._hold(stream, turns)
                stream.send(part)
                with suppress(OSError):  # it may have hung up before
                    end(stream).result()
                self._see_it_lost(stream)

    def damaged(self) -> None:
        """No peer should send this, but some will: it may be refused, but nothing may be raised."""
        for at, instead in self._damages(LONG):
            told = f"{told_in_short(instead)} in place of {first_bytes(self._turns[at].sends)}"
            with self._trial(told) as trial:
                stream = self._connect(trial)
                self._hold(stream, self._turns[:at])
                stream.send(instead)
                stream.close().result()

    def joined(self) -> None:
        """The whole conversation arrives at once, and then again: several messages in one read."""
        if not self._repeats:
            return
        with self._trial("all that is sent, twice and at once") as trial:
            stream = self._connect(trial)
            again = self._greet(stream)
            stream.send(b"".join(turn.sends for turn in again) * 2)
            for turn in again * 2:
                self._see(stream, turn)
            self._end(stream)

    def flow(self) -> None:
        """A client that sends and doesn't read: the protocol has to stop, or its memory grows without end."""
        _, again = self._greetings_and_the_rest()
        sends = b"".join(turn.sends for turn in again)
        answers = [turn.answers for turn in again if isinstance(turn.answers, bytes)]
        in_all = sum(map(len, answers))
        if not (self._repeats and self._known_in_advance and in_all):
            return
        may_wait = max(map(len, answers)) + SMALL + 2 * SMALL * in_all // len(sends)
        times = -(-2 * (may_wait + IN_KERNEL) // in_all)
        if times * len(sends) > MOST_SENT:
            return
        with self._trial("a client sends on and on, and doesn't read") as trial:
            stream = self._connect(trial, "socketpair")
            self._greet(stream)
            stream.stall().result()
            stream.call(_take_little, stream.transport).result()
            sent = stream.send(sends * times, segments=SMALL)
            try:
                stream.next_call("pause_writing").result()
            except CaptureTimeout:  # it is too slow for that, or keeps its answers to itself
                trial.given_up = True
                return
            self._see_it_stop(trial, stream, sent, may_wait)
            stream.unstall()
            trial.given_up = not self._see_all(stream, b"".join(answers) * times)

    def _see_it_stop(
        self, trial: Trial, stream: HarnessedStream[P], sent: CaptureFuture[None], may_wait: int
    ) -> None:
        """See that what waits to be sent grows no more, before it has grown too large."""
        while True:
            all_sent = sent.done()
            trial.scope.settle()
            waits = stream.call(stream.transport.get_write_buffer_size).result()
            if waits > may_wait:
                raise Unlike(
                    f"{told_bytes(waits)} wait in its transport, and it goes on writing: after pause_writing() it "
                    "should write no more, nor read (transport.pause_reading()), until resume_writing()"
                )
            if all_sent or not stream.call(stream.transport.is_reading).result():
                return

    def _see_all(self, stream: HarnessedStream[P], answers: bytes) -> bool:
        """See that the answers come, one after the other; false if all of them take longer than a wait may."""
        until = real_monotonic() + self._harness._scope.timeout
        at = 0
        while at < len(answers):
            if real_monotonic() > until:
                return False
            wanted, got = answers[at : at + SMALL], b""
            with suppress(OSError):  # no more comes
                got = stream.read(len(wanted)).result()
            if not got or not wanted.startswith(got):
                raise Unlike("the client reads again, and not all answers came, or not as they should be")
            at += len(got)
        self._end(stream)
        return True

    def _places(self) -> list[tuple[list[Turn[Answers]], bytes, str]]:
        """Where it may end: the turns before that, what is sent after them, and where it is, in words."""
        places: list[tuple[list[Turn[Answers]], bytes, str]] = [([], b"", "at the beginning")]
        for at, turn in enumerate(self._turns):
            half = turn.sends[: len(turn.sends) // 2]
            if half:
                told = f"within {first_bytes(turn.sends)}, after {told_bytes(len(half))}"
                places.append((self._turns[:at], half, told))
            places.append((self._turns[: at + 1], b"", turn.after))
        return spread(places, self._up_to_a_place(MOST_ENDS))

    def _connect(self, trial: Trial, kind: Kind = "tcp") -> HarnessedStream[P]:
        harness = StreamHarness(trial.scope, self._harness._host, self._harness._authority)
        return trial.put(harness.connect(self._make, kind))

    def _hold(self, stream: HarnessedStream[P], turns: list[Turn[Answers]], pieces: Segments = None) -> None:
        """Hold so much of the conversation; ``pieces`` are the sizes of those in which a turn is sent."""
        for turn in turns:
            if turn.sends:
                sent = stream.send(turn.sends, segments=pieces)
                with suppress(OSError):  # it isn't read, or the connection is lost: the answer tells
                    sent.result()  # before the answer is waited for: many pieces take a while
            self._see(stream, turn)

    def _greetings_and_the_rest(self) -> tuple[list[Turn[Answers]], list[Turn[Answers]]]:
        """What the protocol says by itself, and the turns that can be repeated."""
        count = next(at for at, turn in enumerate(self._turns) if turn.sends)
        return self._turns[:count], self._turns[count:]

    def _greet(self, stream: HarnessedStream[P]) -> list[Turn[Answers]]:
        """See what the protocol says by itself; give the turns that can be repeated."""
        greetings, again = self._greetings_and_the_rest()
        self._hold(stream, greetings)
        return again

    def _see(self, stream: HarnessedStream[P], turn: Turn[Answers]) -> None:
        """See that the turn is answered as it should be."""
        if isinstance(turn.answers, re.Pattern):
            stream.read_until(turn.answers).result()
            return
        if turn.answers:
            got = _next(stream, len(turn.answers))
            if got != turn.answers:
                raise Unlike(f"{turn.to} {answered(got, turn.answers)}")

    def _see_the_same(self, stream: HarnessedStream[P], hint: str = "") -> None:
        """See that all comes out as it did when the conversation was held as it was given."""
        answers, outcome = self._end(stream)
        as_given, outcome_as_given = self._came
        if answers != as_given and self._known_in_advance:
            raise Unlike(answered(answers, as_given))
        see_outcome(outcome, outcome_as_given, hint)

    def _end(self, stream: HarnessedStream[P]) -> tuple[bytes, object]:
        """Close the connection; give all that the protocol has answered, and what has come of it."""
        stream.close().result()
        return stream.received, self._come_of(stream)

    def _see_it_lost(self, stream: HarnessedStream[P]) -> None:
        try:
            stream.lost.result()
        except CaptureTimeout:
            told = f"{self._harness._scope.timeout:g} s later the connection isn't lost"
            if (True,) in [event.args for event in stream.events if event.name == "eof_received"]:
                told += ": eof_received returned True, and nothing has closed the transport since"
            raise Unlike(told) from None


def _places_to_cut(data: bytes) -> list[int]:
    """Places within ``data``: all, or its edges, where its lines end, and others, evenly spread."""
    inside = range(1, len(data))
    ends = [at for end in re.finditer(rb"\n", data) for at in (end.start(), end.end()) if at in inside]
    if len(inside) <= MOST_PLACES:
        return list(inside)
    matter = {*inside[:EDGE], *inside[-EDGE:], *spread(ends, MOST_PLACES // 4)}
    return sorted([*matter, *spread([at for at in inside if at not in matter], MOST_PLACES - len(matter))])


def _take_little(transport: asyncio.Transport) -> None:
    transport.set_write_buffer_limits(high=SMALL)
    transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SMALL)


def _next(stream: HarnessedStream[Any], count: int) -> bytes:
    """The next bytes that the protocol writes; fewer if no more come."""
    try:
        return stream.read_exactly(count).result()
    except (OSError, EOFError):  # no more comes in time, or at all
        return _unread(stream)[:count]


def _unread(stream: HarnessedStream[Any]) -> bytes:
    return stream.received[stream._for_test.position :]
