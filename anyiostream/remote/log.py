"""`ThreadLog`: the events of one thread, in order. The contract, and the log in memory that is the default.

The contract, which `tests/remote/test_log.py` checks for any log, so that a shared or durable one can take the place of
the one in memory:

- `append` gives an event the next `seq`, from 1, without a hole. When it returns, every reader can read the event.
- `read(after)` gives the events that follow `after`, in order, or none if there are none yet. Reading takes nothing
  away. It checkpoints or not, and a cancellation takes nothing.
- A log may forget its oldest events. Reading on from a place whose next event is gone raises `LogGap`; a reader is
  never moved over a gap unasked.
- `wait(after)` returns when there is something after `after`, or when something has been forgotten that a reader at
  `after` has not read. It may return early. A cancellation leaves nothing behind.
- Any number of tasks read and wait at the same time; only the thread's run appends.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from itertools import islice
from typing import Any, Final, Protocol, final
from uuid import uuid4

import anyio
import attrs
from anyio.lowlevel import checkpoint

from anyiostream.errors import AnyioStreamError
from anyiostream.events import Namespace
from anyiostream.remote.jsonable import encode
from anyiostream.remote.limits import Limits
from anyiostream.remote.refusals import gap_text
from anyiostream.remote.subscriptions import channel_of

__all__ = ["Draft", "Entry", "LogFactory", "LogGap", "MemoryLog", "ThreadLog"]


@final
@attrs.frozen
class Draft:
    """An event that has no place in a log yet.

    Attributes:
        method: The wire's name for what it is.
        namespace: Where it happened.
        data: Its payload, plain.
        timestamp: Wall-clock time in ms.
        extra: Further parameters, plain: `node`, `interrupts`.
    """

    method: str
    namespace: Namespace
    data: Any
    timestamp: int
    extra: dict[str, Any] = attrs.field(factory=dict)

    @property
    def channel(self) -> str:
        """The channel by which viewers ask for it."""
        return channel_of(self.method, self.data)

    @property
    def root_event(self) -> str | None:
        """What it says of the run itself, if it is a `lifecycle` event of the root."""
        if self.method == "lifecycle" and not self.namespace and isinstance(self.data, dict):
            event = self.data.get("event")
            return event if isinstance(event, str) else None
        return None


@final
@attrs.frozen
class Entry:
    """An event in a log.

    Attributes:
        seq: Its place, from 1.
        event_id: Unique in its thread, over restarts of the server too.
        method: The wire's name for what it is.
        channel: The channel by which viewers ask for it.
        namespace: Where it happened.
        root_event: What it says of the run itself, if it is a `lifecycle` event of the root.
        body: The whole event as JSON on one line, made once for all its viewers.
    """

    seq: int
    event_id: str
    method: str
    channel: str
    namespace: Namespace
    root_event: str | None
    body: bytes

    @classmethod
    def of(cls, draft: Draft, seq: int, event_id: str) -> Entry:
        """`draft` at its place."""
        event = {
            "type": "event",
            "event_id": event_id,
            "seq": seq,
            "method": draft.method,
            "params": {
                "namespace": list(draft.namespace),
                "timestamp": draft.timestamp,
                **draft.extra,
                "data": draft.data,
            },
        }
        return cls(seq, event_id, draft.method, draft.channel, draft.namespace, draft.root_event, encode(event))


@final
class LogGap(AnyioStreamError):
    """The events after a reader's place are no longer kept.

    Attributes:
        after: The reader's place.
        first: The oldest event that is kept.
    """

    def __init__(self, after: int, first: int) -> None:
        super().__init__(gap_text(after, first))
        self.after: Final = after
        self.first: Final = first


class ThreadLog(Protocol):
    """The events of one thread."""

    @property
    def log_id(self) -> str:
        """Tells this log from an earlier one of a thread of the same name; part of every `event_id`."""
        ...

    @property
    def first(self) -> int:
        """The `seq` of the oldest event that is kept; `last + 1` if there is none."""
        ...

    @property
    def last(self) -> int:
        """The `seq` of the newest event; 0 if there never was one."""
        ...

    async def append(self, draft: Draft) -> Entry:
        """Give an event its place."""
        ...

    async def read(self, after: int, most: int = 256) -> Sequence[Entry]:
        """The events after `after`, at most `most`.

        Raises:
            LogGap: The first of them is no longer kept.
        """
        ...

    async def wait(self, after: int) -> None:
        """Wait until a read after `after` would give something, or raise."""
        ...


LogFactory = Callable[[str, Limits], ThreadLog]
"""Makes the log of a thread, given the thread's id."""


@final
class MemoryLog:
    """A log in memory, bounded in events and bytes. It forgets its oldest events, but never the newest one.

    Attributes:
        log_id: Random.
        first: The oldest event's `seq`.
        last: The newest event's `seq`.
        size: Bytes that are kept.
    """

    def __init__(self, thread_id: str, limits: Limits) -> None:  # noqa: ARG002 -- a factory's arguments
        self.log_id = uuid4().hex[:12]
        self.first = 1
        self.last = 0
        self.size = 0
        self._limits = limits
        self._entries: deque[Entry] = deque()
        self._news: anyio.Event | None = None

    async def append(self, draft: Draft) -> Entry:
        """Give an event its place. Does not checkpoint."""
        self.last += 1
        entry = Entry.of(draft, self.last, f"{self.log_id}-{self.last}")
        self._entries.append(entry)
        self.size += len(entry.body)
        while len(self._entries) > 1 and (len(self._entries) > self._limits.events or self.size > self._limits.bytes):
            self.size -= len(self._entries.popleft().body)
            self.first += 1
        news, self._news = self._news, None
        if news is not None:
            news.set()
        return entry

    async def read(self, after: int, most: int = 256) -> Sequence[Entry]:
        """The events after `after`. Does not checkpoint."""
        if after >= self.last:
            return ()
        if after + 1 < self.first:
            raise LogGap(after, self.first)
        start = after + 1 - self.first
        if start > len(self._entries) // 2:
            # A deque is entered from its nearer end; followers are at the newer one.
            newest = list(islice(reversed(self._entries), len(self._entries) - start))
            return newest[::-1][:most]
        return list(islice(self._entries, start, start + most))

    async def wait(self, after: int) -> None:
        """Wait until there is more. Checkpoints."""
        if after < self.last:
            await checkpoint()
            return
        if self._news is None:
            self._news = anyio.Event()
        await self._news.wait()
