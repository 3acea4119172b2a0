import re
import time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_echoserver._patterns import Literal, Regex, compile_pattern
from pytest_echoserver._process.ready_checks import Anywhere
from pytest_echoserver._regexes import loosened, most_tries, reach_of


def find_in_pieces(pattern: Literal | Regex | Anywhere, pieces: list[bytes], start: int = 0) -> Any:
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
    rb"\w+$\n",
    rb"\b(?!en)\w+\n",
    rb"(?!a\n\w)[^\n]\n",
    rb"(\w)\1\n",
    rb"(a)?(?(1)b|\d)\n",
    rb"(?>a|ab) ?\n",
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


ATOMS = [rb"a", rb"b", rb"\n", rb"[ab]", rb"[^a]", rb".", rb"\w", rb"(?s:.)", rb"(?i:A)", rb"(a|b\n)", rb"(\n)?"]
LOOKS = [rb"\b", rb"\B", rb"^", rb"$", rb"(?m:^)", rb"(?m:$)", rb"(?=b)", rb"(?!ab)", rb"(?<=a)", rb"(?<!b)"]
regexes = st.recursive(
    st.sampled_from(ATOMS) | st.sampled_from(LOOKS),
    lambda inner: (
        st.tuples(inner, inner).map(b"".join)
        | st.tuples(inner, inner).map(lambda both: b"(?:%b|%b)" % both)
        | st.tuples(inner, st.sampled_from([b"*", b"+", b"+?", b"?", b"{1,2}", b"{2}"])).map(
            lambda both: b"(?:%b)%b" % both
        )
        | inner.map(lambda one: b"(?>%b)" % one)
    ),
    max_leaves=6,
)
short = st.text("ab\n -", max_size=20).map(str.encode)


@settings(max_examples=300)
@given(st.data(), regexes, short)
def test_what_a_regex_finds_anywhere_does_not_depend_on_the_cut(
    data: st.DataObject, source: bytes, text: bytes
) -> None:
    regex = re.compile(source)
    pieces = data.draw(cut(text))
    beginnings = [text[:end] for end in range(len(text) + 1)]
    assert bool(find_in_pieces(Anywhere(regex), pieces)) == any(map(regex.search, beginnings))

    ended = re.compile(source + b"\n")
    ends = [len(each) for each in beginnings if each.endswith(b"\n") and ended.search(each)]
    plain = ended.search(text[: ends[0]]) if ends else None
    found = find_in_pieces(compile_pattern(ended, anchored=False), pieces)
    assert (found and (found[0].span(), found[1])) == (plain and (plain.span(), ends[0]))


@settings(max_examples=300)
@given(regexes, short)
def test_a_loosened_regex_finds_something_wherever_the_regex_does_in_a_beginning(
    source: bytes, text: bytes
) -> None:
    regex = re.compile(source)
    found = loosened(regex).search(text)
    for end in range(len(text) + 1):
        if match := regex.search(text, 0, end):
            assert found
            assert found.start() <= match.start()


@pytest.mark.parametrize("at_once", [1, 256])
@pytest.mark.parametrize(
    ("source", "end"),
    [
        (rb"ready$\n", 15),
        (rb"(?!ready\nno)ready\n", 15),
        (rb"(?=ready\nno\n)ready\n", 18),
        (rb"(?>ready\nno\n|r)eady\n", 15),
        (rb"(?m)\bready\b$\n", 15),
    ],
)
def test_what_looks_ahead_sees_nothing_behind_the_shortest_piece(source: bytes, end: int, at_once: int) -> None:
    text = b"starting\nready\nno\n" + b"more\n" * 100
    pieces = [text[at : at + at_once] for at in range(0, len(text), at_once)]
    found = find_in_pieces(compile_pattern(re.compile(source), anchored=False), pieces)
    assert found is not None
    assert found[1] == end


@pytest.mark.parametrize(
    ("source", "width", "inner"),
    [
        (rb"[a-z]+=\d+\n", None, b"0123456789=abcdefghijklmnopqrstuvwxyz"),
        (rb"(?:ab|c\n){1,2}x", 5, b"\nabc"),
        (rb"a{3}", 3, b"a"),
        (rb"(?i:q)(u|it)", 3, b"Qiq"),
        (rb"(x)?\n", 2, b"x"),
        (rb"a(?=bc(?!de))b", 6, b"abcde"),
        (rb"(?>a|b)++c", None, b"ab"),
        (rb"(a)\1", 2, b"a"),
        (rb"(?i)(a)\1", 2, bytes(range(256))),
        (rb"(a)?(?(1)b|c)", 2, bytes(range(256))),
        (rb"a$", 1, b"a"),
        (rb"(?m)a$", 1, b"a"),
    ],
)
def test_how_far_a_match_can_look_from_where_it_begins_is_known(
    source: bytes, width: int | None, inner: bytes
) -> None:
    reach = reach_of(re.compile(source))
    assert (reach.width, bytes(sorted(reach.inner))) == (width, inner)


@pytest.mark.parametrize("source", [rb"[a-z]+=(\d{1,3}|x)*?\n", rb"(?i:q)uit", rb"(?m)^a", rb"\Aa"])
def test_a_regex_that_does_not_look_ahead_is_taken_as_it_is(source: bytes) -> None:
    regex = re.compile(source)
    assert loosened(regex) is regex


@pytest.mark.parametrize(
    "source",
    [
        rb"[a-z]+=\d+\n",
        rb"\w* \d{1,3} ready\n",
        rb"(?s)[ab=].{,9}never\n",
        rb"(?!\w+=x).* never$\n",
        rb"\b(\w)\w*=\1.*\n",
        rb"(?s)(?=abc.{,40}never)a.{,60}\n",
        rb"(?>[a-z]|ab)c=x$\n",
    ],
)
def test_a_search_through_many_lines_takes_time_in_proportion(source: bytes) -> None:
    search = compile_pattern(re.compile(source), anchored=False).search_from(0)
    anywhere = Anywhere(re.compile(source))
    buffer = bytearray()
    before = time.thread_time()
    for _ in range(150):
        buffer += b"abc=x 12 what is printed over and over\n" * 1700
        assert search.find(buffer) is None
        assert anywhere.find(buffer) is None
    assert time.thread_time() - before < 5  # for 10 MB: a quadratic search takes more than 20, this one about 1


@pytest.mark.parametrize(
    ("source", "end", "size"),
    [
        (rb"(?s:.*)\r\n\.\r\n", b".\r\n", 50),
        (rb"(?s:.*)\r\n\.\r\n", b".\r\n", 64 * 1024),
        (rb"(?s:.*?)END (\d+)\n", b"END 5\n", 64 * 1024),
    ],
)
def test_so_does_the_shortest_prefix(source: bytes, end: bytes, size: int) -> None:
    text = b"of a long mail, which is met as a whole\r\n" * 20_000 + end
    search = compile_pattern(re.compile(source), anchored=True).search_from(0)
    buffer = bytearray()
    before = time.thread_time()
    for at in range(0, len(text), size):
        assert search.find(buffer) is None
        buffer += text[at : at + size]
    assert what(search.find(buffer)) == (text, len(text))
    assert time.thread_time() - before < 5  # with each line tried it takes minutes


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


@pytest.mark.parametrize(
    ("pattern", "at_most"),
    [
        (rb"abc", 1),
        (rb"a*b", 101),
        (rb"a*b*", 101 * 101),
        (rb"(?:aa|bb)c{3}", 2),
        (rb"(a+)+b", float("inf")),
        (rb"(a*)\1", float("inf")),
        (rb"(?=a*)b", float("inf")),
    ],
)
def test_how_often_a_pattern_may_be_tried_is_never_told_too_low(pattern: bytes, at_most: float) -> None:
    assert most_tries(re.compile(pattern), 100) == at_most
