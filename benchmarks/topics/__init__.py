"""The topics, each in a module of its own that defines ``TOPICS``."""

from importlib import import_module

from ..measure import Topic

MODULES = (
    "set_up",
    "fixture_stack",
    "udp_echo",
    "handler",
    "harness",
    "many",
    "busy",
    "waiting",
    "memory",
    "processes",
    "proxy",
    "loading",
)


def topics() -> dict[str, Topic]:
    """All topics, by the name that the command line knows them by."""
    found: dict[str, Topic] = {}
    for module in MODULES:
        found |= import_module(f"{__name__}.{module}").TOPICS
    return found
