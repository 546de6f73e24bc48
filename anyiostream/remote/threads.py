"""`Threads`: those that a server remembers, by owner and id, and which of them it forgets for new ones.

Rules:

- A thread that runs, is watched, or waits for its user is not forgotten for another one.
- An owner who has as many threads as one may have makes room among their own, and so does one who has idle threads when
  the server is full. Only then is the thread that has been idle for longest forgotten, whoever owns it.
- What idle threads keep is bounded in bytes, in the same way.
- An owner who comes back to a forgotten thread restarts it, with what its checkpointer has; its name stays its owner's,
  because other owners' threads have other names. A store that outlives the process forgets nothing here: the thread is
  read back as it was, and one that waits for its user may be kept there alone.
"""

from __future__ import annotations

from collections import OrderedDict, defaultdict
from collections.abc import Awaitable, Callable
from typing import final

import anyio
import attrs

from anyiostream.remote.identity import ThreadKey
from anyiostream.remote.limits import Limits
from anyiostream.remote.refusals import Refusal
from anyiostream.remote.store import Store, thread_key
from anyiostream.remote.thread import Thread

__all__ = ["Held", "Load", "Threads"]

Load = Callable[[ThreadKey], Awaitable[Thread]]
"""Makes a thread, or reads it back as an earlier process has left it."""


@final
@attrs.define
class Held:
    """What there is: threads, and bytes that the idle ones of them keep."""

    threads: int = 0
    size: int = 0


@final
@attrs.frozen
class Share:
    """What there may be; `None` for any number."""

    threads: int | None
    size: int | None

    def is_reached_by(self, held: Held) -> bool:
        """Whether one more thread is too much."""
        return (self.threads is not None and held.threads >= self.threads) or self.is_exceeded_by(held)

    def is_exceeded_by(self, held: Held) -> bool:
        """Whether what is kept is too much already."""
        return self.size is not None and held.size > self.size


@final
class Threads:
    """The threads of one server."""

    def __init__(self, store: Store, limits: Limits, *, owned: bool) -> None:
        """Remember nothing yet.

        Args:
            store: Where threads live.
            limits: How many there may be, and how much they may keep.
            owned: Whether there are several owners, each with a part of that.
        """
        self._store = store
        self._most = Share(limits.threads, limits.kept)
        self._most_of_one = Share(limits.owner_threads, limits.owner_kept) if owned else Share(None, None)
        self._threads: OrderedDict[ThreadKey, Thread] = OrderedDict()
        self._sizes: dict[ThreadKey, int] = {}
        self._all = Held()
        self._held: defaultdict[str, Held] = defaultdict(Held)
        self._loading: dict[ThreadKey, anyio.Event] = {}

    def clear(self) -> None:
        """Forget all of them."""
        self._threads.clear()
        self._sizes.clear()
        self._held.clear()
        self._all = Held()

    @property
    def held(self) -> Held:
        """How many there are, and what the idle ones keep."""
        return self._all

    async def find(self, key: ThreadKey, load: Load) -> Thread | None:
        """The thread of that key, which has been used just now; or `None`. Checkpoints only to read it from a file.

        Args:
            key: Its key.
            load: Reads it back if it is not remembered.
        """
        thread = self._kept(key)
        if thread is None and self._store.survives:
            if await self._store.record(thread_key(key.owner, key.thread_id)) is None:
                return None
            return await self.get(key, load)
        return thread

    async def get(self, key: ThreadKey, load: Load) -> Thread:
        """The thread of that key, which is made if there is none.

        Args:
            key: Its key.
            load: Makes it, or reads it back, if it is not remembered. It is called once at a time.

        Raises:
            Refusal: There are too many, or they keep too much. HTTP status 429.
        """
        while (thread := self._kept(key)) is None:
            if key in self._loading:
                await self._loading[key].wait()
                continue
            self._make_room(key.owner)
            loaded = self._loading[key] = anyio.Event()
            self._count(key.owner, 1)  # already, as others may be loaded meanwhile
            try:
                thread = await load(key)
            except BaseException:
                self._count(key.owner, -1)
                raise
            else:
                self._threads[key] = thread
                self._weigh(key, 0)
            finally:
                del self._loading[key]
                loaded.set()
        return thread

    def peek(self, key: ThreadKey) -> Thread | None:
        """The thread of that key, if it is remembered. It does not count as used for that."""
        return self._threads.get(key)

    def is_kept(self, thread: Thread) -> bool:
        """Whether it is remembered."""
        return self._threads.get(thread.key) is thread

    def of(self, owner: str) -> list[Thread]:
        """An owner's threads that are remembered, the one used last at the end."""
        return [thread for key, thread in self._threads.items() if key.owner == owner]

    def drop(self, thread: Thread) -> None:
        """Forget a thread whose state here is obsolete."""
        if self.is_kept(thread):
            self._forget(thread.key)

    def _kept(self, key: ThreadKey) -> Thread | None:
        thread = self._threads.get(key)
        if thread is not None:
            self._threads.move_to_end(key)
        return thread

    def settle(self, thread: Thread) -> None:
        """Count what a thread that has become idle keeps. If that is too much, others are forgotten, or it is."""
        if self._threads.get(thread.key) is not thread:
            return
        owner = thread.owner
        self._weigh(thread.key, thread.size)
        while self._most_of_one.is_exceeded_by(self._held[owner]) and self._forget_idle(owner):
            pass
        while self._most.is_exceeded_by(self._all) and self._forget_idle(None):
            pass

    def _count(self, owner: str, more: int) -> None:
        self._all.threads += more
        self._held[owner].threads += more
        if not self._held[owner].threads:
            del self._held[owner]

    def _weigh(self, key: ThreadKey, size: int) -> None:
        more = size - self._sizes.get(key, 0)
        self._sizes[key] = size
        self._all.size += more
        self._held[key.owner].size += more

    def _make_room(self, owner: str) -> None:
        if self._most_of_one.is_reached_by(self._held[owner]) and not self._forget_idle(owner):
            raise Refusal("unknown_error", "you have too many threads; try again later.", status=429)
        if self._most.is_reached_by(self._all) and not (self._forget_idle(owner) or self._forget_idle(None)):
            raise Refusal("unknown_error", "there are too many threads; try again later.", status=429)

    def _forget_idle(self, owner: str | None) -> bool:
        """Forget the thread that has been idle for longest, of this owner or of any; whether there was one."""
        if owner is not None and not self._held[owner].threads:
            return False
        for key, thread in self._threads.items():
            if (owner is None or key.owner == owner) and (thread.idle or (self._store.survives and thread.unused)):
                self._forget(key)
                return True
        return False

    def _forget(self, key: ThreadKey) -> None:
        self._weigh(key, 0)
        self._store.discard(self._threads[key].log.key)
        del self._threads[key], self._sizes[key]
        self._count(key.owner, -1)
