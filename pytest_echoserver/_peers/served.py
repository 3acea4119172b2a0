"""`ServedPeer`: what datagram and stream peers have in common, a record, a behaviour, and what went wrong."""

import socket
from abc import abstractmethod
from collections.abc import Callable
from typing import Any

from .._futures import CaptureFuture
from .._outcomes import raise_together
from .._record import Record
from .._scope import Rest, Scope
from .behaviours import check_handler
from .bound import BoundPeer

__tracebackhide__ = True


class ServedPeer(BoundPeer):
    """A peer that an echo or a handler serves, or that follows a script; or that only records."""

    _echo: Any
    """The behaviour that is told as "echoes"."""

    def __init__(
        self,
        scope: Scope,
        name: str,
        transport: str,
        sock: socket.socket,
        *,
        behaviour: Any,
        timeout: float,
        record: Record | None = None,
    ) -> None:
        super().__init__(scope, name, transport, sock)
        self._timeout = timeout
        self._record = Record() if record is None else record
        self._behaviour = behaviour
        self._scripted = False
        self._following = False
        self._errors: list[Exception] = []
        scope.may_rest(self._record, Rest(self._at_rest, self._close_at_rest))

    def verify(self) -> None:
        """Check now, after what has arrived was read: is all met that was expected, and did nothing go wrong?

        Raises:
            Exception: what went wrong, several as an `ExceptionGroup`. If you catch it, it isn't reported again.
        """
        self._scope.verify(self._wrong, self._told)

    @abstractmethod
    def _close_at_rest(self) -> bool:
        """Close it on this thread, if it can be seen from here that nothing is under way; else give false."""

    def _at_rest(self) -> bool:
        """Whether all that has come was dealt with, and no code of the user's has had a part in that."""
        simple = self._behaviour in (None, self._echo) and not self._scripted
        return self._closed or (simple and self._scope.engine.readers.at_rest(self._socket))

    @abstractmethod
    def _serve_by(self, handler: Any) -> None:
        """Let ``handler`` have what comes from here on, after what came before and wasn't read."""

    @abstractmethod
    def _follow_script(self) -> None:
        """Follow the script from here on."""

    @abstractmethod
    def _verdict(self) -> list[Exception]:
        """What is wrong, if it all ended now, and wasn't told before; beside the errors."""

    @abstractmethod
    def _told(self) -> None:
        """Count what is wrong now as told."""

    @abstractmethod
    def _what_came(self) -> str:
        """Tell what came, where something else was awaited."""

    def _serve(self, handler: Any) -> None:
        check_handler(handler)
        self._refuse_if_closed("serve()")
        if self._behaviour is not None:
            raise RuntimeError(f"serve(): {self} {self._what_it_does} already")
        if self._scripted:
            raise RuntimeError(f"serve(): {self} follows a script, so no handler can serve it as well")
        self._scope.call(self._serve_by, handler)

    def _refuse_if_served(self, asked: str) -> None:
        if self._behaviour is not None:
            raise RuntimeError(f"{asked}: {self} {self._what_it_does}, so it can't follow a script as well")

    def _begin_script(self, asked: str) -> None:
        """Be a peer with a script from here on, or raise."""
        self._refuse_if_closed(asked)
        self._refuse_if_served(asked)
        self._scripted = True

    def _post_script(self, function: Callable[..., object], *args: Any) -> None:
        if not self._following:  # now: what comes from here on is younger than the script
            self._scope.call(self._follow_once)
        self._scope.post(function, *args)

    def _follow_once(self) -> None:
        if not self._following:
            self._following = True
            self._follow_script()

    def _blame(self, error: Exception) -> bool:
        """Have the test fail with ``error``; false if it is over: what its tear-down causes is nobody's fault."""
        if self._scope.judged:
            return False
        self._errors.append(error)
        self._scope.blame(error)
        return True

    def _wrong(self) -> list[Exception]:
        return [*self._errors, *self._verdict()]

    def _was_closed(self) -> None:
        """Tell of the close; where it ends a scope of its own, as a peer's of wider scope does, judge as well."""
        self._scope.closed(self)
        if self._scope.wide:
            errors = self._scope.call(self._wrong)
            self._scope.call(self._told)
            self._scope.release(self._record)
            for error in errors:
                self._scope.pardon(error)
            raise_together(errors, f"errors of {self}")

    @property
    def _what_it_does(self) -> str:
        if self._behaviour is self._echo:
            return "echoes"
        return f"is served by {getattr(self._behaviour, '__qualname__', self._behaviour)}"

    def _future(self, what: str) -> CaptureFuture[Any]:
        return CaptureFuture(what, where=str(self), timeout=self._timeout, instead=self._what_came)
