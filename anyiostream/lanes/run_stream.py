"""What the run streams of both lanes have in common."""

from __future__ import annotations

from collections.abc import Coroutine, Iterator, Mapping
from typing import TYPE_CHECKING, Any, NoReturn, final

from anyiostream.channels.latch import Latch
from anyiostream.ends import RunStatus
from anyiostream.errors import CannotDrain, MissingProjection, RunDrained, SubgraphFailed, UnknownProjection
from anyiostream.errors.spelling import suggestion
from anyiostream.events import Namespace
from anyiostream.mux.mux import Mux
from anyiostream.namespaces import task_path
from anyiostream.outcome import Outcome
from anyiostream.pump import Pump
from anyiostream.subgraphs import LifecycleCause, Subgraph, SubgraphStatus

__all__ = ["RunStream", "SubgraphHandle"]


class RunStream:
    """One scope of a run, as the application sees it: its projections, by name."""

    def __init__(self, mux: Mux, pump: Pump) -> None:
        self._mux = mux
        self._pump = pump

    @property
    def extensions(self) -> Mapping[str, Any]:
        """Projection name -> channel, promise or other value; read-only."""
        return Extensions(self._mux.extensions)

    @property
    def status(self) -> RunStatus | SubgraphStatus:
        """How the run stands: `"running"`, `"completed"`, `"failed"`, `"interrupted"`, `"drained"` or `"aborted"`."""
        return self._pump.status

    def request_drain(self, reason: str = "requested") -> None:
        """Ask the graph to stop at the end of the step that is under way, and return at once. Does not checkpoint.

        Whoever reads the run reads on, to the end of that step; there the iterations end, `status` is `"drained"`, and
        `output` raises `RunDrained`. If that step is the last one, the run completes. Asked before the first step, none
        is taken. A LangGraph graph with a checkpointer has a checkpoint then, from which a run with the input `None`
        goes on without repeating anything; a function stops where it calls `writer.drain_if_requested()`.

        It may be called in hooks, in the graph itself, in a signal handler and from any thread. Again, the first reason
        counts; once the run has ended it does nothing. `abort` and the end of the block still stop at once.

        ```python
        async def steps(start, writer):
            for n in range(start, 100):
                await writer.values(n)
                writer.drain_if_requested()

        async with open_run(steps, 1) as run:
            async for _ in run.values:
                run.request_drain("enough")
        assert run.status == "drained"
        ```

        Args:
            reason: What `RunDrained.reason` is to be.

        Raises:
            CannotDrain: The graph has no steps at whose end it could stop: it is an iterable, a generator, or an agent
                of another framework.
        """
        self._pump.request_drain(reason)

    if not TYPE_CHECKING:  # for type checkers, what is neither declared nor in `extensions` is not there

        def __getattr__(self, name: str) -> Any:
            """A native projection, the first time it is asked for; or an error that says what to write instead."""
            # Looked up without __getattr__, which would recurse while the object is being copied.
            mux = self.__dict__.get("_mux")
            if mux is not None and name in mux.registry.native_keys:
                projection = self.__dict__[name] = mux.registry.projection(name)
                return projection
            declared = getattr(type(self), name, None)
            if isinstance(declared, property):
                # Python comes here as well when a property raises an AttributeError: that of a node, which has failed
                # the run. Whatever the property raised, it raises again each time that it is asked.
                return declared.__get__(self)
            if mux is None:
                raise MissingProjection(type(self).__name__, name, (), ".")
            raise MissingProjection(type(self).__name__, name, mux.registry.native_keys, self._hint(name, mux))

    def __dir__(self) -> list[str]:
        """With the native projections."""
        return sorted({*super().__dir__(), *self._mux.registry.native_keys})

    def _hint(self, name: str, mux: Mux) -> str:
        if name in mux.extensions:
            return f"; read it as extensions[{name!r}]."
        if name in ON_DEMAND:
            return f"; open the run with transformers=[{ON_DEMAND[name]}]."
        if name in OTHER_LANE:
            return f"; on this lane it is {OTHER_LANE[name]}()."
        return suggestion(name, {*mux.extensions, *ON_DEMAND, *(each for each in dir(self) if each[0] != "_")}) or "."


ON_DEMAND = {
    "checkpoints": "CheckpointsTransformer",
    "custom": "CustomTransformer",
    "debug": "DebugTransformer",
    "subagents": "SubagentTransformer",
    "tasks": "TasksTransformer",
    "tool_calls": "ToolCallTransformer",
    "updates": "UpdatesTransformer",
}
"""Projection -> the transformer that makes it, if it is registered."""

OTHER_LANE = {"tee": "atee", "atee": "tee"}
"""A method of one lane -> the other lane's."""


@final
class Extensions(Mapping[str, Any]):
    """A run's projections by name, read-only: a view of those that are registered now."""

    __slots__ = ("_projections",)

    def __init__(self, projections: Mapping[str, Any]) -> None:
        self._projections = projections

    def __getitem__(self, name: str) -> Any:
        """The projection.

        Raises:
            UnknownProjection: No transformer made one of that name. A `KeyError`.
        """
        try:
            return self._projections[name]
        except KeyError:
            raise UnknownProjection(name, self._projections) from None

    def __iter__(self) -> Iterator[str]:
        return iter(self._projections)

    def __len__(self) -> int:
        return len(self._projections)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({dict(self._projections)!r})"


class SubgraphHandle(RunStream):
    """What the handles of both lanes add: which subgraph it is, and how it stands.

    Attributes:
        path: Its namespace.
        graph_name: The agent's name if it is an agent, else the name of the node that runs it.
        trigger_call_id: Id of the task that runs it, or `None`.
        cause: The tool call that caused it, if known.
        error: The error's text, if it failed.
    """

    path: Namespace
    graph_name: str | None
    trigger_call_id: str | None
    cause: LifecycleCause | None
    error: str | None
    _status: SubgraphStatus
    _closing: bool
    _latch: Latch
    _failure: Outcome | None

    @property
    def status(self) -> RunStatus | SubgraphStatus:
        """How the subgraph stands."""
        return self._status

    @property
    def name(self) -> str | None:
        """The graph's name."""
        return self.graph_name

    def describe(self, subgraph: Subgraph) -> None:
        """It is the handle of `subgraph`, which has just started."""
        self.path = subgraph.namespace
        self.graph_name = subgraph.graph_name
        self.trigger_call_id = subgraph.trigger_call_id
        self.cause = subgraph.cause
        self.error = None
        self._status = "started"
        self._closing = False
        self._latch = Latch(f"the output of subgraph {subgraph.namespace[-1]!r}")
        self._failure = None

    def conclude(self, outcome: Outcome, *, by_result: bool = False) -> Coroutine[Any, Any, None] | None:
        """The subgraph has ended, or was aborted by this handle. Idempotent.

        Returns:
            `None` if that is done, or continues while the run goes on; or a coroutine that does it, and raises the
            error of a hook that turned success into failure.
        """
        if self._latch.ready or self._closing:
            return None
        if outcome.status == "interrupted":
            self._mux.state.paused = True
        if outcome.error is None and self._mux.ends_silently:
            # The usual case.
            self._mux.end_silently(outcome)
            self._status = outcome.status
            self._latch.open()
            return None
        if by_result and self._mux.is_outlasted:
            self._closing = True
            self._status = outcome.status
            self.error = outcome.message
            self._mux.end_beside(self._end_late, outcome)
            return None
        return self._conclude(outcome)

    async def _conclude(self, outcome: Outcome) -> None:
        if self._latch.ready:
            return
        outcome = self._own(outcome)
        for observer in self._mux.registry.made_observers():
            waiting = observer.end_open(outcome)
            if waiting is not None:
                await waiting
        became = await self._end_mux(outcome)
        self._status = outcome.status
        self.error = outcome.message
        self._latch.open()
        if became.error is not None and outcome.error is None:
            self._status = "failed"
            self.error = str(became.error)
            raise became.error

    async def _end_late(self, outcome: Outcome) -> None:
        """End after the subgraph, which has its status. Idempotent; raises what turned success into failure."""
        if self._latch.ready:
            return
        outcome = self._own(outcome)
        became = await self._end_mux(outcome)
        self._latch.open()
        if became.error is not None and outcome.error is None:
            raise became.error

    def _own(self, outcome: Outcome) -> Outcome:
        """The outcome; for an abort or a drain, with an error that names this subgraph and has its state so far."""
        if not outcome.quiet or outcome.status not in {"aborted", "drained"}:
            return outcome
        what, partial = f"subgraph {task_path(self.path)[-1]!r}", self._mux.state.latest
        if isinstance(outcome.error, RunDrained):
            return Outcome.drained(outcome.error, what, partial=partial)
        return Outcome.aborted(what, partial=partial)

    async def _end_mux(self, outcome: Outcome) -> Outcome:
        """End the mux, and record what that means for the handle's output; returns the resulting outcome."""
        became, errors = await self._mux.end(outcome)
        self._pump.keep(*errors)
        if became.error is not None:
            self._failure = became
        if isinstance(became.error, SubgraphFailed):
            self._pump.failed_subgraphs.add(became.error)
        return became

    def request_drain(self, reason: str = "requested") -> NoReturn:  # noqa: ARG002 -- a run's method
        """Not possible: a subgraph is part of its run's step.

        Raises:
            CannotDrain: Always.
        """
        raise CannotDrain(
            f"subgraph {task_path(self.path)[-1]!r}", "ask its run, or stop it at once with `handle.abort()`."
        )

    def request_abort(self) -> None:
        """Stop the subgraph if the graph allows that, and end the handle at the next step either way."""
        if not self._latch.ready:
            self._pump.source.abort_subgraph(self.path)
            self._pump.request(self._aborted)

    async def _aborted(self) -> None:
        outcome = Outcome.aborted("the subgraph")
        if self._closing:
            # The subgraph itself has ended; what is left of it is cut short.
            await self._mux.cut_short(outcome)
        else:
            await self._conclude(outcome)
