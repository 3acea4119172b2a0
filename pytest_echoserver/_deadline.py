"""How long a wait may take: checked here, and the default of the test that runs."""

import math

__tracebackhide__ = True

UNTIL_THE_TEST_ENDS = 1e9
"""Seconds, for a wait of ours that something else ends: a deadline of who asked for it, or the test's end."""
default: float = 5.0
"""Seconds that a wait without a timeout of its own may take. The plugin sets it from the settings."""


def seconds(value: object, name: str = "timeout") -> float:
    """Give ``value`` back as seconds, or say what is wrong with it.

    Raises:
        TypeError: it isn't a number.
        ValueError: it is negative, not a number, infinite or nearly so; every wait has a deadline.
    """
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise TypeError(f"{name} must be a number of seconds, not {value!r}")
    if not 0 <= value < math.inf:
        raise ValueError(f"{name} must be a finite number of seconds, 0 or more, not {value!r}")
    if value > UNTIL_THE_TEST_ENDS:  # the system's clocks have an end, and a float has one for an int
        raise ValueError(f"{name} must be {UNTIL_THE_TEST_ENDS:.0f} seconds or less, not {value!r}")
    return float(value)
