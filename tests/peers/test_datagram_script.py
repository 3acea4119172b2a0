"""Scripts and rules of datagram peers, and silence."""

import re
import socket
import threading
import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait
from typing import Any

import pytest

from pytest_echoserver import DatagramPeer, Peers, Rule, ScriptMismatch

from ..conftest import Client
from .conftest import mismatch

FAMILIES = {"127.0.0.1": socket.AF_INET, "::1": socket.AF_INET6}


@pytest.mark.parametrize("host", FAMILIES)
def test_a_conversation(peers: Peers, udp_client: Client, host: str) -> None:
    peer = peers.udp(host=host)
    hello = peer.expect(b"hello").reply(b"1", b"2")
    number = peer.expect(re.compile(rb"n=(\d+)")).reply(lambda match: match[1])
    last = peer.expect(lambda data: len(data) == 1).reply(lambda datagram: b"%d" % datagram.source[1])
    peer.expect(...)
    client = udp_client(peer.family)
    for data in (b"hello", b"n=42", b"x", b"whatever"):
        client.sendto(data, peer.address)
    port = client.getsockname()[1]
    assert [client.recv(10) for _ in range(4)] == [b"1", b"2", b"42", b"%d" % port]
    assert hello.met.result() is not None
    assert number.met.result()[0] == b"n=42"
    assert last.met.result().data == b"x"
    assert hello.met.result().source == (host, port)
    peer.verify()


@pytest.mark.asyncio
async def test_in_an_async_test(udp_peer: DatagramPeer, udp_client: Client) -> None:
    met = udp_peer.expect(b"x").met
    udp_client().sendto(b"x", udp_peer.address)
    assert (await met).data == b"x"


def test_times_n_is_met_n_times_and_answered_each_time(udp_peer: DatagramPeer, udp_client: Client) -> None:
    status = udp_peer.expect(b"status", times=2).reply(b"up", b"up again")
    client = udp_client()
    client.sendto(b"status", udp_peer.address)
    assert [client.recv(10), client.recv(10)] == [b"up", b"up again"]
    met = status.met
    assert not met.done()
    client.sendto(b"status", udp_peer.address)
    assert met.result() == udp_peer.received[1]


def test_a_reply_comes_no_earlier_than_its_time_and_holds_nobody_up(
    udp_peer: DatagramPeer, udp_client: Client
) -> None:
    udp_peer.on(b"slow").reply(b"1", after=0.05).reply(b"2")
    udp_peer.on(b"fast").reply(b"0")
    client = udp_client()
    client.sendto(b"slow", udp_peer.address)
    client.sendto(b"fast", udp_peer.address)
    assert [client.recv(10) for _ in range(3)] == [b"0", b"1", b"2"]
    assert udp_peer.sent[1].time - udp_peer.received[0].time >= 0.05


def test_a_rule_holds_any_number_of_times_for_all_sources(udp_peer: DatagramPeer, udp_client: Client) -> None:
    udp_peer.expect(b"a").reply(b"1")
    udp_peer.expect(b"ping").reply(b"script")
    rule = udp_peer.on(b"ping").reply(b"rule")
    clients = udp_client(), udp_client()
    for client, data, answer in (
        (clients[0], b"ping", b"rule"),
        (clients[1], b"ping", b"rule"),
        (clients[1], b"a", b"1"),
        (clients[0], b"ping", b"script"),
        (clients[0], b"ping", b"rule"),
    ):
        client.sendto(data, udp_peer.address)
        assert client.recv(10) == answer
    assert type(rule) is Rule
    assert not hasattr(rule, "close")


def test_unmet(udp_peer: DatagramPeer, udp_client: Client) -> None:
    udp_peer.expect(b"a", times=2)
    udp_peer.expect(b"b")
    udp_client().sendto(b"a", udp_peer.address)
    text = mismatch(udp_peer)
    assert "2 of the script's 2 steps were not met" in text
    assert re.search(r"> 1\. expect\(b'a', times=2\)  met 1 of 2 times test_datagram_script\.py:\d+", text)
    udp_peer.verify()


def test_the_unexpected_ends_what_waits(udp_peer: DatagramPeer, udp_client: Client) -> None:
    met, other = udp_peer.expect(b"status").met, udp_peer.wait_for(2)
    udp_client().sendto(b"statUs!", udp_peer.address)
    for future in (met, other):
        with pytest.raises(ScriptMismatch, match=r"unexpected datagram of 7 bytes from 127\.0\.0\.1 port \d+\n"):
            future.result()
    text = mismatch(udp_peer)
    assert "the first difference is at offset 4 (0x4): 0x75 b'u' expected, 0x55 b'U' got" in text
    assert udp_peer.events[-1].name == "unexpected"


def test_every_unexpected_one_is_reported_after_a_caught_verify(udp_peer: DatagramPeer, udp_client: Client) -> None:
    udp_peer.on(b"a")
    for data in (b"1", b"22"):
        udp_client().sendto(data, udp_peer.address)
        assert f"unexpected datagram of {len(data)} byte" in mismatch(udp_peer)


def test_out_of_order_is_told_as_such(udp_peer: DatagramPeer, udp_client: Client) -> None:
    udp_peer.expect(b"a")
    udp_peer.expect(b"b")
    udp_client().sendto(b"b", udp_peer.address)
    assert "it would match step 2: is it out of order" in mismatch(udp_peer)


def test_more_than_the_script_has_is_unexpected(udp_peer: DatagramPeer, udp_client: Client) -> None:
    udp_peer.expect(b"a")
    client = udp_client()
    client.sendto(b"a", udp_peer.address)
    client.sendto(b"a", udp_peer.address)
    assert "unexpected datagram of 1 byte from 127.0.0.1" in (text := mismatch(udp_peer))
    assert ": the script is at its end" in text


def test_if_it_is_not_strict_the_unexpected_is_recorded(peers: Peers, udp_client: Client) -> None:
    peer = peers.udp(strict=False)
    peer.expect(b"a").reply(b"1")
    client = udp_client()
    client.sendto(b"x", peer.address)
    client.sendto(b"a", peer.address)
    assert client.recv(10) == b"1"
    assert [event.args[0] for event in peer.events if event.name == "unexpected"] == [b"x"]


@pytest.mark.echoserver(strict=False)
def test_the_marker_can_say_so(udp_peer: DatagramPeer, udp_client: Client) -> None:
    udp_peer.on(b"a")
    udp_client().sendto(b"x", udp_peer.address)
    udp_peer.verify()


def test_a_peer_with_neither_script_nor_rule_only_records(udp_peer: DatagramPeer, udp_client: Client) -> None:
    udp_client().sendto(b"x", udp_peer.address)
    udp_peer.wait_for(1).result()
    udp_peer.verify()


def test_what_the_test_has_not_read_belongs_to_a_late_script(udp_peer: DatagramPeer, udp_client: Client) -> None:
    client = udp_client()
    for data in (b"read", b"noise", b"a", b"b"):
        client.sendto(data, udp_peer.address)
    assert udp_peer.next_datagram().result().data == b"read"
    udp_peer.expect(b"a").reply(b"1")
    udp_peer.expect(b"b").reply(b"2")
    assert [client.recv(10), client.recv(10)] == [b"1", b"2"]
    udp_peer.on(b"noise").reply(b"3")
    assert client.recv(10) == b"3"


def test_a_script_that_comes_right_after_the_client_has_no_race_with_it(peers: Peers, udp_client: Client) -> None:
    client = udp_client()
    for _ in range(200):
        with peers.udp() as peer:
            client.sendto(b"a", peer.address)
            client.sendto(b"b", peer.address)
            peer.expect(b"a").reply(b"1")
            peer.expect(b"b").reply(b"2")
            assert [client.recv(10), client.recv(10)] == [b"1", b"2"]


def test_a_late_script_has_its_order_too(udp_peer: DatagramPeer, udp_client: Client) -> None:
    client = udp_client()
    client.sendto(b"b", udp_peer.address)
    client.sendto(b"a", udp_peer.address)
    udp_peer.wait_for(2).result()
    udp_peer.expect(b"a").reply(b"1")
    assert client.recv(10) == b"1"
    udp_peer.expect(b"b")
    text = mismatch(udp_peer)
    assert "1 of the script's 2 steps was not met" in text
    assert "left over from 127.0.0.1 port" in text


def test_clear_forgets_the_record_and_not_the_script(udp_peer: DatagramPeer, udp_client: Client) -> None:
    udp_peer.expect(b"a").reply(b"1")
    udp_peer.expect(b"b").reply(b"2")
    client = udp_client()
    for data, answer in ((b"a", b"1"), (b"b", b"2")):
        client.sendto(data, udp_peer.address)
        assert client.recv(10) == answer
        assert len(udp_peer.received) == len(udp_peer.sent) == 1
        udp_peer.clear()
    assert len(udp_peer.events) == 0


def test_closing_ends_the_waits_for_what_is_unmet(udp_peer: DatagramPeer) -> None:
    met = udp_peer.expect(b"a").met
    udp_peer.close()
    with pytest.raises(RuntimeError, match="was closed while this was awaited"):
        met.result()
    mismatch(udp_peer)


# Silence.


def test_silence_that_is_kept(udp_peer: DatagramPeer, udp_client: Client) -> None:
    udp_client().sendto(b"taken", udp_peer.address)
    udp_peer.next_datagram().result()
    assert udp_peer.expect_silence(0.01).result() is None


@pytest.mark.parametrize("taken", [0, 1])
def test_silence_that_is_broken(udp_peer: DatagramPeer, udp_client: Client, taken: int) -> None:
    client = udp_client()
    for _ in range(taken):
        client.sendto(b"taken", udp_peer.address)
        udp_peer.next_datagram().result()
    silence = udp_peer.expect_silence(60)
    client.sendto(b"noise", udp_peer.address)
    text = r"60 s of silence were expected, but after \S+ s 5 bytes came from 127\.0\.0\.1 port \d+: b'noise'$"
    with pytest.raises(ScriptMismatch, match=text):
        silence.result()
    with pytest.raises(ScriptMismatch, match=text):
        udp_peer.verify()


def test_silence_begins_with_what_was_not_taken(udp_peer: DatagramPeer, udp_client: Client) -> None:
    udp_client().sendto(b"noise", udp_peer.address)
    udp_peer.wait_for(1).result()
    with pytest.raises(ScriptMismatch, match="but before it began 5 bytes came"):
        udp_peer.expect_silence(60).result()
    mismatch(udp_peer)


def test_a_breach_counts_even_if_nobody_looks(udp_peer: DatagramPeer, udp_client: Client) -> None:
    udp_peer.expect_silence(60)
    udp_client().sendto(b"noise", udp_peer.address)
    assert "silence" in mismatch(udp_peer)


def test_a_breach_counts_after_clear(udp_peer: DatagramPeer, udp_client: Client) -> None:
    client = udp_client()
    for _ in range(2):
        client.sendto(b"taken", udp_peer.address)
        udp_peer.next_datagram().result()
    udp_peer.expect_silence(60)
    udp_peer.clear()
    client.sendto(b"noise", udp_peer.address)
    assert "silence" in mismatch(udp_peer)


def test_who_hears_of_a_breach_may_wait_for_a_thread_that_uses_the_peer(
    udp_peer: DatagramPeer, udp_client: Client
) -> None:
    could_use_it: list[bool] = []

    def wait_for_another(_: object) -> None:
        another = threading.Thread(target=udp_peer.next_datagram)
        another.start()
        another.join(1)
        could_use_it.append(not another.is_alive())

    others = udp_peer.wait_for(2)
    others.add_done_callback(wait_for_another)
    silence = udp_peer.expect_silence(60)
    silence.add_done_callback(wait_for_another)
    udp_client().sendto(b"noise", udp_peer.address)
    text = mismatch(udp_peer)
    assert could_use_it == [True, True]
    assert str(others.exception()) == str(silence.exception()) == text


def test_a_close_ends_a_silence_that_the_engine_has_not_come_to(
    udp_peer: DatagramPeer, peers: Peers, udp_client: Client
) -> None:
    held, let_go = threading.Event(), threading.Event()

    def hold(_: object) -> None:
        held.set()
        let_go.wait(10)

    udp_client().sendto(b"x", peers.udp(hold).address)
    held.wait(10)
    with ThreadPoolExecutor(1) as pool:
        silence = udp_peer.expect_silence(0.01)
        closing = pool.submit(udp_peer.close)
        wait([closing], 0.1)
        let_go.set()
        closing.result(10)
    with pytest.raises(RuntimeError, match="was closed while this was awaited"):
        silence.result()


# What is refused at the call.


async def later(data: Any) -> bytes:
    return b""


WRONG: Any = [
    (
        lambda peer: peer.expect("a"),
        TypeError,
        "a pattern must be bytes, a compiled regular expression of bytes, a",
    ),
    (lambda peer: peer.on(re.compile("a")), TypeError, r"a pattern must be of bytes, as in re.compile\(rb"),
    (lambda peer: peer.expect(later), TypeError, "a predicate must be a plain function: later is async"),
    (lambda peer: peer.expect(b"a", times=0), ValueError, "times must be 1 or more, not 0"),
    (lambda peer: peer.on(b"a").reply("a"), TypeError, "data must be bytes, not 'a'"),
    (lambda peer: peer.on(b"a").reply(later), TypeError, "what makes an answer must be a plain function"),
    (lambda peer: peer.on(b"a").reply(b"a", after=-0.1), ValueError, "after must be a finite number of seconds"),
    (lambda peer: peer.on(b"a").reply(bytes(65_508)), ValueError, "the largest datagram here has 65507"),
    (lambda peer: peer.expect_silence(-1), ValueError, "seconds must be a finite number of seconds"),
    (lambda peer: peer.expect_silence("1"), TypeError, "seconds must be a number of seconds"),
]


@pytest.mark.parametrize(("ask", "error", "text"), WRONG)
def test_bad_input_is_refused_at_the_call(
    udp_peer: DatagramPeer, ask: Callable[[DatagramPeer], object], error: type[Exception], text: str
) -> None:
    with pytest.raises(error, match=text):
        ask(udp_peer)


def test_an_answer_over_ipv6_may_be_longer(peers: Peers) -> None:
    rule = peers.udp(host="::1").on(b"a").reply(bytes(65_527))
    with pytest.raises(ValueError, match="the largest datagram here has 65527"):
        rule.reply(bytes(65_528))


def test_an_answer_that_is_made_too_long_fails_the_test(udp_peer: DatagramPeer, udp_client: Client) -> None:
    met = udp_peer.expect(b"a").reply(lambda datagram: bytes(65_508)).met
    udp_client().sendto(b"a", udp_peer.address)
    assert met.result().data == b"a"
    with pytest.raises(ValueError, match="the largest datagram here has 65507"):
        udp_peer.verify()


def test_a_script_and_a_handler_exclude_each_other(udp_peer: DatagramPeer) -> None:
    udp_peer.on(b"a")
    with pytest.raises(RuntimeError, match="follows a script, so no handler can serve it as well"):
        udp_peer.serve(lambda datagram: None)


def test_a_closed_peer_takes_no_script(udp_peer: DatagramPeer) -> None:
    udp_peer.close()
    calls: list[Callable[[], object]] = [
        lambda: udp_peer.expect(b"a"),
        lambda: udp_peer.on(b"a"),
        lambda: udp_peer.expect_silence(1),
    ]
    for ask in calls:
        with pytest.raises(RuntimeError, match="is closed; what it captured is in its `received`"):
            ask()


def test_silence_begins_after_what_the_script_has_matched(udp_peer: DatagramPeer, udp_client: Client) -> None:
    udp_peer.expect(b"ping").reply(b"pong")
    client = udp_client()
    client.sendto(b"ping", udp_peer.address)
    assert client.recv(10) == b"pong"
    udp_peer.expect_silence(0.01).result()
    udp_peer.clear()
    udp_peer.expect_silence(0.01).result()


WHOLE = "a pattern has to match all of it"
DOT = "a newline is what `.` doesn't match: (?s:.*) does"


@pytest.mark.parametrize(
    ("pattern", "came", "said"),
    [
        (rb"temp=", b"temp=20", f"it matches the first 5 bytes of 7 alone: {WHOLE}"),
        (rb"t", b"temp=20", f"it matches the first byte of 7 alone: {WHOLE}"),
        (rb"a b.*c", b"a b\nc", DOT),
        (rb"(?i)A(x|.)*C", b"a\nc", ""),  # of such as these it could take for ever to find out
        (rb"(.+)+b", b"\n" + b"a" * 60, ""),
        (rb"." + rb"a?" * 40 + rb"a" * 40, b"\n" + b"a" * 60 + b"b", ""),
        (rb"(?=(.+)+b)c", b"\n" + b"a" * 60, ""),
        (rb"temp:", b"temp=20", ""),
        (rb"x*", b"temp=20", ""),
        (rb"x.", b"temp\n", ""),
    ],
)
def test_of_a_regular_expression_it_is_said_why_it_does_not_match(
    udp_peer: DatagramPeer, udp_client: Client, pattern: bytes, came: bytes, said: str
) -> None:
    udp_peer.expect(re.compile(pattern))
    udp_client().sendto(came, udp_peer.address)
    lines = mismatch(udp_peer).splitlines()
    assert lines[3].startswith(f"  it does not match {re.compile(pattern)!r}"[:40])
    assert [line.strip() for line in lines[4:]] == ([said] if said else [])


def test_what_python_warns_of_in_a_pattern_is_no_error_of_what_is_told(
    udp_peer: DatagramPeer, udp_client: Client
) -> None:
    with warnings.catch_warnings(action="ignore"):
        pattern = re.compile(rb"[[a]b.")
    udp_peer.expect(pattern)
    udp_client().sendto(b"c", udp_peer.address)
    assert "does not match re.compile(b'[[a]b.')" in mismatch(udp_peer)
