"""Scripts and rules of stream peers."""

import io
import re
import socket
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pytest_echoserver import (
    CaptureFuture,
    CaptureTimeout,
    Connection,
    Peers,
    ScriptMismatch,
    StreamExpectation,
    StreamPeer,
    StreamRule,
)

from ..conftest import Connect, Downstream, receive, receive_all
from .conftest import mismatch

# What is matched, on a stream without framing.


def test_an_smtp_conversation(tcp_peer: StreamPeer, connect: Connect) -> None:
    tcp_peer.expect_connection().reply(b"220 ready\r\n")
    tcp_peer.expect(b"EHLO me\r\n").reply(b"250 ok\r\n")
    mail = tcp_peer.expect(re.compile(rb"MAIL FROM:<(.*)>\r\n"))
    mail.reply(lambda match: b"250 " + match[1] + b"\r\n", after=0.01)
    tcp_peer.expect(b"QUIT\r\n").reply(b"221 bye\r\n").close()
    client = connect(tcp_peer)
    assert receive(client, 11) == b"220 ready\r\n"
    client.sendall(b"EHLO me\r\n")
    assert receive(client, 8) == b"250 ok\r\n"
    client.sendall(b"MAIL FROM:<a@b>\r\n")
    assert receive(client, 9) == b"250 a@b\r\n"
    client.sendall(b"QUIT\r\n")
    assert receive_all(client) == b"221 bye\r\n"
    assert mail.met.result()[1] == b"a@b"
    tcp_peer.verify()


@pytest.mark.asyncio
async def test_in_an_async_test(tcp_peer: StreamPeer, connect: Connect) -> None:
    ping = tcp_peer.expect(b"ping").reply(b"pong")
    client = connect(tcp_peer)
    client.sendall(b"ping")
    assert await ping.met == b"ping"


@pytest.mark.parametrize("kind", ["ipv6", "unix"])
def test_on_a_peer_of_another_kind(peers: Peers, connect: Connect, kind: str) -> None:
    peer = peers.unix() if kind == "unix" else peers.tcp(host="::1")
    peer.expect(b"ping").reply(b"pong")
    client = connect(peer)
    client.sendall(b"ping")
    assert receive(client, 4) == b"pong"


def test_over_tls(tls_peer: StreamPeer, connect: Connect) -> None:
    tls_peer.expect(b"ping").reply(b"pong").close()
    with connect(tls_peer) as client:
        client.sendall(b"ping")
        assert receive_all(client) == b"pong"


LINES = [b"A\n", b"ab\n", b"abc\n", b"NO\n", b"NOOP\n", b"x1\n", b"x12\n"]
PATTERNS: list[Any] = [*LINES, b"ab", b"NO", re.compile(rb"x(\d*)1"), re.compile(rb"x\d+\n"), re.compile(rb".*\n")]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=150)
@given(
    script=st.lists(st.sampled_from(PATTERNS), min_size=1, max_size=4),
    rules=st.lists(st.sampled_from(PATTERNS), max_size=3, unique_by=id),
    sent=st.lists(st.sampled_from(LINES), min_size=1, max_size=5).map(b"".join),
    strict=st.booleans(),
    data=st.data(),
)
def test_how_the_bytes_are_cut_makes_no_difference(
    peers: Peers, script: list[Any], rules: list[Any], sent: bytes, strict: bool, data: st.DataObject
) -> None:
    cuts = sorted(data.draw(st.sets(st.integers(1, max(1, len(sent) - 1))), "cuts"))
    pieces = [sent[a:b] for a, b in zip([0, *cuts], [*cuts, len(sent)], strict=True)]
    outcomes = [_outcome(peers, script, rules, strict, cut) for cut in ([sent], pieces)]
    assert outcomes[0] == outcomes[1]


def _outcome(peers: Peers, script: list[Any], rules: list[Any], strict: bool, pieces: list[bytes]) -> Any:
    """What was met and answered, and whether all was well."""
    with peers.tcp(strict=strict) as peer:
        for number, pattern in enumerate(script):
            peer.expect(pattern).reply(b"s%d " % number)
        for number, pattern in enumerate(rules):
            peer.on(pattern).reply(b"r%d " % number)
        with socket.create_connection(peer.address, 5) as client:
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            connection = peer.next_connection().result()
            with suppress(OSError, ScriptMismatch):  # it was reset
                for piece in pieces:
                    client.sendall(piece)
                    connection.read_exactly(len(piece)).result()  # so that the next is a read of its own
                client.shutdown(socket.SHUT_WR)
                receive_all(client)
            try:
                peer.verify()
            except ScriptMismatch as error:
                return connection.sent, str(error).partition(": ")[2].split()[0]
            return connection.sent, "well"


def test_a_regex_is_met_by_the_shortest_prefix(tcp_peer: StreamPeer, connect: Connect) -> None:
    first = tcp_peer.expect(re.compile(rb"(.+)\n", re.DOTALL))
    second = tcp_peer.expect(b"b\n")
    connect(tcp_peer).sendall(b"a\nb\n")
    assert second.met.result() == b"b\n"
    assert first.met.result()[1] == b"a"


@pytest.mark.parametrize(("pattern", "what"), [(..., "..."), (lambda data: True, "a predicate")])
def test_what_needs_messages_is_refused_without_framing(tcp_peer: StreamPeer, pattern: Any, what: str) -> None:
    for add in (tcp_peer.expect, tcp_peer.on):
        with pytest.raises(ValueError, match=rf"^{re.escape(what)} can't tell where a message ends.*framing="):
            add(pattern)


def test_a_regex_that_does_not_end_in_a_literal_is_refused(tcp_peer: StreamPeer) -> None:
    with pytest.raises(ValueError, match="doesn't end in a literal byte"):
        tcp_peer.expect(re.compile(rb"\d+"))


def test_a_rule_is_tried_at_the_end_if_the_script_can_match_no_more(tcp_peer: StreamPeer, connect: Connect) -> None:
    tcp_peer.expect(b"A").reply(b"a")
    tcp_peer.expect(b"NOOP").reply(b"s")
    tcp_peer.on(b"NO").reply(b"r")
    client = connect(tcp_peer)
    client.sendall(b"ANO")
    client.shutdown(socket.SHUT_WR)
    assert receive_all(client) == b"ar"
    assert "1 of the script's 2 steps was not met" in mismatch(tcp_peer)


# What is matched, with framing.


def test_a_delimiter_makes_messages(peers: Peers, connect: Connect) -> None:
    peer = peers.tcp(framing=b"\r\n")
    peer.expect(b"one\r\n").reply(b"1")
    two = peer.expect(re.compile(rb"(\w+)\s*")).reply(lambda match: match[1].upper())
    three = peer.expect(lambda message: message.startswith(b"th")).reply(lambda message: message[:2])
    four = peer.expect(...)
    client = connect(peer)
    for piece in (b"one", b"\r", b"\ntwo\r\nthree\r\n\r\n"):
        client.sendall(piece)
    assert receive(client, 6) == b"1TWOth"
    assert two.met.result()[0] == b"two\r\n"
    assert three.met.result() == b"three\r\n"
    assert four.met.result() == b"\r\n"


def test_a_regular_expression_whose_dot_stops_at_a_newline_is_told_as_such(
    tcp_peer: StreamPeer, connect: Connect
) -> None:
    tcp_peer.expect(re.compile(rb"GET / .*\r\n\r\n"))
    client = connect(tcp_peer)
    client.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
    tcp_peer.connection.read_until(b"\r\n\r\n").result()
    assert "a newline is what `.` doesn't match: (?s:.*) does" in mismatch(tcp_peer)


@pytest.mark.parametrize("framing", [None, b"\r\n"])
@pytest.mark.parametrize(
    ("first", "told"), [(b"\x16\x03\x01\x00\x05\x01", True), (b"\x16\x03\x01\x00\x05\x02", False)]
)
def test_a_client_that_speaks_tls_to_a_peer_that_does_not_is_told_as_such(
    peers: Peers, connect: Connect, framing: bytes | None, first: bytes, told: bool
) -> None:
    peer = peers.tcp(framing=framing)
    hello = peer.expect(b"HELO\r\n").met
    connect(peer).sendall(first + b"\x00\r\n")
    with pytest.raises(ScriptMismatch):
        hello.result()
    said = "this looks like a TLS ClientHello: tls_peer speaks TLS, and what is made with tls=True"
    assert (said in mismatch(peer)) == told


@pytest.mark.parametrize("ends", [True, False])
@pytest.mark.parametrize(
    "pattern", [..., lambda message: message.startswith(b"h"), re.compile(rb"h.*\n"), b"hello\r\n"]
)
def test_what_is_no_whole_message_is_told_as_such(peers: Peers, connect: Connect, pattern: Any, ends: bool) -> None:
    peer = peers.tcp(framing=b"\r\n")
    peer.expect(pattern)
    peer.expect(b"hello\n")
    client = connect(peer)
    client.sendall(b"hello\n")
    if ends:
        client.close()
        with pytest.raises(ScriptMismatch):
            peer.expect_eof().met.result()
    told = mismatch(peer)
    assert r"it is no whole message: framing, b'\r\n', finds no end in it" in told
    assert "does not match" not in told
    assert "would match" not in told
    assert ("the first difference" in told) == isinstance(pattern, bytes)


@pytest.mark.parametrize("ends", [True, False])
def test_the_length_that_a_message_never_reaches_is_told(peers: Peers, connect: Connect, ends: bool) -> None:
    peer = peers.tcp(framing=by_length)
    peer.expect(b"\x02hi")
    client = connect(peer)
    client.sendall(b"\x02hi" + b"\xffho")
    if ends:
        client.close()
        with pytest.raises(ScriptMismatch):
            peer.expect_eof().met.result()
    told = mismatch(peer)
    assert "it is no whole message: framing, by_length, says that it has 256 bytes, not 3" in told


def by_length(buffer: bytes) -> int | None:
    return 1 + buffer[0] if buffer else None


def test_a_callable_tells_lengths_even_of_what_has_yet_to_come(peers: Peers, connect: Connect) -> None:
    peer = peers.tcp(framing=by_length)
    peer.expect(b"\x03abc").reply(b"ok")
    peer.expect(b"\x00").reply(b".")
    client = connect(peer)
    connection = peer.connection
    for piece in (b"\x03", b"a", b"b", b"c\x00"):
        client.sendall(piece)
        connection.read_exactly(len(piece)).result()
    assert receive(client, 3) == b"ok."


def test_a_callable_that_has_told_a_length_is_asked_again_only_once_that_has_come(
    peers: Peers, connect: Connect
) -> None:
    given: list[int] = []

    def by_header(data: bytes) -> int | None:
        given.append(len(data))
        return 4 + int.from_bytes(data[:4], "big") if len(data) >= 4 else None

    peer = peers.tcp(framing=by_header)
    peer.expect(lambda message: len(message) == 504).reply(b"ok")
    client = connect(peer)
    connection = peer.connection
    for piece in [(500).to_bytes(4, "big"), *[bytes(10)] * 50]:
        client.sendall(piece)
        connection.read_exactly(len(piece)).result()
    assert receive(client, 2) == b"ok"
    assert given == [4, 504]


@pytest.mark.parametrize(
    ("gives", "error", "text"),
    [
        (0, ValueError, "framing gave 0 as the length of a message, which has at least 1 byte"),
        (-1, ValueError, "framing gave -1 as the length of a message"),
        ("1", TypeError, "framing must give the length of the first message or None, not '1'"),
        (True, TypeError, "framing must give the length of the first message or None, not True"),
    ],
)
def test_a_callable_that_gives_no_length_fails_the_test(
    peers: Peers, connect: Connect, gives: Any, error: type[Exception], text: str
) -> None:
    peer = peers.tcp(framing=lambda buffer: gives)
    met = peer.expect(b"x").met
    connect(peer).sendall(b"x")
    with pytest.raises(error, match=text):
        met.result()
    with pytest.raises(error, match=text):
        peer.verify()


def test_what_a_predicate_or_the_framing_raises_fails_the_test(peers: Peers, connect: Connect) -> None:
    def raises(data: bytes) -> int:
        raise LookupError("of the user")

    framed, asked = peers.tcp(framing=raises), peers.tcp(framing=b"\n")
    for peer in (framed, asked):
        peer.expect(raises if peer is asked else b"x")
        client = connect(peer)
        client.sendall(b"x\n")
        with pytest.raises(ConnectionResetError):
            client.recv(1)
        with pytest.raises(LookupError, match="of the user"):
            peer.verify()


@pytest.mark.parametrize(
    ("framing", "error", "text"),
    [
        ("\r\n", TypeError, r"framing, if it isn't a callable, must be bytes, not '\\r\\n'"),
        (3, TypeError, "framing, if it isn't a callable, must be bytes, not 3"),
        (b"", ValueError, "framing must be a delimiter of at least 1 byte"),
    ],
)
def test_framing_that_is_none_is_refused(peers: Peers, framing: Any, error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=text):
        peers.tcp(framing=framing)


# What is then done.


def test_several_replies_go_out_in_order(tcp_peer: StreamPeer, connect: Connect) -> None:
    tcp_peer.expect(b"a").reply(b"1", lambda got: [got, b"2"], lambda got: None).reply(b"3", after=0.01).reply(b"4")
    client = connect(tcp_peer)
    client.sendall(b"a")
    assert receive(client, 5) == b"1a234"


def test_a_reply_comes_no_earlier_than_its_time(tcp_peer: StreamPeer, connect: Connect) -> None:
    tcp_peer.expect(b"a").reply(b"1", after=0.05)
    client = connect(tcp_peer)
    client.sendall(b"a")
    receive(client, 1)
    times = {event.name: event.time for event in tcp_peer.events}
    assert times["data_sent"] - times["data_received"] >= 0.05


def test_times_n_is_met_n_times_and_answered_each_time(tcp_peer: StreamPeer, connect: Connect) -> None:
    three = tcp_peer.expect(re.compile(rb"(.)\n"), times=3).reply(b"x", b"y")
    client = connect(tcp_peer)
    client.sendall(b"1\n2\n")
    assert receive(client, 4) == b"xyxy"
    met = three.met
    assert not met.done()
    client.sendall(b"3\n")
    assert met.result()[1] == three.met.result()[1] == b"3"


def test_a_met_that_runs_out_of_time_tells_how_far_it_came(peers: Peers, connect: Connect) -> None:
    peer = peers.tcp()
    two = peer.expect(b"a", times=2).reply(b"x")
    client = connect(peer)
    client.sendall(b"a")
    receive(client, 1)
    with pytest.raises(CaptureTimeout, match=r"for expect\(b'a', times=2\) on tcp-1 .*: it was met 1 of 2 times$"):
        two.met.result(timeout=0)
    client.sendall(b"a")
    receive(client, 1)


def test_connection_and_eof_can_be_expected(tcp_peer: StreamPeer, connect: Connect) -> None:
    made = tcp_peer.expect_connection().reply(lambda connection: b"hello %d" % connection.peername[1])
    tcp_peer.expect(b"a")
    ended = tcp_peer.expect_eof().reply(b"bye")
    client = connect(tcp_peer)
    hello = b"hello %d" % client.getsockname()[1]
    assert receive(client, len(hello)) == hello
    assert made.met.result() is tcp_peer.connection
    client.sendall(b"a")
    client.shutdown(socket.SHUT_WR)
    assert receive_all(client) == b"bye"
    assert ended.met.result() is tcp_peer.connection


def test_after_its_eof_a_client_is_closed_on(tcp_peer: StreamPeer, connect: Connect) -> None:
    tcp_peer.expect(b"a").reply(b"1", after=0.01)
    client = connect(tcp_peer)
    client.sendall(b"a")
    client.shutdown(socket.SHUT_WR)
    assert receive_all(client) == b"1"


def test_send_eof_leaves_reading_open(tcp_peer: StreamPeer, connect: Connect) -> None:
    tcp_peer.expect(b"a").reply(b"1").send_eof()
    more = tcp_peer.expect(b"b")
    client = connect(tcp_peer)
    client.sendall(b"a")
    assert receive_all(client) == b"1"
    client.sendall(b"b")
    assert more.met.result() == b"b"


def test_reset_comes_after_what_was_replied(tcp_peer: StreamPeer, connect: Connect) -> None:
    tcp_peer.expect(b"a").reply(b"1").reset()
    client = connect(tcp_peer)
    client.sendall(b"a")
    assert client.recv(10) == b"1"
    with pytest.raises(ConnectionResetError):
        client.recv(10)


def test_stall_stops_reading(peers: Peers, connect: Connect) -> None:
    peer = peers.tcp(receive_buffer=4096)
    peer.expect(b"a").reply(b"1").stall()
    client = connect(peer)
    client.sendall(b"a")
    assert receive(client, 1) == b"1"
    client.setblocking(False)
    sent = 0
    with suppress(BlockingIOError):
        while sent < 1 << 24:
            sent += client.send(bytes(65_536))
    assert sent < 1 << 20
    assert peer.connection.received == b"a"


@pytest.mark.parametrize("how", ["close", "reset", "the client's"])
def test_after_an_end_the_script_goes_on_with_the_next_connection(
    tcp_peer: StreamPeer, connect: Connect, how: str
) -> None:
    first = tcp_peer.expect(b"a").reply(b"1")
    if how != "the client's":
        getattr(first, how)()
    tcp_peer.expect(b"b").reply(b"2")
    client = connect(tcp_peer)
    client.sendall(b"a")
    assert client.recv(1) == b"1"
    if how == "the client's":
        client.close()
    client = connect(tcp_peer)
    client.sendall(b"b")
    assert client.recv(1) == b"2"


@pytest.mark.parametrize("named", [True, False])
def test_a_client_may_be_back_before_its_end_was_read(tcp_peer: StreamPeer, connect: Connect, named: bool) -> None:
    for number in range(50):
        if named:
            tcp_peer.expect_connection()
        tcp_peer.expect(b"%d\n" % number).reply(b".")
    for number in range(50):
        with connect(tcp_peer) as client:
            client.sendall(b"%d\n" % number)
            if number % 2:
                client.recv(1)
    tcp_peer.verify()


def test_a_rule_holds_any_number_of_times_on_all_connections_beside_the_script(
    tcp_peer: StreamPeer, connect: Connect
) -> None:
    tcp_peer.expect(b"a").reply(b"1")
    tcp_peer.expect(b"b").reply(b"2")
    rule = tcp_peer.on(b"noop\n").reply(b"ok")
    clients = [connect(tcp_peer) for _ in range(3)]
    for client in clients * 2:
        client.sendall(b"noop\n")
        assert receive(client, 2) == b"ok"
    clients[0].sendall(b"anoop\nb")
    assert receive(clients[0], 4) == b"1ok2"
    assert "on(b'noop\\n').reply(b'ok')" in repr(rule)
    assert isinstance(rule, StreamRule)
    assert not isinstance(rule, StreamExpectation)


def test_the_script_comes_before_a_rule(tcp_peer: StreamPeer, connect: Connect) -> None:
    tcp_peer.on(b"a").reply(b"rule")
    tcp_peer.expect(b"a").reply(b"script")
    client = connect(tcp_peer)
    client.sendall(b"aa")
    assert receive(client, 10) == b"scriptrule"


def test_connections_may_have_scripts_of_their_own(tcp_peer: StreamPeer, connect: Connect) -> None:
    tcp_peer.on(b"noop\n").reply(b"ok")
    one, other = connect(tcp_peer), connect(tcp_peer)
    for connection, name in zip(_connections(tcp_peer, 2), (b"one", b"other"), strict=True):
        connection.expect(name).reply(name.upper())
        connection.expect_eof().reply(b"bye")
    other.sendall(b"noop\nother")
    one.sendall(b"onenoop\n")
    for client in (one, other):
        client.shutdown(socket.SHUT_WR)
    assert receive_all(one) == b"ONEokbye"
    assert receive_all(other) == b"okOTHERbye"


def test_the_peers_script_and_rules_may_come_after_a_connections_own(
    tcp_peer: StreamPeer, connect: Connect
) -> None:
    one = connect(tcp_peer)
    (connection,) = _connections(tcp_peer, 1)
    one.sendall(b"noop\n")
    connection.expect(b"one").reply(b"ONE")
    tcp_peer.on(b"noop\n").reply(b"ok")
    tcp_peer.expect(b"two").reply(b"TWO")
    assert receive(one, 2) == b"ok"
    two = connect(tcp_peer)
    two.sendall(b"two")
    one.sendall(b"one")
    assert receive(two, 3) == b"TWO"
    assert receive(one, 3) == b"ONE"


def _connections(peer: StreamPeer, count: int) -> list[Connection]:
    return [peer.next_connection().result() for _ in range(count)]


def test_what_the_test_has_not_read_belongs_to_a_late_script(tcp_peer: StreamPeer, connect: Connect) -> None:
    client = connect(tcp_peer)
    client.sendall(b"read|ab")
    assert tcp_peer.connection.read_until(b"|").result() == b"read|"
    tcp_peer.expect(b"a").reply(b"1")
    tcp_peer.expect(b"b").reply(b"2")
    assert receive(client, 2) == b"12"


def test_a_script_that_comes_right_after_the_client_has_no_race_with_it(peers: Peers, connect: Connect) -> None:
    for _ in range(200):
        with peers.tcp() as peer, connect(peer) as client:
            client.sendall(b"ab")
            peer.expect(b"a").reply(b"1")
            peer.expect(b"b").reply(b"2").close()
            assert receive_all(client) == b"12"


# What fails the test.


def test_unmet(tcp_peer: StreamPeer, connect: Connect) -> None:
    tcp_peer.expect(b"a")
    tcp_peer.expect(b"b", times=3)
    connect(tcp_peer).sendall(b"abb")
    text = mismatch(tcp_peer)
    assert "1 of the script's 2 steps was not met" in text
    assert re.search(r"1\. expect\(b'a'\) +met +test_script\.py:\d+", text)
    assert re.search(r"> 2\. expect\(b'b', times=3\) +met 2 of 3 times", text)


def test_what_a_caught_verify_raised_is_not_reported_again(tcp_peer: StreamPeer, connect: Connect) -> None:
    tcp_peer.expect(b"a")
    mismatch(tcp_peer)
    tcp_peer.verify()
    tcp_peer.expect(b"b")
    assert "1 of the script's 2 steps was not met" in mismatch(tcp_peer)


def test_after_a_caught_verify_what_goes_wrong_is_reported(tcp_peer: StreamPeer, connect: Connect) -> None:
    tcp_peer.expect(b"a").reply(b"1")
    for _ in range(2):
        client = connect(tcp_peer)
        client.sendall(b"x")
        with pytest.raises(ConnectionResetError):
            client.recv(1)
        assert "unexpected" in mismatch(tcp_peer)
    client = connect(tcp_peer)
    client.sendall(b"a")
    assert client.recv(1) == b"1"
    tcp_peer.expect(b"b")
    assert "1 of the script's 2 steps was not met" in mismatch(tcp_peer)


def test_a_mismatch_resets_the_connection_and_ends_what_waits(tcp_peer: StreamPeer, connect: Connect) -> None:
    unmet = tcp_peer.expect(b"abcd").met
    client = connect(tcp_peer)
    connection = tcp_peer.next_connection().result()
    waiting: list[CaptureFuture[Any]] = [connection.read_exactly(9), unmet, tcp_peer.next_connection()]
    client.sendall(b"abXd")
    with pytest.raises(ConnectionResetError):
        client.recv(1)
    for future in waiting:
        with pytest.raises(ScriptMismatch, match="unexpected input on connection 1"):
            future.result()
    text = mismatch(tcp_peer)
    assert "the first difference is at offset 2 (0x2): 0x63 b'c' expected, 0x58 b'X' got" in text


def test_a_mismatch_ends_the_waits_for_a_connections_own_script(tcp_peer: StreamPeer, connect: Connect) -> None:
    client = connect(tcp_peer)
    met = tcp_peer.connection.expect(b"abcd").met
    client.sendall(b"abX")
    with pytest.raises(ScriptMismatch, match="unexpected input on connection 1"):
        met.result()
    mismatch(tcp_peer)


def test_out_of_order_is_told_as_such(tcp_peer: StreamPeer, connect: Connect) -> None:
    tcp_peer.expect(b"a\n")
    tcp_peer.expect(b"b\n")
    connect(tcp_peer).sendall(b"b\n")
    assert "it would match step 2: is it out of order, or is something missing before it?" in mismatch(tcp_peer)


def test_more_than_the_script_has_is_unexpected(tcp_peer: StreamPeer, connect: Connect) -> None:
    tcp_peer.expect(b"a")
    connect(tcp_peer).sendall(b"ab")
    text = mismatch(tcp_peer)
    assert "unexpected input on connection 1: the script is at its end" in text
    assert "got: b'b' (1 byte)" in text


def test_a_beginning_is_left_over(tcp_peer: StreamPeer, connect: Connect) -> None:
    tcp_peer.expect(b"abc")
    connect(tcp_peer).sendall(b"ab")
    text = mismatch(tcp_peer)
    assert "left over on connection 1:" in text
    assert "at offset 2 (0x2): 0x63 b'c' expected, and nothing more came" in text


def test_what_was_told_as_left_over_is_told_anew_only_if_more_comes(tcp_peer: StreamPeer, connect: Connect) -> None:
    tcp_peer.expect(b"abc").reply(b"1")
    tcp_peer.expect(b"def")
    client = connect(tcp_peer)
    client.sendall(b"ab")
    mismatch(tcp_peer)
    tcp_peer.verify()
    client.sendall(b"cd")
    assert client.recv(1) == b"1"
    assert "left over on connection 1:\n  got: b'd' (1 byte)" in mismatch(tcp_peer)


def test_what_was_told_as_left_over_is_not_told_again_at_its_end(tcp_peer: StreamPeer, connect: Connect) -> None:
    tcp_peer.expect(b"abc")
    client = connect(tcp_peer)
    client.sendall(b"ab")
    mismatch(tcp_peer)
    client.shutdown(socket.SHUT_WR)
    assert client.recv(1) == b""
    tcp_peer.verify()


def test_eof_in_the_middle_is_a_mismatch(tcp_peer: StreamPeer, connect: Connect) -> None:
    tcp_peer.expect(b"abc")
    with connect(tcp_peer) as client:
        client.sendall(b"ab")
    assert "unexpected input on connection 1, and then the end of the connection" in mismatch(tcp_peer)


def test_a_second_connection_at_once_is_told_to_have_a_script_of_its_own(
    tcp_peer: StreamPeer, connect: Connect
) -> None:
    tcp_peer.expect(b"a").reply(b"1")
    tcp_peer.expect(b"b")
    one, other = connect(tcp_peer), connect(tcp_peer)
    one.sendall(b"a")
    one.recv(1)
    other.sendall(b"b")
    text = mismatch(tcp_peer)
    assert "left over on connection 2 (the script was still with connection 1, which had not ended" in text
    assert "connection.expect(...)" in text


@pytest.mark.parametrize(
    "answer",
    [
        lambda rule: rule.close().reply(b"late"),
        lambda rule: rule.reset().close(),
        lambda rule: rule.close().stall(),
        lambda rule: rule.reply(b"in time").send_eof().reply(b"late"),
        lambda rule: rule.send_eof().close().reset(),
    ],
)
def test_nothing_can_be_answered_after_the_end(
    tcp_peer: StreamPeer, answer: Callable[[StreamRule], object]
) -> None:
    with pytest.raises(RuntimeError, match=r"\) can't be done after \.\w+\(\) of on\(b'QUIT\\n'\)"):
        answer(tcp_peer.on(b"QUIT\n"))
    tcp_peer.on(b"BYE\n").reply(b"well").send_eof().close()


def test_an_answer_that_takes_other_arguments_is_told_with_its_place(downstream: Downstream) -> None:
    result = downstream.run(
        """
        import socket

        def test_it(tcp_peer):
            tcp_peer.expect(b"a").reply(lambda one, other: one)
            with socket.create_connection(tcp_peer.address, 5) as client:
                client.sendall(b"a")
        """
    )
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        [
            "*TypeError: *missing 1 required positional argument: 'other'",
            "*<lambda>, test_an_answer_*.py:4 is an answer: it is called with one argument, what has come",
        ]
    )


def test_a_peer_with_neither_script_nor_rule_only_records(tcp_peer: StreamPeer, connect: Connect) -> None:
    connect(tcp_peer).sendall(b"whatever")
    tcp_peer.connection.read_exactly(8).result()
    tcp_peer.verify()


def test_a_peer_with_a_rule_is_strict(tcp_peer: StreamPeer, connect: Connect) -> None:
    tcp_peer.on(b"ping")
    connect(tcp_peer).sendall(b"pong")
    text = mismatch(tcp_peer)
    assert "unexpected input on connection 1\n" in text
    assert re.search(r"a rule: on\(b'ping'\)  never came", text)


def test_if_it_is_not_strict_the_unexpected_is_passed_over_and_recorded(peers: Peers, connect: Connect) -> None:
    peer = peers.tcp(strict=False)
    peer.expect(b"a").reply(b"1")
    peer.expect(b"b").reply(b"2").close()
    client = connect(peer)
    client.sendall(b"xyzaxyb")
    assert receive_all(client) == b"12"
    passed_over = [event.args for event in peer.events if event.name == "unexpected"]
    assert passed_over == [(1, b"xyz"), (1, b"xy")]


@pytest.mark.echoserver(strict=False)
def test_the_marker_can_say_that_peers_are_not_strict(tcp_peer: StreamPeer, peers: Peers, connect: Connect) -> None:
    strict = peers.tcp(strict=True)
    for peer in (tcp_peer, strict):
        peer.expect(b"a")
        connect(peer).sendall(b"xa")
    assert "unexpected" in mismatch(strict)
    tcp_peer.verify()


@pytest.mark.echoserver(strict=False)
def test_what_is_unmet_counts_all_the_same(tcp_peer: StreamPeer) -> None:
    tcp_peer.expect(b"a")
    assert "was not met" in mismatch(tcp_peer)


def test_what_makes_an_answer_may_raise(tcp_peer: StreamPeer, connect: Connect) -> None:
    def raises(got: bytes) -> bytes:
        raise LookupError("of the user")

    asked = tcp_peer.expect(b"a").reply(raises)
    met = asked.met
    client = connect(tcp_peer)
    client.sendall(b"a")
    with pytest.raises(ConnectionResetError):
        client.recv(1)
    assert met.result() == b"a"
    with pytest.raises(LookupError, match="of the user"):
        tcp_peer.verify()


@pytest.mark.parametrize("answer", ["text", 3, ["text"]])
def test_what_is_no_answer_fails_the_test(tcp_peer: StreamPeer, connect: Connect, answer: Any) -> None:
    tcp_peer.expect(b"a").reply(lambda got: answer)
    connect(tcp_peer).sendall(b"a")
    with pytest.raises(TypeError, match="answer must be bytes"):
        tcp_peer.verify()


def test_closing_it_by_ourselves_makes_no_mismatch(tcp_peer: StreamPeer, connect: Connect) -> None:
    tcp_peer.expect(b"abc")
    client = connect(tcp_peer)
    client.sendall(b"ab")
    tcp_peer.connection.read_exactly(2).result()
    tcp_peer.close()
    text = mismatch(tcp_peer)
    assert "was not met" in text
    assert "left over on connection 1:" in text


def test_closing_ends_the_waits_for_what_is_unmet(tcp_peer: StreamPeer) -> None:
    met = tcp_peer.expect(b"a").met
    tcp_peer.close()
    with pytest.raises(RuntimeError, match="was closed while this was awaited"):
        met.result()
    mismatch(tcp_peer)


# What is refused at the call.


async def later(data: Any) -> bytes:
    return b""


class Later:
    async def __call__(self, data: Any) -> bytes:
        return b""


Call = Callable[[], object]


WRONG: Any = [
    (lambda peer: peer.expect("a"), TypeError, "a pattern must be bytes or a compiled regular expression of bytes"),
    (lambda peer: peer.on("a"), TypeError, "not 'a'"),
    (lambda peer: peer.expect(re.compile("a")), TypeError, r"a pattern must be of bytes, as in re.compile\(rb"),
    (lambda peer: peer.expect(b""), ValueError, "an empty pattern is met by nothing at all"),
    (lambda peer: peer.expect(None), TypeError, "a pattern must be bytes"),
    (lambda peer: peer.expect(b"a", times=0), ValueError, "times must be 1 or more, not 0"),
    (lambda peer: peer.expect(b"a", times="2"), TypeError, "times must be an int, not '2'"),
    (lambda peer: peer.on(b"a").reply("a"), TypeError, "each answer must be bytes, not 'a'"),
    (lambda peer: peer.on(b"a").reply(), TypeError, r"reply\(\) takes what to answer, and got nothing"),
    (lambda peer: peer.on(b"a").reply(later), TypeError, "later is async"),
    (lambda peer: peer.on(b"a").reply(Later()), TypeError, "is async"),
    (lambda peer: peer.on(b"a").reply(b"a", after=-1), ValueError, "after must be a finite number of seconds"),
    (lambda peer: peer.on(b"a").reply(b"a", after="1"), TypeError, "after must be a number of seconds, not '1'"),
    (lambda peer: peer.serve("handler"), TypeError, "a handler must be callable, not 'handler'"),
    (lambda peer: peer.serve(later(0)), TypeError, "pass the function itself"),
]


@pytest.mark.parametrize(("ask", "error", "text"), WRONG)
def test_bad_input_is_refused_at_the_call(
    tcp_peer: StreamPeer, ask: Callable[[StreamPeer], object], error: type[Exception], text: str
) -> None:
    with pytest.raises(error, match=text):
        ask(tcp_peer)


@pytest.mark.parametrize("predicate", [later, Later()])
def test_an_async_predicate_or_framing_is_refused(peers: Peers, predicate: Any) -> None:
    with pytest.raises(TypeError, match="is async"):
        peers.tcp(framing=b"\n").expect(predicate)
    with pytest.raises(TypeError, match="is async"):
        peers.tcp(framing=predicate)


def test_there_is_one_behaviour_a_peer(peers: Peers, connect: Connect) -> None:
    served, scripted, with_rule, echo = peers.tcp(later), peers.tcp(), peers.tcp(), peers.tcp_echo()
    scripted.expect(b"a")
    with_rule.on(b"a")
    with pytest.raises(RuntimeError, match=r"serve\(\): tcp-1 .* is served by later already"):
        served.serve(later)
    with pytest.raises(RuntimeError, match=r"serve\(\): tcp_echo-1 .* echoes already"):
        echo.serve(later)
    calls: list[Call] = [
        lambda: served.expect(b"a"),
        lambda: served.on(b"a"),
        served.expect_connection,
        served.expect_eof,
    ]
    for ask in calls:
        with pytest.raises(RuntimeError, match="is served by later, so it can't follow a script as well"):
            ask()
    for peer in (scripted, with_rule):
        with pytest.raises(RuntimeError, match="follows a script, so no handler can serve it as well"):
            peer.serve(later)
    mismatch(scripted)
    connect(echo)
    with pytest.raises(RuntimeError, match="echoes, so it can't follow a script as well"):
        echo.connection.expect(b"a")


def test_a_connections_own_script_and_a_handler_exclude_each_other(tcp_peer: StreamPeer, connect: Connect) -> None:
    client = connect(tcp_peer)
    client.sendall(b"a")
    tcp_peer.connection.expect(b"a")
    with pytest.raises(RuntimeError, match="follows a script, so no handler can serve it as well"):
        tcp_peer.serve(later)


def test_a_closed_peer_takes_no_script(tcp_peer: StreamPeer) -> None:
    tcp_peer.close()
    calls: list[Call] = [
        lambda: tcp_peer.expect(b"a"),
        lambda: tcp_peer.on(b"a"),
        tcp_peer.expect_connection,
        tcp_peer.expect_eof,
        lambda: tcp_peer.serve(later),
    ]
    for ask in calls:
        with pytest.raises(RuntimeError, match="is closed; what it captured is in its `connections`"):
            ask()


def test_what_a_connection_cannot_do_is_refused(tls_peer: StreamPeer, unix_peer: StreamPeer) -> None:
    with pytest.raises(io.UnsupportedOperation, match=r"send_eof\(\) on tls-1 .*no half-close"):
        tls_peer.on(b"a").send_eof()
    with pytest.raises(io.UnsupportedOperation, match=r"reset\(\) on unix-1 .*has no RST"):
        unix_peer.on(b"a").reset()


@pytest.mark.parametrize("make", ["tcp", "unix", "udp", "tls", "tcp_echo"])
def test_unknown_options_are_refused(peers: Peers, make: str) -> None:
    bad: dict[str, Any] = {"strcit": True}
    with pytest.raises(TypeError, match=rf"^peers\.{make}\(\) got an unexpected .* 'strcit'; it takes .*strict"):
        getattr(peers, make)(**bad)


@pytest.mark.parametrize("make", ["tcp", "unix", "udp", "tls"])
def test_a_name_that_is_no_string_is_refused(peers: Peers, make: str) -> None:
    with pytest.raises(TypeError, match="name must be a string, not 5"):
        getattr(peers, make)(name=5)
