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
from functools import cache, cached_property
from importlib import import_module
from itertools import pairwise
from pathlib import Path
from textwrap import dedent
from types import ModuleType
from typing import Any, Generic, get_type_hints, is_typeddict

import pytest

import pytest_echoserver
from pytest_echoserver import (
    PeerOptions,
    Peers,
    TCPOptions,
    UDPOptions,
    UnixOptions,
    conformance,
    hookspecs,
    strategies,
)

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
        elif name in pytest_echoserver._TYPES:
            yield from ("", f"type {name} = {_alias(name)}")
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


def _alias(name: str) -> str:
    """What stands for a type, as the source has it."""
    for statement in _module(pytest_echoserver._TYPES[name]).body:
        if isinstance(statement, ast.Assign) and ast.unparse(statement.targets[0]) == name:
            return ast.unparse(statement.value)
    raise LookupError(name)


@cache
def _module(name: str) -> ast.Module:
    source = inspect.getsource(import_module(f"pytest_echoserver.{name}" if name[0] == "_" else name))
    return ast.parse(source)


def _ours(cls: type) -> list[type]:
    return [base for base in cls.__mro__ if base.__module__.startswith("pytest_echoserver")]


def of_class(name: str, cls: type) -> Iterator[str]:
    ours = _ours(cls)
    yield f"class {name}"
    foreign = next(base for base in cls.__mro__ if base not in ours)
    if is_typeddict(cls):
        yield from (f"  is a {ast.unparse(base)}" for base in _definition(cls).bases)
    elif foreign not in (object, ABC, Generic):
        yield f"  is a {foreign.__name__}"
    if dataclasses.is_dataclass(cls):
        yield from (f"  field {_field(field)}" for field in dataclasses.fields(cls))
    if is_typeddict(cls):
        yield from (f"  key {key}: {ast.unparse(written)}" for key, written in _annotated(cls))
    members = {member: value for base in reversed(ours) for member, value in vars(base).items()}
    yield from (f"  attribute {attribute}" for attribute in sorted(_attributes(cls, members)))
    for member, value in sorted(members.items()):
        if member == "__call__" or not member.startswith("_"):
            yield from _member(member, value)


def _definition(cls: type) -> ast.ClassDef:
    (definition,) = ast.parse(dedent(inspect.getsource(cls))).body
    assert isinstance(definition, ast.ClassDef)
    return definition


def _annotated(cls: type) -> Iterator[tuple[str, ast.expr]]:
    """What the body of a class has annotations for, as the source has them."""
    for statement in _definition(cls).body:
        if isinstance(statement, ast.AnnAssign):
            yield ast.unparse(statement.target), statement.annotation


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


MADE_BY_USERS = (pytest_echoserver.CaptureFuture, pytest_echoserver.Schedule)
"""By a call, and no dataclass: to make all else is ours."""
NEEDS_NO_NAME = {"Trigger"}
"""What `.on(...)` of faults adds to them, and nobody else makes."""


def test_each_type_in_a_public_signature_is_public_or_from_elsewhere() -> None:
    public = {*pytest_echoserver.__all__, *conformance.__all__, *NEEDS_NO_NAME}
    unknown = {
        f"{where}: {name}"
        for where, module, annotation in public_annotations()
        for name in _names(annotation) & _names_of_ours(module) - public
    }
    assert not unknown


def public_annotations() -> Iterator[tuple[str, str, ast.expr]]:
    """Where it stands, in which module, and what: of all arguments, results, fields and keys that users see."""
    for name in pytest_echoserver.__all__:
        value = getattr(pytest_echoserver, name)
        if not isinstance(value, type):
            if name not in pytest_echoserver._TYPES:  # what a fixture takes are other fixtures, pytest's to fill in
                returns = _source(inspect.unwrap(value)).definition.returns
                yield name, "_fixtures", returns or ast.Constant(None)
            continue
        for base in _ours(value):
            module = pytest_echoserver._TYPES.get(base.__name__, base.__module__.partition(".")[2])
            if dataclasses.is_dataclass(base) or is_typeddict(base):
                yield from ((f"{name}.{field}", module, written) for field, written in _annotated(base))
            shown = {each: member for each, member in vars(base).items() if not each.startswith("_")}
            also = ["__call__", *(["__init__"] if value in MADE_BY_USERS else [])]
            shown |= {each: vars(base)[each] for each in also if each in vars(base)}
            yield from _of_functions(name, shown)
    for public in (conformance, hookspecs, strategies):
        ours = {name: value for name, value in vars(public).items() if not name.startswith("_")}
        functions = {name: value for name, value in ours.items() if inspect.isfunction(value)}
        functions = {name: value for name, value in functions.items() if value.__module__ == public.__name__}
        yield from _of_functions(public.__name__, functions)


def _of_functions(where: str, members: dict[str, Any]) -> Iterator[tuple[str, str, ast.expr]]:
    for name, member in members.items():
        functions: list[Any]
        if isinstance(member, (staticmethod, classmethod)):
            functions = [member.__func__]
        elif isinstance(member, property):
            functions = [member.fget, member.fset]
        else:
            functions = [member.func if isinstance(member, cached_property) else inspect.unwrap(member)]
        for function in filter(inspect.isfunction, functions):
            definition = _source(function).definition
            arguments = (each for each in ast.walk(definition.args) if isinstance(each, ast.arg))
            for annotation in [definition.returns, *(each.annotation for each in arguments)]:
                if annotation is not None:
                    yield f"{where}.{name}", function.__module__.partition(".")[2], annotation


def _names(annotation: ast.expr) -> set[str]:
    names = set()
    for node in ast.walk(annotation):
        if isinstance(node, ast.Name):
            names.add(node.id)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):  # of a Literal, or quoted
            names |= _names(ast.parse(node.value, mode="eval").body)
    return names


@cache
def _names_of_ours(module: str) -> set[str]:
    """What a module has of ours: types that it makes itself, or imports from another."""
    names = set()
    for node in ast.walk(_module(module if module.startswith("_") else f"pytest_echoserver.{module}")):
        if isinstance(node, ast.ImportFrom) and node.level:
            names |= {each.asname or each.name for each in node.names}
        elif isinstance(node, ast.ClassDef):
            names.add(node.name)
        elif isinstance(node, ast.Assign) and not ast.unparse(node.value).startswith("TypeVar("):
            names |= {ast.unparse(target) for target in node.targets}
    return names


def test_each_fixture_is_told_in_a_sentence(downstream: Downstream) -> None:
    lines = downstream.run("def test_it(): pass", "--fixtures").outlines
    ours = next(at for at, line in enumerate(lines) if "defined from pytest_echoserver" in line)
    told = {line.split()[0]: after for line, after in pairwise(lines[ours:]) if " -- " in line}
    public = {name: getattr(pytest_echoserver, name) for name in pytest_echoserver.__all__}
    fixtures = {name for name in public if name not in pytest_echoserver._TYPES}
    assert told.keys() == fixtures
    for sentence in told.values():
        assert re.fullmatch(r"    [A-Z].{30,120}[.`]", sentence), sentence
