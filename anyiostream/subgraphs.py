"""What a subgraph is, and the interfaces between the parts of the core that deal with subgraphs.

An event takes this way:

- `SubgraphTracker` (`subgraph_tracker.py`) works out from `tasks` payloads which subgraphs are open.
- `SubgraphFollower` (`mux/following.py`) feeds it, and calls each scope's `SubgraphObserver`s when one starts or ends.
- `SubgraphTransformer` (`projections/subgraphs.py`), one of those observers, shows a subgraph's run stream as an item
  of `run.subgraphs`; `LifecycleTransformer` (`projections/lifecycle.py`), another one, shows what happened to it.
- That run stream is the subgraph's `Handle` (`SubgraphHandle` in `lanes/run_stream.py`).
"""

from __future__ import annotations

from collections.abc import Coroutine, Iterator, Mapping, Sequence
from typing import Any, ClassVar, Literal, NotRequired, Protocol, TypedDict, final

import attrs

from anyiostream.channels.channel import StreamChannel
from anyiostream.errors import SubgraphFailed
from anyiostream.events import Namespace
from anyiostream.forms import text_of
from anyiostream.outcome import COMPLETED, INTERRUPTED, Outcome
from anyiostream.state import GraphState

__all__ = [
    "Handle",
    "HandleMaker",
    "LateObserver",
    "LifecycleCause",
    "LifecyclePayload",
    "Note",
    "Subgraph",
    "SubgraphObserver",
    "SubgraphStatus",
    "end_payload",
    "outcome_of_result",
]

SubgraphStatus = Literal["running", "started", "completed", "failed", "interrupted", "drained", "aborted"]
"""How a subgraph stands. `drained`: its run control asked it to stop early; `aborted`: it was cancelled; `running`: the
root's `started`."""


class LifecycleCause(TypedDict):
    """What caused a subgraph: the tool call with this id."""

    type: Literal["toolCall"]
    tool_call_id: str


class LifecyclePayload(TypedDict):
    """An item of `run.lifecycle`."""

    event: SubgraphStatus
    namespace: list[str]
    graph_name: NotRequired[str]
    trigger_call_id: NotRequired[str]
    cause: NotRequired[LifecycleCause]
    error: NotRequired[str]


@final
@attrs.define(eq=False)
class Subgraph:
    """A subgraph that is open; `SubgraphTracker` makes and forgets it.

    Attributes:
        namespace: Its namespace.
        graph_name: The agent's name if it is an agent, else the name of the node that runs it.
        trigger_call_id: Id of the task that runs it; `None` if the namespace does not tell.
        cause: The tool call that caused it, if known.
        is_agent: Whether it is an agent with a name.
        parent: The namespace of the graph around it.
        has_steps: Whether it is one of LangGraph's, which fails with the first of its tasks that does.
        failure: How it broke, if it has.
        under_way: How many of its tasks have started and not ended.
    """

    namespace: Namespace
    graph_name: str | None
    trigger_call_id: str | None
    cause: LifecycleCause | None
    is_agent: bool = False
    parent: Namespace = ()
    has_steps: bool = False
    failure: Outcome | None = None
    under_way: int = 1
    _children: dict[Namespace, Subgraph] | None = None

    def start_payload(self) -> LifecyclePayload:
        """The payload that announces it."""
        payload: LifecyclePayload = {"event": "started", "namespace": list(self.namespace)}
        if self.graph_name:
            payload["graph_name"] = self.graph_name
        if self.trigger_call_id is not None:
            payload["trigger_call_id"] = self.trigger_call_id
        if self.cause is not None:
            payload["cause"] = self.cause
        return payload

    def end_payload(self, outcome: Outcome) -> LifecyclePayload:
        """The payload that reports its end."""
        return end_payload(self.namespace, outcome.status, outcome.message)

    def task_started(self) -> None:
        """One more of its tasks has started."""
        self.under_way += 1
        self.failure = None

    def task_ended(self, data: Mapping[str, Any], *, called: bool) -> None:
        """One of its tasks has ended; `called`: it was started by another one, which has the error now."""
        self.under_way -= 1
        if self.has_steps and not called and data.get("error") and not data.get("interrupts"):
            self.failure = outcome_of_result(data)
        elif self.under_way < 0:
            # LangGraph does not report the start of a task that handles another one's error.
            self.under_way, self.failure = 0, None

    def adopt(self, child: Subgraph) -> None:
        """`child` runs inside."""
        if self._children is None:
            self._children = {}
        self._children[child.namespace] = child

    def disown(self, child: Subgraph) -> None:
        """`child` has ended."""
        if self._children is not None:
            self._children.pop(child.namespace, None)

    def inner_first(self) -> Iterator[Subgraph]:
        """The open subgraphs inside, and then this one, each after those inside it."""
        if not self._children:
            return iter((self,))
        pending: list[Subgraph] = [self]
        order: list[Subgraph] = []
        while pending:
            subgraph = pending.pop()
            order.append(subgraph)
            if subgraph._children:  # noqa: SLF001 -- an object of the same class
                pending.extend(subgraph._children.values())  # noqa: SLF001
        return reversed(order)


class Handle(Protocol):
    """A subgraph's run stream, as the projection that shows it sees it: `SubgraphHandle` in `lanes/run_stream.py`."""

    def conclude(self, outcome: Outcome, *, by_result: bool = False) -> Coroutine[Any, Any, None] | None:
        """The subgraph has ended: end its mux, then wake the tasks that wait for it.

        Returns `None` if that is done, or a coroutine that does it.

        If it has ended `by_result`, so that the run goes on, scheduled work may be left; its end then waits for that
        beside the run.
        """
        ...


Note = tuple[int, Subgraph, Outcome | None]
"""A stamp that tells when, and which subgraph started, or ended and how."""


class HandleMaker(Protocol):
    """What the transformer needs of the mux it is registered with."""

    @property
    def state(self) -> GraphState:
        """The state of the graph at its scope."""
        ...

    @property
    def shows_children(self) -> bool:
        """Whether a subgraph needs a mux although `subgraphs` has no reader."""
        ...

    @property
    def can_show_children(self) -> bool:
        """Whether a subgraph can have a mux."""
        ...

    def open_handle(self, subgraph: Subgraph, channel: StreamChannel[Any]) -> Handle:
        """The mux and the handle of a subgraph that has started; `channel` is where its reader will get it."""
        ...


class SubgraphObserver(Protocol):
    """A transformer that is called when subgraphs below its scope start and end, instead of with `tasks` events."""

    children_only: ClassVar[bool]
    """Whether subgraphs that are not directly below its scope do not concern it."""

    def subgraph_started(self, subgraph: Subgraph) -> None:
        """A subgraph has started."""

    def run_started(self) -> None:
        """The run has its first part."""

    def end_open(self, outcome: Outcome) -> Coroutine[Any, Any, None] | None:
        """The scope itself ends although subgraphs inside are open: it was aborted alone."""
        ...

    def subgraph_ended(
        self, subgraph: Subgraph, outcome: Outcome, *, by_result: bool
    ) -> Coroutine[Any, Any, None] | None:
        """It has ended: with its task's result, so that the run goes on, or else with the run."""
        ...


class LateObserver(SubgraphObserver, Protocol):
    """An observer that need not be made before its projection is read."""

    def catch_up(self, notes: Sequence[Note], missed: int) -> None:
        """Show what was noted before it was made; or `missed`, how much that was, if it was too much to be kept."""


def outcome_of_result(data: Mapping[str, Any]) -> Outcome:
    """How a task's result says its subgraphs ended. An interrupt counts before an error."""
    if data.get("aborted"):
        return Outcome.aborted("the subgraph")
    if data.get("interrupts"):
        return INTERRUPTED
    error = data.get("error")
    if not error:
        return COMPLETED
    text = text_of(error) if isinstance(error, BaseException) else str(error)
    return Outcome("failed", SubgraphFailed(text or "Subgraph failed"))


def end_payload(namespace: Namespace, status: SubgraphStatus, message: str | None) -> LifecyclePayload:
    """The payload that reports an end; `message` is the error's text, if there is one."""
    payload: LifecyclePayload = {"event": status, "namespace": list(namespace)}
    if message is not None:
        payload["error"] = message
    return payload
