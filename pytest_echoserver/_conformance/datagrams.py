"""What is tried with a datagram protocol."""

from collections.abc import Callable, Collection, Sequence
from typing import Any, TypeVar

from .._checks import bytes_like, flag
from .._futures import CaptureTimeout
from .._harness.datagram import DatagramHarness, HarnessedEndpoint
from .._harness.recording import DATAGRAMS
from .._peers.telling import first_bytes
from .telling import told_in_short
from .trials import (
    AS_GIVEN,
    MOST_ENDS,
    ONCE_MORE,
    Trial,
    Trials,
    Turn,
    Unlike,
    checked_turns,
    see_outcome,
    spread,
)

__tracebackhide__ = True

P = TypeVar("P")

LARGEST = bytes(65_507)
"""The largest datagram that there is over IPv4, which IPv6 carries, too."""


def checked_conversation(conversation: Any) -> list[Turn[list[bytes]]]:
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
                b"" if sends is None else bytes_like(sends, "what is sent, if it isn't None,"),
                [bytes_like(answer, "an answer") for answer in listed],
                unasked=sends is None,
            )
        )
    if not turns:
        raise ValueError("a conversation has at least one turn, or there is nothing to try")
    return turns


class DatagramTrials(Trials[P, list[bytes]]):
    """Tries a datagram protocol with a conversation, and what may come in its place.

    Args:
        remote: whether its socket is connected to the far end.
    """

    kind = DATAGRAMS
    kind_told = "datagram protocols"
    checks = ("conversation", "two", "stranger", "close", "error", "duplicate", "damaged")

    def __init__(
        self,
        harness: DatagramHarness,
        factory: Callable[[], P],
        conversation: object,
        outcome: Callable[[P], object],
        skip: Collection[str],
        *,
        remote: bool,
    ) -> None:
        super().__init__(harness._scope, factory, checked_conversation(conversation), outcome, skip)
        self._harness = harness
        self._remote = flag(remote, "remote")
        self._came: object = None

    def conversation(self) -> None:
        with self._trial(AS_GIVEN) as trial:
            endpoint = self._connect(trial)
            self._hold(endpoint, self._turns)
            trial.scope.settle()
            more = endpoint.received[sum(len(turn.answers) for turn in self._turns) :]
            if more:
                raise Unlike(f"after all that it was to answer, it also sent {first_bytes(more[0].data)}")
            self._came = self._end(endpoint)
        if self._came is not None:
            with self._trial(f"{AS_GIVEN}, once more") as trial:
                endpoint = self._connect(trial)
                self._hold(endpoint, self._turns)
                self._see_the_same(endpoint, ONCE_MORE)

    def two(self) -> None:
        """Two endpoints at a time, which have nothing to do with each other."""
        with self._trial("two endpoints at a time") as trial:
            endpoints = [self._connect(trial), self._connect(trial)]
            for turn in self._turns:
                for endpoint in endpoints:
                    _send(endpoint, turn)
                for endpoint in endpoints:
                    _see(endpoint, turn)
            for endpoint in endpoints:
                self._see_the_same(endpoint)

    def stranger(self) -> None:
        """Somebody else sends the same from another address: those are answered there, or not at all."""
        if self._remote:
            return
        with self._trial("another address sends the same, before each datagram") as trial:
            endpoint = self._connect(trial)
            for turn in self._turns:
                if not turn.unasked:
                    endpoint.send(turn.sends, source=(endpoint.address[0], 0)).result()
                _send(endpoint, turn)
                _see(endpoint, turn)
            self._see_the_same(endpoint)

    def close(self) -> None:
        for count in spread(range(len(self._turns)), self._up_to_a_place(MOST_ENDS)):
            with self._trial(f"closed {self._after(count)}") as trial:
                endpoint = self._connect(trial)
                self._hold(endpoint, self._turns[:count])
                endpoint.close().result()

    def error(self) -> None:
        """What was sent was refused: an answer by ICMP, which comes as a call of error_received."""
        for count in spread(range(len(self._turns) + 1), self._up_to_a_place(MOST_ENDS)):
            told = f"error_received(ConnectionRefusedError()) {self._after(count)}"
            with self._trial(told) as trial:
                endpoint = self._connect(trial)
                self._hold(endpoint, self._turns[:count])
                if not endpoint.call(endpoint.transport.is_closing).result():
                    endpoint.error(ConnectionRefusedError()).result()
                endpoint.close().result()

    def duplicate(self) -> None:
        """Each datagram arrives twice: nothing may be raised, whatever is answered."""
        with self._trial("each datagram arrives twice") as trial:
            endpoint = self._connect(trial)
            for turn in self._turns:
                _send(endpoint, turn)
                _send(endpoint, turn)
                trial.scope.settle()
            endpoint.close().result()

    def _after(self, count: int) -> str:
        return self._turns[count - 1].after if count else "at once"

    def damaged(self) -> None:
        """No peer should send this, but some will: it may be ignored, but nothing may be raised."""
        for at, instead in self._damages(b"", LARGEST):
            turn = self._turns[at]
            with self._trial(f"{told_in_short(instead)} in place of {first_bytes(turn.sends)}") as trial:
                endpoint = self._connect(trial)
                self._hold(endpoint, self._turns[:at])
                endpoint.send(instead)
                endpoint.close().result()

    def _connect(self, trial: Trial) -> HarnessedEndpoint[P]:
        harness = DatagramHarness(trial.scope, self._harness._host)
        return trial.put(harness.connect(self._make, self._remote))

    def _hold(self, endpoint: HarnessedEndpoint[P], turns: list[Turn[list[bytes]]]) -> None:
        for turn in turns:
            _send(endpoint, turn)
            _see(endpoint, turn)

    def _see_the_same(self, endpoint: HarnessedEndpoint[P], hint: str = "") -> None:
        """See that the same comes of it as when the conversation was held as it was given."""
        see_outcome(self._end(endpoint), self._came, hint)

    def _end(self, endpoint: HarnessedEndpoint[P]) -> object:
        """Close the endpoint; give what has come of the protocol."""
        endpoint.close().result()
        return self._come_of(endpoint)


def _send(endpoint: HarnessedEndpoint[Any], turn: Turn[list[bytes]]) -> None:
    if not turn.unasked:
        endpoint.send(turn.sends)


def _see(endpoint: HarnessedEndpoint[Any], turn: Turn[list[bytes]]) -> None:
    """See that the turn is answered as it should be, to the far end's address."""
    for wanted in turn.answers:
        got = _next(endpoint)
        if got != wanted:
            answered = "nothing" if got is None else first_bytes(got)
            raise Unlike(f"{turn.to} it answered {answered}, not {first_bytes(wanted)}")


def _next(endpoint: HarnessedEndpoint[Any]) -> bytes | None:
    """The next datagram that came to the far end's own address; None if no more come."""
    try:
        while (datagram := endpoint.next_datagram().result()).to != endpoint.address:
            pass
    except CaptureTimeout:
        return None
    return datagram.data
