"""The public interface, name by name: what users write is noticed before it changes.

`public_api.txt` has all of it. After a change that is meant, write it anew, read the difference, and tell it in
the changelog::

    ECHOSERVER_GOLDEN=write pytest tests/test_public_api.py
"""

import ast
import dataclasses
import difflib
import inspect
import os
import pickle
import re
from abc import ABC
from collections.abc import Iterator
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from textwrap import dedent
from types import ModuleType
from typing import Any, Generic, get_type_hints

import pytest

import pytest_echoserver
from pytest_echoserver import Peers, conformance, hookspecs, strategies
from pytest_echoserver._peers.options import PeerOptions, TCPOptions, UDPOptions, UnixOptions

from .conftest import Downstream


def is_exception(public: object) -> bool:
    return isinstance(public, type) and issubclass(public, BaseException)


SNAPSHOT = Path(__file__).with_name("public_api.txt")


def test_nothing_public_has_changed_unnoticed() -> None:
    told = "\n".join(public_interface()) + "\n"
    if os.environ.get("ECHOSERVER_GOLDEN") == "write":
        SNAPSHOT.write_text(told, encoding="utf-8")
    before = SNAPSHOT.read_text(encoding="utf-8")
    changed = "\n".join(
        difflib.unified_diff(before.splitlines(), told.splitlines(), "before", "now", "", "", 0, "")
    )
    assert not changed, f"{__doc__}\n{changed}"


@pytest.mark.parametrize(
    "public",
    [Peers.udp, Peers.udp_echo, PeerOptions, UDPOptions, TCPOptions, UnixOptions],
    ids=lambda it: it.__name__,
)
def test_annotations_can_be_read_at_run_time(public: Any) -> None:
    assert get_type_hints(public)


MADE_OF: dict[str, tuple[Any, ...]] = {"EndOfStream": (b"ab", 4, "a text"), "ProcessDied": ("a text", 3)}


@pytest.mark.parametrize(
    ("module", "name"),
    [
        (module, name)
        for module in (pytest_echoserver, conformance)
        for name in module.__all__
        if is_exception(getattr(module, name))
    ],
)
def test_exceptions_can_be_pickled(module: ModuleType, name: str) -> None:
    error = getattr(module, name)(*MADE_OF.get(name, ("a text",)))
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is type(error)
    assert (str(again), vars(again)) == (str(error), vars(error))


def public_interface() -> Iterator[str]:
    """All public names with their signatures as the source has them, those of a module or a class sorted."""
    assert sorted(pytest_echoserver.__all__) == pytest_echoserver.__all__
    for name in pytest_echoserver.__all__:
        value = getattr(pytest_echoserver, name)
        if isinstance(value, type):
            yield from ("", *of_class(name, value))
        else:
            gives = str(_source(inspect.unwrap(value)).returns)
            if gives.startswith("Iterator["):  # it ends what it gives
                gives = gives.removeprefix("Iterator[").removesuffix("]")
            yield f"fixture {name} -> {gives}"
    for module in (conformance, hookspecs, strategies):
        yield from ("", f"module {module.__name__}")
        for name, value in sorted(vars(module).items()):
            if not name.startswith("_") and inspect.isfunction(value) and value.__module__ == module.__name__:
                yield f"  {name}{_source(value)}"


def of_class(name: str, cls: type) -> Iterator[str]:
    ours = [base for base in cls.__mro__ if base.__module__.startswith("pytest_echoserver")]
    yield f"class {name}"
    foreign = next(base for base in cls.__mro__ if base not in ours)
    if foreign not in (object, ABC, Generic):
        yield f"  is a {foreign.__name__}"
    if dataclasses.is_dataclass(cls):
        yield from (f"  field {_field(field)}" for field in dataclasses.fields(cls))
    members = {member: value for base in reversed(ours) for member, value in vars(base).items()}
    yield from (f"  attribute {attribute}" for attribute in sorted(_attributes(cls, members)))
    for member, value in sorted(members.items()):
        if member == "__call__" or not member.startswith("_"):
            yield from _member(member, value)


def _attributes(cls: type, members: dict[str, Any]) -> set[str]:
    """What instances have that is no field and no property: what the class names, and what its methods set."""
    functions = [value for name, value in members.items() if name == "__init__" or not name.startswith("__")]
    named = {name for name, value in members.items() if not (callable(value) or hasattr(value, "__get__"))}
    stored = {
        node.attr
        for function in functions
        if inspect.isfunction(function) and not function.__code__.co_filename.startswith("<")
        for node in ast.walk(_source(inspect.unwrap(function)).definition)
        if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store)
        if isinstance(node.value, ast.Name) and node.value.id == "self"
    }
    return {name for name in named | stored - members.keys() if not name.startswith("_")} - getattr(
        cls, "__dataclass_fields__", {}
    ).keys()


def _member(name: str, value: Any) -> Iterator[str]:
    if isinstance(value, (property, cached_property)):
        getter = value.fget if isinstance(value, property) else value.func
        assert getter is not None
        settable = isinstance(value, property) and value.fset is not None
        yield f"  {name} -> {_source(getter).returns}" + (", can be set" if settable else "")
    elif inspect.isfunction(value):
        yield f"  {name}{_source(inspect.unwrap(value))}"
    elif isinstance(value, (staticmethod, classmethod)):
        yield f"  {name}{_source(value.__func__)}, a {type(value).__name__}"


def _field(field: "dataclasses.Field[Any]") -> str:
    written = field.type.__name__ if isinstance(field.type, type) else field.type
    default = "" if field.default is dataclasses.MISSING else f" = {field.default!r}"
    return f"{field.name}: {written}{default}{', by keyword' if field.kw_only else ''}"


@dataclasses.dataclass(frozen=True)
class _source:  # noqa: N801  # it reads as a function
    """The arguments of a function, and what it returns, as they are written: alike in all versions of Python."""

    function: Any

    @property
    def definition(self) -> ast.FunctionDef | ast.AsyncFunctionDef:
        (definition,) = ast.parse(dedent(inspect.getsource(self.function))).body
        assert isinstance(definition, (ast.FunctionDef, ast.AsyncFunctionDef))
        return definition

    @property
    def returns(self) -> str:
        returns = self.definition.returns
        return ast.unparse(returns).strip("'") if returns else "?"

    def __str__(self) -> str:
        return f"({ast.unparse(self.definition.args)}) -> {self.returns}"


def test_each_fixture_is_told_in_a_sentence(downstream: Downstream) -> None:
    lines = downstream.run("def test_it(): pass", "--fixtures").outlines
    ours = next(at for at, line in enumerate(lines) if "defined from pytest_echoserver" in line)
    told = {line.split()[0]: after for line, after in pairwise(lines[ours:]) if " -- " in line}
    public = {name: getattr(pytest_echoserver, name) for name in pytest_echoserver.__all__}
    fixtures = {name for name, value in public.items() if not isinstance(value, type)}
    assert told.keys() == fixtures
    for sentence in told.values():
        assert re.fullmatch(r"    [A-Z].{30,120}[.`]", sentence), sentence
