"""A server that follows threads, and what it reads: it can be held while it takes what has come."""

from __future__ import annotations

from typing import Any

import anyio
from coredis.exceptions import RedisError

from anyiostream.remote.store import thread_key

__all__ = ["Reader", "followed"]


def weight(reply: Any) -> int:
    """Bytes of a reply of the store's."""
    if isinstance(reply, bytes):
        return len(reply)
    if isinstance(reply, dict):
        return weight(list(reply.items()))
    return sum(map(weight, reply)) if isinstance(reply, (list, tuple)) else 8


class Reader:
    """A server that follows threads, and what its store replies to it."""

    def __init__(self, store: Any) -> None:
        self.store = store
        self.names: list[bytes] = []
        self.sizes: list[int] = []
        self.together: list[int] = []
        self.taken: list[str] = []
        self.held = self.waits = False
        self._go_on: anyio.Event | None = None
        self._tail = followed = store._open.tail  # noqa: SLF001
        ask, is_known, take = followed._lane.ask, followed._is_known, followed._take  # noqa: SLF001

        async def asked(*commands: Any, **options: Any) -> Any:
            names = [command[0] for command in commands]
            self.waits = b"XREAD" in names
            replies = await ask(*commands, **options)
            self.waits = False
            self.names += names
            self.sizes.append(weight(replies))
            if b"EVALSHA" in names and not isinstance(replies[0], RedisError):
                self.together.append(len(replies[0][1]))
            return replies

        async def known(*entries: Any) -> bool:
            if self._go_on is not None:
                self.held = True
                await self._go_on.wait()
            return bool(await is_known(*entries))

        def taking(stream: str, entries: Any) -> None:
            self.taken.append(stream)
            take(stream, entries)

        followed._lane.ask, followed._is_known, followed._take = asked, known, taking  # noqa: SLF001

    def hold(self) -> None:
        """Let it read nothing more than it is about to."""
        self._go_on = anyio.Event()
        self.held = False

    def go_on(self) -> None:
        """Let it read what has come."""
        assert self._go_on is not None
        self._go_on.set()
        self._go_on = None
        for each in (self.sizes, self.together, self.taken):
            each.clear()


async def followed(store: Any, thread_id: str) -> Any:
    """The log of a thread, kept up to date."""
    return await store.view(await store.look(thread_key("ann", thread_id)), follow=True)
