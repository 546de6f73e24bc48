"""`StreamWriter`: how a graph that is one's own async function writes its parts.

Rules:

- Each method waits until the part fits: until there is room in the read-ahead, or, after a part that ends a
  superstep, until somebody wants what comes next. So backpressure reaches into the graph itself.
- It writes the parts that LangGraph would, so that every transformer works unchanged.
- Once the run is closing it writes nothing and waits for nothing, so that clean-up code may use it blindly.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Protocol, final

from anyiostream import parts
from anyiostream.events import Namespace, StreamPart

__all__ = ["PartSink", "StreamWriter"]


class PartSink(Protocol):
    """Where a writer's parts go, one per lane."""

    async def write(self, part: StreamPart) -> None:
        """Hand over a part, and wait until the graph may go on."""


@final
class StreamWriter:
    """Writes the parts of one level of a function graph.

    Attributes:
        namespace: The level's namespace; `()` for the graph itself.
    """

    __slots__ = ("_sink", "namespace")

    def __init__(self, sink: PartSink, namespace: Namespace = ()) -> None:
        self._sink = sink
        self.namespace = namespace

    async def values(self, state: Any, *, interrupts: Iterable[Any] = ()) -> None:
        """Write a snapshot of the whole state. The last one is the run's output."""
        await self._sink.write(parts.values(state, interrupts=interrupts, ns=self.namespace))

    async def updates(self, update: Mapping[str, Any]) -> None:
        """Write what a step changed: node name -> update."""
        await self._sink.write(parts.updates(update, ns=self.namespace))

    async def custom(self, data: Any) -> None:
        """Write anything the readers of `run.custom` should see."""
        await self._sink.write(parts.custom(data, ns=self.namespace))

    async def checkpoints(self, checkpoint: Mapping[str, Any]) -> None:
        """Write a saved checkpoint."""
        await self._sink.write(parts.checkpoints(checkpoint, ns=self.namespace))

    async def debug(self, data: Any) -> None:
        """Write detail about a step."""
        await self._sink.write(parts.debug(data, ns=self.namespace))

    async def part(self, part: StreamPart) -> None:
        """Write a part built with `anyiostream.parts`, as it is."""
        await self._sink.write(part)
