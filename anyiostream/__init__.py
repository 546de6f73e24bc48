"""Typed projections of an agent graph's stream, on trio, on asyncio and without an event loop.

```python
async with open_run(graph, {"question": "..."}) as run:
    async for snapshot in run.values:
        ...
    state = await run.output()
```
"""

from __future__ import annotations

from anyiostream import parts
from anyiostream.channels.channel import StreamChannel
from anyiostream.channels.promise import Promise
from anyiostream.errors import (
    AlreadyBound,
    AlreadySubscribed,
    AnyioStreamError,
    AsyncTransformerRefused,
    BackpressureDeadlock,
    ChannelClosed,
    ChannelFull,
    ChannelUnbound,
    ChildrenRefused,
    CursorBusy,
    EmitterMisused,
    ForeignAwait,
    ForeignExit,
    GraphInterrupt,
    HookStopped,
    InvalidBound,
    InvalidHook,
    InvalidProjection,
    ItemsDroppedWarning,
    ItemsMissed,
    MalformedPart,
    MessageFailed,
    MissingExtra,
    MissingProjection,
    NotAChannel,
    NotAGraph,
    NotATransformer,
    NotAwaited,
    NotAwaitedWarning,
    PrebuiltTransformer,
    ProjectionConflict,
    PromiseUnresolved,
    RunAborted,
    RunBlocksLoopWarning,
    RunClosed,
    RunNotEntered,
    RunReentered,
    RunUnclosedWarning,
    RunWaitsForItself,
    ScheduleRefused,
    SourceStopped,
    SubgraphFailed,
    UnknownOption,
    UnknownProjection,
    WriterClosed,
    WrongLane,
)
from anyiostream.events import Namespace, ProtocolEvent, ProtocolEventParams, StreamPart, convert_to_protocol_event
from anyiostream.lanes.async_streams import AsyncGraphRunStream, AsyncSubgraphRunStream
from anyiostream.lanes.reading import AsyncProjection, Projection
from anyiostream.lanes.sync_streams import GraphRunStream, SubgraphRunStream
from anyiostream.projections.data import (
    CheckpointsTransformer,
    CustomTransformer,
    DebugTransformer,
    TasksTransformer,
    UpdatesTransformer,
    ValuesTransformer,
)
from anyiostream.projections.lifecycle import LifecycleTransformer
from anyiostream.projections.messages.output import ChatMessage
from anyiostream.projections.messages.streams import (
    AsyncChatModelStream,
    AsyncMessageProjection,
    ChatModelStream,
    MessageProjection,
)
from anyiostream.projections.messages.transformer import MessagesTransformer
from anyiostream.projections.subgraphs import SubagentTransformer, SubgraphTransformer
from anyiostream.projections.tool_calls import ToolCallStream, ToolCallTransformer
from anyiostream.pump import RunStatus
from anyiostream.run import OpenRun, open_run
from anyiostream.sources.message_writer import MessageWriter, ToolCallWriter
from anyiostream.sources.writer import Interrupt, StreamWriter
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
    "AlreadyBound",
    "AlreadySubscribed",
    "AnyioStreamError",
    "AsyncChatModelStream",
    "AsyncGraphRunStream",
    "AsyncMessageProjection",
    "AsyncProjection",
    "AsyncSubgraphRunStream",
    "AsyncTransformerRefused",
    "BackpressureDeadlock",
    "ChannelClosed",
    "ChannelFull",
    "ChannelStatistics",
    "ChannelUnbound",
    "ChatMessage",
    "ChatModelStream",
    "CheckpointsTransformer",
    "ChildrenRefused",
    "CursorBusy",
    "CustomTransformer",
    "DebugTransformer",
    "EmitterMisused",
    "ForeignAwait",
    "ForeignExit",
    "GraphInterrupt",
    "GraphRunStream",
    "HookStopped",
    "Interrupt",
    "InvalidBound",
    "InvalidHook",
    "InvalidProjection",
    "ItemsDroppedWarning",
    "ItemsMissed",
    "LifecycleCause",
    "LifecyclePayload",
    "LifecycleTransformer",
    "MalformedPart",
    "MessageFailed",
    "MessageProjection",
    "MessageWriter",
    "MessagesTransformer",
    "MissingExtra",
    "MissingProjection",
    "Namespace",
    "NotAChannel",
    "NotAGraph",
    "NotATransformer",
    "NotAwaited",
    "NotAwaitedWarning",
    "OpenRun",
    "PayloadTransformer",
    "PrebuiltTransformer",
    "Projection",
    "ProjectionConflict",
    "Promise",
    "PromiseUnresolved",
    "ProtocolEvent",
    "ProtocolEventParams",
    "RunAborted",
    "RunBlocksLoopWarning",
    "RunClosed",
    "RunNotEntered",
    "RunReentered",
    "RunStatistics",
    "RunStatus",
    "RunUnclosedWarning",
    "RunWaitsForItself",
    "ScheduleRefused",
    "ScheduledTask",
    "SourceStopped",
    "StreamChannel",
    "StreamEmitter",
    "StreamMux",
    "StreamPart",
    "StreamTransformer",
    "StreamWriter",
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
    "UnknownOption",
    "UnknownProjection",
    "UpdatesTransformer",
    "ValuesTransformer",
    "WriterClosed",
    "WrongLane",
    "convert_to_protocol_event",
    "open_run",
    "parts",
]
