"""Which subgraphs are open: a state machine fed with the payloads of `tasks` parts.

Rules, as in LangGraph:

- A subgraph starts with the first task event at its namespace, below the scope being watched.
- The last segment of its namespace is `name:task_id`. It ends with the result of that task at its parent's
  namespace; the result tells how. Subgraphs still open inside it end first, inner before outer.
- A task whose input is a tool call (or a list of them) names the tool call that caused the subgraphs it runs.
- A subgraph whose task metadata has `lc_agent_name` is an agent of that name.

Every look-up is by key, so that the cost of an event does not grow with the number of open subgraphs; what has ended
is forgotten.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from typing import Any, ClassVar, Final, Literal, NotRequired, Protocol, TypedDict, final

import attrs

from anyiostream.channels.channel import StreamChannel
from anyiostream.ending import Ending
from anyiostream.events import Namespace
from anyiostream.state import GraphState

__all__ = [
    "Handle",
    "HandleMaker",
    "LateObserver",
    "LifecycleCause",
    "LifecyclePayload",
    "Note",
    "ObserverToCome",
    "Subgraph",
    "SubgraphEnd",
    "SubgraphObserver",
    "SubgraphStatus",
    "SubgraphTracker",
    "end_by_exception",
    "end_by_result",
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
@attrs.frozen
class SubgraphEnd:
    """How a subgraph ended, and with which error text if it failed."""

    status: SubgraphStatus
    error: str | None = None


COMPLETED: Final = SubgraphEnd("completed")
"""The end of most."""


@final
@attrs.define(eq=False)
class Subgraph:
    """A subgraph that is open.

    Attributes:
        namespace: Its namespace.
        graph_name: The agent's name if it is an agent, else the name of the node that runs it.
        trigger_call_id: Id of the task that runs it; `None` if the namespace does not tell.
        cause: The tool call that caused it, if known.
        is_agent: Whether it is an agent with a name.
    """

    namespace: Namespace
    graph_name: str | None
    trigger_call_id: str | None
    cause: LifecycleCause | None
    is_agent: bool = False
    _children: dict[Namespace, Subgraph] | None = None

    def started(self) -> LifecyclePayload:
        """The payload that announces it."""
        payload: LifecyclePayload = {"event": "started", "namespace": list(self.namespace)}
        if self.graph_name:
            payload["graph_name"] = self.graph_name
        if self.trigger_call_id is not None:
            payload["trigger_call_id"] = self.trigger_call_id
        if self.cause is not None:
            payload["cause"] = self.cause
        return payload

    def ended(self, end: SubgraphEnd) -> LifecyclePayload:
        """The payload that reports its end."""
        payload: LifecyclePayload = {"event": end.status, "namespace": list(self.namespace)}
        if end.error is not None:
            payload["error"] = end.error
        return payload

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
            if subgraph._children:  # noqa: SLF001 -- of its own class
                pending.extend(subgraph._children.values())  # noqa: SLF001
        return reversed(order)


class Handle(Protocol):
    """A subgraph's run stream, as its parent sees it."""

    def conclude(self, end: SubgraphEnd, ending: Ending) -> Coroutine[Any, Any, None] | None:
        """The subgraph has ended: end its mux, then tell those who wait for it. `None`, or a coroutine that does it."""
        ...


Note = tuple[int, Subgraph, SubgraphEnd | None]
"""A stamp that tells when, and which subgraph started, or ended and how."""


class HandleMaker(Protocol):
    """What the transformer needs of the mux it is registered with."""

    @property
    def state(self) -> GraphState:
        """The state of the graph at its scope."""
        ...

    @property
    def shows_children(self) -> bool:
        """Whether a subgraph needs a mux although nobody reads `subgraphs`."""
        ...

    @property
    def can_show_children(self) -> bool:
        """Whether a subgraph can have a mux."""
        ...

    def open_handle(self, subgraph: Subgraph, channel: StreamChannel[Any]) -> Handle:
        """The mux and the handle of a subgraph that has started; `channel` is where its reader will get it."""
        ...


class SubgraphObserver(Protocol):
    """A transformer that is told of the subgraphs below its scope, instead of being called with `tasks` events."""

    children_only: ClassVar[bool]
    """Whether it need not be told of subgraphs that are not directly below its scope."""

    def subgraph_started(self, subgraph: Subgraph) -> None:
        """A subgraph has started."""

    def run_started(self) -> None:
        """The run has its first part."""

    def end_open(self, end: SubgraphEnd, ending: Ending) -> Coroutine[Any, Any, None] | None:
        """The scope itself ends although subgraphs inside are open: it was aborted alone."""
        ...

    def subgraph_ended(
        self, subgraph: Subgraph, end: SubgraphEnd, ending: Ending | None
    ) -> Coroutine[Any, Any, None] | None:
        """It has ended: with its task's result, or, if `ending` is given, with the run."""
        ...


class LateObserver(SubgraphObserver, Protocol):
    """An observer that need not be made before its projection is read."""

    def catch_up(self, notes: Sequence[Note], missed: int) -> None:
        """Show what was noted before it was made; or `missed`, how much that was, if it was too much to be kept."""


@final
class ObserverToCome:
    """Stands for a `LateObserver`: notes what that will be told once it is made, and hands on what comes after that."""

    children_only: ClassVar[bool] = False
    __slots__ = ("_bound", "_missed", "_notes", "_observer", "_stamp")

    def __init__(self, stamp: Callable[[], int], bound: float) -> None:
        """Begin to take notes.

        Args:
            stamp: Gives a number that rises with each call.
            bound: How many notes to keep: as many as the projection would.
        """
        self._stamp = stamp
        self._bound = bound
        self._notes: list[Note] = []
        self._missed = 0
        self._observer: LateObserver | None = None

    def has_come(self, observer: LateObserver) -> None:
        """It has been made."""
        self._observer = observer
        observer.catch_up(self._notes, self._missed)
        self._notes = []

    def subgraph_started(self, subgraph: Subgraph) -> None:
        """Note it, or hand it on."""
        if self._observer is not None:
            self._observer.subgraph_started(subgraph)
        elif subgraph.trigger_call_id is not None:
            self._note(subgraph, None)

    def run_started(self) -> None:
        """The run itself is no subgraph."""

    def end_open(self, end: SubgraphEnd, ending: Ending) -> Coroutine[Any, Any, None] | None:
        """Hand it on."""
        return None if self._observer is None else self._observer.end_open(end, ending)

    def subgraph_ended(
        self, subgraph: Subgraph, end: SubgraphEnd, ending: Ending | None
    ) -> Coroutine[Any, Any, None] | None:
        """Note it, or hand it on."""
        if self._observer is not None:
            return self._observer.subgraph_ended(subgraph, end, ending)
        if subgraph.trigger_call_id is not None:
            self._note(subgraph, end)
        return None

    def _note(self, subgraph: Subgraph, end: SubgraphEnd | None) -> None:
        if self._missed:
            self._missed += 1
        elif len(self._notes) < self._bound:
            self._notes.append((self._stamp(), subgraph, end))
        else:
            self._missed = len(self._notes) + 1
            self._notes.clear()


@final
@attrs.define(eq=False)
class SubgraphTracker:
    """The open subgraphs below `scope`."""

    scope: Namespace = ()
    _open: dict[Namespace, Subgraph] = attrs.field(factory=dict)
    _by_task: dict[tuple[Namespace, str], list[Subgraph]] = attrs.field(factory=dict)
    _tool_calls: dict[str, str] = attrs.field(factory=dict)

    def __len__(self) -> int:
        return len(self._open)

    def start(self, namespace: Namespace, data: Mapping[str, Any]) -> Subgraph | None:
        """Take note of a task that starts at `namespace`; the subgraph that this reveals, if it does."""
        if data.get("input") is not None:
            self._note_tool_call(data)
        depth = len(self.scope)
        if len(namespace) <= depth or namespace in self._open or namespace[:depth] != self.scope:
            return None
        name, separator, task_id = namespace[-1].partition(":")
        metadata = data.get("metadata")
        agent = metadata.get("lc_agent_name") if metadata else None
        if agent is None:
            subgraph = Subgraph(namespace, name or None, task_id if separator else None, None)
        else:
            tool_call = self._tool_calls.get(task_id)
            cause: LifecycleCause | None = {"type": "toolCall", "tool_call_id": tool_call} if tool_call else None
            subgraph = Subgraph(namespace, agent, task_id if separator else None, cause, is_agent=True)
        around = namespace[:-1]
        self._open[namespace] = subgraph
        if separator:
            self._by_task.setdefault((around, task_id), []).append(subgraph)
        parent = self._open.get(around)
        if parent is not None:
            parent.adopt(subgraph)
        return subgraph

    def result(self, namespace: Namespace, data: Mapping[str, Any]) -> list[Subgraph]:
        """Take note of a task's result at `namespace`; the subgraphs that end with it, inner before outer."""
        task_id = data.get("id")
        if not isinstance(task_id, str):
            return []
        self._tool_calls.pop(task_id, None)
        outermost = self._by_task.get((namespace, task_id))
        if outermost is None:
            return []
        ended = [inner for outer in outermost for inner in outer.inner_first()]
        for subgraph in ended:
            self._forget(subgraph)
        return ended

    def end_all(self) -> list[Subgraph]:
        """End whatever is still open, inner before outer."""
        ended = sorted(self._open.values(), key=lambda subgraph: len(subgraph.namespace), reverse=True)
        self._open.clear()
        self._by_task.clear()
        self._tool_calls.clear()
        return ended

    def _note_tool_call(self, data: Mapping[str, Any]) -> None:
        task_id, given = data.get("id"), data["input"]
        if not isinstance(task_id, str):
            return
        calls = [given.get("tool_call")] if isinstance(given, dict) else given if isinstance(given, list) else ()
        for call in calls:
            if isinstance(call, dict) and isinstance(call.get("id"), str):
                self._tool_calls[task_id] = call["id"]
                return

    def _forget(self, subgraph: Subgraph) -> None:
        namespace = subgraph.namespace
        self._open.pop(namespace, None)
        if subgraph.trigger_call_id is not None:
            self._by_task.pop((namespace[:-1], subgraph.trigger_call_id), None)
        parent = self._open.get(namespace[:-1])
        if parent is not None:
            parent.disown(subgraph)


def end_by_result(data: Mapping[str, Any]) -> SubgraphEnd:
    """How a task's result says its subgraphs ended. An interrupt counts before an error."""
    if data.get("aborted"):
        return SubgraphEnd("aborted")
    if data.get("interrupts"):
        return SubgraphEnd("interrupted")
    error = data.get("error")
    return SubgraphEnd("failed", str(error)) if error else COMPLETED


def end_by_exception(error: BaseException) -> SubgraphEnd:
    """How the exception that ended the run ended what was still open.

    LangGraph's control-flow exceptions are told by name, so that LangGraph need not be installed.
    """
    kinds = {kind.__name__ for kind in type(error).__mro__}
    if "GraphDrained" in kinds:
        return SubgraphEnd("drained")
    if "GraphInterrupt" in kinds:
        return SubgraphEnd("interrupted")
    if "RunAborted" in kinds:
        return SubgraphEnd("aborted")
    return SubgraphEnd("failed", str(error))
