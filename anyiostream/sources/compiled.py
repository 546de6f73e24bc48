"""Telling compiled LangGraph graphs from other things, without importing LangGraph."""

from __future__ import annotations

import sys
from types import AsyncGeneratorType, FunctionType, GeneratorType
from typing import Final

__all__ = ["PLAIN", "is_langgraph"]

PLAIN: Final = frozenset({list, tuple, GeneratorType, AsyncGeneratorType, FunctionType})
"""Types that a graph often has, and that tell at once what it is. Looking at its abstract base classes instead took a
tenth of an empty run's time."""


def is_langgraph(graph: object) -> bool:
    """Whether it is a compiled LangGraph graph. Does not import LangGraph: if it is one, that has happened already."""
    if type(graph) in PLAIN:
        return False
    module = sys.modules.get("langgraph.pregel.protocol")
    return module is not None and isinstance(graph, module.PregelProtocol)
