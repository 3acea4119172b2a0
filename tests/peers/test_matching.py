"""What patterns match, by themselves: whole messages, the next bytes of a stream, and where messages end."""

import re
from typing import Any

import pytest

from pytest_echoserver._peers.matching import check_framing, message_pattern, stream_pattern


@pytest.mark.parametrize(
    ("pattern", "matched", "not_matched"),
    [
        (b"ab", b"ab", b"abc"),
        (bytearray(b"ab"), b"ab", b"a"),
        (memoryview(b"ab"), b"ab", b""),
        (b"", b"", b"a"),
        (re.compile(rb"a+"), b"aaa", b"aab"),
        (lambda message: len(message) == 1, b"x", b"xy"),
    ],
)
def test_a_message_is_matched_as_a_whole(pattern: Any, matched: bytes, not_matched: bytes) -> None:
    found = message_pattern(pattern)
    assert found.match(matched) is not None
    assert found.match(not_matched) is None


@pytest.mark.parametrize("message", [b"", b"anything"])
def test_anything_is_matched_by_an_ellipsis(message: bytes) -> None:
    assert message_pattern(...).match(message) == message


def test_a_literal_diverges_at_the_first_byte_that_differs() -> None:
    search = stream_pattern(bytearray(b"abc")).search_from(1)
    for buffer, diverged in ((b"_", False), (b"_ab", False), (b"_abX", True)):
        assert search.find(bytearray(buffer)) is None
        assert search.diverged is diverged
    assert stream_pattern(b"abc").search_from(1).find(bytearray(b"_abcd")) == (b"abc", 1, 4)


def test_a_delimiter_is_found_however_it_was_cut() -> None:
    framing = check_framing(b"\r\n")
    assert framing is not None
    ends = framing.ends()
    for buffer, end in ((b"xxab", None), (b"xxab\r", None), (b"xxab\r\ncd\r\n", 6)):
        assert ends.find(bytearray(buffer), 2) == end


def test_a_framing_callable_sees_what_is_unread_alone() -> None:
    seen: list[bytes] = []

    def of_two(buffer: bytes) -> int:
        seen.append(buffer)
        return 2

    framing = check_framing(of_two)
    assert framing is not None
    ends = framing.ends()
    assert ends.find(bytearray(b"xxa"), 2) is None
    assert ends.find(bytearray(b"xxabc"), 2) == 4
    assert seen == [b"a", b"abc"]


class Counted(bytearray):
    """Notes from where on it is searched."""

    def __init__(self, data: bytes) -> None:
        super().__init__(data)
        self.searched: list[int] = []

    def find(self, *args: Any) -> int:
        self.searched.append(args[1])
        return super().find(*args)


def test_a_delimiter_is_not_looked_for_again_in_what_has_none() -> None:
    framing = check_framing(b"\r\n")
    assert framing is not None
    ends, buffer = framing.ends(), Counted(b"a" * 10)
    for more in (b"b" * 10, b"", b"c" * 10):
        assert ends.find(buffer, 3) is None
        buffer += more
    assert ends.find(buffer, 3) is None
    buffer += b"\r\n"
    assert [ends.find(buffer, 3) for _ in range(3)] == [32, 32, 32]
    assert buffer.searched == [3, 9, 19, 29]


def ends_of(length_of: Any, chunks: list[bytes]) -> tuple[list[int], list[bytes]]:
    """Where the messages end, each looked for as soon as it may be there; and what the callable was given."""
    given: list[bytes] = []

    def noted(data: bytes) -> Any:
        given.append(data)
        return length_of(data)

    framing = check_framing(noted)
    assert framing is not None
    ends, buffer, found = framing.ends(), bytearray(), [0]
    for chunk in chunks:
        buffer += chunk
        while found[-1] < len(buffer) and (end := ends.find(buffer, found[-1])) is not None:
            assert ends.find(buffer, found[-1]) == end
            found.append(end)
    return found[1:], given


def by_header(data: bytes) -> int | None:
    return 4 + int.from_bytes(data[:4], "big") if len(data) >= 4 else None


def test_a_framing_callable_is_not_asked_again_before_what_it_told_of_has_come() -> None:
    message = (200_000).to_bytes(4, "big") + bytes(200_000)
    pieces = [message[at : at + 1_000] for at in range(0, len(message), 1_000)]
    ends, given = ends_of(by_header, pieces)
    assert ends == [len(message)]
    assert given == [message[:1_000], message]


def test_it_is_asked_once_more_then_for_it_may_have_told_of_a_header() -> None:
    def header_first(data: bytes) -> int:
        return 4 if len(data) < 4 else 4 + data[3]

    assert ends_of(header_first, [b"\0", b"\0\0\x05ab", b"cde"])[0] == [9]


@pytest.mark.parametrize(
    ("regex", "said"),
    [
        (rb"USER (\w+)\n", b"PASS"),
        (rb"(?s)USER.*\n", b"x"),
        (rb"a\.b(c)+d", b"a.c"),
        (rb"(?i)user\n", b"UX"),
        (rb"(?i:u)ser\n", b"Us."),
        (rb"(user|pass)\n", b"px"),
    ],
)
def test_a_regex_diverges_from_a_plain_beginning_at_once(regex: bytes, said: bytes) -> None:
    search = stream_pattern(re.compile(regex)).search_from(0)
    assert search.find(bytearray(said)) is None
    assert search.diverged


@pytest.mark.parametrize("regex", [rb"u?ser\n", rb"[u]*ser\n", rb"(u*|p)ser\n"])
def test_a_regex_that_begins_otherwise_does_not(regex: bytes) -> None:
    search = stream_pattern(re.compile(regex)).search_from(0)
    assert search.find(bytearray(b"XYZ")) is None
    assert not search.diverged
