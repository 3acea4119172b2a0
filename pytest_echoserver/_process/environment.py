"""What is in a program's environment."""

import os
from collections.abc import Mapping
from typing import Any

__tracebackhide__ = True

COVERAGE = (
    "COVERAGE_PROCESS_START",
    "COVERAGE_PROCESS_CONFIG",
    "COV_CORE_SOURCE",
    "COV_CORE_CONFIG",
    "COV_CORE_DATAFILE",
)
"""By these a Python program finds that its coverage is to be measured (coverage.py and pytest-cov)."""


def complete_environment(env: Mapping[str, str] | None, extra_env: Mapping[str, str] | None) -> dict[str, str]:
    """This process's environment, or ``env`` and what measuring coverage needs; with ``extra_env`` in either case.

    Raises:
        TypeError: a name or a value is no str.
        ValueError: a name or a value is none that an environment can hold.
    """
    inherited = os.environ if env is None else {name: os.environ[name] for name in COVERAGE if name in os.environ}
    environment = {"PYTHONUNBUFFERED": "1", **inherited}
    for given in (env, extra_env):
        environment |= _checked(given or {})
    return environment


def _checked(given: Mapping[Any, Any]) -> Mapping[str, str]:
    for name, value in given.items():
        if not (isinstance(name, str) and isinstance(value, str)):
            raise TypeError(f"the environment must be of str, not {name!r}: {value!r}")
        if not name or "=" in name or "\0" in name:
            raise ValueError(f"a name in the environment can't be empty, nor hold '=' or NUL: {name!r}")
        if "\0" in value:
            raise ValueError(f"a value in the environment can't hold NUL: {name!r}: {value!r}")
    return given
