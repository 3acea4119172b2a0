"""A peer's close, while others send and connect and hold its socket: nothing is recorded after it."""

import os
import socket
import subprocess
import sys

import pytest

from pytest_echoserver import Peers, StreamPeer

from ..conftest import open_and_running

FLOOD = """
import socket, sys
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
    print("sending", flush=True)
    for number in range(20_000_000):
        sock.sendto(b"%d" % number, ("127.0.0.1", int(sys.argv[1])))
"""
CROWD = """
import socket, struct, sys
print("connecting", flush=True)
for number in range(20_000_000):
    with socket.socket() as sock:
        # It ends in a reset, lest its port be taken for a minute (TIME_WAIT): there are only so many.
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        sock.settimeout(0.1)  # a SYN that is dropped would be sent again only after a second
        try:
            sock.connect(("127.0.0.1", int(sys.argv[1])))
            sock.recv(1)
        except OSError:
            pass
"""
CYCLES = 5_000


@pytest.mark.parametrize("handled", [False, True], ids=["recording", "handler"])
def test_nothing_is_recorded_after_a_close(peers: Peers, reserved_port: int, handled: bool) -> None:
    flood = subprocess.Popen([sys.executable, "-c", FLOOD, str(reserved_port)], stdout=subprocess.PIPE)
    try:
        assert flood.stdout is not None
        assert flood.stdout.readline() == b"sending\n"
        closed = []
        for _ in range(CYCLES // 10 if handled else CYCLES):
            peer = peers.udp(lambda datagram: datagram.data) if handled else peers.udp_echo()
            bound = (
                peers.udp_echo(port=reserved_port) if not handled else peers.udp(lambda _: None, port=reserved_port)
            )
            peer.close()
            bound.close()
            closed.append((bound, len(bound.events), bound.events[-1].name))
    finally:
        flood.kill()
        flood.wait()
        if flood.stdout is not None:
            flood.stdout.close()
    assert all(len(peer.events) == count for peer, count, _ in closed)
    assert {last for _, _, last in closed} == {"connection_lost"}
    assert sum(len(peer.received) for peer, _, _ in closed) > 0


def test_nothing_is_recorded_after_the_close_of_a_listener(peers: Peers, reserved_port: int) -> None:
    crowd = subprocess.Popen([sys.executable, "-c", CROWD, str(reserved_port)], stdout=subprocess.PIPE)
    try:
        assert crowd.stdout is not None
        assert crowd.stdout.readline() == b"connecting\n"
        with peers.tcp() as first, socket.create_connection(first.address):
            first.next_connection().result()  # from a loop's first stream on libuv holds a descriptor of /dev/null
        before = open_and_running()
        closed: list[tuple[StreamPeer, int]] = []
        for _ in range(1_000):
            peer = peers.tcp(port=reserved_port)
            if len(closed) % 100 == 0:
                peer.next_connection().result()
            peer.close()
            closed.append((peer, len(peer.events)))
        assert open_and_running() <= before
    finally:
        crowd.kill()
        crowd.wait()
        if crowd.stdout is not None:
            crowd.stdout.close()
    assert all(len(peer.events) == count for peer, count in closed)
    assert {peer.events[-1].name for peer, count in closed if count} == {"connection_lost"}


@pytest.mark.skipif(sys.platform == "win32", reason="descriptors are passed on by POSIX systems alone")
def test_a_child_that_holds_the_socket_keeps_nothing_coming(peers: Peers) -> None:
    peer = peers.udp_echo()
    child = subprocess.Popen(["sleep", "60"], pass_fds=(peer._socket.fileno(),))
    try:
        peer.close()
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
            client.settimeout(5)
            client.sendto(b"to the closed one", peer.address)
            with peers.udp_echo() as other:
                client.sendto(b"to the other", other.address)
                assert client.recv(100) == b"to the other"
        before = os.times()
        with peers.udp_echo() as another, pytest.raises(TimeoutError):
            another.next_datagram().result(timeout=0.2)  # a poller that spun would show in this time
        after = os.times()
        assert after.user + after.system - before.user - before.system < 0.1
        assert len(peer.received) == 0
    finally:
        child.kill()
        child.wait()


def test_what_the_engine_still_has_to_send_is_not_recorded_after_a_close(peers: Peers) -> None:
    closed = []
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.bind(("127.0.0.1", 0))
        for _ in range(500):
            peer = peers.udp_echo()
            for _ in range(20):
                peer.send(b"news", client.getsockname())
            peer.close()
            closed.append(peer)
    assert {peer.events[-1].name for peer in closed} == {"connection_lost"}
