"""Faults of streams: what comes of them depends neither on how the stream is cut, nor on who asks for them."""

import heapq
import itertools
import re
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pytest_echoserver import Packet, Schedule, StreamFaults, Verdict
from pytest_echoserver._faults import streams
from pytest_echoserver._faults.peer import PeerFaults
from pytest_echoserver.strategies import chunkings

from .awkward import examples

WHOLE = b"hello, " * 20 + b"x" * 870 + b"hello, well, hello" + bytes(30)
PLACES: list[dict[str, Any]] = [
    {"bytes": 0},
    {"bytes": 4},
    {"bytes": 1_023},
    {"bytes": 1_024},
    {"match": b"hello"},
    {"match": b"lo"},
    {"match": b"well, h"},
    {"match": re.compile(rb"l+, h|, w")},
    {"match": b"\0"},
    {"match": b"never"},
]


@st.composite
def with_triggers(draw: st.DrawFn) -> StreamFaults:
    figures: dict[str, Any] = {
        "delay": draw(st.sampled_from([0.0, 1.0])),
        "jitter": draw(st.sampled_from([0.0, 0.5])),
        "corrupt": draw(st.sampled_from([0.0, 0.5, 1.0])),
        "seed": draw(st.integers(0, 3)),
    }
    figures |= draw(st.sampled_from([{}, {}, {"reset_after": 1_030}, {"close_after": 4}, {"stall_after": 1_024}]))
    faults = StreamFaults(**figures)
    for where in draw(st.lists(st.sampled_from(PLACES), max_size=4)):
        verb, args = draw(st.sampled_from([("corrupt", ()), ("delay", (0.25,)), ("delay", (2.0,)), ("reset", ())]))
        faults = getattr(faults.on(**where), verb)(*args)
    return faults


def on_each_other_block(packet: Packet) -> Verdict | None:
    return Verdict(delay=0.5, flip=packet.index) if packet.index % 2 else None


sources = st.lists(with_triggers() | st.just(on_each_other_block), min_size=1, max_size=2)


def carried(given: Any, pieces: Sequence[bytes]) -> tuple[bytes, list[object], PeerFaults]:
    """What arrives of these pieces, sent at once; when the last does and how that ends; and the faults."""
    arrived, ended, faults = arriving(given, pieces)
    last = arrived[-1][0] if arrived else 0.0
    return b"".join(data for _, data in arrived), [last, *ended], faults


def arriving(
    given: Any, pieces: Sequence[bytes], apart: float = 0.0
) -> tuple[list[tuple[float, bytes]], list[object], PeerFaults]:
    """When what arrives of these pieces, sent so many seconds apart; how that ends; and the faults."""
    now = 0.0
    order = itertools.count()
    agenda: list[tuple[float, int, Callable[[], object]]] = []
    arrived: list[tuple[float, bytes]] = []
    ended: list[object] = []

    def fail(error: BaseException) -> None:
        raise error

    def deliver(data: bytes, _: int | None) -> None:
        arrived.append((now, data))

    lane = streams.StreamLane(
        "out",
        0,
        deliver=deliver,
        finish=lambda: ended.append("eof"),
        end=ended.append,
        at=lambda when, function: heapq.heappush(agenda, (when, next(order), function)),
        note=lambda *_: None,
        fail=fail,
        start=lambda *_: None,
    )
    faults = PeerFaults("stream", "peer", lambda: b"seed")
    faults.give((None, given))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(streams, "real_monotonic", lambda: now)
        lane.have(faults.outbound)  # type: ignore[arg-type]
        steps: list[Callable[[], object]] = [*(partial(lane.carry, piece) for piece in pieces), lane.carry_eof]
        for at, step in enumerate(steps):
            heapq.heappush(agenda, (apart * at, next(order), step))
        while agenda:
            now, _, function = heapq.heappop(agenda)
            function()
    return arrived, ended, faults


@examples(60)
@given(given_=sources, pieces=chunkings(WHOLE, most=12))
@example([StreamFaults(corrupt=1.0, seed=1).on(bytes=0).delay(0.25)], [WHOLE[:1], WHOLE[1:]])
@example([StreamFaults(seed=1).on(bytes=0).corrupt().on(match=b"hello").corrupt()], [WHOLE[:3], WHOLE[3:]])
@example([StreamFaults().on(match=b"\0").corrupt().on(match=b"\0").delay(2.0)], [WHOLE[:1_040], WHOLE[1_040:]])
def test_what_comes_of_them_depends_neither_on_the_cut_nor_on_a_replay(
    given_: list[Any], pieces: list[bytes]
) -> None:
    came, end, faults = carried(given_, [WHOLE])
    came_in_pieces, end_of_pieces, again = carried(given_, pieces)
    assert (came_in_pieces, end_of_pieces) == (came, end)
    assert str(again.schedule) == str(faults.schedule)
    assert [str(error) for error in again.not_met()] == [str(error) for error in faults.not_met()]
    replayed = carried(Schedule.parse(str(faults.schedule)), pieces)
    assert (replayed[0], replayed[1][1:]) == (came, end[1:])
    assert replayed[2].schedule == faults.schedule


@examples(60)
@given(given_=sources, pieces=chunkings(WHOLE, most=12), apart=st.sampled_from([0.0, 0.3, 1.1]))
@example([StreamFaults().on(bytes=4).delay(2.0)], [WHOLE], 0.0)
@example([StreamFaults().on(match=b"lo").delay(2.0)], [WHOLE[:2], WHOLE[2:8], WHOLE[8:]], 0.0)
@example([StreamFaults().on(bytes=4).delay(2.0)], [WHOLE[:5], WHOLE[5:]], 3.0)
@example([StreamFaults().on(bytes=4).corrupt().on(match=b"well, h").delay(0.25)], [WHOLE], 0.0)
@example([StreamFaults().on(match=b"END").delay(2.0)], [bytes(2_500) + b"END"], 0.0)
@example([StreamFaults().on(match=b"END").delay(2.0)], [bytes(1_500), bytes(4_096) + b"END" + bytes(5_000)], 0.0)
def test_a_replay_has_each_byte_arrive_when_it_did(given_: list[Any], pieces: list[bytes], apart: float) -> None:
    came, end, faults = arriving(given_, pieces, apart)
    again, end_again, _ = arriving(Schedule.parse(str(faults.schedule)), pieces, apart)
    assert end_again == end
    assert each_byte(again) == each_byte(came)


def each_byte(arrived: list[tuple[float, bytes]]) -> list[tuple[float, int]]:
    return [(when, byte) for when, data in arrived for byte in data]


@pytest.mark.parametrize(
    ("faults", "pieces", "size"),
    [
        (StreamFaults(rate=100), [bytes(100)], 100),
        (StreamFaults(rate=100, segment=1), [bytes(100)], 1),
        (StreamFaults(rate=100, segment=1), [bytes(60), bytes(40)], 1),
        (StreamFaults(rate=100_000), [bytes(100_000)], 1_448),
        (StreamFaults(rate=10_000_000, segment=1), [bytes(100_000)], 10_000),
    ],
)
def test_a_rate_lets_bytes_pass_one_after_the_other(faults: StreamFaults, pieces: list[bytes], size: int) -> None:
    arrived, _, _ = arriving(faults, pieces)
    assert faults.rate is not None
    passed = 0
    for when, data in arrived:
        assert len(data) <= size
        passed += len(data)
        assert when == pytest.approx(passed / faults.rate)
    assert passed == sum(map(len, pieces))
