"""What was decided: from a seed, by names and numbers alone, so that it is the same the next time."""

import struct
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import fields
from functools import partial
from hashlib import blake2b
from pathlib import Path
from typing import Any, Self

from .._checks import choice, in_short, whole_number
from .._telling import differing
from .model import checked_rate
from .verdict import BLOCK, PASS, Direction, Verdict, bits_of, together

__tracebackhide__ = True

PacketKey = tuple[Direction, int, int]
"""Which packet: its direction, its flow's ordinal, and its index."""
Place = tuple[int, int]
"""The byte of a stream that is late, and after how many bytes the stream is cut for that: after those before it, or
after it, which is late then with all that came with it."""

HEADER = "pytest-echoserver schedule 1"
CHANCES = struct.Struct("=8Q")
MOST_SHOWN = 20
DIRECTIONS = ("in", "out")
_NAMES = {each.name for each in fields(Verdict)}


class Chances:
    """Numbers for each packet, decided from a seed and the packet's place; traffic elsewhere doesn't shift them.

    By BLAKE2b (RFC 7693), keyed with the seed, of the peer's name, the direction, the flow and the index.

    Args:
        seed: whatever it is decided from.
        name: of the peer.
    """

    def __init__(self, seed: bytes, name: str) -> None:
        key = blake2b(seed, digest_size=32).digest()
        self._state = blake2b(name.encode("utf-8", "surrogatepass") + b"\0", key=key)

    def of(self, direction: Direction, flow: int, index: int) -> tuple[float, ...]:
        """Eight independent numbers from 0 up to, but not, 1."""
        state = self._state.copy()
        state.update(f"{direction} {flow} {index}".encode())
        return tuple((number >> 11) / (1 << 53) for number in CHANCES.unpack(state.digest()))


class Schedule(Mapping[PacketKey, Verdict]):
    """What the network did to which packets; the others passed as they were.

    ``peer.schedule`` is one. It can be printed, compared and saved; given as ``faults=``, it does the same again.
    Its keys are (direction, flow, index), as in a `Packet`. Where but a place in a block of a stream was delayed,
    the block's verdict tells of the latest; what is printed, and done again, is of that place.

    Args:
        verdicts: those that it begins with.
        rates: bytes a second that the link carried, by direction.
        segments: the largest piece in which a stream's bytes arrived, by direction.

    Raises:
        TypeError, ValueError: something in them isn't what is allowed.
    """

    def __init__(
        self,
        verdicts: Mapping[PacketKey, Verdict] | Iterable[tuple[PacketKey, Verdict]] = (),
        *,
        rates: Mapping[Direction, float] | None = None,
        segments: Mapping[Direction, int] | None = None,
    ) -> None:
        self._verdicts: dict[PacketKey, Verdict] = {}
        self._late: dict[PacketKey, dict[Place, float]] = {}
        """Seconds by which places in a block of a stream are later than what was decided on all of it."""
        for key, verdict in _entries(verdicts):
            self.add(key, verdict)
        if isinstance(verdicts, Schedule):
            self._verdicts = dict(verdicts._verdicts)
            self._late = {key: dict(late) for key, late in verdicts._late.items()}
        self.rates: dict[Direction, float] = _by_direction(rates, "rates", checked_rate)
        self.segments: dict[Direction, int] = _by_direction(segments, "segments", partial(whole_number, least=1))

    def add(self, key: PacketKey, verdict: Verdict) -> None:
        """Keep what was decided.

        Args:
            key: (direction, flow, index), as in a `Packet`.
            verdict: what happened to that packet; one that lets it pass as it was isn't kept.

        Raises:
            TypeError, ValueError: the one names no packet, or the other is no `Verdict`.
        """
        _check_key(key)
        if not isinstance(verdict, Verdict):
            raise TypeError(f"the verdict on {key!r} must be a Verdict, not {verdict!r}")
        self._late.pop(key, None)
        self._keep(key, verdict)

    def _keep(self, key: PacketKey, verdict: Verdict) -> None:
        """Likewise, what we have decided: there may be millions of these."""
        if verdict != PASS:
            self._verdicts[key] = verdict

    def _keep_late(self, key: PacketKey, place: Place, seconds: float) -> None:
        """Keep that a place in this block is so much later than the block."""
        self._late.setdefault(key, {})[place] = seconds

    def _of_block(self, key: PacketKey) -> Verdict | None:
        """What was decided on all of it."""
        return self._verdicts.get(key)

    def clear(self) -> None:
        """Forget all verdicts; ``rates`` and ``segments`` stay."""
        self._verdicts.clear()
        self._late.clear()

    def save(self, path: "str | Path") -> None:
        """Write it to a file, as it is printed, for `load`; one that is there is replaced.

        Raises:
            OSError: the file can't be written.
        """
        Path(path).write_text(f"{self}\n", encoding="utf-8")

    @classmethod
    def load(cls, path: "str | Path") -> Self:
        """Read one that was saved.

        Raises:
            OSError: the file can't be read.
            ValueError: it holds no schedule.
        """
        text = Path(path).read_text(encoding="utf-8")
        try:
            return cls.parse(text)
        except ValueError as error:
            raise ValueError(f"{path} holds no schedule: {error}") from None

    @classmethod
    def parse(cls, text: str) -> Self:
        """Make one of what another one's ``str`` gave.

        Raises:
            TypeError: it is no ``str``.
            ValueError: it isn't that; the text says in which line.
        """
        if not isinstance(text, str):
            raise TypeError(f"a schedule is read from a str, not from {text!r}")
        lines = text.splitlines()
        if not lines or lines[0] != HEADER:
            raise ValueError(f"its first line must be {HEADER!r}, not {in_short(lines[0] if lines else '')}")
        schedule = cls()
        for number, line in enumerate(lines[1:], 2):
            if not line.strip():
                continue
            try:
                schedule._read(line.split())
            except (ValueError, TypeError) as error:
                raise ValueError(f"line {number}, {line!r}: {error}") from None
        return schedule

    def _read(self, words: list[str]) -> None:
        direction: Any = words[0]
        if direction not in DIRECTIONS:
            raise ValueError("it must begin with in or out")
        match words[1:]:
            case "rate", figure:
                checked_rate(rate := float(figure), "rate")
                self.rates[direction] = rate
            case "segment", figure:
                self.segments[direction] = whole_number(int(figure), "segment", least=1)
            case flow, ("from" | "to") as word, count, late:
                up_to = int(word == "to")
                cut = whole_number(int(count), f"the number of bytes after {word}", least=up_to)
                byte = cut - up_to
                key = direction, int(flow), byte // BLOCK
                _check_key(key)
                self._keep_late(key, (byte, cut), _delay_in(late))
            case flow, index, *faults:
                key = direction, int(flow), int(index)
                _check_key(key)
                self._keep(key, Verdict(**dict(map(_parsed, faults))))
            case _:
                raise ValueError("after in or out, it must have a rate, a segment, or a flow and an index")

    def __getitem__(self, key: PacketKey) -> Verdict:
        if key not in self._late:
            return self._verdicts[key]
        return together(self._verdicts.get(key, PASS), Verdict(delay=max(self._late[key].values())))

    def __iter__(self) -> Iterator[PacketKey]:
        return iter({**self._verdicts, **self._late} if self._late else self._verdicts)

    def __len__(self) -> int:
        return len(self._verdicts.keys() | self._late.keys()) if self._late else len(self._verdicts)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Schedule):
            return NotImplemented
        return all(
            getattr(self, name) == getattr(other, name) for name in ("_verdicts", "_late", "rates", "segments")
        )

    __hash__ = None  # type: ignore[assignment]  # it grows

    def __str__(self) -> str:
        lines = [HEADER]
        lines += [f"{direction} rate {_plain(rate)}" for direction, rate in sorted(self.rates.items())]
        lines += [f"{direction} segment {size}" for direction, size in sorted(self.segments.items())]
        for key in sorted(self):
            direction, flow, index = key
            if (verdict := self._verdicts.get(key)) is not None:
                lines.append(f"{direction} {flow} {index} {told(verdict)}")
            for (byte, cut), seconds in sorted(self._late.get(key, {}).items()):
                word = "from" if cut == byte else "to"
                lines.append(f"{direction} {flow} {word} {cut} delay={_plain(seconds)}")
        return "\n".join(lines)

    def __repr__(self) -> str:
        if len(self) > MOST_SHOWN or self._late:
            return f"<{type(self).__name__} of {len(self)} faults>"
        shapes = {"rates": self.rates, "segments": self.segments}
        more = "".join(f", {name}={shape!r}" for name, shape in shapes.items() if shape)
        return f"{type(self).__name__}({self._verdicts!r}{more})"


def _entries(verdicts: Any) -> list[tuple[Any, Any]]:
    try:
        return list(dict(verdicts).items())
    except (TypeError, ValueError):
        raise TypeError(
            f"verdicts must be a mapping of (direction, flow, index) to Verdict, not {verdicts!r}"
        ) from None


def _check_key(key: Any) -> None:
    match key:
        case ("in" | "out", flow, index) if isinstance(key, tuple):
            whole_number(flow, "the flow of a packet", least=0)
            whole_number(index, "the index of a packet", least=0)
        case _:
            raise TypeError(f"a packet must be named by ('in' or 'out', flow, index), not {key!r}")


def _by_direction(given: Any, name: str, check: Callable[[Any, str], object]) -> dict[Direction, Any]:
    if given is None:
        return {}
    if not isinstance(given, Mapping):
        raise TypeError(f"{name} must be a mapping of 'in' and 'out', not {given!r}")
    for direction, figure in given.items():
        choice(direction, f"each key of {name}", DIRECTIONS)
        check(figure, f"each of {name}")
    return dict(given)


def told(verdict: Verdict) -> str:
    """A verdict as words without a space in them: what differs from letting the packet pass."""
    words = []
    for name, value in differing(verdict).items():
        if value is True:
            words.append(name)
        elif name == "data":
            words.append(f"data={value.hex()}")
        elif name == "flip":
            words.append(f"flip={','.join(map(str, bits_of(verdict)))}")
        elif name == "source":
            words.append(f"source={value[0]},{value[1]}")
        else:
            words.append(f"{name}={value if name == 'end' else _plain(value)}")
    return " ".join(words)


def _plain(number: Any) -> str:
    """A number that `_parsed` reads, whatever the repr of its own class is: numpy.float64 is a float, too."""
    return float.__repr__(number) if isinstance(number, float) else int.__repr__(number)


def _delay_in(word: str) -> float:
    """The seconds that a place is late by."""
    name, seconds = _parsed(word)
    if name != "delay":
        raise ValueError(f"at a place there can be but a delay, not {word!r}")
    return Verdict(delay=seconds).delay


def _parsed(word: str) -> tuple[str, Any]:
    name, given, text = word.partition("=")
    if name not in _NAMES:
        raise ValueError(
            f"there is no fault {name!r}: there are {', '.join(each.name for each in fields(Verdict))}"
        )
    if not given:
        return name, True
    match name:
        case "delay":
            return name, float(text)
        case "data":
            return name, bytes.fromhex(text)
        case "source":
            host, _, port = text.rpartition(",")
            return name, (host, int(port))
        case "flip":
            return name, tuple(map(int, text.split(",")))
        case "end":
            return name, text
        case _:
            return name, int(text)
