"""Values that somebody may pass where something else is meant, and how many of them a run tries."""

import asyncio
import enum
import math
import os
import re
import ssl
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

LONG = os.environ.get("ECHOSERVER_FUZZ") == "long"
"""Whether this run looks for what is new. Others try the same examples each time, and few."""


def examples(most: int) -> settings:
    """So many examples; or fifty times as many, and others each time, where a run may take long."""
    return settings(
        max_examples=most * 50 if LONG else most,
        derandomize=not LONG,
        suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    )


class Number(enum.IntEnum):
    ONE = 1
    HUGE = 2**70


class Odd:
    """Compares by identity, and tells a plain name."""

    def __repr__(self) -> str:
        return "<odd>"


async def coroutine_function(*_: object) -> None:
    raise AssertionError("nobody is to call this")


def function(*_: object) -> None:
    """Gives nothing, whatever it gets."""


class Unhashable(Odd):
    __hash__ = None  # type: ignore[assignment]


NUMBERS: list[Any] = [
    0,
    1,
    2,
    7,
    255,
    65_535,
    65_536,
    2**31 - 1,
    2**31,
    2**32,
    2**63,
    2**64,
    10**400,
    -1,
    -2,
    -(2**31),
    -(2**63) - 1,
    -(10**400),
    0.0,
    -0.0,
    0.5,
    1.0,
    -1.0,
    1e-9,
    5e-324,
    1e9,
    1e10,
    1e18,
    1e300,
    math.nan,
    math.inf,
    -math.inf,
    True,
    False,
    1j,
    Decimal(1),
    Decimal("nan"),
    Fraction(1, 3),
    Number.ONE,
    Number.HUGE,
]
BYTES: list[Any] = [
    b"",
    b"x",
    b"\0",
    b"\r\n",
    bytearray(),
    bytearray(b"xy"),
    memoryview(b""),
    memoryview(b"abcd"),
    memoryview(b"abcdef")[::2],
    memoryview(b"abcdefgh").cast("I"),
]
TEXTS: list[Any] = [
    "",
    "x",
    "a b",
    "\0",
    "/",
    "\ud800",
    "\n",
    "ü" * 200,
    "localhost",
    "127.0.0.1",
    "::1",
    "::1%lo",
    "0.0.0.0",
    "1",
    "nan",
    "tcp",
    "client",
    "reset",
    "in",
    "fe80::1%lo",
    "256.1.1.1",
    "\u0661",
    "%s",
    "{}",
    "stdout",
    "data_received",
]
OTHERS: list[Any] = [
    None,
    ...,
    Odd(),
    Odd,
    Unhashable(),
    object,
    int,
    bytes,
    str,
    function,
    coroutine_function,
    [],
    [None],
    [1],
    [1, 2],
    [0],
    [-1],
    ["x"],
    [b"x"],
    [[]],
    [math.nan],
    (),
    (None,),
    (1,),
    (1, 2),
    (0, 0),
    (None, None),
    ("", 0),
    ("127.0.0.1", 1),
    ("127.0.0.1", -1),
    ("127.0.0.1", 70_000),
    ("127.0.0.1", True),
    ("127.0.0.1", 1.5),
    ("::1", 1),
    ("x", 1),
    (b"127.0.0.1", 1),
    ("127.0.0.1", "1"),
    ("127.0.0.1", 1, 2, 3, 4),
    (1, 2, 3),
    {},
    {1: 2},
    {"x": "y"},
    {"x": 1},
    {"": ""},
    {"a=b": "x"},
    {"x": "\0"},
    set(),
    {1},
    frozenset({b"x"}),
    range(0),
    range(1, 3),
    slice(1),
    iter([b"x"]),
    re.compile("x"),
    re.compile(b""),
    re.compile(rb"x*"),
    re.compile(rb"x\n"),
    re.compile(rb"(?=x)"),
    re.compile(rb"$"),
    Path("x"),
    Path(),
    Path("/nonexistent/x"),
    ValueError("x"),
    ValueError,
    KeyboardInterrupt(),
    BaseException(),
    asyncio.Protocol,
    asyncio.DatagramProtocol,
    asyncio.SubprocessProtocol,
    asyncio.Protocol(),
    ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT),
    os.terminal_size((1, 1)),
    os.terminal_size((0, -1)),
]
LARGE = bytes(70_000)
AWKWARD: list[Any] = [*NUMBERS, *BYTES, *TEXTS, *OTHERS, LARGE]

# Without the last: Hypothesis would write it out.
awkward: st.SearchStrategy[Any] = st.integers(0, len(AWKWARD) - 2).map(AWKWARD.__getitem__)
made: st.SearchStrategy[Any] = st.one_of(
    st.integers(),
    st.floats(),
    st.text(max_size=20),
    st.binary(max_size=20),
    st.binary(max_size=20).map(bytearray),
    st.tuples(st.ip_addresses().map(str), st.integers(-10, 70_000)),
)
values: st.SearchStrategy[Any] = st.recursive(
    awkward | made, lambda inner: st.lists(inner, max_size=3) | st.tuples(inner, inner), max_leaves=4
)
