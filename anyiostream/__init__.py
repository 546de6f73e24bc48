"""Typed projections of an agent graph's stream, on trio, on asyncio and without an event loop.

```python
async with open_run(graph, {"question": "..."}) as run:
    async for snapshot in run.values:
        ...
    state = await run.output()
```
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from anyiostream import errors, parts
from anyiostream.channels.channel import StreamChannel
from anyiostream.channels.promise import Promise
from anyiostream.ends import RunStatus
from anyiostream.errors import (
    AgentAnswerInvalid,
    AgentInputInvalid,
    AnyioStreamError,
    BackpressureDeadlock,
    ChannelClosed,
    ChannelFull,
    GraphInterrupt,
    HostedCallCancelled,
    ItemsMissed,
    MalformedPart,
    MessageFailed,
    RunAborted,
    RunDrained,
    SourceStopped,
    SubgraphFailed,
)
from anyiostream.events import Namespace, ProtocolEvent, ProtocolEventParams, StreamPart, convert_to_protocol_event
from anyiostream.lanes.async_streams import AsyncGraphRunStream, AsyncSubgraphRunStream
from anyiostream.lanes.projection_types import AsyncProjection, Projection
from anyiostream.lanes.sync_streams import GraphRunStream, SubgraphRunStream
from anyiostream.loops.host import asyncio_host
from anyiostream.loops.interface import AsyncioHost
from anyiostream.prepared_run import PreparedRun
from anyiostream.projections.data import (
    CheckpointsTransformer,
    CustomTransformer,
    DebugTransformer,
    TasksTransformer,
    UpdatesTransformer,
    ValuesTransformer,
)
from anyiostream.projections.lifecycle import LifecycleTransformer
from anyiostream.projections.messages.output import FinishedMessage
from anyiostream.projections.messages.streams import (
    AsyncChatModelStream,
    AsyncMessageProjection,
    ChatModelStream,
    MessageProjection,
)
from anyiostream.projections.messages.transformer import MessagesTransformer
from anyiostream.projections.subgraphs import SubagentTransformer, SubgraphTransformer
from anyiostream.projections.tool_calls import ToolCallStream, ToolCallTransformer
from anyiostream.run import open_run
from anyiostream.sources.message_writer import MessageWriter, ToolCallWriter
from anyiostream.sources.resumption import Resumption
from anyiostream.sources.writer import GraphWriter, PendingInterrupt
from anyiostream.standalone import StreamMux
from anyiostream.statistics import ChannelStatistics, RunStatistics
from anyiostream.subgraphs import LifecycleCause, LifecyclePayload, SubgraphStatus
from anyiostream.transformer import (
    PayloadTransformer,
    ScheduledTask,
    StreamEmitter,
    StreamTransformer,
    TransformerFactory,
)

__version__ = "0.1.0"

__all__ = [
    "AgentAnswerInvalid",
    "AgentInputInvalid",
    "AnyioStreamError",
    "AsyncChatModelStream",
    "AsyncGraphRunStream",
    "AsyncMessageProjection",
    "AsyncProjection",
    "AsyncSubgraphRunStream",
    "AsyncioHost",
    "BackpressureDeadlock",
    "ChannelClosed",
    "ChannelFull",
    "ChannelStatistics",
    "ChatModelStream",
    "CheckpointsTransformer",
    "CustomTransformer",
    "DebugTransformer",
    "FinishedMessage",
    "GraphInterrupt",
    "GraphRunStream",
    "GraphWriter",
    "HostedCallCancelled",
    "ItemsMissed",
    "LifecycleCause",
    "LifecyclePayload",
    "LifecycleTransformer",
    "MalformedPart",
    "MessageFailed",
    "MessageProjection",
    "MessageWriter",
    "MessagesTransformer",
    "Namespace",
    "PayloadTransformer",
    "PendingInterrupt",
    "PreparedRun",
    "Projection",
    "Promise",
    "ProtocolEvent",
    "ProtocolEventParams",
    "Resumption",
    "RunAborted",
    "RunDrained",
    "RunStatistics",
    "RunStatus",
    "ScheduledTask",
    "SourceStopped",
    "StreamChannel",
    "StreamEmitter",
    "StreamMux",
    "StreamPart",
    "StreamTransformer",
    "SubagentTransformer",
    "SubgraphFailed",
    "SubgraphRunStream",
    "SubgraphStatus",
    "SubgraphTransformer",
    "TasksTransformer",
    "ToolCallStream",
    "ToolCallTransformer",
    "ToolCallWriter",
    "TransformerFactory",
    "UpdatesTransformer",
    "ValuesTransformer",
    "asyncio_host",
    "convert_to_protocol_event",
    "open_run",
    "parts",
]


if not TYPE_CHECKING:  # for type checkers the names are those above

    def __getattr__(name: str) -> Any:
        """Exceptions that have moved to `anyiostream.errors`, and names that were others before 0.1."""
        found = globals().get(RENAMED.get(name, ""))
        if found is None and name in errors.__all__:
            found = getattr(errors, name)
        if found is None:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return found


RENAMED = {
    "ChatMessage": "FinishedMessage",
    "Interrupt": "PendingInterrupt",
    "OpenRun": "PreparedRun",
    "StreamWriter": "GraphWriter",
}
"""Names of unreleased versions, and what they are called now."""
