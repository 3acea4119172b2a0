"""What is tried of what is too much to try all of it."""

import pytest

from pytest_echoserver._conformance.trials import walk


@pytest.mark.parametrize(("begin", "places"), [(0, "ace"), (1, "bdf"), (2, "cea"), (7, "bdf")])
def test_a_walk_begins_with_another_place_for_each(begin: int, places: str) -> None:
    assert walk("abcdef", 3, begin) == list(places)
