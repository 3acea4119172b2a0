"""The evidence as text."""

import re
from collections.abc import Callable, Sequence
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from pytest_echoserver import Event, Verdict
from pytest_echoserver._evidence import text
from pytest_echoserver._evidence.payload import Payload, rows
from pytest_echoserver._evidence.steps import Step
from pytest_echoserver._evidence.timeline import Reading, read
from pytest_echoserver._traffic import Expected, PeerTraffic, Traffic

CLIENT = ("127.0.0.1", 9)
Told = tuple[str, tuple[Any, ...]]


def told(*peers: PeerTraffic, width: int = 80, limit: int = text.PAYLOAD, reading: Reading | None = None) -> str:
    """What is said of the peers' traffic, in a test that began at 10 s."""
    ((_, section),) = text.sections(Traffic(10.0, peers), reading=reading or Reading(), width=width, limit=limit)
    return section


def peer(
    *events: Told, kind: str = "udp", expected: Sequence[Expected] = (), apart: float = 1.0, **more: Any
) -> PeerTraffic:
    """A peer with these events, so many seconds apart."""
    record = [Event(10.0 + at * apart, name, args) for at, (name, args) in enumerate(events)]
    return PeerTraffic("peer", kind, None, record, expected, **more)


def lines_of(*events: Told, apart: float = 1.0, **more: Any) -> list[str]:
    """The lines for a peer with these events, so many seconds apart, without their times."""
    first, *lines = told(peer(*events, apart=apart), **more).splitlines()
    assert first.startswith("peer")
    return [line.partition(" s  ")[2] or line for line in lines]


def test_what_a_pipe_gave_in_pieces_is_one_line() -> None:
    assert lines_of(
        ("pipe_data_received", (1, b"one ")),
        ("pipe_data_received", (1, b"line\n")),
        ("pipe_data_received", (2, b"other")),
        ("pipe_data_received", (1, b"next")),
        apart=0.001,
    ) == [r"<-  b'one line\n'  stdout", "<-  b'other'  stderr", "<-  b'next'  stdout"]


def test_what_a_pipe_gave_later_stands_where_it_came() -> None:
    assert lines_of(
        ("pipe_data_received", (1, b"started\n")),
        ("pipe_data_received", (1, b"much later\n")),
        ("signal_sent", (15,)),
        ("signal_sent", (63,)),
    ) == [r"<-  b'started\n'  stdout", r"<-  b'much later\n'  stdout", "->  SIGTERM", "->  signal 63"]


def test_much_from_a_pipe_keeps_its_size_its_beginning_and_its_end() -> None:
    pieces = [("pipe_data_received", (1, b"%07d\n" % number)) for number in range(50_000)]
    _, head, *shown = told(peer(*pieces, kind="process", apart=0.001)).splitlines()
    assert head.endswith("<-  400,000 bytes  stdout")
    assert shown[0] == r"      b'0000000\n'"
    assert shown[-1] == r"      b'0049999\n'"


def test_much_from_a_pipe_is_one_message_whatever_holds_it_up() -> None:
    pieces = [("pipe_data_received", (1, bytes(100_000)))] * 3
    (head,) = (line for line in told(peer(*pieces, kind="process")).splitlines() if "<-" in line)
    assert "<-  300,000 bytes  stdout" in head


def test_messages_stay_apart() -> None:
    same = ("datagram_received", (b"x", CLIENT))
    assert lines_of(same, same) == ["->  b'x'  from 127.0.0.1:9"] * 2


def test_a_long_payload_shows_its_beginning_its_end_and_its_length() -> None:
    data = b"begin" + b"x" * 1_000_000 + b"the end"
    head, *shown = lines_of(("data_received", (data,)), limit=20)
    assert head == "->  1,000,012 bytes"
    assert shown == ["      b'beginxxxxx'", "      ... 999,992 more bytes ...", "      b'xxxthe end'"]


def test_text_has_a_row_a_line_where_it_does_not_fit_in_one() -> None:
    request = b"GET / HTTP/1.1\r\nHost: example.org\r\nAccept: " + b"a" * 60 + b"\r\n\r\n"
    assert lines_of(("data_received", (request,)), width=60) == [
        "->  107 bytes",
        r"      b'GET / HTTP/1.1\r\n'",
        r"      b'Host: example.org\r\n'",
        f"      b'Accept: {'a' * 43}'",
        rf"      b'{'a' * 17}\r\n'",
        r"      b'\r\n'",
    ]


def test_text_that_is_more_than_ascii_is_shown_as_it_is_read() -> None:
    assert lines_of(("data_received", ("Grüße\r\n".encode(),))) == [r"->  'Grüße\r\n'"]


def test_what_is_no_text_is_hex_with_text_beside_it() -> None:
    assert lines_of(("data_received", (bytes(range(20)) + b"text",))) == [
        "->  24 bytes",
        "      0000  00 01 02 03 04 05 06 07  08 09 0a 0b 0c 0d 0e 0f  ................",
        "      0010  10 11 12 13 74 65 78 74                           ....text",
    ]
    narrow = lines_of(("data_received", (bytes(range(20)),)), width=50)
    assert narrow[1:] == [
        "      0000  00 01 02 03 04 05 06 07  ........",
        "      0008  08 09 0a 0b 0c 0d 0e 0f  ........",
        "      0010  10 11 12 13              ....",
    ]
    assert len(lines_of(("data_received", (bytes(range(20)),)), width=20)) == 6


def test_one_byte_is_no_plural() -> None:
    verdict = Verdict(data=b"x")
    shown = lines_of(("data_received", (b"\xff",)), ("fault", ("out", b"ab", CLIENT, verdict)))
    assert shown[0] == "->  1 byte"
    assert "replaced by 1 byte]" in shown[2]


@given(st.binary(max_size=600), st.integers(40, 120), st.integers(1, 600))
def test_nothing_is_sent_that_a_terminal_would_obey(data: bytes, width: int, limit: int) -> None:
    shown = told(
        peer(("data_received", (data,)), ("error_received", (OSError(data.decode("latin-1")),))),
        width=width,
        limit=limit,
    )
    assert all(char.isprintable() for char in shown.replace("\n", ""))
    rows = [line for line in shown.splitlines() if line.startswith("      ")]
    assert all(len(row) <= width for row in rows)


@given(st.text(max_size=300), st.integers(40, 120))
def test_text_of_any_kind_is_shown_and_not_sent(data: str, width: int) -> None:
    shown = told(peer(("data_received", (data.encode("utf-8", "surrogatepass"),)), kind=data), width=width)
    assert all(char.isprintable() for char in shown.replace("\n", ""))


def test_hostile_names_and_words_are_shown_and_not_sent() -> None:
    hostile = "\x1b]52;c;aGk=\x07\u202e"
    expected = [Expected(repr(hostile), hostile, [(10.0, 1)], 1)]
    shown = told(
        PeerTraffic(hostile, "unix", hostile, [], expected, detail=hostile),
        reading=Reading(decode=lambda *_: hostile),
    )
    assert all(char.isprintable() for char in shown.replace("\n", ""))


def test_what_carries_nothing_and_errors_and_objects() -> None:
    assert lines_of(
        ("connection_made", (CLIENT,)),
        ("eof_received", ()),
        ("connection_lost", (None,)),
        ("connection_lost", (ConnectionResetError("by peer\nand more"),)),
        ("connection_lost", (OSError("odd\nand more"),)),
        ("connection_made", (object(),)),
    ) == [
        "->  connected  from 127.0.0.1:9",
        "->  end of stream",
        "    closed",
        "->  reset",
        "!!  connection lost: OSError: odd",
        "    started",
    ]


def test_calls_of_a_protocol_are_told_as_such() -> None:
    calls = [("connection_made", (object(),)), ("data_received", (b"x",)), ("connection_lost", (None,))]
    assert [line[14:] for line in told(peer(*calls, kind="protocol")).splitlines()[1:]] == [
        "    connection_made(<object>)",
        "->  b'x'  data_received",
        "    connection_lost(None)",
    ]


def test_a_peer_that_saw_nothing_says_so() -> None:
    assert told(peer()) == "peer: nothing came"


def test_the_peers_stand_in_one_order() -> None:
    one = PeerTraffic(
        "one", "udp", CLIENT, [Event(11.0, "datagram_sent", (b"a", CLIENT)), Event(13.0, "refusing", ())]
    )
    other = PeerTraffic("other", "tcp", ("::1", 80), [Event(12.0, "data_received", (2, b"b"))], numbered=True)
    assert told(one, other).splitlines() == [
        "one (udp 127.0.0.1:9)",
        "other (tcp [::1]:80)",
        "   +1.0000 s  <-  one       b'a'  to 127.0.0.1:9",
        "   +2.0000 s  ->  other #2  b'b'",
        "   +3.0000 s      one       refusing",
    ]


def test_of_many_events_the_middle_is_left_out() -> None:
    events = [("data_received", (b"%d" % number,)) for number in range(100_000)]
    lines = told(peer(*events)).splitlines()
    assert len(lines) == text.MOST_STEPS + 2
    assert lines[1].endswith("b'0'")
    assert "      ... 99,880 more ..." in lines
    assert lines[-1].endswith("b'99999'")


def test_of_many_peers_a_few_are_named() -> None:
    lines = told(*(PeerTraffic(f"peer-{number}", "udp", None, []) for number in range(5_000))).splitlines()
    assert lines[-1] == "and 4,980 more"
    assert len(lines) == text.MOST_PEERS + 1


def test_expectations_stand_where_they_were_met_and_what_is_not_met_at_the_end() -> None:
    expected = [
        Expected("expect(b'a')", "test_it.py:3", [(10.5, 2)], 0),
        Expected("expect(b'b')", "test_it.py:4", [], 2),
    ]
    shown = told(peer(("data_received", (2, b"a")), ("data_sent", (2, b"b")), expected=expected, numbered=True))
    assert shown.splitlines()[1:] == [
        "   +0.0000 s  ->  #2  b'a'",
        "   +0.5000 s  ok  #2  met: expect(b'a')  test_it.py:3",
        "   +1.0000 s  <-  #2  b'b'",
        "  at the end  !!      not met: expect(b'b') (2 more times)  test_it.py:4",
    ]


def test_what_nothing_expected_is_said_where_it_came() -> None:
    came, of_it = ("datagram_received", (b"xy", CLIENT)), ("unexpected", (b"xy", CLIENT))
    assert lines_of(came, of_it) == ["!!  b'xy'  unexpected  from 127.0.0.1:9"]
    assert lines_of(("data_received", (b"xyz",)), ("unexpected", (b"z",))) == ["->  b'xyz'", "!!  b'z'  unexpected"]


def test_of_many_long_messages_in_hex_less_is_shown() -> None:
    long, text = ("data_received", (bytes(1000),)), ("data_received", (b"some text " * 20,))
    few, many = (told(peer(*[long, text] * count, kind="stream")) for count in (20, 60))
    assert few.count(".") > 20 * 256
    assert len(re.findall(r"  1,000 bytes\n      0000 .*\n      0010 .*\n      \.\.\. 936 more bytes ", many)) == 60
    assert many.count("b'") == 3 * few.count("b'")


def test_whose_a_proxys_datagram_is_stands_beside_it() -> None:
    for name, told_as in (
        ("target_datagram_sent", "to the target"),
        ("target_datagram_received", "from the target"),
    ):
        (line,) = lines_of((name, (b"x", CLIENT)))
        assert line.endswith(f"b'x'  {told_as}  for 127.0.0.1:9")
    assert lines_of(("target_connected", (CLIENT,))) == ["<-  connected to the target  to 127.0.0.1:9"]


def test_what_is_unexpected_is_told_where_it_came_and_not_where_the_like_did() -> None:
    came = ("data_received", (2, b"z")), ("data_received", (1, b"z"))
    lines = told(peer(*came, ("unexpected", (2, b"z")), kind="tcp", numbered=True)).splitlines()
    assert [line.partition(" s  ")[2] for line in lines[1:]] == ["!!  #2  b'z'  unexpected", "->  #1  b'z'"]
    other = ("127.0.0.1", 8)
    sent = ("datagram_received", (b"z", CLIENT)), ("datagram_received", (b"z", other))
    assert lines_of(*sent, ("unexpected", (b"z", CLIENT))) == [
        "!!  b'z'  unexpected  from 127.0.0.1:9",
        "->  b'z'  from 127.0.0.1:8",
    ]


def test_faults_stand_with_what_they_befell() -> None:
    def fault(way: str, data: bytes, **verdict: Any) -> Told:
        return "fault", (way, data, CLIENT, Verdict(**verdict))

    def came(data: bytes) -> Told:
        return "datagram_received", (data, CLIENT)

    def sent(data: bytes) -> Told:
        return "datagram_sent", (data, CLIENT)

    here, there = "from 127.0.0.1:9", "to 127.0.0.1:9"
    assert lines_of(fault("in", b"a", drop=True)) == [f"-x  b'a'  {here}  [lost]"]
    assert lines_of(sent(b"a"), fault("out", b"a", drop=True)) == [f"x-  b'a'  {there}  [lost]"]
    assert lines_of(fault("in", b"a", delay=0.02), came(b"a")) == [f"->  b'a'  {here}  [delayed 20 ms]"]
    assert lines_of(fault("in", b"a", copies=2), came(b"a"), came(b"a")) == [
        f"->  b'a'  {here}  [2 copies]",
        f"->  b'a'  {here}  [a copy]",
    ]
    assert lines_of(fault("in", b"a", flip=7), came(b"`")) == [f"->  b'`'  {here}  [bit 7 flipped]"]
    assert lines_of(fault("in", b"a", flip=(6, 7)), came(b"b")) == [f"->  b'b'  {here}  [bits 6, 7 flipped]"]
    assert lines_of(fault("in", b"a", reorder=True), came(b"b"), came(b"a")) == [
        f"->  b'b'  {here}",
        f"->  b'a'  {here}  [reordered]",
    ]
    assert lines_of(sent(b"a"), fault("out", b"a", source=("", 53), late=True)) == [
        f"<-  b'a'  {there}  [late, from :53]"
    ]
    assert lines_of(sent(b"a"), fault("out", b"a", copies=2), ("rate_limited", ("out", 56_000))) == [
        f"<-  b'a'  {there}  [2 copies]",
        "~~  the way out: at most 56,000 bytes/s",
    ]
    assert lines_of(fault("in", b"still on its way", delay=1.0)) == [
        f"->  b'still on its way'  {here}  [delayed 1000 ms]"
    ]


def test_faults_of_streams_say_where_in_the_stream() -> None:
    assert lines_of(
        ("fault", ("out", 10, Verdict(end="reset", at=10))),
        ("fault", ("in", 2048, Verdict(delay=0.5))),
        ("fault", ("in", 4096, Verdict(delay=60))),
        ("rate_limited", ("in", 0, 0.5)),
    ) == [
        "~~  the way out: reset after 10 bytes",
        "~~  the way in from byte 2,048 on: delayed 500 ms",
        "~~  the way in from byte 4,096 on: delayed 60000 ms",
        "~~  the way in from byte 0 on: at most 0.5 bytes/s",
    ]


def test_what_is_secret_is_left_out_before_it_is_decoded() -> None:
    reading = Reading(lambda _, data: data.replace(b"secret", b"***"), lambda _, data: f"it says {data!r}")
    (line,) = lines_of(("data_received", (b"my secret",)), reading=reading)
    assert line == "->  b'my ***'  = it says b'my ***'"


def test_colours_leave_the_text_as_it_is() -> None:
    section = told(
        peer(("data_received", (bytes(40),)), ("unexpected", (b"x",)), ("fault", ("in", 1, Verdict(delay=1.0))))
    )
    shown = text.for_terminal(text.TITLE, section, colour=True, fold=False)
    assert shown != section
    assert re.sub(r"\x1b\[\d+m", "", shown) == section


def test_in_a_log_of_github_nothing_from_the_wire_is_a_command() -> None:
    section = told(peer(("data_received", (b"::set-output name=a::b\n##[add-mask]x\n" + b"y" * 80,))))
    shown = text.for_terminal(text.TITLE, section, colour=False, fold=True).splitlines()
    assert (shown[0], shown[-1]) == (f"::group::{text.TITLE}", "::endgroup::")
    assert not any(line.lstrip().startswith("::") or "##[" in line for line in shown[1:-1])


def test_in_a_log_of_github_no_name_and_no_error_is_a_command() -> None:
    for section in ("::error::x (udp)", "ValueError: a\n  ::error::b"):
        shown = text.for_terminal("errors", section, colour=False, fold=True).splitlines()
        assert not any(line.lstrip().startswith("::") for line in shown)


def test_what_was_cut_and_is_redacted_is_told_as_it_is() -> None:
    def redacted(redact: Callable[[bytes], bytes]) -> Payload:
        step = Step("stdout", "out", Payload(1_000, b"b" * 300, b"e" * 300))
        read(step, PeerTraffic("p", "process", None, []), Reading(lambda _, data: redact(data)))
        assert step.payload is not None
        return step.payload

    longer = redacted(lambda data: data * 3)
    assert "... 400 more bytes ..." in rows(longer, 80)
    endless = redacted(lambda data: data.replace(b"e", b""))
    assert (endless.size, endless.whole) == (700, False)
    assert rows(endless.cut(20), 80) == [repr(b"b" * 10), "... 690 more bytes ..."]
    assert rows(redacted(lambda data: b""), 80)[-1] == "... 400 more bytes ..."


def test_a_very_long_line_costs_no_more_than_what_is_shown_of_it() -> None:
    shown = told(peer(("data_received", (b"\x1b[31m" + b"x" * (10 * 1024 * 1024),)), kind="tcp"))
    assert len(shown) < 1_000
    assert "... 10,485,509 more bytes ..." in shown
    assert "\x1b" not in shown
