"""`GraphCall`: what `open_run` was given of a graph."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, final

import attrs

from anyiostream.errors import UnknownOption

__all__ = ["GraphCall", "check_options"]

REFUSED_OPTIONS: Final = {
    "stream_mode": "the modes are those that the registered transformers need; register a transformer for another one.",
    "subgraphs": "subgraphs are always streamed; read `run.subgraphs`, or ignore them.",
    "version": "the version of the stream's parts cannot be changed.",
}


@final
@attrs.define(eq=False)
class GraphCall:
    """What `open_run` was given of a graph.

    Attributes:
        graph: The graph.
        given: Its input.
        config: LangGraph's configuration, or `None`.
        options: Further keyword arguments for LangGraph.
        prefetch: How many parts it may run ahead.
        is_langgraph: Whether it is a compiled LangGraph graph.
    """

    graph: Any
    given: Any
    config: Mapping[str, Any] | None
    options: Mapping[str, Any]
    prefetch: int
    is_langgraph: bool

    @property
    def name(self) -> str:
        """What the graph is called in messages."""
        name = getattr(self.graph, "__qualname__", None) or type(self.graph).__name__
        return f"the graph {name}"


def check_options(call: GraphCall) -> None:
    """Refuse options that the graph does not take.

    Raises:
        UnknownOption: It has one; the message says why not.
    """
    for option in call.options:
        if option in REFUSED_OPTIONS:
            raise UnknownOption(option, REFUSED_OPTIONS[option])
    if not call.is_langgraph:
        for option in ("config", *call.options) if call.config is not None else call.options:
            raise UnknownOption(option, f"{call.name} is not a LangGraph graph, and only those accept it.")
