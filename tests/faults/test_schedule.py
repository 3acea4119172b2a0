"""The schedule: printed, parsed, compared, saved, and replayed."""

import copy
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_echoserver import DatagramFaults, Peers, Schedule, StreamFaults, Verdict

from ..conftest import Connect

verdicts = st.builds(
    Verdict,
    drop=st.booleans(),
    delay=st.floats(0, 10),
    copies=st.integers(1, 3),
    data=st.none() | st.binary(),
    flip=st.none() | st.integers(0, 1000) | st.lists(st.integers(0, 1000)).map(tuple),
    reorder=st.booleans(),
    late=st.booleans(),
    stale=st.booleans(),
    source=st.none() | st.tuples(st.sampled_from(["", "127.0.0.2", "::1"]), st.integers(0, 65_535)),
    end=st.none() | st.sampled_from(["reset", "close", "stall"]),
    at=st.none() | st.integers(0, 1 << 40),
)
directions = st.sampled_from(["in", "out"])
schedules: st.SearchStrategy[Schedule] = st.builds(
    Schedule,
    st.dictionaries(st.tuples(directions, st.integers(0, 9), st.integers(0, 99)), verdicts),
    rates=st.dictionaries(directions, st.floats(1, 1e9)),
    segments=st.dictionaries(directions, st.integers(1, 9000)),
)


@given(schedules)
def test_what_is_printed_is_read_back_to_the_letter(schedule: Schedule) -> None:
    again = Schedule.parse(str(schedule))
    assert again == schedule
    assert str(again) == str(schedule)


def test_it_is_saved_and_loaded(tmp_path: Path) -> None:
    schedule = Schedule({("in", 0, 3): Verdict(drop=True)}, rates={"out": 1e6})
    schedule.save(tmp_path / "lost")
    assert Schedule.load(tmp_path / "lost") == schedule
    assert (tmp_path / "lost").read_text() == "pytest-echoserver schedule 1\nout rate 1000000.0\nin 0 3 drop\n"
    (tmp_path / "other").write_text("nothing of the kind")
    with pytest.raises(ValueError, match=r"other holds no schedule: its first line must be .*, not"):
        Schedule.load(tmp_path / "other")


def test_several_bits_are_told_in_one_way() -> None:
    schedule = Schedule.parse("pytest-echoserver schedule 1\nout 0 0 flip=7\nout 0 1 flip=9,7\n")
    assert list(schedule.values()) == [Verdict(flip=7), Verdict(flip=(7, 9))]
    assert [Verdict(flip=(7,)), Verdict(flip=(9, 7, 9))] == list(schedule.values())
    assert Verdict(flip=()) == Verdict()
    with pytest.raises(ValueError, match="flip must be 0 or more, not -1"):
        Verdict(flip=(1, -1))


@pytest.mark.parametrize(
    ("line", "text"),
    [
        ("up 0 1 drop", "line 2, 'up 0 1 drop': it must begin with in or out"),
        ("in", "line 2, 'in': after in or out, it must have a rate, a segment, or a flow and an index"),
        ("in rate", "line 2, 'in rate': after in or out, it must have a rate, a segment, or a flow and an index"),
        ("in 0", "line 2, 'in 0': after in or out, it must have a rate, a segment, or a flow and an index"),
        ("in 0 1 vanish", "line 2, 'in 0 1 vanish': there is no fault 'vanish': there are drop, delay, .*, at"),
        ("in 0 one drop", "line 2, 'in 0 one drop': invalid literal"),
        ("in 0 1 copies=0", "copies must be 1 or more, not 0"),
    ],
)
def test_a_wrong_line_is_named(line: str, text: str) -> None:
    with pytest.raises(ValueError, match=text):
        Schedule.parse(f"pytest-echoserver schedule 1\n{line}\n")


def test_a_line_that_lets_a_packet_pass_says_nothing() -> None:
    schedule = Schedule.parse("pytest-echoserver schedule 1\nin 0 0\nin 0 1 drop\n")
    assert schedule == Made({("in", 0, 0): Verdict(), ("in", 0, 1): DROP})
    assert list(schedule) == [("in", 0, 1)]


def test_a_delay_at_a_place_of_a_stream_is_that_places(peers: Peers, connect: Connect) -> None:
    peer = peers.tcp(inbound=StreamFaults(delay=0.001).on(bytes=4).delay(0.05).on(match=b"well").delay(60.0))
    connect(peer).sendall(b"so, as it is, well")
    assert peer.connection.read_exactly(4).result() == b"so, "
    assert dict(peer.schedule) == {("in", 0, 0): Verdict(delay=60.001)}
    for again in (Schedule.parse(str(peer.schedule)), Schedule(peer.schedule), copy.deepcopy(peer.schedule)):
        assert str(again) == (
            "pytest-echoserver schedule 1\nin 0 0 delay=0.001\nin 0 from 4 delay=0.05\nin 0 to 18 delay=60.0"
        )
        assert again == peer.schedule
        assert repr(again) == "<Schedule of 1 faults>"
        other = peers.tcp(inbound=again)
        connect(other).sendall(b"so, as it is, well")
        assert other.connection.read_exactly(4).result() == b"so, "
        again.add(("in", 0, 0), Verdict(delay=1.0))
        assert again == Schedule({("in", 0, 0): Verdict(delay=1.0)})
        again = Schedule.parse("pytest-echoserver schedule 1\nin 1 to 1025 delay=0.5\n")
        assert (len(again), list(again), again["in", 1, 1]) == (1, [("in", 1, 1)], Verdict(delay=0.5))
        again.clear()
        assert again == Schedule()


@pytest.mark.parametrize(
    ("line", "text"),
    [
        ("in 0 to 0 delay=1", "the number of bytes after to must be 1 or more, not 0"),
        ("in 0 from -1 delay=1", "the number of bytes after from must be 0 or more, not -1"),
        ("in -1 from 1 delay=1", "the flow of a packet must be 0 or more"),
        ("in 0 from 1 flip=1", "at a place there can be but a delay, not 'flip=1'"),
        ("in 0 from 1 delay=nan", "delay must be a finite number of seconds"),
        ("in 0 from 1", "invalid literal"),
    ],
)
def test_a_wrong_place_is_named(line: str, text: str) -> None:
    with pytest.raises(ValueError, match=text):
        Schedule.parse(f"pytest-echoserver schedule 1\n{line}\n")


def test_its_repr_makes_it_again() -> None:
    schedule = Schedule({("out", 1, 2): Verdict(delay=0.5, copies=2)}, segments={"in": 1})
    names: dict[str, Any] = {"Schedule": Schedule, "Verdict": Verdict}
    assert eval(repr(schedule), names) == schedule
    assert schedule != Schedule()
    assert schedule != "a string"
    assert repr(Schedule({("in", 0, at): Verdict(drop=True) for at in range(30)})) == "<Schedule of 30 faults>"


DROP = Verdict(drop=True)
Made: Any = Schedule
Figures: Any = DatagramFaults


@pytest.mark.parametrize(
    ("make", "error", "text"),
    [
        (
            lambda: Made(1),
            TypeError,
            r"verdicts must be a mapping of \(direction, flow, index\) to Verdict, not 1",
        ),
        (
            lambda: Made({1: DROP}),
            TypeError,
            r"a packet must be named by \('in' or 'out', flow, index\), not 1",
        ),
        (lambda: Made({("up", 0, 0): DROP}), TypeError, r"a packet must be named by .*, not \('up', 0, 0\)"),
        (lambda: Made({("in", -1, 0): DROP}), ValueError, "the flow of a packet must be 0 or more, not -1"),
        (lambda: Made({("in", 0, "x"): DROP}), TypeError, "the index of a packet must be an int, not 'x'"),
        (lambda: Made({("in", 0, 0): "drop"}), TypeError, r"the verdict on \('in', 0, 0\) must be a Verdict"),
        (lambda: Made(rates=5), TypeError, "rates must be a mapping of 'in' and 'out', not 5"),
        (lambda: Made(rates={"in": 0}), ValueError, "each of rates must be more than 0 bytes a second"),
        (lambda: Made(segments={"up": 1}), ValueError, "each key of segments must be 'in' or 'out', not 'up'"),
        (lambda: Made(segments={"in": 0}), ValueError, "each of segments must be 1 or more, not 0"),
        (lambda: Made.parse(5), TypeError, "a schedule is read from a str, not from 5"),
        (lambda: Made.parse(f"{Made()}\nin rate nan"), ValueError, "rate must be more than 0"),
        (
            lambda: Made.parse(f"{Made()}\nin -1 0 drop"),
            ValueError,
            "the flow of a packet must be 0 or more",
        ),
        (lambda: Figures(triggers=1), TypeError, r"triggers must be a tuple of what faults.on\(...\) makes"),
    ],
)
def test_what_is_no_schedule_is_refused_when_it_is_made(make: Any, error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=text):
        make()


@pytest.mark.parametrize(
    ("key", "verdict", "error", "text"),
    [
        ("x", DROP, TypeError, r"a packet must be named by .*, not 'x'"),
        (["in", 0, 0], DROP, TypeError, r"a packet must be named by .*, not \['in', 0, 0\]"),
        (("in", 0, -1), DROP, ValueError, "the index of a packet must be 0 or more, not -1"),
        (("in", 0, 0), 3, TypeError, r"the verdict on \('in', 0, 0\) must be a Verdict, not 3"),
    ],
)
def test_what_is_no_verdict_is_not_added(key: Any, verdict: Any, error: type[Exception], text: str) -> None:
    schedule = Made()
    with pytest.raises(error, match=text):
        schedule.add(key, verdict)
    assert str(schedule) == str(Made())


def test_a_verdict_keeps_its_data_as_it_was() -> None:
    data: Any = bytearray(b"abc")
    verdict = Verdict(data=data)
    data[0] = 0
    assert verdict.data == b"abc"


class Figure(float):
    """A float with a repr of its own, as numpy.float64 is one."""

    def __repr__(self) -> str:
        return f"np.float64({float(self)!r})"


def test_one_with_figures_of_a_class_of_their_own_is_read_again() -> None:
    schedule = Schedule({("in", 0, 0): Verdict(delay=Figure(0.25))}, rates={"out": Figure(1e6)})
    assert Schedule.parse(str(schedule)) == schedule


@pytest.mark.parametrize(
    "make", [lambda rate: DatagramFaults(rate=rate), lambda rate: Schedule(rates={"in": rate})]
)
def test_a_rate_that_no_float_can_be_is_refused(make: Any) -> None:
    with pytest.raises(ValueError, match="must be more than 0 bytes a second, and finite"):
        make(10**400)


@pytest.mark.parametrize(
    ("kind", "verdict", "fault"),
    [
        ("tcp", Verdict(drop=True), "drop can't be on a stream"),
        ("tcp", Verdict(copies=2), "copies can't be on a stream"),
        ("unix", Verdict(stale=True), "stale can't be on a stream"),
        ("udp", Verdict(end="reset"), "end can't be on a datagram"),
    ],
)
def test_one_that_says_what_cannot_be_there_is_refused(
    peers: Peers, kind: str, verdict: Verdict, fault: str
) -> None:
    with pytest.raises(ValueError, match=fault):
        getattr(peers, f"{kind}_echo")(faults=Schedule({("out", 0, 0): verdict}))


@pytest.mark.echoserver(faults=Schedule({("in", 0, 0): Verdict(drop=True)}))
def test_one_of_a_marker_acts_on_peers_of_its_kind(peers: Peers) -> None:
    assert peers.tcp_echo().faults is None
    assert peers.udp_echo().faults is not None
