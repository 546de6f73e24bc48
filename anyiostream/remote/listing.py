"""`Listing`: an owner's threads, wherever they are run, and each of them as it stands.

Nothing is claimed or made by being listed, and nothing is forgotten for it; a thread of version 0.1.0, which has no
label, is left one by whoever reads it. Where a server has its store for itself, the threads that it remembers are shown
as they are in memory; the others are read from the store.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import Final, final

from anyiostream.remote.identity import ThreadKey
from anyiostream.remote.loader import Loader
from anyiostream.remote.store import Listed, Store, StoreFailed
from anyiostream.remote.thread import Thread
from anyiostream.remote.threads import Threads

__all__ = ["PAGE", "Listing"]

PAGE: Final = 256
"""How many threads are asked for at a time."""


@final
class Listing:
    """Lists threads.

    Args:
        store: Where they live.
        loader: Makes what is shown of those that are not in memory.
        threads: Those that are; `None` where servers share the store.
        most: How many of one owner a server remembers.

    Attributes:
        most: The same.
    """

    def __init__(self, store: Store, loader: Loader, threads: Threads | None, most: int) -> None:
        self.most: Final = most
        self._store = store
        self._loader = loader
        self._threads = threads

    @property
    def is_shared(self) -> bool:
        """Whether servers share the store, so that a thread may be run by any of them."""
        return self._threads is None

    @property
    def is_all_in_memory(self) -> bool:
        """Whether there are no threads but those that `remembered` returns."""
        return not self._store.survives

    def remembered(self, owner: str) -> list[Thread]:
        """An owner's threads that are in memory and are this server's alone, the one used last at the end."""
        return [] if self._threads is None else self._threads.of(owner)

    async def page(self, owner: str, *, since: int = 0, skip: int = 0, most: int = PAGE) -> Sequence[Listed]:
        """Some of an owner's threads, the one that was touched last first. See `Store.listed`."""
        return await self._store.listed(owner, since=since, skip=skip, most=most)

    def in_memory(self, owner: str, listed: Listed) -> Thread | None:
        """A thread of a list, if it is in memory and this server's alone."""
        return None if self._threads is None else self._threads.peek(ThreadKey(owner, listed.thread_id))

    async def thread(self, owner: str, listed: Listed, known: Thread | None = None) -> Thread | None:
        """A thread of a list as it stands, to be shown; `None` if it is gone. Checkpoints only to read it.

        Args:
            owner: Whose it is.
            listed: The thread.
            known: What this has returned for it before. Obsolete afterwards, it saves reading the same again.
        """
        thread = self.in_memory(owner, listed)
        if thread is not None or self.is_all_in_memory:
            return thread
        read = await self._loader.stored(ThreadKey(owner, listed.thread_id), self._store, known)
        if read is not None and listed.label is None and not listed.commands and not read.busy:
            with suppress(StoreFailed):  # then it is read once more
                await self._store.label(listed, read.ledger.label())
        return read
