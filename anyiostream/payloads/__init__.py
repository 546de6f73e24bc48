"""What the events of a run carry, as types: narrowed by `method`, by `event` and by `type`.

```python
from anyiostream import ToolCallTransformer, open_run, parts
from anyiostream.payloads import RunEvent


def told(event: RunEvent) -> str:
    if event["method"] == "tools":
        data = event["params"]["data"]
        return data["tool_name"] if data["event"] == "tool-started" else data["tool_call_id"]
    return event["method"]


graph = [parts.tool_started("1", "search", {"q": "trio"}), parts.tool_finished("1", "a page")]
with open_run(graph, transformers=[ToolCallTransformer]) as run:
    assert [told(event) for event in run] == ["search", "1"]
```

These are types for what LangGraph, the writer and the builders in `anyiostream.parts` make; a graph may put other
keys in. What a transformer forwards has the method `custom:<name>`, or a name of its own, which no literal can tell:
test for these first. A `ProtocolEvent` whose method is one of those here is a `RunEvent`.
"""

from __future__ import annotations

from anyiostream.payloads.blocks import (
    AnyBlock,
    BlockDelta,
    BlockFinish,
    BlockStart,
    ContentBlock,
    Delta,
    InvalidToolCallBlock,
    MessageError,
    MessageEvent,
    MessageFinish,
    MessageStart,
    NonStandardBlock,
    ReasoningBlock,
    ReasoningDelta,
    ServerToolCallBlock,
    ServerToolResultBlock,
    TextBlock,
    TextDelta,
    ToolCallBlock,
    ToolCallChunk,
    ToolCallDelta,
    UsageCounts,
)
from anyiostream.payloads.events import (
    CheckpointsEvent,
    CustomEvent,
    DebugEvent,
    Event,
    LifecycleEvent,
    MessagesEvent,
    RunEvent,
    TaskResult,
    TasksEvent,
    TaskStart,
    ToolError,
    ToolEvent,
    ToolFinished,
    ToolOutputDelta,
    ToolsEvent,
    ToolStarted,
    UpdatesEvent,
    ValuesEvent,
)

__all__ = [
    "AnyBlock",
    "BlockDelta",
    "BlockFinish",
    "BlockStart",
    "CheckpointsEvent",
    "ContentBlock",
    "CustomEvent",
    "DebugEvent",
    "Delta",
    "Event",
    "InvalidToolCallBlock",
    "LifecycleEvent",
    "MessageError",
    "MessageEvent",
    "MessageFinish",
    "MessageStart",
    "MessagesEvent",
    "NonStandardBlock",
    "ReasoningBlock",
    "ReasoningDelta",
    "RunEvent",
    "ServerToolCallBlock",
    "ServerToolResultBlock",
    "TaskResult",
    "TaskStart",
    "TasksEvent",
    "TextBlock",
    "TextDelta",
    "ToolCallBlock",
    "ToolCallChunk",
    "ToolCallDelta",
    "ToolError",
    "ToolEvent",
    "ToolFinished",
    "ToolOutputDelta",
    "ToolStarted",
    "ToolsEvent",
    "UpdatesEvent",
    "UsageCounts",
    "ValuesEvent",
]
