"""Every exception and warning of the library, in one tree.

Each builds its message from facts (which channel, which limit, which task) and ends with what to do next. Where users
of `langgraph.stream` catch a built-in (`TypeError`, `RuntimeError`, `ValueError`, `KeyError`), ours subclasses it.

What a program may want to catch is a name of `anyiostream`, too. Mistakes in the program are `ProgrammingError`s.
"""

from __future__ import annotations

from anyiostream.errors.agents import (
    AgentAnswerInvalid,
    AgentInputInvalid,
)
from anyiostream.errors.endings import (
    GraphInterrupt,
    HookStopped,
    HostClosed,
    HostedCallCancelled,
    MessageFailed,
    RunAborted,
    RunDrained,
    SourceStopped,
    SubgraphFailed,
)
from anyiostream.errors.graphs import (
    InvalidBound,
    MalformedPart,
    MissingExtra,
    NotAGraph,
    UnknownOption,
)
from anyiostream.errors.reading import (
    AlreadyBound,
    AlreadySubscribed,
    BackpressureDeadlock,
    ChannelClosed,
    ChannelFull,
    ChannelUnbound,
    CursorBusy,
    ItemsMissed,
    MissingProjection,
    NotAChannel,
    PromiseUnresolved,
    UnknownProjection,
)
from anyiostream.errors.root import (
    AnyioStreamError,
    ProgrammingError,
)
from anyiostream.errors.transformers import (
    AsyncTransformerRefused,
    ChildrenRefused,
    EmitterMisused,
    InvalidHook,
    InvalidProjection,
    NotATransformer,
    PrebuiltTransformer,
    ProjectionConflict,
    ScheduleRefused,
)
from anyiostream.errors.usage import (
    CannotDrain,
    ForeignAwait,
    ForeignExit,
    NotAwaited,
    RunBusy,
    RunClosed,
    RunNotEntered,
    RunReentered,
    RunWaitsForItself,
    WriterClosed,
    WrongLane,
)
from anyiostream.errors.warned import (
    AnswersMayMixWarning,
    ItemsDroppedWarning,
    NotAwaitedWarning,
    RunBlocksLoopWarning,
    RunUnclosedWarning,
)

__all__ = [
    "AgentAnswerInvalid",
    "AgentInputInvalid",
    "AlreadyBound",
    "AlreadySubscribed",
    "AnswersMayMixWarning",
    "AnyioStreamError",
    "AsyncTransformerRefused",
    "BackpressureDeadlock",
    "CannotDrain",
    "ChannelClosed",
    "ChannelFull",
    "ChannelUnbound",
    "ChildrenRefused",
    "CursorBusy",
    "EmitterMisused",
    "ForeignAwait",
    "ForeignExit",
    "GraphInterrupt",
    "HookStopped",
    "HostClosed",
    "HostedCallCancelled",
    "InvalidBound",
    "InvalidHook",
    "InvalidProjection",
    "ItemsDroppedWarning",
    "ItemsMissed",
    "MalformedPart",
    "MessageFailed",
    "MissingExtra",
    "MissingProjection",
    "NotAChannel",
    "NotAGraph",
    "NotATransformer",
    "NotAwaited",
    "NotAwaitedWarning",
    "PrebuiltTransformer",
    "ProgrammingError",
    "ProjectionConflict",
    "PromiseUnresolved",
    "RunAborted",
    "RunBlocksLoopWarning",
    "RunBusy",
    "RunClosed",
    "RunDrained",
    "RunNotEntered",
    "RunReentered",
    "RunUnclosedWarning",
    "RunWaitsForItself",
    "ScheduleRefused",
    "SourceStopped",
    "SubgraphFailed",
    "UnknownOption",
    "UnknownProjection",
    "WriterClosed",
    "WrongLane",
]

for _name in __all__:
    # Tracebacks, pickles and filters of warnings name the public place: `anyiostream.errors.ChannelFull`.
    globals()[_name].__module__ = __name__
