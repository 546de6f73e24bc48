"""`Health`: whether a server can take on work, as load balancers ask, and what it counts, as its operators do.

Rules:

- Whoever asks whether a server is ready may be anybody, and may ask very often. However many ask, the store is written
  to at most once in `INTERVAL`, and nobody waits for longer than `WITHIN`.
- What they are told names no host, no path and no thread; the log says more.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Collection, Mapping
from typing import Any, Final, final

import anyio

from anyiostream.remote.access import Access, Authorize, Caller, authorized
from anyiostream.remote.fleet import Fleet, short
from anyiostream.remote.refusals import Refusal
from anyiostream.remote.store import Store, latencies_of

__all__ = ["Health"]

logger = logging.getLogger(__name__)

INTERVAL: Final = 1.0
"""Seconds for which what a write has shown is believed."""

WITHIN: Final = 1.0
"""Seconds within which a write has to be answered."""

NO_LEASE: Final = "it has no lease: the store does not answer, or is full"
SLOW: Final = f"the store has not answered a write within {WITHIN:g} s"
REFUSED: Final = "the store has refused a write: it is full, or fails; the server's log says more"


@final
class Health:
    """How a server is.

    Args:
        store: Where its threads live.
        fleet: The server among those that share the store; `None` where nobody does.
        authorize: Decides who may do what.
        operators: On whose behalf the figures may be read, where `authorize` tells owners apart.
        statistics: The figures.
    """

    def __init__(
        self,
        store: Store,
        fleet: Fleet | None,
        *,
        authorize: Authorize | None,
        operators: Collection[str],
        statistics: Callable[[], Mapping[str, int]],
    ) -> None:
        self._store = store
        self._fleet = fleet
        self._authorize = authorize
        self._operators = frozenset(operators)
        self._statistics = statistics
        self._asked, self._answered = anyio.Event(), anyio.Event()
        self._failure: str | None = None
        self._begun = self._ended = -math.inf  # the last write

    async def run(self) -> None:
        """Write to the store when somebody wants to know whether that can be done. Until cancelled."""
        while True:
            await self._asked.wait()
            self._begun = anyio.current_time()
            failure = await self._written()
            self._ended = anyio.current_time()
            self._failure = SLOW if failure is None and self._ended > self._begun + WITHIN else failure
            self._asked = anyio.Event()
            answered, self._answered = self._answered, anyio.Event()
            answered.set()

    async def unready(self) -> str | None:
        """Why the store cannot be relied on; `None` if it has just answered a write. Takes at most `WITHIN`."""
        fleet = self._fleet
        if fleet is not None and not fleet.margin > 0:
            return NO_LEASE
        now = anyio.current_time()
        if now < self._ended + INTERVAL:
            return self._failure
        self._asked.set()
        waits = WITHIN if self._begun <= self._ended else self._begun + WITHIN - now
        with anyio.move_on_after(waits):
            await self._answered.wait()
            return self._failure
        return SLOW

    async def observed(self, caller: Caller) -> dict[str, Any]:
        """The figures, for an operator; times are in ms.

        Raises:
            Refusal: The caller is none (401, 403).
        """
        access = Access("observe", None, None, caller.headers, caller.client)
        identity = await authorized(self._authorize, access)
        if self._authorize is not None and identity not in self._operators:
            raise Refusal("permission_denied", "only operators of the server may read its figures.", status=403)
        shown: dict[str, Any] = dict(self._statistics())
        shown.update({name: latency.shown() for name, latency in latencies_of(self._store).items()})
        return shown if self._fleet is None else {"instance": short(self._fleet.holder), **shown}

    # --- inside ---

    async def _written(self) -> str | None:
        """Write; why that is not possible."""
        holder = "" if self._fleet is None else self._fleet.holder
        try:
            kept = await self._store.renew(holder)
        except Exception as exc:  # noqa: BLE001 -- a store of the program's own may raise anything
            if self._failure is None:
                logger.warning("the store refuses writes: %s", exc)
            return REFUSED
        return None if kept else NO_LEASE
