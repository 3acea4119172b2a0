"""What can be asked of a bad network: figures, and triggers at a place."""

import re
import sys
from dataclasses import InitVar, dataclass, field, replace
from typing import TYPE_CHECKING, Any, Generic, NoReturn, TypeVar

from .. import _deadline
from .._checks import bytes_like, whole_number
from .._patterns import compile_pattern
from .._telling import ToldInShort
from .verdict import PASS, Verdict

__tracebackhide__ = True

F = TypeVar("F", bound="DatagramFaults | StreamFaults")


@dataclass(frozen=True, slots=True, repr=False)
class Trigger(ToldInShort):
    """A fault at a place: made by ``faults.on(...)`` and what follows that.

    Attributes:
        verdict: what happens there.
        message: the how-manieth datagram, from 1; with ``match``, of those that match.
        offset: how many bytes of the stream pass before.
        match: what stands in it.
        connection: on which connection, from 1.
        corrupt: whether a bit is flipped; which one is decided from the seed.
    """

    verdict: Verdict
    message: int | None = None
    offset: int | None = None
    match: bytes | re.Pattern[bytes] | None = None
    connection: int | None = None
    corrupt: bool = False

    @property
    def told(self) -> str:
        """What happens there."""
        return "corrupt" if self.corrupt else repr(self.verdict)

    def __str__(self) -> str:
        place = {"message": self.message, "bytes": self.offset, "match": self.match, "connection": self.connection}
        return f"on({', '.join(f'{name}={value!r}' for name, value in place.items() if value is not None)})"


def _without_a_place(faults: "DatagramFaults | StreamFaults", name: str) -> NoReturn:
    """Raise AttributeError; for what happens at a place, with the word that it takes one."""
    told = f"{type(faults).__name__!r} object has no attribute {name!r}"
    if name in verbs_of(DatagramPlace if isinstance(faults, DatagramFaults) else StreamPlace):
        told += f": say where first, as in .on(match=b'...').{name}()"
    raise AttributeError(told)


@dataclass(frozen=True, repr=False)
class DatagramFaults(ToldInShort):
    """Faults of a network that carries datagrams, in the terms of netem (tc-netem(8)) and SI units.

    A flow is what goes to one address of a client, or what comes from it; its port belongs to that. A client that
    takes a new port for each question has a new flow each time, in which nothing came before and nothing follows.

    Args:
        loss: the probability, 0 to 1, that a datagram never arrives.
        duplicate: the probability that it arrives twice. A script may be met by the copy; a copy that nothing
            matches fails no test, for the client sent one.
        reorder: the probability that the next one of its flow arrives before it, if that comes within 50 ms; else
            it is that late.
        delay: seconds that each takes.
        jitter: seconds by which that varies, evenly, to both sides; it never changes the order.
        corrupt: the probability that one bit of it is flipped. It is delivered, as where no checksum guards.
        rate: bytes a second that the link carries, each way; None for any number.
        seed: what all of it is decided from, a whole number; by default the marker's or the run's.
        triggers: what ``.on(...)`` has added: say it by that.

    Raises:
        TypeError, ValueError: a figure isn't what is allowed.
    """

    loss: float = 0.0
    duplicate: float = 0.0
    reorder: float = 0.0
    delay: float = 0.0
    jitter: float = 0.0
    corrupt: float = 0.0
    rate: float | None = None
    seed: int | None = None
    triggers: tuple[Trigger, ...] = field(default=(), kw_only=True)

    def __post_init__(self) -> None:
        for name in ("loss", "duplicate", "reorder", "corrupt"):
            _probability(getattr(self, name), name)
        _check_common(self)

    if not TYPE_CHECKING:  # any attribute would be one of theirs
        __getattr__ = _without_a_place

    def on(self, *, message: int | None = None, match: bytes | re.Pattern[bytes] | None = None) -> "DatagramPlace":
        """Say where a fault is to happen: ``.on(message=2).drop()`` gives faults that have it as well.

        What it hits meets the figures, too, but for ``loss``: delays add up, and else what is said here holds.

        Args:
            message: on which datagram that passes, counted from 1, whoever sends it; with ``match``, on which of
                those that match.
            match: on each that contains these bytes, or in which the regular expression finds something.

        Raises:
            TypeError, ValueError: that is no such place.
        """
        return DatagramPlace(self, _place(message=message, match=match))


@dataclass(frozen=True, repr=False)
class StreamFaults(ToldInShort):
    """Faults of a network that carries streams. Nothing is lost, repeated or reordered there: TCP sees to that.

    Args:
        delay: seconds that the bytes take.
        jitter: seconds by which that varies, evenly, to both sides; it never changes the order.
        rate: bytes a second that the link carries, each way, a packet or a segment after the other; None for any
            number.
        segment: the largest piece in which they arrive, in bytes; 1 for byte by byte.
        reset_after: how many bytes the peer sends before the connection is reset; on a Unix socket, which has no
            RST, that is a close.
        close_after: or closed.
        stall_after: or hangs: nothing passes any more, either way.
        corrupt: the probability that in each 1,024 bytes of the stream one bit is flipped, anywhere in them: of a
            stream of ten bytes hardly ever. There ``.on(bytes=3).corrupt()`` hits the fourth.
        seed: what all of it is decided from, a whole number; by default the marker's or the run's.
        triggers: what ``.on(...)`` has added: say it by that.

    Raises:
        TypeError, ValueError: a figure isn't what is allowed; ``loss``, ``duplicate`` and ``reorder`` never are.
    """

    delay: float = 0.0
    jitter: float = 0.0
    rate: float | None = None
    segment: int | None = None
    reset_after: int | None = None
    close_after: int | None = None
    stall_after: int | None = None
    corrupt: float = 0.0
    seed: int | None = None
    triggers: tuple[Trigger, ...] = field(default=(), kw_only=True)
    loss: InitVar[float] = field(default=0.0, kw_only=True)
    duplicate: InitVar[float] = field(default=0.0, kw_only=True)
    reorder: InitVar[float] = field(default=0.0, kw_only=True)

    def __post_init__(self, loss: float, duplicate: float, reorder: float) -> None:
        for name, value in (("loss", loss), ("duplicate", duplicate), ("reorder", reorder)):
            if value:
                raise ValueError(
                    f"{name}={value!r} on a stream: TCP sends again what was lost, drops what came twice and puts "
                    "all in order, so its users see a delay at most. Take delay and jitter; or DatagramFaults, on "
                    "datagrams"
                )
        _probability(self.corrupt, "corrupt")
        if self.segment is not None:
            whole_number(self.segment, "segment", least=1)
        ends = [name for name in ("reset_after", "close_after", "stall_after") if getattr(self, name) is not None]
        for name in ends:
            whole_number(getattr(self, name), name, least=0)
        if len(ends) > 1:
            told = " and ".join(f"{name}={getattr(self, name)}" for name in ends)
            raise ValueError(f"a stream ends once: of {told} only one can be given")
        _check_common(self)

    def on(
        self,
        *,
        bytes: int | None = None,  # noqa: A002  what it counts
        match: "bytes | re.Pattern[bytes] | None" = None,
        connection: int | None = None,
    ) -> "StreamPlace":
        """Say where a fault is to happen: ``.on(bytes=10).reset()`` gives faults that have it as well.

        The figures act there, too: delays add up, each bit is flipped, and how the stream ends is said here.

        Args:
            bytes: after so many bytes of the stream; given for both ways, of what the peer sends, as of
                ``reset_after``.
            match: after these bytes, or what the regular expression finds; it has to end in a literal. All of it
                passes before the stream ends there.
            connection: on which connection, counted from 1; without it, on each.

        Raises:
            TypeError, ValueError: that is no such place.
        """
        place = _place(offset=bytes, match=match, connection=connection)
        if match is not None:
            compile_pattern(match, anchored=False)
            if bytes is not None:
                raise ValueError(
                    "a place is after so many bytes, or after a match: give one of bytes and match, not both "
                    f"bytes={bytes} and match={match!r}"
                )
        return StreamPlace(self, place)

    if not TYPE_CHECKING:  # any attribute would be one of theirs
        __getattr__ = _without_a_place


class _Place(Generic[F]):
    """Where a fault is to happen; its methods say which, and give the faults with it."""

    def __init__(self, faults: F, place: dict[str, Any]) -> None:
        self._faults = faults
        self._where = place

    def __repr__(self) -> str:
        return f"{self._faults!r}.{Trigger(PASS, **self._where)}"

    def delay(self, seconds: float) -> F:
        """It takes so many seconds longer; what comes after it waits for it.

        Raises:
            TypeError, ValueError: that is no number of seconds.
        """
        return self._with(Verdict(delay=seconds))

    def corrupt(self) -> F:
        """One bit of it is flipped."""
        return self._with(PASS, corrupt=True)

    def _with(self, verdict: Verdict, *, corrupt: bool = False) -> F:
        trigger = Trigger(verdict, **self._where, corrupt=corrupt)
        return replace(self._faults, triggers=(*self._faults.triggers, trigger))


class DatagramPlace(_Place[DatagramFaults]):
    """A datagram at which a fault is to happen, as `DatagramFaults.on` gives it."""

    def drop(self) -> DatagramFaults:
        """It never arrives."""
        return self._with(Verdict(drop=True))

    def duplicate(self, copies: int = 2) -> DatagramFaults:
        """It arrives so often.

        Args:
            copies: how often, from 1.

        Raises:
            TypeError, ValueError: that is no such number.
        """
        return self._with(Verdict(copies=copies))

    def replace(self, data: bytes) -> DatagramFaults:
        """This arrives in its place.

        Raises:
            TypeError: ``data`` isn't bytes.
        """
        return self._with(Verdict(data=bytes_like(data)))

    def reorder(self) -> DatagramFaults:
        """The next of its flow arrives before it, if that comes within 50 ms; else it is that late."""
        return self._with(Verdict(reorder=True))

    def late(self) -> DatagramFaults:
        """The next of its flow arrives before it, whenever that comes; if none does, it never arrives.

        So it never does where a client takes a new port for each question.
        """
        return self._with(Verdict(late=True))

    def stale(self) -> DatagramFaults:
        """What arrives is a copy of the one before it: an answer to the query before.

        That is the one before in its flow, or, for the first of a flow, whichever came before: a client may ask
        from a new port each time.
        """
        return self._with(Verdict(stale=True))

    def send_from(self, host: str = "", port: int = 0) -> DatagramFaults:
        """It comes from another address than the peer's: by default its own host, and any other port.

        The host has to be one of this machine, and of the peer's family: where the faults are given to a peer that
        can't have it, that raises ValueError. A port that is taken is noted then, as ``error_received``.

        Raises:
            TypeError, ValueError: that is no address.
        """
        return self._with(Verdict(source=(host, port)))


class StreamPlace(_Place[StreamFaults]):
    """A place in a stream at which a fault is to happen, as `StreamFaults.on` gives it."""

    def reset(self) -> StreamFaults:
        """The connection is reset there; on a Unix socket, which has no RST, it is closed."""
        return self._with(Verdict(end="reset"))

    def close(self) -> StreamFaults:
        """The connection is closed there."""
        return self._with(Verdict(end="close"))

    def stall(self) -> StreamFaults:
        """Nothing passes any more, either way."""
        return self._with(Verdict(end="stall"))


def verbs_of(place: "type[DatagramPlace | StreamPlace]") -> list[str]:
    """What can happen at such a place, by the names of its methods."""
    return [name for name in dir(place) if not name.startswith("_")]


def _place(**place: Any) -> dict[str, Any]:
    """Give where a fault is to happen, checked."""
    given = {name: value for name, value in place.items() if value is not None}
    if not given:
        names = ", ".join("bytes" if name == "offset" else name for name in place)
        raise ValueError(f"on() says where a fault happens: give one of {names}")
    for name, least in (("message", 1), ("offset", 0), ("connection", 1)):
        if name in given:
            whole_number(given[name], "bytes" if name == "offset" else name, least=least)
    match = given.get("match")
    if match is not None and not (isinstance(match, re.Pattern) and isinstance(match.pattern, bytes)):
        if not isinstance(match, bytes):
            raise TypeError(f"match must be bytes or a compiled regular expression of bytes, not {match!r}")
        if not match:
            raise ValueError("match must have a byte at least, not b''")
    return given


def _check_common(faults: DatagramFaults | StreamFaults) -> None:
    _deadline.seconds(faults.delay, "delay")
    _deadline.seconds(faults.jitter, "jitter")
    if faults.rate is not None:
        checked_rate(faults.rate, "rate")
    if faults.seed is not None and (isinstance(faults.seed, bool) or not isinstance(faults.seed, int)):
        raise TypeError(f"seed must be an int, not {faults.seed!r}")
    triggers: object = faults.triggers
    if not (isinstance(triggers, tuple) and all(isinstance(each, Trigger) for each in triggers)):
        raise TypeError(f"triggers must be a tuple of what faults.on(...) makes, not {triggers!r}")


def checked_rate(rate: object, name: str) -> None:
    """Raise TypeError or ValueError if it is no number of bytes a second."""
    if isinstance(rate, bool) or not isinstance(rate, (int, float)):
        raise TypeError(f"{name} must be a number of bytes a second, not {rate!r}")
    if not 0 < rate <= sys.float_info.max:  # an int may be more, which no schedule could say
        raise ValueError(f"{name} must be more than 0 bytes a second, and finite, not {rate!r}")


def _probability(value: object, name: str) -> None:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise TypeError(f"{name} must be a probability, a number from 0 to 1, not {value!r}")
    if not 0 <= value <= 1:
        raise ValueError(f"{name} must be a probability from 0 to 1, not {value!r}")
