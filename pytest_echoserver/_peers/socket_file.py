"""`SocketFile`: what the socket of a Unix peer has made, and is removed with it."""

import os
from contextlib import suppress
from pathlib import Path


class SocketFile:
    """The file at ``path``, to be removed while its socket is open: until then nobody else's has its number."""

    def __init__(self, path: str) -> None:
        self._path: Path | None = Path(path).absolute()
        self._made: os.stat_result | None = None

    def know(self) -> None:
        """Remember which file it is: outside our own directory others may put one in its place."""
        if self._path is not None:
            try:
                self._made = self._path.lstat()
            except OSError:
                self._path = None

    def remove(self) -> None:
        """Remove it, unless another's stands there."""
        path, self._path = self._path, None
        if path is not None:
            with suppress(OSError):
                if self._made is None or os.path.samestat(self._made, path.lstat()):
                    path.unlink()
