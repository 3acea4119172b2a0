"""How a check of protocols tells what came, and what should have."""

from collections.abc import Sequence

from .._checks import MOST_TOLD, cut_short
from .._peers.telling import first_bytes

__tracebackhide__ = True

ALIKE_SHOWN = 40
"""So many bytes that are as they should be are shown before those that aren't, at most."""


def from_the_difference(one: str, other: str) -> tuple[str, str]:
    """Two texts in short; of what is long, from shortly before their first difference on."""
    same = alike(one, other)
    begin = 0 if max(len(one), len(other)) <= MOST_TOLD or same < ALIKE_SHOWN else same - ALIKE_SHOWN // 2
    before = "…" if begin else ""
    return cut_short(before + one[begin:]), cut_short(before + other[begin:])


def told_value(value: object) -> str:
    """A value of the user's in an error, even if it can't be shown."""
    return cut_short(told_whole(value), 200)


def told_whole(value: object) -> str:
    """The same, however long that is."""
    try:
        return repr(value)
    except Exception as error:  # noqa: BLE001  what is wrong with it isn't what is told
        return f"<{type(value).__qualname__}, whose repr() raises {type(error).__name__}>"


def alike(one: Sequence[object], other: Sequence[object]) -> int:
    """How many items at the beginning of both are the same."""
    pairs = enumerate(zip(one, other, strict=False))
    return next((at for at, (each, its) in pairs if each != its), min(len(one), len(other)))


def answered(got: bytes, wanted: bytes) -> str:
    """That ``got`` was answered; of what is long, from shortly before the first difference on."""
    if not got:
        return f"it answered nothing, not {first_bytes(wanted)}"
    same = alike(got, wanted)
    begin = 0 if same < ALIKE_SHOWN else same - ALIKE_SHOWN // 2
    where = f", from byte {begin} on," if begin else ""
    return f"it answered{where} {first_bytes(got[begin:])}, not {first_bytes(wanted[begin:])}"


def told_in_short(data: bytes) -> str:
    """Bytes as an error has them; of many that are all the same, how many."""
    if len(data) > 8 and len(set(data)) == 1:
        return f"{len(data):,} times {data[:1]!r}"
    return first_bytes(data)
