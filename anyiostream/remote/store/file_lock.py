"""`FileLock`: one process has a file. The lock ends with the process, however that ends; a fork does not inherit it."""

from __future__ import annotations

import os
import sys
import threading
from pathlib import Path
from types import TracebackType
from typing import Final, Self, final

from anyiostream.remote.store.failures import StoreInUse, StoreUnfit

__all__ = ["FileLock"]

if sys.platform == "win32":
    import msvcrt

    def _lock(descriptor: int) -> None:
        msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)

else:
    import fcntl

    def _lock(descriptor: int) -> None:
        fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)


_taken: Final[set[Path]] = set()
"""The locks of this process: the system's lock does not exclude the process itself."""

_guard: Final = threading.Lock()


@final
class FileLock:
    """A block in which no other process, and nothing else in this one, has the lock of a file.

    The lock is on a file beside it, which stays: the file itself is SQLite's to lock.
    """

    def __init__(self, path: Path) -> None:
        self._path = path.resolve()
        self._descriptor = -1

    def __enter__(self) -> Self:
        """Take it.

        Raises:
            StoreInUse: Somebody has it.
            StoreUnfit: The file cannot be created.
        """
        with _guard:
            if self._path in _taken:
                raise StoreInUse(str(self._path))
            try:
                self._descriptor = os.open(f"{self._path}-lock", os.O_RDWR | os.O_CREAT, 0o600)
            except OSError as exc:
                raise StoreUnfit(str(self._path), f"its folder cannot be written: {exc.strerror}") from exc
            try:
                _lock(self._descriptor)
            except OSError as exc:
                os.close(self._descriptor)
                raise StoreInUse(str(self._path)) from exc
            _taken.add(self._path)
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Give it up."""
        with _guard:
            os.close(self._descriptor)
            _taken.discard(self._path)
