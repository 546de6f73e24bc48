"""`SharedStore`: a store that several servers use at the same time. No server talks to another one.

Rules, besides those of `Store`:

- A server joins, and has a lease, by the store's clock. While it is renewed, nobody else claims what the server has.
  One lease covers all of its threads: a server is alive or not.
- Any server accepts commands for any thread, and shows any thread. The server that has claimed it is told.
- Whatever renews a lease goes on while the event loop is blocked. A server that has not been able to renew its lease
  knows that in time, by the monotonic clock, and stops its runs before anybody else can claim them.
"""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from typing import Protocol, cast

import attrs

from anyiostream.remote.store.handle import StoredLog
from anyiostream.remote.store.protocol import News, Standing
from anyiostream.remote.store.store import Store

__all__ = ["Load", "Membership", "SharedStore", "as_shared"]


@attrs.frozen(kw_only=True)
class Load:
    """What all servers of a store have to do.

    Attributes:
        ready: Threads with commands that nobody has.
        age: Seconds for which the oldest of them has waited.
        servers: Servers that are alive.
    """

    ready: int
    age: float
    servers: int


class Membership(Protocol):
    """That a server has joined."""

    @property
    def lost(self) -> bool:
        """Whether others may have claimed what it has. It does not come back: join again, under another name."""
        ...

    @property
    def margin(self) -> float:
        """Seconds during which nobody can claim what it has."""
        ...

    def beat(self) -> None:
        """The server's event loop runs. A lease is not renewed for long without."""
        ...


def as_shared(store: Store) -> SharedStore | None:
    """The store, if it is one that servers may share."""
    return cast("SharedStore", store) if hasattr(store, "join") else None


class SharedStore(Store, Protocol):
    """Where the threads of several servers live."""

    @property
    def lease(self) -> float:
        """Seconds after which what a dead server had may be claimed."""
        ...

    def join(self, server: str) -> AbstractAsyncContextManager[Membership]:
        """A block in which a server may claim threads. At its end, it gives up all that it has.

        Raises:
            StoreFailed: It is out of reach.
        """
        ...

    async def make(self, owner: str, thread_id: str) -> Standing:
        """How a thread stands, which is made if there is none."""
        ...

    async def view(self, standing: Standing, *, follow: bool) -> StoredLog:
        """The log of a thread, to be read; with `follow` also what is written from now on, wherever that is."""
        ...

    async def watched(self, key: str, place: int) -> None:
        """Note that a client's watcher has been told of the run's end at `place`."""
        ...

    async def heard(self) -> News:
        """Wait for what concerns the server that has joined here, and take it. It is told at least once."""
        ...

    async def load(self) -> Load:
        """What all servers have to do. Also how it is known that the store can be used."""
        ...
