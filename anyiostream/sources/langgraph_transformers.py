"""Transformers of LangGraph's own classes, as they come compiled into a graph.

Those that have a counterpart in this library are replaced by it. Any other runs unchanged inside a transformer of ours:
what it pushes to its channels goes to channels of ours, and what it schedules goes to the run's nursery.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Coroutine, Mapping, Sequence
from functools import lru_cache
from typing import Any, cast, final

from langgraph.stream import StreamChannel as LangGraphChannel
from langgraph.stream import StreamTransformer as LangGraphTransformer

from anyiostream.channels.channel import StreamChannel
from anyiostream.events import Namespace, ProtocolEvent
from anyiostream.projections.data import (
    CheckpointsTransformer,
    CustomTransformer,
    DebugTransformer,
    TasksTransformer,
    UpdatesTransformer,
)
from anyiostream.projections.subgraphs import SubagentTransformer
from anyiostream.projections.tool_calls import ToolCallTransformer
from anyiostream.transformer import OnError, ScheduledTask, StreamTransformer, TransformerFactory

__all__ = ["adapt_transformers"]

COUNTERPARTS: Mapping[str, tuple[type[StreamTransformer], ...]] = {
    "langgraph.stream": (
        CheckpointsTransformer,
        CustomTransformer,
        DebugTransformer,
        TasksTransformer,
        UpdatesTransformer,
    ),
    "langgraph.prebuilt": (ToolCallTransformer,),
    "langchain.agents._subagent_transformer": (SubagentTransformer,),
}
"""Module -> ours; theirs is that module's class of the same name. A module that is not imported has no instances."""


def adapt_transformers(factories: Sequence[Callable[[Namespace], Any]]) -> list[TransformerFactory]:
    """Factories of LangGraph's transformers, or of ours, as factories of ours."""
    return [_adapted(factory) for factory in factories]


def _adapted(factory: Callable[[Namespace], Any]) -> TransformerFactory:
    known = _counterpart(factory) if isinstance(factory, type) else None
    if known is not None:
        return known

    def make(scope: Namespace) -> StreamTransformer:
        made = factory(scope)
        if not isinstance(made, LangGraphTransformer):
            return cast("StreamTransformer", made)  # checked where it is registered
        kind = type(made)
        counterpart = _counterpart(kind)
        if counterpart is not None:
            return counterpart(scope)
        hooks = ("aprocess", "afinalize", "afail")
        waits = any(getattr(kind, hook) is not getattr(LangGraphTransformer, hook) for hook in hooks)
        return AsyncAdapter(made, scope) if waits and not made.supports_sync else Adapter(made, scope)

    return make


@lru_cache(maxsize=64)
def _counterpart(kind: type) -> type[StreamTransformer] | None:
    for module, ours in COUNTERPARTS.items():
        for each in ours:
            if getattr(sys.modules.get(module), each.__name__, None) is kind:
                return each
    return None


class Adapter(StreamTransformer):
    """Runs a LangGraph transformer in a mux of ours."""

    def __init__(self, inner: LangGraphTransformer, scope: Namespace) -> None:
        super().__init__(scope)
        self._inner = inner
        # What the mux looks up on the class has to be set for each instance here.
        own = vars(self)
        own["required_stream_modes"] = tuple(inner.required_stream_modes)
        own["before_builtins"] = inner.before_builtins
        own["requires_async"] = inner.requires_async
        own["_native"] = bool(getattr(inner, "_native", False))

    def init(self) -> dict[str, Any]:
        """Its projections, with channels of ours in place of LangGraph's."""
        inner = self._inner
        cast("Any", inner).schedule = self._schedule
        return {name: _channel(value) for name, value in inner.init().items()}

    def process(self, event: ProtocolEvent) -> bool:
        """As the transformer does."""
        return self._inner.process(cast("Any", event))

    def finalize(self) -> None:
        """As the transformer does."""
        self._inner.finalize()

    def fail(self, err: BaseException) -> None:
        """As the transformer does."""
        self._inner.fail(err)

    def _schedule(self, coro: Coroutine[Any, Any, Any], *, on_error: OnError = "log") -> ScheduledTask:
        return self.schedule(coro, on_error=on_error)


@final
class AsyncAdapter(Adapter):
    """Runs a LangGraph transformer that overrides async hooks."""

    async def aprocess(self, event: ProtocolEvent) -> bool:
        """As the transformer does."""
        return await self._inner.aprocess(cast("Any", event))

    async def afinalize(self) -> None:
        """As the transformer does."""
        await self._inner.afinalize()

    async def afail(self, err: BaseException) -> None:
        """As the transformer does."""
        await self._inner.afail(err)


def _channel(value: Any) -> Any:
    if not isinstance(value, LangGraphChannel):
        return value
    channel: StreamChannel[Any] = StreamChannel(value.name)
    value._wire(channel.push)  # noqa: SLF001 -- LangGraph offers no public way to see a channel's pushes
    return channel
