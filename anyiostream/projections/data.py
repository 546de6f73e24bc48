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
        super().__init_subclass__()

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
    """`run.values`: snapshots of the whole state, the last of which is the output.

    Example:
        ```python
        from anyiostream import open_run, parts

        with open_run([parts.values({"n": 1}), parts.values({"n": 2})]) as run:
            assert list(run.values) == [{"n": 1}, {"n": 2}]
            assert run.output == {"n": 2}
        ```
    """


@builtin("updates")
class UpdatesTransformer(DataTransformer, mode="updates"):
    """`run.updates`: what each step changed, node name -> update.

    Example:
        ```python
        from anyiostream import UpdatesTransformer, open_run, parts

        with open_run([parts.updates({"plan": {"n": 1}})], transformers=[UpdatesTransformer]) as run:
            assert list(run.extensions["updates"]) == [{"plan": {"n": 1}}]
        ```
    """


@builtin("custom")
class CustomTransformer(DataTransformer, mode="custom"):
    """`run.custom`: what the graph's nodes wrote with their stream writer.

    Example:
        ```python
        from anyiostream import CustomTransformer, open_run, parts

        with open_run([parts.custom("halfway")], transformers=[CustomTransformer]) as run:
            assert list(run.extensions["custom"]) == ["halfway"]
        ```
    """


@builtin("checkpoints")
class CheckpointsTransformer(DataTransformer, mode="checkpoints"):
    """`run.checkpoints`: saved checkpoints, in the format of `get_state()`; none without a checkpointer.

    Example:
        ```python
        from anyiostream import CheckpointsTransformer, open_run, parts

        saved = {"values": {"n": 1}, "next": ["plan"]}
        with open_run([parts.checkpoints(saved)], transformers=[CheckpointsTransformer]) as run:
            assert list(run.extensions["checkpoints"]) == [saved]
        ```
    """


@builtin("debug")
class DebugTransformer(DataTransformer, mode="debug"):
    """`run.debug`: checkpoints, task starts and task results, wrapped with step number and time.

    Example:
        ```python
        from anyiostream import DebugTransformer, open_run, parts

        detail = {"type": "task", "step": 1, "payload": {"name": "plan"}}
        with open_run([parts.debug(detail)], transformers=[DebugTransformer]) as run:
            assert list(run.extensions["debug"]) == [detail]
        ```
    """


@builtin("tasks")
class TasksTransformer(DataTransformer, mode="tasks"):
    """`run.tasks`: task starts and results, also where `lifecycle` keeps them out of the raw log.

    Example:
        ```python
        from anyiostream import TasksTransformer, open_run, parts

        graph = [parts.task_start("1", "plan"), parts.task_result("1", "plan", result={"n": 1})]
        with open_run(graph, transformers=[TasksTransformer]) as run:
            start, end = run.extensions["tasks"]
            assert (start["name"], end["result"]) == ("plan", {"n": 1})
        ```
    """
