"""How LangGraph's graphs are asked to stop at the end of a superstep: by the run control of LangGraph's own.

A graph that is asked so saves its checkpoint and raises `GraphDrained`. Graphs inside it stop at the ends of their own
supersteps; the nodes that run them begin again, and these go on from their own checkpoints.
"""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from typing import Any, final

from langgraph import errors
from langgraph.pregel import Pregel
from langgraph.runtime import RunControl, get_runtime

from anyiostream.errors import RunDrained
from anyiostream.sources.drains import RequestDrain
from anyiostream.sources.graph_call import GraphCall

__all__ = ["Drains", "GraphDrained"]


@final
class GraphDrained(RunDrained, errors.GraphDrained):
    """`RunDrained`, as LangGraph's class: in a node of another graph, that one is drained with it."""


@final
class NestedControl(RunControl):
    """The control of a run that is opened in a node: it stops when the graph around it is to stop, too."""

    __slots__ = ("_outer",)

    def __init__(self, outer: RunControl) -> None:
        super().__init__()
        self._outer = outer

    @property
    def drain_requested(self) -> bool:
        """Whether either was asked."""
        return self._drain_reason is not None or self._outer.drain_requested

    @property
    def drain_reason(self) -> str | None:
        """Why."""
        return self._outer.drain_reason if self._drain_reason is None else self._drain_reason


@final
class Drains:
    """How one run of a graph is asked to stop, and what it ends with then.

    Attributes:
        options: What the graph is called with for that.
        request: Asks it; `None` if it cannot be asked.
    """

    def __init__(self, call: GraphCall) -> None:
        self.options: dict[str, Any] = {}
        self.request: RequestDrain | None = None
        self._control: RunControl | None = None
        self._asked = False
        if isinstance(call.graph, Pregel):  # what only looks like one, as a graph on a server, may not take a control
            self._control = self.options["control"] = _control_of(call.options.get("control"))
            self.request = self._request

    @contextmanager
    def told(self) -> Generator[None]:
        """A block that the graph's stream is read in: it raises this package's exception if the run was asked.

        LangGraph's own stays where a control of the caller's was asked, which fails the run as in the original; and on
        its way to the graph around this one, whose node must not take it for its own.
        """
        try:
            yield
        except errors.GraphDrained as exc:
            if not self._asked:
                raise
            raise GraphDrained(exc.reason) from exc

    def _request(self, reason: str) -> None:
        control = self._control
        assert control is not None
        if not control.drain_requested:  # the first to ask, and its reason, count
            self._asked = True
            control.request_drain(reason)


def _control_of(given: Any) -> RunControl:
    """The control of a run: what `open_run` was given, or a new one."""
    if given is not None:
        control: RunControl = given
        return control
    try:
        runtime: Any = get_runtime()
    except RuntimeError:  # this is not inside a node
        return RunControl()
    outer = getattr(runtime, "control", None)
    return RunControl() if outer is None else NestedControl(outer)
