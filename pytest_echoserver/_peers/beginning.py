"""`Beginning`: from where on a script is followed."""

from collections.abc import Callable
from typing import Any

from .._scope import Scope

__tracebackhide__ = True


class Beginning:
    """Has a script followed as soon as there is something in it, and what has to be done for it done after that.

    All on the engine's loop. Several threads may add the first step of a script: it is followed once.

    Args:
        follow: has whoever owns the script follow it from here on.
    """

    def __init__(self, scope: Scope, follow: Callable[[], None]) -> None:
        self.made = False
        """Whether the script is followed; or never will be, for it was forgotten."""
        self._scope = scope
        self._follow = follow

    def post(self, function: Callable[..., object], *args: Any) -> None:
        """Have a function called for the script, without waiting for it."""
        if not self.made:  # now: what comes from here on is younger than it
            self._scope.call(self._make)
        self._scope.post(function, *args)

    def _make(self) -> None:
        if not self.made:
            self.made = True
            self._follow()
