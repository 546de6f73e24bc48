"""`Recorder`: writes what the runs of a thread say to its log.

Rules:

- An event has its place as soon as it is recorded. It is shown when it is stored.
- Where storing takes time, a graph may go on meanwhile, but only past tokens and custom data (`STREAMED`), of which
  several are stored together then. Every other event is stored, with all that came before it, before the run goes on:
  these are the places at which a graph saves checkpoints, and what is before a checkpoint must not be missing when
  another process goes on from it. A run that waits for its viewers waits for the store, too.
- What changes with an event is stored together with it.
- If the store fails, nothing more is recorded: an end would stand in the log of a run that goes on elsewhere.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Final, final

import anyio
import attrs

from anyiostream.errors import AnyioStreamError
from anyiostream.remote.audience import Audience
from anyiostream.remote.jobs import Job
from anyiostream.remote.ledger import Ledger
from anyiostream.remote.store import StoredLog
from anyiostream.wire.drafts import Draft

__all__ = ["STREAMED", "Recorder"]

STREAMED: Final = frozenset({"messages", "tools", "custom"})
"""Methods of events between which a graph saves nothing."""

MOST_EVENTS: Final = 64
MOST_BYTES: Final = 256 * 1024
"""How many events, and how much of them, a run may be ahead of what has been stored."""


@final
class Recorder:
    """Writes a thread's events. One run at a time uses it.

    Args:
        log: The thread's.
        ledger: What is to know of each event.
        audience: Whom a run may have to wait for.
    """

    def __init__(self, log: StoredLog, ledger: Ledger, audience: Audience) -> None:
        self._log = log
        self._ledger = ledger
        self._audience = audience
        self._failure: AnyioStreamError | None = None
        self._is_beside = False
        self._placed = anyio.Event()

    async def record(self, job: Job, draft: Draft) -> None:
        """Write an event. What it says of the run itself names the run.

        Raises:
            Fenced: The thread has been claimed by somebody else.
            StoreFailed: The store cannot be written; also if it was an earlier event that could not.
        """
        if self._failure is not None:
            raise self._failure
        if draft.root_event is not None:
            if draft.root_event == "running" and self._ledger.fold.running:
                return  # it does already: it goes on after its server died
            draft = attrs.evolve(draft, data={**draft.data, "run_id": job.run_id})
        job.observe(draft)
        self._ledger.observe(draft)
        log = self._log
        await self._audience.wait(log.last, lambda: job.aborted)
        changes = self._ledger.placed(job, draft, log.next)
        log.place(draft, changes, fold=self._ledger.dumps)
        is_crowded = log.unwritten >= MOST_EVENTS or log.unwritten_size >= MOST_BYTES
        may_go_on = self._is_beside and self._audience.lead is None
        if may_go_on and draft.method in STREAMED and not (is_crowded or log.has_changes):
            self._placed.set()
            return
        try:
            await log.write()
        except AnyioStreamError as exc:
            job.end, self._failure = None, exc
            raise

    async def settle(self) -> None:
        """Wait until all that has been recorded is stored. Does not checkpoint if it is.

        Raises:
            As `record`.
        """
        await self._log.write()

    async def save(self) -> None:
        """Let the store know what a run has changed that the log does not say. If that fails, so does `record`."""
        try:
            await self._log.change(fold=self._ledger.dump)
        except AnyioStreamError as exc:
            self._failure = exc
            raise

    @asynccontextmanager
    async def beside(self) -> AsyncGenerator[None]:
        """A block beside which what is recorded in it is stored. What the block raises is raised as it is."""
        if not self._log.survives:
            yield  # storing takes no time
            return
        raised: BaseException | None = None
        async with anyio.create_task_group() as tasks:
            self._is_beside = True
            tasks.start_soon(self._store_along)
            try:
                yield
            except BaseException as exc:  # noqa: BLE001 -- raised below, and not in a group
                raised = exc
            self._is_beside = False
            tasks.cancel_scope.cancel()
        if raised is not None:
            raise raised

    # --- inside ---

    async def _store_along(self) -> None:
        while True:
            await self._placed.wait()
            self._placed = anyio.Event()
            try:
                await self.settle()
            except AnyioStreamError as exc:
                self._failure = exc  # which the run meets
                return
