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
    looked = 2
    for buffer, end in ((b"xxab", None), (b"xxab\r", None), (b"xxab\r\ncd\r\n", 6)):
        assert framing.end_of_message(bytearray(buffer), 2, looked) == end
        looked = len(buffer)


def test_a_framing_callable_sees_what_is_unread_alone() -> None:
    seen: list[bytes] = []

    def of_two(buffer: bytes) -> int:
        seen.append(buffer)
        return 2

    framing = check_framing(of_two)
    assert framing is not None
    assert framing.end_of_message(bytearray(b"xxa"), 2, 2) is None
    assert framing.end_of_message(bytearray(b"xxabc"), 2, 3) == 4
    assert seen == [b"a", b"abc"]


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
