"""The kinds of peers that ``pytest_echoserver_peer_types`` adds."""

from collections.abc import Callable, Mapping, Sequence
from functools import wraps
from keyword import iskeyword
from typing import Any

from .peers import Peers

__tracebackhide__ = True


def with_kinds(given: Sequence[Mapping[str, Callable[..., Any]]]) -> type[Peers]:
    """`Peers` that also make those of the kinds that ``pytest_echoserver_peer_types`` gave.

    Raises:
        TypeError, ValueError: a name or a factory is none, or a name is taken.
    """
    methods: dict[str, Callable[..., Any]] = {}
    for mapping in given:
        for name, factory in mapping.items():
            if not str(name).isidentifier() or iskeyword(name) or name.startswith("_"):
                raise ValueError(f"a kind of peers must have a name that can be written after peers., not {name!r}")
            if name in methods or hasattr(Peers, name):
                raise ValueError(
                    f"there are peers.{name} already: pytest_echoserver_peer_types must name it otherwise"
                )
            if not callable(factory):
                raise TypeError(f"what makes peers.{name} must be callable, not {factory!r}")
            methods[name] = _as_method(factory)
    return type(Peers.__name__, (Peers,), methods)


def _as_method(factory: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(factory, updated=())  # with what a class or an object has among its attributes it couldn't be told
    def make(self: Peers, /, *args: Any, **options: Any) -> Any:
        return factory(self, *args, **options)

    return make
