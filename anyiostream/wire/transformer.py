"""`WireTransformer`: makes a run's raw log have all that the wire shows."""

from __future__ import annotations

from typing import Any, final

from anyiostream import Namespace, ProtocolEvent, StreamChannel, StreamTransformer

__all__ = ["WireTransformer"]


@final
class WireTransformer(StreamTransformer):
    """Asks the graph for every stream mode that the wire has a channel for, and puts `tasks` back into the raw log.

    The lifecycle projection keeps them out of it, but the Python client learns from them how a subgraph has ended.
    """

    _native = True
    required_stream_modes = ("tasks", "updates", "custom", "checkpoints", "tools")
    methods = ("tasks",)

    def __init__(self, scope: Namespace = ()) -> None:
        """Make the transformer and its channel."""
        super().__init__(scope)
        self._tasks: StreamChannel[Any] = StreamChannel("tasks")

    def init(self) -> dict[str, Any]:
        """One projection, which nobody reads: what counts is that its channel is named."""
        return {"wire.tasks": self._tasks}

    def process(self, event: ProtocolEvent) -> bool:
        """Put a task's event back."""
        self._tasks.push(event["params"]["data"])
        return True
