"""What is in a program's environment."""

import os
from collections.abc import Mapping
from typing import Any

from .arguments import check_encodable

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
    for name, given in (("env", env), ("extra_env", extra_env)):
        if given is not None:
            environment |= _checked(given, name)
    return environment


def _checked(given: Any, argument: str) -> Mapping[str, str]:
    if not isinstance(given, Mapping):
        raise TypeError(f"{argument} must be a mapping of str to str, not {given!r}")
    for name, value in given.items():
        if not (isinstance(name, str) and isinstance(value, str)):
            raise TypeError(f"the environment must be of str, not {name!r}: {value!r}")
        if not name or "=" in name or "\0" in name:
            raise ValueError(f"a name in the environment can't be empty, nor hold '=' or NUL: {name!r}")
        if "\0" in value:
            raise ValueError(f"a value in the environment can't hold NUL: {name!r}: {value!r}")
        check_encodable(name, "a name in the environment")
        check_encodable(value, "a value in the environment")
    return given
