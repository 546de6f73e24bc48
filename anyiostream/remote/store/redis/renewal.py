"""`Renewal`: a server's lease, renewed by a thread with an event loop and a connection of its own.

A node that blocks the server's event loop does not stop it; only code that never releases the GIL does. What others may
conclude from a lease is decided by the store's clock. What the server concludes is on the safe side: it counts from
before it sent the last renewal that was answered, by the monotonic clock.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Final, final

import anyio

from anyiostream.remote.store.failures import StoreFailed
from anyiostream.remote.store.redis.lane import Lane
from anyiostream.remote.store.redis.scripts import Script
from anyiostream.tooling import loggable

__all__ = ["Renewal"]

logger = logging.getLogger(__name__)

RENEWALS: Final = 3
"""Renewals of a lease before it runs out."""

SAFE: Final = 0.8
"""The part of a lease for which a server relies on it."""


@final
class Renewal:
    """The lease of one server.

    Args:
        lane: Makes a connection, in the thread.
        script: Does the renewing.
        server: Whose lease.
        lease: Seconds that it lasts.
        stuck: Seconds without a beat of the server's loop after which it is not renewed.
    """

    def __init__(self, lane: Callable[[], Lane], script: Script, server: str, lease: float, stuck: float) -> None:
        self._lane = lane
        self._script = script
        self._server = server
        self._lease = lease
        self._stuck = stuck
        self._beaten = self._renewed = time.monotonic()
        self._refused = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name="anyiostream lease", daemon=True)

    def start(self, joined: float) -> None:
        """Begin; the lease was asked for at `joined`, by the monotonic clock."""
        self._renewed = self._beaten = joined
        self._thread.start()

    def stop(self) -> None:
        """End. Waits for the thread, which does not take long."""
        self._stopping = True
        loop = self._loop
        if loop is not None:
            with suppress(RuntimeError):  # it has ended
                loop.call_soon_threadsafe(self._cancel)
        self._thread.join()

    def beat(self) -> None:
        """The server's event loop runs."""
        self._beaten = time.monotonic()

    @property
    def margin(self) -> float:
        """Seconds during which nobody can claim what the server has."""
        return 0.0 if self._refused else max(0.0, self._renewed + SAFE * self._lease - time.monotonic())

    @property
    def lost(self) -> bool:
        """Whether others may have it."""
        return not self.margin

    def _cancel(self) -> None:
        self._scope.cancel()

    def _run(self) -> None:
        try:
            anyio.run(self._renew, backend="asyncio")
        except Exception as exc:
            logger.exception("the lease of this server can no longer be renewed", exc_info=loggable(exc))

    async def _renew(self) -> None:
        async with anyio.create_task_group() as tasks:
            self._scope = tasks.cancel_scope
            self._loop = asyncio.get_running_loop()
            if self._stopping:
                return
            lane = self._lane()
            tasks.start_soon(lane.run)
            try:
                await self._keep(lane)
            finally:
                lane.close()

    async def _keep(self, lane: Lane) -> None:
        """Renew it until somebody else may have it. An attempt that takes long is followed by the next one at once."""
        before = self._renewed
        while not self._refused:
            await anyio.sleep(max(0.0, before + self._lease / RENEWALS - time.monotonic()))
            before = time.monotonic()
            if before - self._beaten > self._stuck:
                continue
            try:
                kept = await self._script.call(
                    lane, "renew", self._server, int(self._lease * 1_000_000), patience=self._lease / RENEWALS
                )
            except StoreFailed:
                continue
            if kept:
                self._renewed = before
            else:
                self._refused = True
