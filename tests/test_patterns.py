import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_echoserver._patterns import Literal, Regex, compile_pattern


def find_in_pieces(pattern: Literal | Regex, pieces: list[bytes], start: int = 0) -> Any:
    search = pattern.search_from(start)
    buffer = bytearray()
    for piece in pieces:
        buffer += piece
        found = search.find(buffer)
        if found is not None:
            return found
    return None


def what(found: Any) -> Any:
    if found is None:
        return None
    value, end = found
    return (value if isinstance(value, bytes) else value.group(), end)


@st.composite
def cut(draw: st.DrawFn, data: bytes) -> list[bytes]:
    places = sorted(draw(st.sets(st.integers(0, len(data)))))
    return [data[a:b] for a, b in zip([0, *places], [*places, len(data)], strict=True)]


LINES = [
    rb"(\d+)\r?\n",
    rb"\w* end\n",
    rb"a|bb|c\n",
    rb"[^\n]*\n",
    rb"(?s).*\.\r\n",
    rb"(?i)quit",
    rb"x{2,3}y",
    rb"(?i:qu)it",
    rb"q(?i:uit)",
    rb"1{2}",
]
texts = st.text("ab end12\r\n.xyQuit", max_size=60).map(str.encode)


@given(st.data(), st.sampled_from(LINES), st.booleans(), texts)
def test_how_the_bytes_are_cut_makes_no_difference(
    data: st.DataObject, source: bytes, anchored: bool, text: bytes
) -> None:
    pattern = compile_pattern(re.compile(source), anchored=anchored)
    pieces = data.draw(cut(text))
    byte_by_byte = [text[i : i + 1] for i in range(len(text))]
    assert what(find_in_pieces(pattern, pieces)) == what(find_in_pieces(pattern, byte_by_byte))


@given(st.sampled_from(LINES), texts)
def test_an_anchored_regex_is_met_by_the_shortest_prefix_that_it_fully_matches(source: bytes, text: bytes) -> None:
    ends = [end for end in range(1, len(text) + 1) if re.compile(source).fullmatch(text[:end])]
    expected = (text[: ends[0]], ends[0]) if ends else None
    assert what(find_in_pieces(compile_pattern(re.compile(source), anchored=True), [text])) == expected


@given(st.sampled_from(LINES), texts)
def test_a_regex_is_searched_for_in_the_shortest_prefix_that_holds_a_match(source: bytes, text: bytes) -> None:
    ends = [end for end in range(1, len(text) + 1) if re.compile(source).search(text[:end])]
    found = find_in_pieces(compile_pattern(re.compile(source), anchored=False), [text])
    assert (found and found[1]) == (ends[0] if ends else None)


@given(st.data(), st.binary(min_size=1, max_size=3), st.binary(max_size=50))
def test_a_literal_gives_all_up_to_and_with_it(data: st.DataObject, literal: bytes, text: bytes) -> None:
    at = text.find(literal)
    end = at + len(literal)
    expected = (text[:end], end) if at >= 0 else None
    assert find_in_pieces(compile_pattern(literal, anchored=True), data.draw(cut(text))) == expected


def test_a_search_begins_where_it_is_told_to() -> None:
    regex = compile_pattern(re.compile(rb"(\w+)\n"), anchored=True)
    found = find_in_pieces(regex, [b"one\ntwo\n"], start=4)
    assert found[0][1] == b"two"
    assert found[1] == 8


def test_a_match_does_not_hold_on_to_the_buffer() -> None:
    buffer = bytearray(b"12\n")
    found = compile_pattern(re.compile(rb"(\d+)\n"), anchored=False).search_from(0).find(buffer)
    buffer += b"more"
    assert found is not None
    assert found[0][1] == b"12"


@pytest.mark.parametrize(
    "source", [rb"\d+", rb"a$", rb"a\b", rb"x[a-z]", rb"a(?=b)", rb".", rb"(a|b+)", rb"", rb"a*"]
)
def test_a_regex_that_does_not_end_in_a_literal_is_refused(source: bytes) -> None:
    with pytest.raises(ValueError, match=r"doesn't end in a literal byte.*how the stream was cut"):
        compile_pattern(re.compile(source), anchored=True)


@pytest.mark.parametrize(
    "source", [rb"a", rb"(a)", rb"(?:a|b)", rb"(?>a)", rb"a|bc", rb"[ab]", rb"a{3}", rb"(?i:a)", rb"(?x) a \n # hm"]
)
def test_a_regex_that_ends_in_a_literal_is_taken(source: bytes) -> None:
    assert isinstance(compile_pattern(re.compile(source), anchored=True), Regex)


@pytest.mark.parametrize("value", ["text", re.compile("text"), None, 3])
def test_what_is_no_pattern_of_bytes_is_a_type_error(value: object) -> None:
    with pytest.raises(TypeError, match="a pattern must be"):
        compile_pattern(value, anchored=True)


def test_an_empty_pattern_is_refused() -> None:
    with pytest.raises(ValueError, match="empty pattern"):
        compile_pattern(b"", anchored=True)


@pytest.mark.parametrize(
    ("source", "head"),
    [
        (rb"GET (\S+)\n", [b"G", b"E", b"T", b" "]),
        (rb"(?i:m)a\n", [b"mM", b"a", b"\n"]),
        (rb"(GET|POST) /\n", [b"GP", b"EO", b"TS"]),
        (rb"(on|up|no)\n", [b"oun", b"npo", b"\n"]),
        (rb"[+-]OK\n", [b"+-", b"O", b"K", b"\n"]),
        (rb"(a|\d)x", []),
        (rb"a?b", []),
        (rb"^ab", []),
        (rb"[^a]b", []),
        (rb"[a-c]b", []),
        (rb"x(|a)b", [b"x"]),
    ],
)
def test_what_a_match_may_begin_with_is_known_as_far_as_it_is_plain(source: bytes, head: list[bytes]) -> None:
    pattern = compile_pattern(re.compile(source), anchored=True)
    assert isinstance(pattern, Regex)
    assert [set(place) for place in pattern.head] == [set(place) for place in head]
