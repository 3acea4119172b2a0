"""What is tried with a datagram protocol."""

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from .._checks import bytes_like
from .._futures import CaptureTimeout
from .._harness.datagram import DatagramHarness, HarnessedEndpoint
from .._peers.telling import first_bytes
from .trials import (
    CONVERSATION,
    MOST_ENDS,
    TWO,
    Trial,
    Trials,
    Unlike,
    checked_turns,
    damaged,
    see_outcome,
    spread,
    told_in_short,
)

__tracebackhide__ = True

P = TypeVar("P")

LARGEST = bytes(65_507)
"""The largest datagram that there is over IPv4, which IPv6 carries, too."""


@dataclass(frozen=True, slots=True)
class Turn:
    """The datagram that the far end sends, or None, and those that the protocol has to answer with."""

    sends: bytes | None
    answers: list[bytes]

    def __str__(self) -> str:
        return "the beginning" if self.sends is None else first_bytes(self.sends)


def checked_conversation(conversation: Any) -> list[Turn]:
    """Check what a far end is to send, and to get.

    Raises:
        TypeError, ValueError: it isn't what is allowed.
    """
    turns = []
    for sends, answers in checked_turns(conversation, "(datagram to send or None, list of answers)"):
        if isinstance(answers, str) or not isinstance(answers, Sequence):
            raise TypeError(f"answers must be a datagram's bytes, or a list of such, not {answers!r}")
        listed = [answers] if isinstance(answers, (bytes, bytearray, memoryview)) else answers
        turns.append(
            Turn(
                None if sends is None else bytes_like(sends, "what is sent, if it isn't None,"),
                [bytes_like(answer, "an answer") for answer in listed],
            )
        )
    if not turns:
        raise ValueError("a conversation has at least one turn, or there is nothing to try")
    return turns


class DatagramTrials(Generic[P]):
    """Tries a datagram protocol with a conversation, and what may come in its place.

    Args:
        outcome: called with a protocol that has lost its connection, on its loop; gives what has to be the same
            however the conversation was held.
        remote: whether its socket is connected to the far end.
    """

    def __init__(
        self,
        harness: DatagramHarness,
        factory: Callable[[], P],
        turns: list[Turn],
        outcome: Callable[[P], object],
        skip: Collection[str],
        *,
        remote: bool,
    ) -> None:
        self._harness = harness
        self._factory = factory
        self._turns = turns
        self._outcome = outcome
        self._remote = remote
        self._trials = Trials(harness._scope, skip)
        self._came: object = None

    def run(self) -> None:
        checks: dict[str, Callable[[], None]] = {
            CONVERSATION: self._conversation,
            TWO: self._two,
            "stranger": self._stranger,
            "close": self._close,
            "error": self._error,
            "duplicate": self._duplicate,
            "damaged": self._damaged,
        }
        self._trials.run(checks)

    def _conversation(self) -> None:
        with self._trials.trial(CONVERSATION, "held as it was given") as trial:
            endpoint = self._connect(trial)
            self._hold(endpoint, self._turns)
            trial.scope.settle()
            more = endpoint.received[sum(len(turn.answers) for turn in self._turns) :]
            if more:
                raise Unlike(f"after all that it was to answer, it also sent {first_bytes(more[0].data)}")
            self._came = self._end(endpoint)

    def _two(self) -> None:
        """Two endpoints at a time, which have nothing to do with each other."""
        with self._trials.trial(TWO, "two endpoints at a time") as trial:
            endpoints = [self._connect(trial), self._connect(trial)]
            for turn in self._turns:
                for endpoint in endpoints:
                    _send(endpoint, turn.sends)
                for endpoint in endpoints:
                    _see(endpoint, turn)
            for endpoint in endpoints:
                self._see_the_same(endpoint)

    def _stranger(self) -> None:
        """Somebody else sends the same from another address: those are answered there, or not at all."""
        if self._remote:
            return
        with self._trials.trial("stranger", "another address sends the same, before each datagram") as trial:
            endpoint = self._connect(trial)
            for turn in self._turns:
                if turn.sends is not None:
                    endpoint.send(turn.sends, source=(endpoint.address[0], 0)).result()
                _send(endpoint, turn.sends)
                _see(endpoint, turn)
            self._see_the_same(endpoint)

    def _close(self) -> None:
        for count in spread(range(len(self._turns)), MOST_ENDS):
            with self._trials.trial("close", f"closed {self._after(count)}") as trial:
                endpoint = self._connect(trial)
                self._hold(endpoint, self._turns[:count])
                endpoint.close().result()

    def _error(self) -> None:
        """What was sent was refused: an answer by ICMP, which comes as a call of error_received."""
        for count in spread(range(len(self._turns) + 1), MOST_ENDS):
            told = f"error_received(ConnectionRefusedError()) {self._after(count)}"
            with self._trials.trial("error", told) as trial:
                endpoint = self._connect(trial)
                self._hold(endpoint, self._turns[:count])
                if not endpoint.call(endpoint.transport.is_closing).result():
                    endpoint.error(ConnectionRefusedError()).result()
                endpoint.close().result()

    def _duplicate(self) -> None:
        """Each datagram arrives twice: nothing may be raised, whatever is answered."""
        with self._trials.trial("duplicate", "each datagram arrives twice") as trial:
            endpoint = self._connect(trial)
            for turn in self._turns:
                _send(endpoint, turn.sends)
                _send(endpoint, turn.sends)
                trial.scope.settle()
            endpoint.close().result()

    def _after(self, count: int) -> str:
        return f"after {self._turns[count - 1]}" if count else "at once"

    def _damaged(self) -> None:
        """No peer should send this, but some will: it may be ignored, but nothing may be raised."""
        for at, instead in spread(list(self._damages())):
            turn = self._turns[at]
            with self._trials.trial("damaged", f"{told_in_short(instead)} in place of {turn}") as trial:
                endpoint = self._connect(trial)
                self._hold(endpoint, self._turns[:at])
                endpoint.send(instead)
                endpoint.close().result()

    def _damages(self) -> Iterable[tuple[int, bytes]]:
        for at, turn in enumerate(self._turns):
            if turn.sends is not None:
                yield from ((at, instead) for instead in (b"", *damaged(turn.sends), LARGEST))

    def _connect(self, trial: Trial) -> HarnessedEndpoint[P]:
        harness = DatagramHarness(trial.scope, self._harness._host)
        return trial.put(harness.connect(self._factory, self._remote))

    def _hold(self, endpoint: HarnessedEndpoint[P], turns: list[Turn]) -> None:
        for turn in turns:
            _send(endpoint, turn.sends)
            _see(endpoint, turn)

    def _see_the_same(self, endpoint: HarnessedEndpoint[P]) -> None:
        """See that the same comes of it as when the conversation was held as it was given."""
        see_outcome(self._end(endpoint), self._came)

    def _end(self, endpoint: HarnessedEndpoint[P]) -> object:
        """Close the endpoint; give what has come of the protocol."""
        endpoint.close().result()
        return endpoint.call(self._outcome, endpoint.protocol).result()


def _send(endpoint: HarnessedEndpoint[Any], data: bytes | None) -> None:
    if data is not None:
        endpoint.send(data)


def _see(endpoint: HarnessedEndpoint[Any], turn: Turn) -> None:
    """See that the turn is answered as it should be, to the far end's address."""
    for wanted in turn.answers:
        got = _next(endpoint)
        if got != wanted:
            answered = "nothing" if got is None else first_bytes(got)
            raise Unlike(f"to {turn} it answered {answered}, not {first_bytes(wanted)}")


def _next(endpoint: HarnessedEndpoint[Any]) -> bytes | None:
    """The next datagram that came to the far end's own address; None if no more come."""
    try:
        while (datagram := endpoint.next_datagram().result()).to != endpoint.address:
            pass
    except CaptureTimeout:
        return None
    return datagram.data
