"""`SubgraphFollower`: turns `tasks` events into subgraphs that start and end, and calls their observers.

There is one per run, at the place of the root's first `SubgraphObserver`, instead of one per transformer and scope:
each event is looked at once, however many levels observe.
"""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any, final

import attrs

from anyiostream.errors import MalformedPart
from anyiostream.events import Namespace
from anyiostream.inline import run_inline
from anyiostream.mux.task_ends import TaskEnds
from anyiostream.mux.tree import Tree
from anyiostream.outcome import COMPLETED, Outcome
from anyiostream.subgraph_tracker import SubgraphTracker
from anyiostream.subgraphs import Subgraph, SubgraphObserver, outcome_of_result

__all__ = ["SubgraphFollower"]


@final
@attrs.define(eq=False)
class EndingSubgraph:
    """A subgraph that has ended, and its observers.

    Attributes:
        subgraph: The subgraph.
        observers: The observers to call, in order.
        called: How many of them have been called.
    """

    subgraph: Subgraph
    observers: tuple[SubgraphObserver, ...]
    called: int = 0


@final
@attrs.define(eq=False, repr=False)  # what it holds leads to the whole tree
class SubgraphFollower:
    """Follows the subgraphs of one run: in `tree` those whose observers it calls, by what `tracker` knows of them."""

    _tree: Tree
    _tracker: SubgraphTracker
    _task_ends: TaskEnds
    # In order. An empty dictionary, unlike an empty deque, is not tracked by the garbage collector; see `RunState`.
    _ending: dict[EndingSubgraph, None] = attrs.field(factory=dict)

    def __len__(self) -> int:
        """How many subgraphs are open."""
        return len(self._tracker)

    @property
    def busy(self) -> bool:
        """Whether subgraphs are open, or have ended and some of their observers have not been called."""
        return bool(self._ending) or len(self._tracker) > 0

    def begin(self) -> None:
        """The run has its first part."""
        for observer in self._tree.root.made_observers():
            observer.run_started()

    def follow(self, namespace: Namespace, data: Any) -> Coroutine[Any, Any, None] | None:
        """Start or end subgraphs, by the payload of a `tasks` part.

        Args:
            namespace: The namespace of the graph that the task belongs to.
            data: The payload.

        Returns:
            `None` if that is done, or a coroutine that does it.

        Raises:
            MalformedPart: `data` is not a task payload.
        """
        if not isinstance(data, dict):
            raise MalformedPart(data, f"the data of a 'tasks' part is a dict, not {type(data).__name__}")
        if "result" in data:
            if self._task_ends.watched:
                self._task_ends.ended(namespace, data)
            ended = self._tracker.result(namespace, data)
            if data.get("error"):
                self._expect_calls()
            if ended:
                self._to_end(ended)
                return self._now_or_later(self._end(outcome_of_result(data)))
            return None
        started = self._tracker.start(namespace, data)
        self._expect_calls()
        if started is not None:
            broken = self._tracker.broken_before(started)
            if broken:
                self._to_end(broken)
                return self._now_or_later(self._replace(started))
            self._announce(started)
        return None

    async def end_all(self, outcome: Outcome) -> None:
        """The run ends: end what is still open, inner before outer.

        Raises:
            BaseException: The first error of a hook, when all have ended.
        """
        # Those whose end was cut off, by an abort or by a failing hook, come first.
        self._to_end(self._tracker.end_all())
        first: Exception | None = None
        while self._ending:
            try:
                await self._end_next(outcome, by_result=False)
            except Exception as exc:  # noqa: BLE001 -- raised below
                first = first or exc
        if first is not None:
            raise first

    def _expect_calls(self) -> None:
        if self._tracker.any_calls and not self._tree.any_calls:
            self._tree.expect_calls()

    def _now_or_later(self, work: Coroutine[Any, Any, None]) -> Coroutine[Any, Any, None] | None:
        if self._tree.ends_may_wait:
            return work
        run_inline(work, "a subgraph's transformer")
        return None

    def _announce(self, started: Subgraph) -> None:
        for observer in self._observers(started.parent):
            observer.subgraph_started(started)

    async def _replace(self, started: Subgraph) -> None:
        """End the broken ones before `started`, and announce it."""
        await self._end(COMPLETED)
        self._announce(started)

    async def _end(self, outcome: Outcome) -> None:
        while self._ending:
            await self._end_next(outcome, by_result=True)

    def _to_end(self, subgraphs: list[Subgraph]) -> None:
        self._ending.update({EndingSubgraph(each, self._observers(each.parent)): None for each in subgraphs})

    async def _end_next(self, outcome: Outcome, *, by_result: bool) -> None:
        """Call the observers of one subgraph's end. If cancelled, it is still the next one; each is called once."""
        each = next(iter(self._ending))
        broken = each.subgraph.failure
        if broken is not None and (by_result or outcome.error is None):
            outcome, by_result = attrs.evolve(broken, quiet=outcome.status != "failed"), True
        called = each.called
        for observer in each.observers[called:]:
            try:
                waiting = observer.subgraph_ended(each.subgraph, outcome, by_result=by_result)
                if waiting is not None:
                    await waiting
            except Exception:
                each.called = called + 1
                raise
            each.called = called = called + 1
        del self._ending[each]
        self._tree.forget(each.subgraph.namespace)

    def _observers(self, parent: Namespace) -> tuple[SubgraphObserver, ...]:
        """The observers of a subgraph of the graph at `parent`."""
        registry = self._tree.nearest(parent)
        return registry.observers(direct=registry.scope.namespace == parent)
