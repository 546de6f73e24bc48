"""`Fleet`: one of the servers that share a store: its lease, what it hears of the others, and what it takes over.

Rules:

- A server is known by its incarnation, which is new each time it joins. What an incarnation has lost it does not get
  back: its runs are stopped here, and go on wherever they are claimed.
- Threads of dead servers come first, then those that have waited for longest, for as many runs as there is room for.
- A run that is on its last attempt runs beside no other such run: if it kills its server, we know which one it was, and
  its neighbours do not fail for it.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Awaitable, Callable, Collection
from contextlib import suppress
from typing import Any, Final, Protocol, final
from uuid import uuid4

import anyio

from anyiostream.remote.containing import done_apart
from anyiostream.remote.identity import ThreadKey
from anyiostream.remote.limits import Limits
from anyiostream.remote.store import (
    CodecFailed,
    Load,
    Membership,
    Record,
    SharedStore,
    Standing,
    Stored,
    StoreFailed,
)
from anyiostream.tooling import loggable

__all__ = ["Fleet", "Server", "short"]

logger = logging.getLogger(__name__)

LOOK_ROUND: Final = 0.5
"""Seconds after which a server looks for what others have left, unless it is told earlier."""

BEAT: Final = 0.1
"""The part of a lease after which a server checks that it still has it."""

REMEMBERED: Final = 10_000
"""Threads of which it is remembered that it has been said that they cannot be decoded."""

PAUSE: Final = 0.5
"""Seconds after which a server that cannot join tries again."""


def short(holder: str) -> str:
    """Enough of an incarnation's name for people to tell servers apart."""
    return holder[:8]


class Server(Protocol):
    """What a fleet needs of the server that it is about."""

    @property
    def room(self) -> int:
        """For how many more runs there is room."""
        ...

    def has(self, key: str) -> bool:
        """Whether the runs of a thread are run here."""
        ...

    def can_read(self, record: Record) -> bool:
        """Whether a thread is not known to be one that cannot be read here."""
        ...

    def take_up(self, key: ThreadKey) -> None:
        """Claim a thread, and run what it has to run, in the background."""
        ...

    def hear(self, key: str) -> None:
        """Others have accepted something for a thread, or want a run stopped; look at it in the background."""
        ...

    def lose(self, key: str | None) -> None:
        """Another server has a thread, or may have all: stop its runs."""
        ...

    def erased(self, key: str) -> None:
        """A thread is no longer there: end its streams, so that its viewers connect again."""
        ...


@final
class Fleet:
    """A server among others.

    Args:
        store: What they share.
        limits: How much it takes on.
        served: Names of the assistants that it serves.

    Attributes:
        store: What they share.
        holder: The name of this incarnation; `""` while it has not joined.
        takeovers: Threads that dead servers have left, and this one has gone on with.
        load: What all servers had to do when that was last looked at.
    """

    def __init__(self, store: SharedStore, limits: Limits, served: Collection[str]) -> None:
        self.store: Final = store
        self.holder = ""
        self.takeovers = 0
        self.load = Load(ready=0, age=0.0, servers=0)
        self._limits = limits
        self._served = served
        self._member: Membership | None = None
        self._last_chances: set[str] = set()
        self._undecodable: set[str] = set()
        self.closing = False

    @property
    def margin(self) -> float:
        """Seconds during which nobody can claim what this server has."""
        return 0.0 if self._member is None else self._member.margin

    async def run(self, server: Server) -> None:
        """Be a member until cancelled; whenever membership is lost, a new one. `server` is told what concerns it."""
        while True:
            try:
                holder = uuid4().hex
                async with self.store.join(holder) as member:
                    self.holder, self._member = holder, member
                    logger.info("among those that share the store, this server is %s", short(holder))
                    async with anyio.create_task_group() as tasks:
                        tasks.start_soon(self._again_and_again, self._hear, server)
                        tasks.start_soon(self._again_and_again, self._look_round, server)
                        await self._watch(member)
                        # At once: what waits for the store's answers may do so until others have the runs.
                        self._lose(server)
                        tasks.cancel_scope.cancel()
            except StoreFailed as exc:
                logger.warning("the store cannot be joined yet: %s", exc)
            finally:
                self.holder, self._member = "", None
            await anyio.sleep(PAUSE)

    # --- inside ---

    async def _watch(self, member: Membership) -> None:
        """Return when membership is lost. Polls, as the loop may have been blocked, or the process stopped."""
        while not member.lost:
            member.beat()
            await anyio.sleep(self.store.lease * BEAT)

    def _lose(self, server: Server) -> None:
        """Be no member any more, before others may have what this server had."""
        self.holder, self._member = "", None
        logger.warning("the lease of this server has run out: its runs are stopped here")
        server.lose(None)

    async def _again_and_again(self, work: Callable[[Server], Awaitable[None]], server: Server) -> None:
        """Whatever the store raises once, the server goes on to be a member."""
        while True:
            await done_apart("looking for what others have left", work, server)
            await anyio.sleep(PAUSE)

    async def _hear(self, server: Server) -> None:
        while True:
            news = await self.store.heard()
            for key in news.lost:
                server.lose(key)
            for key in news.erased:
                server.erased(key)
            for key in news.inbox:
                server.hear(key)
            if news.ready:
                await self._take_over(server)

    async def _look_round(self, server: Server) -> None:
        while True:
            await anyio.sleep(LOOK_ROUND)
            await self._take_over(server)
            with suppress(StoreFailed):  # which the lease tells
                self.load = await self.store.load()

    async def _take_over(self, server: Server) -> None:
        """Claim what nobody has, as far as there is room."""
        if self.closing or server.room <= 0:
            return
        try:
            found = await self.store.unfinished()
            room = server.room
            for key in found:
                if room <= 0 or self.closing:
                    return
                standing = await self._to_be_run(key, server)
                if standing is not None:
                    self.takeovers += bool(standing.record.holder)
                    server.take_up(ThreadKey(standing.record.owner, standing.record.thread_id))
                    room -= 1
        except StoreFailed as exc:
            logger.warning("unclaimed threads cannot be read: %s", exc)

    async def _to_be_run(self, key: str, server: Server) -> Standing | None:
        """A thread that may be run here. One that cannot be read keeps nobody from the others. Raises `StoreFailed`."""
        try:
            standing = None if server.has(key) else await self.store.look(key)
            return standing if standing is not None and standing.inbox and self._may_run(standing, server) else None
        except StoreFailed:
            raise
        except Exception as exc:
            logger.exception("an unclaimed thread cannot be read: it is left to others", exc_info=loggable(exc))
            return None

    def _may_run(self, standing: Standing, server: Server) -> bool:
        head = standing.inbox[0]
        if not server.can_read(standing.record):
            return False
        if not head.cancelled and self._assistant(standing.record, head) not in self._served:
            return False  # servers of another version may have it
        self._last_chances = {key for key in self._last_chances if server.has(key)}
        if head.attempts == self._limits.attempts - 1 and self._limits.attempts > 1:
            if self._last_chances:
                return False
            self._last_chances.add(standing.record.key)
        return True

    def _assistant(self, record: Record, command: Stored) -> Any:
        """For which assistant a command is; `None` if that cannot be decoded here, which is said once."""
        try:
            return json.loads(command.body).get("assistant_id")
        except CodecFailed as exc:
            if record.key not in self._undecodable:
                if len(self._undecodable) >= REMEMBERED:
                    self._undecodable.clear()
                self._undecodable.add(record.key)
                logger.error("a command of thread %s is left to others: %s", record.thread_id, exc)  # noqa: TRY400
            return None
