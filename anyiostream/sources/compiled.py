"""Telling compiled LangGraph graphs from other things, without importing LangGraph."""

from __future__ import annotations

import sys

__all__ = ["is_langgraph"]


def is_langgraph(graph: object) -> bool:
    """Whether it is a compiled LangGraph graph. Does not import LangGraph: if it is one, that has happened already."""
    module = sys.modules.get("langgraph.pregel.protocol")
    return module is not None and isinstance(graph, module.PregelProtocol)
