"""`Streams`: the streams that a server is sending to viewers, how many there may be, and how they are cut."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Generator
from contextlib import contextmanager
from typing import final

import anyio

from anyiostream.remote.audience import Reader
from anyiostream.remote.limits import Limits
from anyiostream.remote.refusals import Refusal
from anyiostream.remote.thread import Thread

__all__ = ["Streams"]


@final
class Streams:
    """The streams of one server that are open.

    Args:
        limits: How many there may be.
        owned: Whether there are several owners, each with a part of that.

    Attributes:
        gaps: Readers who were told that what they wanted is no longer kept.
    """

    def __init__(self, limits: Limits, *, owned: bool) -> None:
        self._most = limits.connections
        self._most_of_one = limits.owner_connections if owned else None
        self.gaps = 0
        self._open: dict[anyio.CancelScope, tuple[str, Thread | None, Reader | None]] = {}

    def __len__(self) -> int:
        return len(self._open)

    def check(self, owner: str) -> None:
        """Refuse one more stream to an owner. Called right before it is opened.

        Raises:
            Refusal: There are too many (429).
        """
        if len(self._open) >= self._most:
            raise Refusal("unknown_error", "there are too many connections; try again later.", status=429)
        most = self._most_of_one
        if most is not None and sum(each == owner for each, _, _ in self._open.values()) >= most:
            raise Refusal("unknown_error", "you have too many connections; try again later.", status=429)

    def gap(self) -> None:
        """A reader is told that what it wants is no longer kept."""
        self.gaps += 1

    def viewers(self, owner: str) -> defaultdict[str, list[Reader]]:
        """Key of a thread of an owner's -> who reads it here, by whichever object."""
        found: defaultdict[str, list[Reader]] = defaultdict(list)
        for each, thread, viewer in self._open.values():
            if thread is not None and viewer is not None and each == owner:
                found[thread.log.key].append(viewer)
        return found

    def readers(self) -> list[Reader]:
        """All who read a thread."""
        return [viewer for _, _, viewer in self._open.values() if viewer is not None]

    @contextmanager
    def to_owner(self, owner: str, thread: Thread | None = None, viewer: Reader | None = None) -> Generator[None]:
        """A block in which a stream to an owner is open. It is cancelled when the stream is cut."""
        with anyio.CancelScope() as scope:
            self._open[scope] = (owner, thread, viewer)
            try:
                yield
            finally:
                del self._open[scope]

    @contextmanager
    def to_viewer(self, thread: Thread, viewer: Reader) -> Generator[None]:
        """As `to_owner`, to a viewer of a thread."""
        with self.to_owner(thread.owner, thread, viewer):
            thread.viewers.add(viewer)
            try:
                yield
            finally:
                thread.viewers.discard(viewer)
                thread.advanced()

    def cut(self, thread: Thread) -> None:
        """End the streams of a thread that cannot go on as it is here: its viewers connect again."""
        for scope, (_, viewed, _) in self._open.items():
            if viewed is thread:
                scope.cancel()

    def cut_all_of(self, key: str) -> None:
        """End the streams of a thread that is no longer there, whichever object they read it by."""
        for scope, (_, viewed, _) in self._open.items():
            if viewed is not None and viewed.log.key == key:
                scope.cancel()

    def cut_all(self) -> None:
        """End every stream. Idempotent."""
        for scope in self._open:
            scope.cancel()
