"""`SubgraphFollower`: turns `tasks` events into subgraphs that start and end, for every mux that is concerned.

There is one per run, at the place of the root's first `SubgraphObserver`, instead of one per transformer and scope:
each event is looked at once, however many levels watch.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any, final

import attrs

from anyiostream.ending import Ending
from anyiostream.errors import MalformedPart
from anyiostream.events import Namespace, ProtocolEvent
from anyiostream.inline import run_inline
from anyiostream.subgraphs import (
    Subgraph,
    SubgraphEnd,
    SubgraphObserver,
    SubgraphTracker,
    end_by_exception,
    end_by_result,
)

if TYPE_CHECKING:
    from anyiostream.mux.router import Router

__all__ = ["SubgraphFollower"]


@final
@attrs.define(eq=False)
class EndingSubgraph:
    """A subgraph that has ended, and those who are being told.

    Attributes:
        subgraph: The subgraph.
        observers: Who is to be told.
        told: How many have been.
    """

    subgraph: Subgraph
    observers: tuple[SubgraphObserver, ...]
    told: int = 0


@final
class SubgraphFollower:
    """Follows the subgraphs of one run."""

    def __init__(self, router: Router, scope: Namespace) -> None:
        self._router = router
        self._tracker = SubgraphTracker(scope)
        self._ending: deque[EndingSubgraph] = deque()

    def __len__(self) -> int:
        """How many subgraphs are open."""
        return len(self._tracker)

    def begin(self) -> None:
        """The run has its first part."""
        for observer in self._router.nearest(self._tracker.scope).roster.made_observers():
            observer.run_started()

    def track(
        self, namespace: Namespace, data: Any, event: ProtocolEvent | None = None
    ) -> Coroutine[Any, Any, None] | None:
        """Handle the payload of a `tasks` part: start or end subgraphs.

        Args:
            namespace: Where the task is.
            data: The payload.
            event: The event to take on to the muxes of subgraphs, if their transformers may want it.

        Returns:
            `None` if that is done, or a coroutine that does it.

        Raises:
            MalformedPart: `data` is no task payload.
        """
        if not isinstance(data, dict):
            raise MalformedPart(data, f"the data of a 'tasks' part is a dict, not {type(data).__name__}")
        if "result" in data:
            ended = self._tracker.result(namespace, data)
            if ended:
                self._to_end(ended)
                ending = self._end(end_by_result(data), event)
                if self._router.waits_for_children:
                    return ending
                run_inline(ending, "a subgraph's transformer")
                return None
        else:
            started = self._tracker.start(namespace, data)
            if started is not None:
                for observer in self._observers(namespace):
                    observer.subgraph_started(started)
        return None if event is None else self._router.dispatch_below_root(event)

    def track_event(self, event: ProtocolEvent) -> Coroutine[Any, Any, None] | None:
        """As `track`, for an event that the muxes of subgraphs may want."""
        params = event["params"]
        return self.track(tuple(params["namespace"]), params["data"], event)

    async def end_all(self, ending: Ending) -> None:
        """The run ends: end what is still open, inner before outer.

        Raises:
            BaseException: The first error of a hook, when all have ended.
        """
        if ending.error is not None:
            end = end_by_exception(ending.error)
        else:
            end = SubgraphEnd("interrupted" if ending.interrupted else "completed")
        # Those whose end was cut off, by an abort or by a failing hook, come first.
        self._to_end(self._tracker.end_all())
        first: Exception | None = None
        while self._ending:
            try:
                await self._end_next(end, ending)
            except Exception as exc:  # noqa: BLE001 -- raised below
                first = first or exc
        if first is not None:
            raise first

    async def _end(self, end: SubgraphEnd, event: ProtocolEvent | None) -> None:
        while self._ending:
            await self._end_next(end, None)
        waiting = None if event is None else self._router.dispatch_below_root(event)
        if waiting is not None:
            await waiting

    def _to_end(self, subgraphs: list[Subgraph]) -> None:
        self._ending.extend([EndingSubgraph(each, self._observers(each.namespace)) for each in subgraphs])

    async def _end_next(self, end: SubgraphEnd, ending: Ending | None) -> None:
        """Tell of the end of one subgraph. If cancelled, it is still the next one; an observer is told once."""
        each = self._ending[0]
        while each.told < len(each.observers):
            try:
                waiting = each.observers[each.told].subgraph_ended(each.subgraph, end, ending)
                if waiting is not None:
                    await waiting
            except Exception:
                each.told += 1
                raise
            each.told += 1
        self._ending.popleft()
        self._router.forget(each.subgraph.namespace)

    def _observers(self, namespace: Namespace) -> tuple[SubgraphObserver, ...]:
        parent = namespace[:-1]
        mux = self._router.nearest(parent)
        return mux.observers(direct=mux.scope == parent)
