"""`run.lifecycle`: subgraphs at every depth as they start and end."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from anyiostream.channels.channel import StreamChannel
from anyiostream.events import Namespace, ProtocolEvent
from anyiostream.outcome import Outcome
from anyiostream.state import GraphState
from anyiostream.subgraphs import (
    HandleMaker,
    LifecycleCause,
    LifecyclePayload,
    Note,
    Subgraph,
    SubgraphObserver,
    SubgraphStatus,
    end_payload,
)
from anyiostream.transformer import StreamTransformer, builtin

__all__ = ["LifecycleTransformer"]


@builtin("lifecycle", late=True)
class LifecycleTransformer(StreamTransformer):
    """`run.lifecycle`: a payload when a subgraph below the scope starts, and one when it ends, inner before outer.

    The channel is named, so that the payloads are `lifecycle` events of the raw log as well; the `tasks` events that
    they are made from stay out of it. Subclasses may override the three underscore methods, as with LangGraph's class.

    Example:
        ```python
        from anyiostream import open_run, parts

        inside = ("research:1",)
        graph = [parts.task_start("2", "search", ns=inside), parts.task_result("1", "research")]
        with open_run(graph) as run:
            assert [each["event"] for each in run.lifecycle] == ["started", "completed"]
        ```
    """

    _native = True
    required_stream_modes = ("tasks",)
    methods = ("tasks",)
    children_only: ClassVar[bool] = False

    def __init__(self, scope: Namespace = (), *, root: Namespace | None = None) -> None:
        """Make the transformer and its channel.

        Args:
            scope: Its scope.
            root: The run's own scope, if the run itself is to be reported too: `running` with its first part, and its
                end; by default only what is below.
        """
        super().__init__(scope)
        self._root = root if root == scope else None
        self._state: GraphState | None = None
        self._channel: StreamChannel[LifecyclePayload] = StreamChannel("lifecycle")
        self._pending_cause: LifecycleCause | None = None
        # The three methods that a subclass may override build everything from their arguments, as LangGraph's do.
        self._is_plain = type(self) is LifecycleTransformer

    def init(self) -> dict[str, Any]:
        """One projection, `lifecycle`."""
        return {"lifecycle": self._channel}

    def process(self, event: ProtocolEvent) -> bool:
        """`tasks` events are folded into the projection."""
        return event["method"] != "tasks"

    def subgraph_observer(self, maker: HandleMaker) -> SubgraphObserver:
        """The observer that the mux calls when subgraphs start and end: this transformer."""
        self._state = maker.state
        return self

    def run_started(self) -> None:
        """The run has its first part."""
        if self._root is not None:
            self._channel.push({"event": "running", "namespace": list(self._root)})

    def end_open(self, outcome: Outcome) -> None:
        """The subgraphs inside go on; their ends are reported at the run's own level."""

    def finalize(self) -> None:
        """The run has ended well."""
        if self._root is not None:
            interrupted = self._state is not None and self._state.interrupted
            self._channel.push({"event": "interrupted" if interrupted else "completed", "namespace": list(self._root)})

    def fail(self, err: BaseException) -> None:
        """The run has ended with `err`."""
        if self._root is not None:
            outcome = Outcome.by(err)
            self._channel.push(end_payload(self._root, outcome.status, outcome.message))

    def subgraph_started(self, subgraph: Subgraph) -> None:
        """A subgraph has started."""
        if self._is_plain:
            if subgraph.trigger_call_id is not None:
                self._channel.push(subgraph.start_payload())
        elif self._should_track(subgraph.namespace):
            self._pending_cause = subgraph.cause
            self._on_started(subgraph.namespace, subgraph.graph_name, subgraph.trigger_call_id)

    def subgraph_ended(self, subgraph: Subgraph, outcome: Outcome, *, by_result: bool) -> None:  # noqa: ARG002
        """A subgraph has ended."""
        if subgraph.trigger_call_id is None:
            return
        if self._is_plain:
            self._channel.push(subgraph.end_payload(outcome))
        elif self._should_track(subgraph.namespace):
            self._on_terminal(subgraph.namespace, outcome.status, outcome.message)

    def catch_up(self, notes: Sequence[Note], missed: int) -> None:
        """Show what was recorded before this transformer was made."""
        shown = [
            (stamp, subgraph.start_payload() if outcome is None else subgraph.end_payload(outcome))
            for stamp, subgraph, outcome in notes
        ]
        self._channel.restore(shown, missed)

    def _should_track(self, ns: Namespace) -> bool:
        depth = len(self.scope)
        return len(ns) > depth and ns[:depth] == self.scope

    def _on_started(self, ns: Namespace, graph_name: str | None, trigger_call_id: str | None) -> None:
        if trigger_call_id is not None:
            self._channel.push(Subgraph(ns, graph_name, trigger_call_id, self._pending_cause).start_payload())

    def _on_terminal(self, ns: Namespace, status: SubgraphStatus, error: str | None) -> None:
        self._channel.push(end_payload(ns, status, error))
