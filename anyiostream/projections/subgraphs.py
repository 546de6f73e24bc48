"""`run.subgraphs`: a handle for each subgraph directly below."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any, ClassVar

from anyiostream.channels.channel import StreamChannel
from anyiostream.ending import GOOD_ENDING, Ending
from anyiostream.errors import RunAborted, SubgraphFailed
from anyiostream.events import Namespace, ProtocolEvent
from anyiostream.subgraphs import Handle, HandleMaker, Subgraph, SubgraphEnd, SubgraphObserver
from anyiostream.transformer import StreamTransformer, builtin

__all__ = ["SubagentTransformer", "SubgraphTransformer"]


@builtin("subgraphs")
class SubgraphTransformer(StreamTransformer):
    """`run.subgraphs`: a run stream of its own for each subgraph directly below the scope, when it starts.

    Deeper subgraphs are on their parent's handle. Nothing is made for a subgraph that nobody could see.
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
        """What the mux tells of subgraphs; `maker` makes their handles."""
        self._maker = maker
        return self

    def subgraph_started(self, subgraph: Subgraph) -> None:
        """A subgraph has started: make and show its handle if anybody could see it."""
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

    async def end_open(self, end: SubgraphEnd, ending: Ending) -> None:
        """End the handles that are open. If cancelled, those that are left are ended by the next call."""
        for namespace, handle in list(self._handles.items()):
            waiting = handle.conclude(end, ending)
            if waiting is not None:
                await waiting
            self._handles.pop(namespace, None)

    def shows(self, subgraph: Subgraph) -> bool:  # noqa: ARG002 -- for subclasses
        """Whether the projection shows a subgraph that is directly below."""
        return True

    def subgraph_ended(
        self, subgraph: Subgraph, end: SubgraphEnd, ending: Ending | None
    ) -> Coroutine[Any, Any, None] | None:
        """A subgraph has ended. If cancelled, its handle is still there to be ended by another call."""
        handle = self._handles.get(subgraph.namespace)
        if handle is None:
            return None
        waiting = handle.conclude(end, _ending_of(end) if ending is None else ending)
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
    """

    projection = "subagents"

    def run_started(self) -> None:
        """Nothing to show."""

    def shows(self, subgraph: Subgraph) -> bool:
        """Named agents only."""
        return subgraph.is_agent


def _ending_of(end: SubgraphEnd) -> Ending:
    if end.status == "failed":
        return Ending(SubgraphFailed(end.error or "Subgraph failed"))
    if end.status == "aborted":
        return Ending(RunAborted("the subgraph"), quietly=True)
    return GOOD_ENDING
