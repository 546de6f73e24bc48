"""What the run streams of both lanes have in common."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NoReturn

from anyiostream.channels.channel import StreamChannel
from anyiostream.events import Namespace
from anyiostream.mux.mux import Mux
from anyiostream.subgraphs import LifecycleCause, Subgraph, SubgraphEnd, SubgraphStatus

__all__ = ["RunStream", "SubgraphHandle"]


class RunStream:
    """One scope of a run, as the application sees it: its projections, by name.

    Attributes:
        extensions: Projection name -> channel, promise or other value; read-only.
    """

    # Registered in every run, and on demand; declared for type checkers and completion.
    values: StreamChannel[Any]
    messages: StreamChannel[Any]
    lifecycle: StreamChannel[Any]
    subgraphs: StreamChannel[Any]
    updates: StreamChannel[Any]
    custom: StreamChannel[Any]
    checkpoints: StreamChannel[Any]
    debug: StreamChannel[Any]
    tasks: StreamChannel[Any]
    tool_calls: StreamChannel[Any]

    def __init__(self, mux: Mux) -> None:
        self._mux = mux
        self.extensions: Mapping[str, Any] = MappingProxyType(mux.extensions)
        for key in mux.native_keys:
            self.__dict__[key] = mux.extensions[key]

    def __getattr__(self, name: str) -> Any:
        """The projections of transformers that are defined elsewhere, for type checkers; at run time, the error."""
        self._raise_missing(name)

    def _raise_missing(self, name: str) -> NoReturn:
        # Looked up without __getattr__, which would recurse while the object is being copied.
        mux = self.__dict__.get("_mux")
        registered = ", ".join(sorted(mux.native_keys)) if mux is not None else ""
        raise AttributeError(
            f"{type(self).__name__!r} object has no attribute {name!r} (registered projections: {registered or 'none'}; "
            "others are in `extensions`)",
            name=name,
            obj=self,
        )


class SubgraphHandle:
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

    @property
    def status(self) -> SubgraphStatus:
        """How the subgraph stands."""
        return self._status

    def describe(self, subgraph: Subgraph) -> None:
        """It is the handle of `subgraph`, which has just started."""
        self.path = subgraph.namespace
        self.graph_name = subgraph.graph_name
        self.trigger_call_id = subgraph.trigger_call_id
        self.cause = subgraph.cause
        self._status = "started"
        self.error = None

    def mark(self, end: SubgraphEnd) -> None:
        """It has ended."""
        self._status = end.status
        self.error = end.error

