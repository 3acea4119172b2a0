"""Errors that are alike: one of them is kept."""

from pytest_echoserver._blamed import MOST_REMEMBERED, Blamed, likeness


def raised(text: str) -> Exception:
    try:
        raise LookupError(text)
    except LookupError as error:
        return error


def test_of_a_hundred_thousand_no_more_than_some_are_held() -> None:
    blamed = Blamed()
    for _ in range(100_000):
        blamed.add(error := raised("it"), likeness(error, None))
    assert len(blamed._repeated) == MOST_REMEMBERED
    (told,) = blamed.tell()
    assert told.__notes__ == ["and 99,999 more like it"]


def test_one_that_comes_by_two_ways_is_counted_once() -> None:
    blamed = Blamed()
    for error in (raised("it"), raised("it")):
        blamed.add(error, likeness(error, "a peer"))
        blamed.add(error, likeness(error, None))
    (told,) = blamed.tell()
    assert told.__notes__ == ["and 1 more like it"]


def test_one_whose_text_can_not_be_had_is_like_no_other() -> None:
    class Untold(Exception):
        def __str__(self) -> str:
            raise SystemExit

    assert likeness(Untold(), None) != likeness(Untold(), None)


def test_nor_is_one_that_it_takes_long_to_compare() -> None:
    def like(links: int, text: str) -> object:
        error: Exception | None = None
        for _ in range(links):
            error, error_before = LookupError(text), error
            error.__cause__ = error_before
        assert error is not None
        return likeness(error, None)

    assert like(5, "it") == like(5, "it")
    assert like(100, "it") != like(100, "it")
    assert like(1, "it" * 100_000) != like(1, "it" * 100_000)


def test_one_that_is_raised_again_and_again_is_kept_once() -> None:
    blamed, error = Blamed(), LookupError("it")
    added = [blamed.add(error, number) for number in range(3)]
    assert added == [True, False, False]
    assert blamed.tell() == [error]


def test_what_was_told_is_forgotten_with_what_is_like_it() -> None:
    blamed = Blamed()
    errors = [raised("this"), raised("this"), raised("that"), raised("other")]
    for error in errors:
        blamed.add(error, likeness(error, None))
    blamed.forget(errors[:3])
    assert blamed.tell() == errors[3:]
    again = raised("this")
    assert blamed.add(again, likeness(again, None))


def test_numbers_that_are_not_its_own_tell_it_from_others() -> None:
    def like(number: int, port: int, text: str) -> object:
        return likeness(LookupError(text), None, (f"connection {number}", str(port)))

    assert like(7, 50001, "connection 7 from 50001") == like(8, 50002, "connection 8 from 50002")
    assert like(7, 50001, "7 of 50001") != like(8, 50002, "8 of 50002")
    assert like(7, 50001, "connection 7 to port 80") != like(8, 50002, "connection 8 to port 443")


def test_where_objects_lie_does_not_tell_them_apart_but_other_numbers_do() -> None:
    assert likeness(LookupError("bad opcode at 0x1"), None) != likeness(LookupError("bad opcode at 0x2"), None)
    assert likeness(LookupError("<a.B object at 0x7f01>"), None) == likeness(
        LookupError("<a.B object at 0x7f02>"), None
    )
