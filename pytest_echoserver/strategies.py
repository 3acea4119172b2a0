"""Hypothesis strategies for how bytes are cut and what a network does: they shrink to one piece, and to no fault.

Needs ``pip install 'pytest-echoserver[hypothesis]'``. A fixture that lasts longer than an example has to begin anew
with each: ``peer.clear(script=True)``, with ``HealthCheck.function_scoped_fixture`` suppressed.
"""

from collections.abc import Sequence
from typing import Any

from . import _deadline
from ._checks import bytes_like, whole_number
from ._faults.model import StreamFaults
from ._faults.schedule import Schedule
from ._faults.verdict import ENDINGS, Verdict

try:
    from hypothesis import strategies as st
except ImportError as _error:
    raise ImportError(
        "pytest_echoserver.strategies needs Hypothesis: pip install 'pytest-echoserver[hypothesis]'"
    ) from _error

__all__ = ["chunkings", "datagram_schedules", "stream_faults"]

DIRECTIONS = ("in", "out")


def chunkings(data: bytes, *, most: int | None = None) -> st.SearchStrategy[list[bytes]]:
    """All ways in which ``data`` may be cut into pieces that aren't empty; the simplest is one piece.

    Args:
        data: what is cut.
        most: how many pieces there may be, at most; None for any number.

    Raises:
        TypeError, ValueError: an argument isn't what is allowed.
    """
    whole = bytes_like(data)
    if most is not None:
        whole_number(most, "most", least=1)
    if len(whole) < 2:
        return st.just([whole] if whole else [])
    cuts = st.sets(st.integers(1, len(whole) - 1), max_size=None if most is None else most - 1)

    @st.composite
    def chunking(draw: st.DrawFn) -> list[bytes]:  # by map(), a failure would show the call rather than the pieces
        return _cut(whole, sorted(draw(cuts)))

    return chunking()


def datagram_schedules(
    count: int, *, flows: int = 1, directions: Sequence[str] = DIRECTIONS, longest_delay: float = 0.02
) -> st.SearchStrategy[Schedule]:
    """What a network may do to the first datagrams of each flow; the simplest is nothing. Give it as ``faults=``.

    Args:
        count: how many datagrams of each flow and direction may be lost, repeated, reordered, late or corrupted.
        flows: how many clients' addresses there are.
        directions: ``"in"``, ``"out"``, or both.
        longest_delay: seconds.

    Raises:
        TypeError, ValueError: an argument isn't what is allowed.
    """
    whole_number(count, "count", least=1)
    whole_number(flows, "flows", least=1)
    _check_directions(directions)
    verdicts = st.one_of(
        st.just(Verdict(drop=True)),
        st.just(Verdict(copies=2)),
        st.just(Verdict(reorder=True)),
        st.builds(Verdict, delay=_seconds(longest_delay, "longest_delay")),
        st.builds(Verdict, flip=st.integers(0, 8 * 64 - 1)),
    )
    keys = st.tuples(st.sampled_from(list(directions)), st.integers(0, flows - 1), st.integers(0, count - 1))
    chosen: st.SearchStrategy[dict[Any, Verdict]] = st.dictionaries(keys, verdicts)
    return chosen.map(lambda decided: Schedule(decided))


def stream_faults(
    length: int, *, ends: Sequence[str] = ENDINGS, longest_delay: float = 0.01
) -> st.SearchStrategy[StreamFaults]:
    """Faults of a stream of so many bytes; the simplest are none. Give them as ``faults=`` or ``inbound=``.

    Args:
        length: bytes within which the stream may end.
        ends: how it may end, of ``"reset"``, ``"close"`` and ``"stall"``; none for streams that arrive whole.
        longest_delay: seconds.

    Raises:
        TypeError, ValueError: an argument isn't what is allowed.
    """
    whole_number(length, "length", least=1)
    if isinstance(ends, str) or not isinstance(ends, Sequence):
        raise TypeError(f"ends must be a list of {', '.join(ENDINGS)}, not {ends!r}")
    for end in ends:
        if end not in ENDINGS:
            raise ValueError(f"ends must be of {', '.join(ENDINGS)}, not {end!r}")
    figures: dict[str, Any] = {
        "delay": st.just(0.0) | _seconds(longest_delay, "longest_delay"),
        "segment": st.none() | st.integers(1, length),
    }
    whole = st.builds(StreamFaults, **figures)
    cut = [st.builds(StreamFaults, **figures, **{f"{end}_after": st.integers(0, length)}) for end in ends]
    return st.one_of(whole, *cut)


def _cut(data: bytes, places: Sequence[int]) -> list[bytes]:
    return [data[start:end] for start, end in zip([0, *places], [*places, len(data)], strict=True)]


def _seconds(longest: float, name: str) -> st.SearchStrategy[float]:
    return st.floats(0, _deadline.seconds(longest, name), allow_nan=False)


def _check_directions(directions: Any) -> None:
    listed = isinstance(directions, Sequence) and not isinstance(directions, str)
    if not (listed and directions and all(each in DIRECTIONS for each in directions)):
        raise ValueError(f"directions must be a list of 'in' and 'out', not {directions!r}")
