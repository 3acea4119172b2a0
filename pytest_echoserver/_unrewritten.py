"""Has the modules of this package load as Python loads them; to be imported before any other of them.

Else pytest's import hook, which rewrites the asserts of plugins, loads them. Ours have none that speak to a user,
and by it a module takes twice as long, from its cache, too: in every run on a machine that has this installed.
"""

import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType

OURS = f"{__package__}."


class _Finder:
    """Asks Python's own finder for what is ours, and leaves all else to those that come after it."""

    @staticmethod
    def find_spec(
        name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        return PathFinder.find_spec(name, path, target) if name.startswith(OURS) else None


sys.meta_path.insert(0, _Finder)
