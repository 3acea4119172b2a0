"""The evidence as text."""

from typing import Any

from pytest_echoserver import Event
from pytest_echoserver._evidence import text
from pytest_echoserver._record import PeerTraffic, Traffic


def lines_of(*events: tuple[str, Any]) -> list[str]:
    """The lines for a peer with these events, without their times."""
    record = [Event(10.0 + at, name, args) for at, (name, args) in enumerate(events)]
    ((_, shown),) = text.sections(Traffic(10.0, (PeerTraffic("peer", record),)), [])
    first, *lines = shown.splitlines()
    assert first == "peer"
    return [line.partition(" s  ")[2] or line for line in lines]


def test_what_a_pipe_gave_in_pieces_is_one_line() -> None:
    assert lines_of(
        ("pipe_data_received", (1, b"one ")),
        ("pipe_data_received", (1, b"line\n")),
        ("pipe_data_received", (2, b"other")),
        ("pipe_data_received", (1, b"next")),
    ) == [
        "pipe_data_received   stdout  9 bytes b'one line\\n'",
        "pipe_data_received   stderr  5 bytes b'other'",
        "pipe_data_received   stdout  4 bytes b'next'",
    ]


def test_messages_stay_apart() -> None:
    same = ("datagram_received", (b"x", ("127.0.0.1", 9)))
    assert lines_of(same, same) == ["datagram_received    1 bytes b'x'  127.0.0.1 port 9"] * 2


def test_a_long_payload_shows_its_beginning_and_its_end() -> None:
    (line,) = lines_of(("data_received", (b"begin" + bytes(1_000_000) + b"the end",)))
    assert line.startswith("data_received        1000012 bytes b'begin\\x00")
    assert line.endswith("the end'")
    assert len(line) < 180


def test_control_characters_are_shown_and_not_sent() -> None:
    (line,) = lines_of(("data_received", (b"\x1b]52;c;\x07\r\n\xff",)))
    assert line == r"data_received        11 bytes b'\x1b]52;c;\x07\r\n\xff'"


def test_what_carries_nothing_and_errors_and_objects() -> None:
    assert lines_of(
        ("eof_received", ()),
        ("connection_lost", (None,)),
        ("connection_lost", (ConnectionResetError("by peer\nand more"),)),
        ("connection_made", (object(),)),
    ) == [
        "eof_received",
        "connection_lost      None",
        "connection_lost      ConnectionResetError: by peer",
        "connection_made      <object>",
    ]


def test_a_peer_that_saw_nothing_says_so() -> None:
    assert lines_of() == ["  nothing"]
