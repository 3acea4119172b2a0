import pytest

from pytest_echoserver import _deadline


@pytest.mark.parametrize("value", [0, 0.5, 3])
def test_a_number_of_seconds_is_given_back(value: float) -> None:
    assert _deadline.seconds(value) == value


@pytest.mark.parametrize("value", [-1, -0.001, float("nan"), float("inf")])
def test_a_number_that_is_no_deadline_is_a_value_error(value: float) -> None:
    with pytest.raises(ValueError, match=r"timeout must be a finite number of seconds, 0 or more, not"):
        _deadline.seconds(value)


@pytest.mark.parametrize("value", [1e10, 1e300, 10**400])
def test_more_than_a_clock_can_tell_is_a_value_error(value: float) -> None:
    with pytest.raises(ValueError, match=r"timeout must be 1000000000 seconds or less, not 1"):
        _deadline.seconds(value)


@pytest.mark.parametrize("value", ["1", None, True, b"1"])
def test_what_is_no_number_is_a_type_error(value: object) -> None:
    with pytest.raises(TypeError, match=r"timeout must be a number of seconds, not"):
        _deadline.seconds(value)
