"""`Excuses`: the TLS handshakes of a peer that are expected to fail."""

from .._futures import CaptureFuture
from .._outcomes import fail, fulfil
from .mismatch import missing

__tracebackhide__ = True


class Excuses:
    """Those that were asked for and have not come; each excuses one handshake that fails, the oldest first.

    Those that are waited for come before those whose wait ran out; one that was cancelled is withdrawn.
    """

    def __init__(self) -> None:
        self._awaited: list[CaptureFuture[Exception]] = []
        self._told: list[CaptureFuture[Exception]] = []
        """Those of which it was said that they are missing."""

    def expect(self, future: CaptureFuture[Exception]) -> None:
        self._awaited.append(future)

    def excuse(self, error: Exception) -> bool:
        """Whether it was expected that a handshake fails: then whoever waits for that gets ``error``."""
        left = self._left
        if not left:
            return False
        excused = next((future for future in left if not future.done()), left[0])
        self._awaited.remove(excused)
        fulfil(excused, error)
        return True

    def end(self, error: Exception) -> None:
        """None comes any more: who waits gets ``error``."""
        for future in self._left:
            fail(future, error)

    def verdict(self, peer: object) -> list[Exception]:
        """What is wrong, if nothing more comes, and wasn't told before."""
        count = sum(future not in self._told for future in self._left)
        if not count:
            return []
        told = "1 TLS handshake was expected to fail, and has not"
        if count > 1:
            told = f"{count} TLS handshakes were expected to fail, and have not"
        return [missing(f"{peer}: {told}")]

    def tell(self) -> None:
        """Count what the verdict is now as told."""
        self._told = self._left

    @property
    def _left(self) -> list[CaptureFuture[Exception]]:
        return [future for future in self._awaited if not future.cancelled()]

    def __bool__(self) -> bool:
        return bool(self._awaited)
