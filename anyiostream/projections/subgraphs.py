"""`run.subgraphs`: a handle for each subgraph directly below. The head of `subgraphs.py` says where the rest is."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any, ClassVar

from anyiostream.channels.channel import StreamChannel
from anyiostream.events import Namespace, ProtocolEvent
from anyiostream.outcome import Outcome
from anyiostream.subgraphs import Handle, HandleMaker, Subgraph, SubgraphObserver
from anyiostream.transformer import StreamTransformer, builtin

__all__ = ["SubagentTransformer", "SubgraphTransformer"]


@builtin("subgraphs")
class SubgraphTransformer(StreamTransformer):
    """`run.subgraphs`: one run stream for each subgraph directly below the scope, when it starts.

    Deeper subgraphs are on their parent's handle. No handle is made for a subgraph that no reader could see.

    Example:
        ```python
        from anyiostream import open_run, parts

        inside = ("research:1",)
        graph = [
            parts.task_start("2", "search", ns=inside),
            parts.values({"found": 3}, ns=inside),
            parts.task_result("1", "research"),
        ]
        with open_run(graph) as run:
            for subgraph in run.subgraphs:
                assert (subgraph.graph_name, subgraph.output) == ("research", {"found": 3})
        ```
    """

    _native = True
    required_stream_modes = ("tasks",)
    methods = ("tasks",)
    projection: ClassVar[str] = "subgraphs"
    children_only: ClassVar[bool] = True

    def __init__(self, scope: Namespace = ()) -> None:
        """Make the transformer and its channel."""
        super().__init__(scope)
        self._channel: StreamChannel[Any] = StreamChannel()
        self._handles: dict[Namespace, Handle] = {}
        self._maker: HandleMaker | None = None

    def init(self) -> dict[str, Any]:
        """One projection, `subgraphs`."""
        return {self.projection: self._channel}

    def process(self, event: ProtocolEvent) -> bool:
        """`tasks` events are folded into the projection."""
        return event["method"] != "tasks"

    def subgraph_observer(self, maker: HandleMaker) -> SubgraphObserver:
        """The observer that the mux calls when subgraphs start and end: this transformer. `maker` makes the handles."""
        self._maker = maker
        return self

    def subgraph_started(self, subgraph: Subgraph) -> None:
        """A subgraph has started: make and show its handle if a reader could see it."""
        maker = self._maker
        if maker is None or not self.shows(subgraph):
            return
        if maker.can_show_children and (self._channel.watched or maker.shows_children):
            handle = self._handles[subgraph.namespace] = maker.open_handle(subgraph, self._channel)
            self._channel.push(handle)
        else:
            self._channel.pass_by()

    def run_started(self) -> None:
        """Nothing to show."""

    async def end_open(self, outcome: Outcome) -> None:
        """End the handles that are open. If cancelled, those that are left are ended by the next call."""
        for namespace, handle in list(self._handles.items()):
            waiting = handle.conclude(outcome)
            if waiting is not None:
                await waiting
            self._handles.pop(namespace, None)

    def shows(self, subgraph: Subgraph) -> bool:  # noqa: ARG002 -- for subclasses
        """Whether the projection shows a subgraph that is directly below."""
        return True

    def subgraph_ended(
        self, subgraph: Subgraph, outcome: Outcome, *, by_result: bool
    ) -> Coroutine[Any, Any, None] | None:
        """A subgraph has ended. If cancelled, its handle is still there to be ended by another call."""
        handle = self._handles.get(subgraph.namespace)
        if handle is None:
            return None
        waiting = handle.conclude(outcome, by_result=by_result)
        if waiting is not None:
            return self._end(subgraph.namespace, waiting)
        del self._handles[subgraph.namespace]
        return None

    async def _end(self, namespace: Namespace, waiting: Coroutine[Any, Any, None]) -> None:
        try:
            await waiting
        except Exception:
            del self._handles[namespace]
            raise
        del self._handles[namespace]


@builtin("subagents")
class SubagentTransformer(SubgraphTransformer):
    """`run.subagents`: the subgraphs directly below that are agents with a name. As LangChain's class of that name.

    A handle is the same object on `subgraphs` and on `subagents`; each of its projections has one reader.

    Example:
        ```python
        from anyiostream import SubagentTransformer, open_run, parts

        inside = ("tools:1",)
        graph = [
            parts.task_start("2", "model", ns=inside, metadata={"lc_agent_name": "researcher"}),
            parts.task_result("1", "tools"),
        ]
        with open_run(graph, transformers=[SubagentTransformer]) as run:
            assert [agent.graph_name for agent in run.extensions["subagents"]] == ["researcher"]
        ```
    """

    projection = "subagents"

    def run_started(self) -> None:
        """Nothing to show."""

    def shows(self, subgraph: Subgraph) -> bool:
        """Named agents only."""
        return subgraph.is_agent
