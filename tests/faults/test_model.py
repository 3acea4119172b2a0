"""What faults may be asked for, and what is refused at the call."""

import re
from typing import Any

import pytest

from pytest_echoserver import DatagramFaults, Peers, Schedule, StreamFaults, Verdict


@pytest.mark.parametrize(
    ("given", "error", "text"),
    [
        ({"loss": 1.5}, ValueError, "loss must be a probability from 0 to 1, not 1.5"),
        ({"duplicate": -0.1}, ValueError, "duplicate must be a probability from 0 to 1, not -0.1"),
        ({"reorder": True}, TypeError, "reorder must be a probability, a number from 0 to 1, not True"),
        ({"corrupt": "much"}, TypeError, "corrupt must be a probability, a number from 0 to 1, not 'much'"),
        ({"delay": -1}, ValueError, "delay must be a finite number of seconds, 0 or more, not -1"),
        ({"jitter": float("nan")}, ValueError, "jitter must be a finite number of seconds, 0 or more, not nan"),
        ({"rate": 0}, ValueError, "rate must be more than 0 bytes a second, and finite, not 0"),
        ({"rate": "56k"}, TypeError, "rate must be a number of bytes a second, not '56k'"),
        ({"seed": "luck"}, TypeError, "seed must be an int, not 'luck'"),
    ],
)
def test_figures_are_checked(given: dict[str, Any], error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=re.escape(text)):
        DatagramFaults(**given)


@pytest.mark.parametrize("figure", ["loss", "duplicate", "reorder"])
def test_a_stream_never_loses_repeats_or_reorders(figure: str) -> None:
    given: dict[str, Any] = {figure: 0.1}
    with pytest.raises(ValueError, match=rf"{figure}=0.1 on a stream: TCP sends again .* Take delay and jitter"):
        StreamFaults(**given)


def test_a_stream_ends_once() -> None:
    with pytest.raises(
        ValueError, match="a stream ends once: of reset_after=1 and stall_after=2 only one can be given"
    ):
        StreamFaults(reset_after=1, stall_after=2)
    with pytest.raises(ValueError, match="segment must be 1 or more, not 0"):
        StreamFaults(segment=0)


@pytest.mark.parametrize(
    ("place", "error", "text"),
    [
        ({}, ValueError, "on() says where a fault happens: give one of message, match"),
        ({"message": 0}, ValueError, "message must be 1 or more, not 0"),
        ({"match": "text"}, TypeError, "match must be bytes or a compiled regular expression of bytes, not 'text'"),
        ({"match": b""}, ValueError, "match must have a byte at least, not b''"),
        ({"match": re.compile("x")}, TypeError, "match must be bytes or a compiled regular expression of bytes"),
    ],
)
def test_places_are_checked(place: dict[str, Any], error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=re.escape(text)):
        DatagramFaults().on(**place)


def test_a_match_in_a_stream_ends_in_a_literal() -> None:
    with pytest.raises(ValueError, match="doesn't end in a literal byte"):
        StreamFaults().on(match=re.compile(rb"\d+")).reset()
    with pytest.raises(ValueError, match="give one of bytes and match, not both bytes=3 and match=b'x'"):
        StreamFaults().on(match=b"x", bytes=3)


def test_each_trigger_gives_a_new_value() -> None:
    none = DatagramFaults(loss=0.5)
    one = none.on(message=2).drop()
    two = one.on(match=b"x").delay(0.2)
    assert [len(faults.triggers) for faults in (none, one, two)] == [0, 1, 2]
    assert two.loss == 0.5
    assert one == DatagramFaults(loss=0.5).on(message=2).drop()
    assert "drop=True" in repr(one)


def test_faults_must_be_of_the_peers_kind(peers: Peers) -> None:
    with pytest.raises(TypeError, match=r"faults is DatagramFaults, but this is a stream, .* Take StreamFaults"):
        peers.tcp(faults=DatagramFaults(loss=0.1))
    with pytest.raises(TypeError, match=r"faults\[1\] is StreamFaults, but this is a datagram peer"):
        peers.udp(faults=(None, StreamFaults(delay=0.1)))
    with pytest.raises(TypeError, match=r"faults must be DatagramFaults, a schedule, a callable .* not 0.3"):
        peers.udp(faults=0.3)
    with pytest.raises(TypeError, match=r"as a tuple means \(inbound, outbound\), so it must have two, not 3"):
        peers.udp(faults=(None, None, None))
    with pytest.raises(TypeError, match="give faults for both directions, or inbound and outbound"):
        peers.udp(faults=DatagramFaults(), inbound=DatagramFaults())

    async def judge(_: object) -> None: ...

    with pytest.raises(TypeError, match="judge is async, and nothing would await it"):
        peers.udp(faults=judge)


@pytest.mark.parametrize(
    ("given", "error", "text"),
    [
        ({"copies": 0}, ValueError, "copies must be 1 or more, not 0"),
        ({"delay": -1.0}, ValueError, "delay must be a finite number of seconds"),
        ({"drop": 1}, TypeError, "drop must be True or False, not 1"),
        ({"data": "text"}, TypeError, "data must be bytes, not 'text'"),
        ({"end": "explode"}, ValueError, "end must be 'reset', 'close' or 'stall', not 'explode'"),
        ({"source": 53}, TypeError, "source must be (host, port), not 53"),
    ],
)
def test_verdicts_are_checked(given: dict[str, Any], error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=re.escape(text)):
        Verdict(**given)


def test_faults_are_given_back_as_they_were_given(peers: Peers) -> None:
    peer = peers.udp_echo()
    assert peer.faults is None
    assert peer.schedule == Schedule()
    given: Any = DatagramFaults(loss=0.1)
    peer.faults = given
    assert peer.faults is given
    with peer.faulty(outbound=given):
        assert peer.faults == (None, given)
    assert peer.faults is given
    with pytest.raises(TypeError, match="faults must be DatagramFaults"):
        peer.faults = 3
    assert peer.faults is given
    peer.close()
    with pytest.raises(RuntimeError, match="is closed"):
        peer.faults = None
