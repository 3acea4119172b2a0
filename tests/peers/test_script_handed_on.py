"""Which connection has the script: it goes on with another where one was stalled, and ends with a clear."""

import re
import socket
from collections.abc import Callable

import pytest

from pytest_echoserver import Peers, ScriptMismatch, StreamFaults, StreamPeer
from pytest_echoserver._peers import talk

from ..conftest import Connect, Downstream, receive


def test_a_connection_that_was_stalled_holds_the_script_no_longer(tcp_peer: StreamPeer, connect: Connect) -> None:
    tcp_peer.expect(b"GET\n").stall()
    tcp_peer.expect(b"GET\n").reply(b"ok\n")
    first = connect(tcp_peer)
    first.sendall(b"GET\n")
    assert tcp_peer.connection.read_until(b"\n").result() == b"GET\n"
    first.close()  # its end isn't read
    second = connect(tcp_peer)
    second.sendall(b"GET\n")
    assert receive(second, 3) == b"ok\n"


def test_what_waits_has_its_turn_once_a_step_has_stalled_the_connection_before(
    tcp_peer: StreamPeer, connect: Connect
) -> None:
    tcp_peer.expect(b"a1").reply(b"x")
    tcp_peer.expect(b"a2").reply(b"x", after=0.01).stall()
    tcp_peer.expect(b"b").reply(b"y")
    first, second = connect(tcp_peer), connect(tcp_peer)
    first.sendall(b"a1")
    assert receive(first, 1) == b"x"
    second.sendall(b"b")
    assert [tcp_peer.next_connection().result() for _ in range(2)][1].read_exactly(1).result() == b"b"
    first.sendall(b"a2")
    assert receive(second, 1) == b"y"


def test_a_stall_of_the_tests_leaves_the_script_with_its_connection(tcp_peer: StreamPeer, connect: Connect) -> None:
    tcp_peer.expect(b"a1").reply(b"x")
    tcp_peer.expect(b"a2").reply(b"x")
    tcp_peer.expect(b"b").reply(b"y")
    first = connect(tcp_peer)
    first.sendall(b"a1")
    assert receive(first, 1) == b"x"
    connection = tcp_peer.connection
    connection.stall().result()
    second = connect(tcp_peer)
    second.sendall(b"b")
    first.sendall(b"a2")
    assert tcp_peer.next_connection().result() is connection
    assert tcp_peer.next_connection().result().read_exactly(1).result() == b"b"
    connection.unstall()
    assert receive(first, 1) == b"x"
    first.close()
    assert receive(second, 1) == b"y"


@pytest.mark.parametrize("strict", [True, False])
def test_who_waits_for_another_connection_is_told_of(downstream: Downstream, strict: bool) -> None:
    result = downstream.run(
        f"""
        import socket
        import pytest

        def test_it(peers):
            tcp_peer = peers.tcp(strict={strict})
            tcp_peer.expect(b"a").reply(b"1")
            tcp_peer.expect(b"b").reply(b"2")
            with socket.create_connection(tcp_peer.address, 0.2) as first:
                first.sendall(b"a")
                assert first.recv(1) == b"1"
                with socket.create_connection(tcp_peer.address, 0.2) as second:
                    second.sendall(b"b")
                    with pytest.raises(TimeoutError):
                        second.recv(1)
            assert [event.args for event in tcp_peer.events if event.name == "kept_waiting"] == [(2, 1)]
            assert not "it shows"
        """
    )
    result.stdout.fnmatch_lines(["*->  #2  b'b'", "*    #2  waits: the script is with connection 1"])
    assert result.stdout.str().count("waits: the script") == 1


def test_it_is_back_where_the_stalled_connection_is_read_again(tcp_peer: StreamPeer, connect: Connect) -> None:
    tcp_peer.expect(b"a").reply(b"1").stall()
    tcp_peer.expect(b"b").reply(b"2").close()
    tcp_peer.expect(b"c").reply(b"3")
    first, second = connect(tcp_peer), connect(tcp_peer)
    first.sendall(b"a")
    assert receive(first, 1) == b"1"
    connections = [tcp_peer.next_connection().result() for _ in range(2)]
    connections[0].unstall().result()
    second.sendall(b"c")
    assert connections[1].read_exactly(1).result() == b"c"
    connections[0].stall().result()  # which is no step
    with pytest.raises(ScriptMismatch, match=r"left over on connection 2 \(the script was still with connection 1"):
        tcp_peer.verify()
    connections[0].unstall().result()
    first.sendall(b"b")
    assert receive(first, 1) == b"2"
    assert receive(second, 1) == b"3"


def test_it_is_not_handed_on_before_the_stall(tcp_peer: StreamPeer, connect: Connect) -> None:
    tcp_peer.expect(b"a").reply(b"1", after=0.2).stall()
    tcp_peer.expect(b"b").reply(b"2")
    tcp_peer.expect(b"c").reply(b"3")
    first, second = connect(tcp_peer), connect(tcp_peer)
    first.sendall(b"a")
    connections = [tcp_peer.next_connection().result() for _ in range(2)]
    connections[0].read_exactly(1).result()
    second.sendall(b"c")
    connections[1].read_exactly(1).result()
    first.sendall(b"b")
    assert receive(first, 2) == b"12"
    assert receive(second, 1) == b"3"


def test_handed_on_the_older_connection_comes_first(tcp_peer: StreamPeer, connect: Connect) -> None:
    tcp_peer.expect(b"a").reply(b"1").stall()
    tcp_peer.expect(b"b").reply(b"2").close()
    tcp_peer.expect(b"c").reply(b"3").close()
    first, second, third = (connect(tcp_peer) for _ in range(3))
    first.sendall(b"a")
    assert receive(first, 1) == b"1"
    connections = [tcp_peer.next_connection().result() for _ in range(3)]
    connections[1].stall().result()  # so that what it has is in the system's buffer
    second.sendall(b"b")
    third.sendall(b"c")
    connections[2].read_exactly(1).result()
    connections[1].unstall()
    assert receive(second, 1) == b"2"
    assert receive(third, 1) == b"3"


def test_what_is_left_over_is_not_told_to_have_waited_for_one_that_was_stalled(
    tcp_peer: StreamPeer, connect: Connect
) -> None:
    tcp_peer.expect(b"a").reply(b"1").stall()
    tcp_peer.expect(b"bcd").reply(b"2")
    first, second = connect(tcp_peer), connect(tcp_peer)
    first.sendall(b"a")
    assert receive(first, 1) == b"1"
    second.sendall(b"b")
    with pytest.raises(ScriptMismatch) as caught:
        tcp_peer.verify()
    assert "left over on connection 2" in str(caught.value)
    assert "the script was still with" not in str(caught.value)


@pytest.mark.parametrize("own", [False, True], ids=["peer", "connection"])
def test_once_forgotten_it_judges_nothing(peers: Peers, connect: Connect, own: bool) -> None:
    peer = peers.tcp(faults=StreamFaults(close_after=5))
    client = connect(peer)
    connection = peer.connection
    (connection if own else peer).expect(b"a").reply(b"b")
    client.sendall(b"a")
    assert receive(client, 1) == b"b"
    peer.clear(script=True)
    client.sendall(b"zzz")
    assert connection.read_exactly(3).result() == b"zzz"
    connection.send(b"12345")
    assert receive(client, 6) == b"12345"  # and then the network's end
    peer.verify()

    @peer.serve
    async def greet(connection: object) -> None: ...


def forgotten_before_a_cut(peers: Peers, peer: StreamPeer, client: socket.socket) -> None:
    peer.faults = StreamFaults().on(bytes=5, connection=2).close()
    peer.expect(b"a").reply(b"b")
    client.sendall(b"a")
    assert receive(client, 1) == b"b"
    connection = peer.connections[-1]
    peer.clear(script=True)
    connection.send(b"12345")
    assert receive(client, 6) == b"12345"


def forgotten_within_the_grace(peers: Peers, peer: StreamPeer, client: socket.socket) -> None:
    client.sendall(b"x")
    client.shutdown(socket.SHUT_WR)
    assert peer.next_connection().result().ended.result() == "eof"
    peer.expect(b"x").met.result()
    peer.clear(script=True)
    peers.udp().expect_silence(talk.GRACE + 0.1).result()


def forgotten_before_its_answer(peers: Peers, peer: StreamPeer, client: socket.socket) -> None:
    step = peer.expect(b"a")
    peer.clear(script=True)
    step.reply(b"b")


@pytest.mark.parametrize(
    "forgotten", [forgotten_before_a_cut, forgotten_within_the_grace, forgotten_before_its_answer]
)
def test_after_a_forgotten_one_the_next_follows_all_connections(
    peers: Peers, connect: Connect, forgotten: Callable[[Peers, StreamPeer, socket.socket], None]
) -> None:
    peer = peers.tcp()
    older, client = connect(peer), connect(peer)
    peer.next_connection().result()
    forgotten(peers, peer, client)
    peer.expect(re.compile(rb"h.llo")).reply(b"world")
    older.sendall(b"hello")
    assert receive(older, 5) == b"world"


def test_a_connections_own_script_outlives_the_grace_of_the_peers(
    peers: Peers, tcp_peer: StreamPeer, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(talk, "GRACE", 1.0)
    client = connect(tcp_peer)
    client.sendall(b"x")
    client.shutdown(socket.SHUT_WR)
    connection = tcp_peer.next_connection().result()
    assert connection.ended.result() == "eof"
    tcp_peer.expect(b"x").met.result()
    tcp_peer.verify()  # once the engine is at rest
    monkeypatch.setattr(talk, "GRACE", 60.0)
    ended = connection.expect_eof()
    ended.met.result()
    peers.udp().expect_silence(1.1).result()
    ended.reply(b"bye")
    assert receive(client, 3) == b"bye"


def test_an_answer_that_comes_after_a_clear_makes_no_new_script(tcp_peer: StreamPeer, connect: Connect) -> None:
    connect(tcp_peer)
    step = tcp_peer.connection.expect(b"a")
    tcp_peer.clear(script=True)
    step.reply(b"b")

    @tcp_peer.serve
    async def greet(connection: object) -> None: ...
