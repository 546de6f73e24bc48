"""Events of tool calls, tasks, and those of the raw log."""

from __future__ import annotations

from typing import Any, Literal, NotRequired, TypeAlias, TypedDict

from anyiostream.payloads.blocks import MessageEvent
from anyiostream.subgraphs import LifecyclePayload

__all__ = [
    "CheckpointsEvent",
    "CustomEvent",
    "DebugEvent",
    "Event",
    "LifecycleEvent",
    "MessagesEvent",
    "RunEvent",
    "TaskResult",
    "TaskStart",
    "TasksEvent",
    "ToolError",
    "ToolEvent",
    "ToolFinished",
    "ToolOutputDelta",
    "ToolStarted",
    "ToolsEvent",
    "UpdatesEvent",
    "ValuesEvent",
]

# --- events of a tool call, narrowed by `event`; `run_id` tells those apart that have one id and are under way ---


class ToolStarted(TypedDict):
    """`{"event": "tool-started", "tool_call_id": "c1", "tool_name": "search", "input": {"q": "tides"}}`."""

    event: Literal["tool-started"]
    tool_call_id: str
    tool_name: str
    input: NotRequired[Any]
    run_id: NotRequired[str]


class ToolOutputDelta(TypedDict):
    """`{"event": "tool-output-delta", "tool_call_id": "c1", "delta": "one page"}`."""

    event: Literal["tool-output-delta"]
    tool_call_id: str
    delta: Any


class ToolFinished(TypedDict):
    """`{"event": "tool-finished", "tool_call_id": "c1", "output": "a page"}`."""

    event: Literal["tool-finished"]
    tool_call_id: str
    output: Any
    run_id: NotRequired[str]


class ToolError(TypedDict):
    """`{"event": "tool-error", "tool_call_id": "c1", "message": "no such index"}`."""

    event: Literal["tool-error"]
    tool_call_id: str
    message: str
    run_id: NotRequired[str]


ToolEvent: TypeAlias = ToolStarted | ToolOutputDelta | ToolFinished | ToolError
"""One event of a tool call."""


# --- tasks; a result has `result` ---


class TaskStart(TypedDict):
    """A task of a graph starts: `{"id": "t1", "name": "agent", "input": {...}, "triggers": ["start"]}`."""

    id: str
    name: str
    input: Any
    triggers: list[str]
    metadata: NotRequired[dict[str, Any]]


class TaskResult(TypedDict):
    """It has ended: `{"id": "t1", "name": "agent", "error": None, "result": {...}, "interrupts": []}`."""

    id: str
    name: str
    error: str | None
    result: Any
    interrupts: list[Any]
    aborted: NotRequired[bool]


# --- events, narrowed by `method` ---


class _Params(TypedDict):
    namespace: list[str]
    timestamp: int


class _ValuesParams(_Params):
    data: Any
    interrupts: NotRequired[tuple[Any, ...]]


class _UpdatesParams(_Params):
    data: dict[str, Any]


class _CustomParams(_Params):
    data: Any


class _MessagesParams(_Params):
    data: tuple[MessageEvent, dict[str, Any]]


class _ToolsParams(_Params):
    data: ToolEvent


class _TasksParams(_Params):
    data: TaskStart | TaskResult


class _LifecycleParams(_Params):
    data: LifecyclePayload


class Event(TypedDict):
    """What every event has besides its method and its parameters."""

    type: Literal["event"]
    event_id: NotRequired[str]
    seq: NotRequired[int]


class ValuesEvent(Event):
    """A snapshot of the state: `params["data"]`; with `params["interrupts"]` if the graph waits for its user."""

    method: Literal["values"]
    params: _ValuesParams


class UpdatesEvent(Event):
    """What a step has changed: `{"agent": {"answer": "At six."}}`."""

    method: Literal["updates"]
    params: _UpdatesParams


class CustomEvent(Event):
    """Anything that the graph wants its readers to see."""

    method: Literal["custom"]
    params: _CustomParams


class CheckpointsEvent(Event):
    """A saved checkpoint, in the format of `get_state()`."""

    method: Literal["checkpoints"]
    params: _UpdatesParams


class DebugEvent(Event):
    """Detail about a step."""

    method: Literal["debug"]
    params: _CustomParams


class MessagesEvent(Event):
    """An event of a model call, and what is known of it: `(MessageEvent, {"run_id": "m1", "langgraph_node": "agent"})`.

    A graph may also put LangChain's message chunks or messages there.
    """

    method: Literal["messages"]
    params: _MessagesParams


class ToolsEvent(Event):
    """An event of a tool call."""

    method: Literal["tools"]
    params: _ToolsParams


class TasksEvent(Event):
    """A task of the graph starts, or has ended."""

    method: Literal["tasks"]
    params: _TasksParams


class LifecycleEvent(Event):
    """A graph or a subgraph has started, or ended: `{"event": "completed", "namespace": ["research:7"], ...}`."""

    method: Literal["lifecycle"]
    params: _LifecycleParams


RunEvent: TypeAlias = (
    ValuesEvent
    | UpdatesEvent
    | CustomEvent
    | CheckpointsEvent
    | DebugEvent
    | MessagesEvent
    | ToolsEvent
    | TasksEvent
    | LifecycleEvent
)
"""An event of a run's raw log, narrowed by `method`."""
