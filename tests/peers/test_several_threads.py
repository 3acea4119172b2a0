"""What several threads begin at once is one thing."""

from ..conftest import Downstream

SUITE = """
import socket
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from pytest_echoserver import ScriptMismatch, StreamFaults

THREADS = 8

@pytest.fixture(autouse=True)
def they_take_turns_often():
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)

def at_once(function):
    together = threading.Barrier(THREADS)

    def begin(number):
        together.wait()
        return function(number)

    with ThreadPoolExecutor(THREADS) as pool:
        return list(pool.map(begin, range(THREADS)))

# The first of them loads what scripts are made of, which takes a while.
@pytest.mark.parametrize("kind", ["udp", "tcp"])
def test_steps(peers, kind):
    peer = getattr(peers, kind)()
    at_once(lambda number: peer.expect(b"%d" % number))
    with pytest.raises(ScriptMismatch, match="8 of the script's 8 steps were not met"):
        peer.verify()

def test_steps_of_a_connection(tcp_peer):
    with socket.create_connection(tcp_peer.address, 5) as client:
        connection = tcp_peer.connection
        at_once(lambda number: connection.expect(b"x").reply(b"y"))
        client.sendall(b"x" * THREADS)
        assert sum(len(client.recv(1)) for _ in range(THREADS)) == THREADS

@pytest.mark.parametrize("turn", range(20))
def test_names(peers, turn):
    assert len({str(peer).partition(" ")[0] for peer in at_once(lambda _: peers.udp())}) == THREADS

@pytest.mark.parametrize("turn", range(20))
def test_schedules(tcp_peer, turn):
    assert len({id(schedule) for schedule in at_once(lambda _: tcp_peer.schedule)}) == 1
"""


def test_what_they_begin_is_one(downstream: Downstream) -> None:
    downstream.run_apart(SUITE).assert_outcomes(passed=43)
