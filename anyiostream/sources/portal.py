"""Running an asyncio iterable from trio: a thread with an asyncio loop, and a bridge for the parts.

Rules:

- One thread per trio loop, started with the first run that needs it and ended with the last.
- On asyncio's side the iterable is advanced by a plain task, as it would be without trio, in a copy of the context
  variables of the task that opened the run.
- Parts cross in batches: what one turn of the asyncio loop has produced, at most `BATCH`. One hop per part would cost
  70 us each; in batches it is less than 2.
- The gate stays on asyncio's side; what has been taken, and demand, cross the other way. So backpressure holds over
  both sides together.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterable, Callable
from contextlib import AbstractContextManager, asynccontextmanager
from contextvars import Context
from typing import TYPE_CHECKING, Any, Final, final

import anyio.from_thread
import sniffio
import trio

from anyiostream.channels.latch import Latch
from anyiostream.events import Namespace
from anyiostream.loops.asyncio_loop import AsyncioLoop
from anyiostream.projections.messages.output import Assembler
from anyiostream.sources.hosting import IteratorHost
from anyiostream.sources.inbox import Gate, Inbox

if TYPE_CHECKING:
    from anyiostream.lanes.async_run import AsyncRun
    from anyiostream.mux.port import SpawnedTask

__all__ = ["BridgedIterator"]

BATCH: Final = 64
"""The most parts that cross at once."""


@final
class Portal:
    """The asyncio thread of one trio loop."""

    def __init__(self) -> None:
        self._users = 0
        self._lock = trio.Lock()
        self._manager: AbstractContextManager[anyio.from_thread.BlockingPortal] | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    @asynccontextmanager
    @trio.lowlevel.enable_ki_protection  # who is counted as a user is one of the thread's; not so the block itself
    async def lease(self) -> AsyncGenerator[asyncio.AbstractEventLoop]:
        """The loop of the thread, which lives at least as long as this block."""
        with trio.CancelScope(shield=True):
            async with self._lock:
                self._users += 1
                if self._loop is None:
                    self._loop = await trio.to_thread.run_sync(self._start)
        assert self._loop is not None
        try:
            yield self._loop
        finally:
            with trio.CancelScope(shield=True):
                async with self._lock:
                    self._users -= 1
                    if not self._users:
                        self._loop = None
                        await trio.to_thread.run_sync(self._stop)

    def _start(self) -> asyncio.AbstractEventLoop:
        self._manager = anyio.from_thread.start_blocking_portal("asyncio", name="anyiostream asyncio portal")
        portal = self._manager.__enter__()
        return portal.call(asyncio.get_running_loop)

    def _stop(self) -> None:
        assert self._manager is not None
        self._manager.__exit__(None, None, None)


_portal: trio.lowlevel.RunVar[Portal] = trio.lowlevel.RunVar("anyiostream.portal")


def current_portal() -> Portal:
    """The portal of the running trio loop."""
    try:
        return _portal.get()
    except LookupError:
        portal = Portal()
        _portal.set(portal)
        return portal


@final
class BridgedIterator:
    """An asyncio iterable as a source of a run on trio."""

    spawns = True

    def __init__(
        self, open_iterable: Callable[[], AsyncIterable[Any]], name: str, gate: Gate, assemble: Assembler
    ) -> None:
        self.name = name
        self.assemble_message = assemble
        self._inbox = Inbox(None)
        self._remote = RemoteHost(open_iterable, name, gate, trio.lowlevel.current_trio_token(), self._inbox)
        self._wanted = Latch(f"the first demand on {name}")
        self._task: SpawnedTask | None = None
        self._run: AsyncRun | None = None
        self._taken = 0
        self._asked = False

    @property
    def has_part(self) -> bool:
        """Whether `pull` would answer something else than `NOTHING`."""
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

    def start(self, run: AsyncRun, on_part: Callable[[], None]) -> None:
        """Start the task that keeps the thread; it waits for demand before it starts it."""
        self._inbox.notify(on_part)
        self._run = run
        self._task = run.host(self._keep_portal, self.name)

    def abort_subgraph(self, namespace: Namespace) -> bool:  # noqa: ARG002 -- a source's method
        """Not possible: the graph runs as a whole."""
        return False

    def stop(self) -> None:
        """Stop the iterable on its side."""
        self._wanted.open()
        self._remote.call(self._remote.stop)

    def stop_again(self) -> None:
        """Cancel its task once more."""
        self._remote.call(self._remote.cancel)

    async def close(self) -> None:
        """Wait until it has ended, and raise what closing it raised."""
        if self._task is not None and self._run is not None:
            await self._run.wait(self._task.finished)
        error = self._remote.take_late_error()
        if error is not None:
            raise error

    async def _keep_portal(self) -> None:
        assert self._run is not None
        await self._run.wait(self._wanted)
        if not self._remote.stopped:
            async with current_portal().lease() as loop:
                self._remote.attach(loop, self._run.source_context.copy())
                await self._run.wait(self._remote.finished)


@final
class RemoteHost:
    """Asyncio's side of a bridge. Its methods run in asyncio's thread unless they say otherwise."""

    def __init__(
        self,
        open_iterable: Callable[[], AsyncIterable[Any]],
        name: str,
        gate: Gate,
        token: trio.lowlevel.TrioToken,
        inbox: Inbox,
    ) -> None:
        self._name = name
        self._gate = gate
        self._token = token
        self._inbox = inbox
        self._host = IteratorHost(open_iterable, name, gate, self)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._task: asyncio.Task[None] | None = None
        self._batch: list[Any] = []
        self._flushing = False
        self._early: list[tuple[Callable[..., None], tuple[Any, ...]]] = []
        self.finished = Latch(name)

    # --- in trio's thread ---

    @property
    def stopped(self) -> bool:
        """Whether it was stopped before the thread was there."""
        return any(call == self.stop for call, _ in self._early)

    def call(self, call: Callable[..., None], *args: Any) -> None:
        """Make a call in asyncio's thread, once there is one."""
        if self.finished.ready:
            return
        if self._loop is None:
            self._early.append((call, args))
        else:
            self._loop.call_soon_threadsafe(call, *args)

    @trio.lowlevel.enable_ki_protection
    def attach(self, loop: asyncio.AbstractEventLoop, context: Context) -> None:
        """Begin, on `loop`."""
        # trio's caller may have been started by AnyIO, which says so in this variable; the host runs elsewhere.
        context.run(sniffio.current_async_library_cvar.set, "asyncio")
        self._loop = loop
        loop.call_soon_threadsafe(self._begin, context)
        early, self._early = self._early, []
        for call, args in early:
            loop.call_soon_threadsafe(call, *args)

    def take_late_error(self) -> BaseException | None:
        """What stopping it raised, once."""
        error, self._host.late_error = self._host.late_error, None
        return error

    # --- in asyncio's thread ---

    def demanded(self, taken: int) -> None:
        """`taken` parts have been taken, and a reader waits for more."""
        self._gate.taken(taken)
        if not self._batch:
            self._gate.demand()

    def stop(self) -> None:
        """Stop the iterable."""
        if not self._gate.stopped:
            self._gate.stop()
            if self._host.advancing:
                self.cancel()

    def cancel(self) -> None:
        """Cancel the task."""
        if self._task is not None:
            self._task.cancel()

    def put(self, part: Any) -> None:
        """Take a part; it crosses at the end of this turn of the loop."""
        self._gate.produced(part)
        self._batch.append(part)
        if len(self._batch) >= BATCH:
            self._flush()
        elif not self._flushing:
            self._flushing = True
            assert self._loop is not None
            self._loop.call_soon(self._flush)

    def end(self, error: BaseException | None) -> None:
        """The iterable has come to its end."""
        self._flush()
        self._cross(self._inbox.end, error)

    def _begin(self, context: Context) -> None:
        assert self._loop is not None
        self._task = self._loop.create_task(self._host.run(AsyncioLoop()), name=self._name, context=context)
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
        self._token.run_sync_soon(call, *args)
