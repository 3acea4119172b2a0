"""`pytest_echoserver.strategies`: cuts and faults that Hypothesis finds, and shrinks."""

import subprocess
import sys
from typing import Any

import pytest
from hypothesis import HealthCheck, find, given, settings
from hypothesis import strategies as st

from pytest_echoserver import DatagramPeer, Schedule, StreamFaults, StreamPeer, Verdict
from pytest_echoserver.strategies import chunkings, datagram_schedules, stream_faults

from ..conftest import Client, Connect, Downstream
from .test_stream_faults import read_to_the_end, read_until_it_stalls

FOR_EACH_EXAMPLE = settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])


@given(st.data(), st.binary(max_size=50), st.none() | st.integers(1, 5))
def test_chunkings_cut_all_of_it(data: st.DataObject, whole: bytes, most: int | None) -> None:
    pieces = data.draw(chunkings(whole, most=most))
    assert b"".join(pieces) == whole
    assert all(pieces)
    assert most is None or len(pieces) <= most


def test_they_shrink_to_one_piece_and_no_fault() -> None:
    assert find(chunkings(b"hello"), lambda _: True) == [b"hello"]
    assert find(chunkings(b"hello"), lambda pieces: len(pieces) > 1) == [b"h", b"ello"]
    assert find(datagram_schedules(10), lambda _: True) == Schedule()
    assert find(stream_faults(100), lambda _: True) == StreamFaults()
    lost = find(datagram_schedules(10), lambda schedule: any(verdict.drop for verdict in schedule.values()))
    assert lost == Schedule({("in", 0, 0): Verdict(drop=True)})


@given(stream_faults(10, ends=[]))
def test_without_ends_all_arrives(faults: StreamFaults) -> None:
    assert ends_of(faults) == []


@FOR_EACH_EXAMPLE
@given(schedule=datagram_schedules(4, longest_delay=0.001))
def test_a_datagram_fixture_serves_every_example(
    udp_echo_server: DatagramPeer, udp_client: Client, schedule: Schedule
) -> None:
    udp_echo_server.faults = schedule
    udp_echo_server.clear(script=True)
    with udp_client() as client:
        for number in range(4):
            client.sendto(b"%d" % number, udp_echo_server.address)
        verdicts = [schedule.get(("in", 0, at), Verdict()) for at in range(4)]
        arriving = sum(verdict.copies for verdict in verdicts if not verdict.drop)
        if arriving:
            udp_echo_server.wait_for(arriving).result()
        udp_echo_server.verify()  # what it is to lose has come as well
    assert {key for key in udp_echo_server.schedule if key[0] == "in"} == {
        key for key in schedule if key[0] == "in"
    }


@FOR_EACH_EXAMPLE
@given(faults=stream_faults(5))
def test_a_stream_fixture_serves_every_example(
    tcp_peer: StreamPeer, connect: Connect, faults: StreamFaults
) -> None:
    tcp_peer.faults = (None, faults)
    tcp_peer.clear(script=True)
    tcp_peer.expect(b"?").reply(b"hello")
    size, how = next(iter(ends_of(faults)), (5, "stall"))
    with connect(tcp_peer) as client:
        assert tcp_peer.next_connection().result().peername == client.getsockname()
        client.sendall(b"?")
        read = read_until_it_stalls if how == "stall" else read_to_the_end
        assert read(client, size) == (b"hello"[:size], how)


def ends_of(faults: StreamFaults) -> list[tuple[int, str]]:
    ends = {"reset": faults.reset_after, "close": faults.close_after, "stall": faults.stall_after}
    return [(at, how) for how, at in ends.items() if at is not None]


PARSER = """
import asyncio
from hypothesis import HealthCheck, given, settings
from pytest_echoserver.strategies import chunkings

class Lines(asyncio.Protocol):
    \"\"\"Wrong: takes it that a line always comes whole.\"\"\"

    def __init__(self):
        self.lines = []

    def data_received(self, data):
        self.lines += data.split(b"\\n")[:-1]

@settings(deadline=None, database=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(pieces=chunkings(b"ab\\ncd\\n"))
def test_lines(stream_harness, pieces):
    stream = stream_harness.connect(Lines)
    for piece in pieces:
        stream.send(piece, segments=[len(piece)])
    stream.send_eof()
    assert stream.lost.result() is None
    assert stream.protocol.lines == [b"ab", b"cd"]
"""


def test_a_wrong_parser_is_found_with_the_smallest_cut(downstream: Downstream) -> None:
    result = downstream.run(PARSER)
    result.assert_outcomes(failed=1)
    assert "pieces = [b'a', b'b\\ncd\\n']" in result.stdout.str()


def test_the_pieces_are_shown_however_long_they_are(downstream: Downstream) -> None:
    result = downstream.run(PARSER.replace("cd", 10 * "cd"))
    assert f"pieces=[b'a', b'b\\n{10 * 'cd'}\\n']," in result.stdout.str()


def test_what_it_needs_is_told() -> None:
    code = "import sys; sys.modules['hypothesis'] = None; import pytest_echoserver.strategies"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "needs Hypothesis: pip install 'pytest-echoserver[hypothesis]'" in done.stderr


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: chunkings("text"), "data must be bytes"),  # type: ignore[arg-type]
        (lambda: chunkings(b"x", most=0), "most must be 1 or more, not 0"),
        (lambda: datagram_schedules(0), "count must be 1 or more, not 0"),
        (lambda: datagram_schedules(1, directions="in"), "directions must be a list of 'in' and 'out', not 'in'"),
        (lambda: datagram_schedules(1, directions=1), "directions must be a list of 'in' and 'out', not 1"),  # type: ignore[arg-type]
        (lambda: stream_faults(1, ends=1), "ends must be a list of reset, close, stall, not 1"),  # type: ignore[arg-type]
        (lambda: stream_faults(1, ends=["fire"]), "ends must be of reset, close, stall, not 'fire'"),
    ],
)
def test_wrong_arguments_are_named(make: Any, text: str) -> None:
    with pytest.raises((TypeError, ValueError), match=text):
        make()
