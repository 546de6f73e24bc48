"""What the run streams of both lanes have in common."""

from __future__ import annotations

from collections.abc import Coroutine, Iterator, Mapping
from typing import TYPE_CHECKING, Any, final

from anyiostream.channels.latch import Latch
from anyiostream.channels.raising import Recorded
from anyiostream.ending import Ending
from anyiostream.errors import MissingProjection, RunAborted, SubgraphFailed, UnknownProjection, suggestion
from anyiostream.events import Namespace
from anyiostream.mux.mux import Mux
from anyiostream.pump import Pump, RunStatus
from anyiostream.subgraphs import LifecycleCause, Subgraph, SubgraphEnd, SubgraphStatus

__all__ = ["RunStream", "SubgraphHandle"]


class RunStream:
    """One scope of a run, as the application sees it: its projections, by name."""

    def __init__(self, mux: Mux) -> None:
        self._mux = mux

    @property
    def extensions(self) -> Mapping[str, Any]:
        """Projection name -> channel, promise or other value; read-only."""
        return Extensions(self._mux.extensions)

    if not TYPE_CHECKING:  # for type checkers, what is neither declared nor in `extensions` is not there

        def __getattr__(self, name: str) -> Any:
            """A native projection, when it is first asked for; or what is wrong with the name, and what to do."""
            # Looked up without __getattr__, which would recurse while the object is being copied.
            mux = self.__dict__.get("_mux")
            if mux is None:
                raise MissingProjection(type(self).__name__, name, (), ".")
            if name not in mux.roster.native_keys:
                raise MissingProjection(type(self).__name__, name, mux.roster.native_keys, self._hint(name, mux))
            projection = self.__dict__[name] = mux.roster.projection(name)
            return projection

    def __dir__(self) -> list[str]:
        """With the native projections."""
        return sorted({*super().__dir__(), *self._mux.roster.native_keys})

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
    _latch: Latch
    _failure: Recorded | None
    _pump: Pump

    @property
    def status(self) -> RunStatus | SubgraphStatus:
        """How the subgraph stands."""
        return self._status

    @property
    def name(self) -> str | None:
        """The graph's name."""
        return self.graph_name

    def describe(self, subgraph: Subgraph, pump: Pump) -> None:
        """It is the handle of `subgraph`, which has just started."""
        self.path = subgraph.namespace
        self.graph_name = subgraph.graph_name
        self.trigger_call_id = subgraph.trigger_call_id
        self.cause = subgraph.cause
        self.error = None
        self._status = "started"
        self._pump = pump
        self._latch = Latch(f"the output of subgraph {subgraph.namespace[-1]!r}")
        self._failure = None

    def conclude(self, end: SubgraphEnd, ending: Ending) -> Coroutine[Any, Any, None] | None:
        """The subgraph has ended, or was aborted by this handle. Idempotent.

        Returns:
            `None` if that is done, or a coroutine that does it, and raises the error of a hook that made a good end a
            bad one.
        """
        if self._latch.ready:
            return None
        if ending.error is None and self._mux.ends_silently:
            # As most do.
            self._mux.end_silently(ending)
            self._status = end.status
            self.error = end.error
            self._latch.open()
            return None
        return self._conclude(end, ending)

    async def _conclude(self, end: SubgraphEnd, ending: Ending) -> None:
        if self._latch.ready:
            return
        if ending.quietly:
            what = f"subgraph {self.path[-1]!r}"
            ending = Ending(RunAborted(what, partial=self._mux.state.latest), quietly=True)
        for observer in self._mux.roster.made_observers():
            waiting = observer.end_open(end, ending)
            if waiting is not None:
                await waiting
        became, errors = await self._mux.end(ending)
        self._pump.errors += errors
        self._status = end.status
        self.error = end.error
        if became.error is not None:
            self._failure = Recorded.of(became.error)
        if isinstance(became.error, SubgraphFailed):
            self._pump.subgraph_failed(became.error)
        self._latch.open()
        if became.error is not None and ending.error is None:
            self._status = "failed"
            self.error = str(became.error)
            raise became.error

    def request_abort(self) -> None:
        """Stop the subgraph if the graph allows that, and end the handle at the next step either way."""
        if not self._latch.ready:
            self._pump.source.abort_subgraph(self.path)
            self._pump.request(lambda: self._conclude(SubgraphEnd("aborted"), Ending(quietly=True)))
