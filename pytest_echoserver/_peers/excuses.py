"""`Excuses`: the TLS handshakes of a peer that are expected to fail."""

from .._futures import CaptureFuture
from .._outcomes import fail, fulfil
from .mismatch import ScriptMismatch

__tracebackhide__ = True


class Excuses:
    """Those that were asked for and have not come; each excuses one handshake that fails, the oldest first.

    One whose wait has run out, or was cancelled, excuses nothing any more, and has not come.
    """

    def __init__(self) -> None:
        self._left: list[CaptureFuture[Exception]] = []
        self._told: list[CaptureFuture[Exception]] = []

    def expect(self, future: CaptureFuture[Exception]) -> None:
        self._left.append(future)

    def excuse(self, error: Exception) -> bool:
        """Whether it was expected that a handshake fails: then whoever waits for that gets ``error``."""
        for future in self._left:
            if future.claim():
                self._left.remove(future)
                fulfil(future, error)
                return True
        return False

    @property
    def awaited(self) -> bool:
        return bool(self._left)

    def end(self, error: Exception) -> None:
        """None comes any more: who waits gets ``error``."""
        for future in self._left:
            if future.claim():
                fail(future, error)

    def verdict(self, peer: object) -> list[Exception]:
        """What is wrong, if nothing more comes, and wasn't told before."""
        missing = sum(future not in self._told for future in self._left)
        if not missing:
            return []
        told = (
            "1 TLS handshake was expected to fail, and has"
            if missing == 1
            else (f"{missing} TLS handshakes were expected to fail, and have")
        )
        return [ScriptMismatch(f"{peer}: {told} not")]

    def tell(self) -> None:
        """Count what the verdict is now as told."""
        self._told = list(self._left)
