"""The projections that show one stream mode as it is, one row of the table each."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

from anyiostream.channels.channel import StreamChannel
from anyiostream.events import Namespace
from anyiostream.transformer import PayloadTransformer, builtin

__all__ = [
    "CheckpointsTransformer",
    "CustomTransformer",
    "DebugTransformer",
    "TasksTransformer",
    "UpdatesTransformer",
    "ValuesTransformer",
]


class DataTransformer(PayloadTransformer):
    """Shows the payloads of one stream mode at its own scope, in order, as the projection of that name."""

    _native = True
    mode: ClassVar[str]

    def __init_subclass__(cls, *, mode: str | None = None) -> None:
        if mode is not None:
            cls.mode = mode
            cls.methods = cls.required_stream_modes = (mode,)

    def __init__(self, scope: Namespace = ()) -> None:
        """Make the transformer and its channel."""
        super().__init__(scope)
        self._log: StreamChannel[Any] = StreamChannel()

    def init(self) -> dict[str, Any]:
        """One projection, named like the mode."""
        return {self.mode: self._log}

    def consume(self, data: Any) -> None:
        """Show one payload."""
        self._log.push(data)

    def consumer(self) -> Callable[[Any], object]:
        """The channel itself, unless a subclass does more."""
        return self._log.sink() if type(self).consume is DataTransformer.consume else self.consume


@builtin("values")
class ValuesTransformer(DataTransformer, mode="values"):
    """`run.values`: snapshots of the whole state, the last of which is the output."""


@builtin("updates")
class UpdatesTransformer(DataTransformer, mode="updates"):
    """`run.updates`: what each step changed, node name -> update."""


@builtin("custom")
class CustomTransformer(DataTransformer, mode="custom"):
    """`run.custom`: whatever the graph's nodes wrote with their stream writer."""


@builtin("checkpoints")
class CheckpointsTransformer(DataTransformer, mode="checkpoints"):
    """`run.checkpoints`: saved checkpoints, in the format of `get_state()`; none without a checkpointer."""


@builtin("debug")
class DebugTransformer(DataTransformer, mode="debug"):
    """`run.debug`: checkpoints, task starts and task results, wrapped with step number and time."""


@builtin("tasks")
class TasksTransformer(DataTransformer, mode="tasks"):
    """`run.tasks`: task starts and results, also where `lifecycle` keeps them out of the raw log."""
