"""`BridgedSource`: a graph for asyncio as a source of a run on trio, on an asyncio loop in a thread of its own.

Rules:

- On asyncio's side the graph runs in a plain task, as it would without trio, in a copy of the context
  variables of the task that opened the run.
- Parts cross in batches: what one iteration of the asyncio loop has produced, at most `BATCH`. One hop per part would
  cost 70 us each; in batches it is less than 2.
- The gate stays on asyncio's side; what has been taken, and demand, cross the other way. So backpressure holds over
  both sides together.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from contextvars import Context
from typing import Any, Final, final

import trio

from anyiostream.channels.latch import Latch
from anyiostream.driver.hosting import Host
from anyiostream.events import Namespace
from anyiostream.loops.asyncio_loop import AsyncioLoop
from anyiostream.loops.interface import LoopTask
from anyiostream.loops.portal import Portal
from anyiostream.loops.trio_host import current_portal
from anyiostream.source import NONE_AT_HAND
from anyiostream.sources.hosted import Execution
from anyiostream.sources.inbox import Inbox

__all__ = ["BridgedSource"]

BATCH: Final = 64
"""The most parts that cross at once."""


@final
class BridgedSource:
    """A graph for asyncio as a source of a run on trio."""

    spawns = True
    never_waits = False
    at_hand = NONE_AT_HAND  # what has been taken is counted

    def __init__(self, execution: Execution) -> None:
        self.name = execution.name
        self.assemble_message = execution.assemble_message
        self.request_drain = execution.request_drain
        self._inbox = Inbox()
        self._remote = RemoteExecution(execution, self._inbox)
        self._wanted = Latch(f"the first demand on {self.name}")
        self._task: LoopTask | None = None
        self._host: Host | None = None
        self._taken = 0
        self._asked = False

    @property
    def has_part(self) -> bool:
        """Whether `pull` would return anything but `NOTHING`."""
        return self._inbox.has_part

    @property
    def read_ahead(self) -> int:
        """Parts that are on this side already."""
        return len(self._inbox)

    def pull(self) -> Any:
        """The next part, `NOTHING`, or `END`; raises the graph's error."""
        if len(self._inbox):
            self._taken += 1
            self._asked = False
        return self._inbox.pull()

    def demand(self) -> None:
        """Let the other side know what has been taken, and that more is wanted."""
        if not self._asked:
            self._asked = True
            taken, self._taken = self._taken, 0
            self._wanted.open()
            self._remote.call(self._remote.demanded, taken)

    def start(self, host: Host) -> None:
        """Start the task that keeps the thread; it waits for demand before it starts it."""
        self._inbox.notify(host.part_arrived)
        self._host = host
        self._task = host.host(self._keep_portal, self.name)

    def abort_subgraph(self, namespace: Namespace) -> bool:  # noqa: ARG002 -- a source's method
        """Not possible: the graph runs as a whole."""
        return False

    def stop(self) -> None:
        """Stop the graph on its side."""
        self._wanted.open()
        self._remote.call(self._remote.stop)

    def stop_again(self) -> None:
        """Cancel its task once more."""
        self._remote.call(self._remote.cancel)

    async def close(self) -> None:
        """Wait until it has ended, and raise what closing it raised."""
        if self._task is not None and self._host is not None:
            await self._host.wait(self._task.finished)
        self._remote.raise_late_error()

    async def _keep_portal(self) -> None:
        assert self._host is not None
        await self._host.wait(self._wanted)
        if not self._remote.stopped:
            portal = current_portal()
            await portal.ready()
            self._remote.attach(portal, self._host.source_context)
            await self._host.wait(self._remote.finished)


@final
class RemoteExecution:
    """Asyncio's side of a bridge. Its methods run in asyncio's thread unless they say otherwise."""

    def __init__(self, execution: Execution, inbox: Inbox) -> None:
        self._execution = execution
        self._inbox = inbox
        self._portal: Portal | None = None
        self._task: asyncio.Task[None] | None = None
        self._batch: list[Any] = []
        self.at_hand: Final[deque[Any]] = deque()  # always empty: what has come is in the other thread
        self._ahead = 0
        self._flushing = False
        self._early: list[tuple[Callable[..., None], tuple[Any, ...]]] = []
        self.finished = Latch(execution.name)
        self.raise_late_error = execution.raise_late_error

    # --- in trio's thread ---

    @property
    def stopped(self) -> bool:
        """Whether it was stopped before the thread was there."""
        return any(call == self.stop for call, _ in self._early)

    def call(self, call: Callable[..., None], *args: Any) -> None:
        """Make a call in asyncio's thread, once there is one."""
        if self.finished.ready:
            return
        if self._portal is None:
            self._early.append((call, args))
        else:
            self._portal.to_asyncio(call, *args)

    @trio.lowlevel.enable_ki_protection
    def attach(self, portal: Portal, context: Context) -> None:
        """Begin, in the thread of `portal`."""
        self._portal = portal
        portal.to_asyncio(self._begin, context)
        early, self._early = self._early, []
        for call, args in early:
            portal.to_asyncio(call, *args)

    # --- in asyncio's thread ---

    def demanded(self, taken: int) -> None:
        """`taken` parts have been taken, and a reader waits for more."""
        self._ahead -= taken
        self._execution.gate.taken(self._ahead)
        if not self._batch:
            self._execution.gate.demand()

    def stop(self) -> None:
        """Let the graph end; cancel its task if it is at work."""
        self._execution.stop(self.cancel)

    def cancel(self) -> None:
        """Cancel the task."""
        if self._task is not None:
            self._task.cancel()

    def put(self, part: Any) -> bool:
        """Take a part; it crosses at the end of this iteration of the loop. Whether the next one may be produced."""
        self._ahead += 1
        goes_on = self._execution.gate.produced(part, self._ahead)
        self._batch.append(part)
        if len(self._batch) >= BATCH:
            self._flush()
        elif not self._flushing:
            self._flushing = True
            asyncio.get_running_loop().call_soon(self._flush)
        return goes_on

    def end(self, error: BaseException | None) -> None:
        """The graph has ended."""
        self._flush()
        self._cross(self._inbox.end, error)

    def _begin(self, context: Context) -> None:
        assert self._portal is not None
        execution = self._execution
        self._task = self._portal.create_task(lambda: execution.run(self, AsyncioLoop()), execution.name, context)
        self._task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        error = None if task.cancelled() else task.exception()
        assert error is None
        self._cross(self.finished.open)

    def _flush(self) -> None:
        self._flushing = False
        if self._batch:
            batch, self._batch = self._batch, []
            self._cross(self._inbox.put_batch, batch)

    def _cross(self, call: Callable[..., None], *args: Any) -> None:
        assert self._portal is not None
        self._portal.to_trio(call, *args)
