"""`opened`: graphs that context managers open, for as long as they are served."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from typing import Any

from anyiostream import asyncio_host
from anyiostream.cli.loading import BrokenModule, UsageError, check_graph

__all__ = ["opened"]


@asynccontextmanager
async def opened(graphs: Mapping[str, Any]) -> AsyncGenerator[dict[str, Any]]:
    """The graphs, those in context managers opened, in order, on the loop that they run on; closed after the block.

    Raises:
        BrokenModule: Opening one raises an exception.
        UsageError: What one opens is not a graph.
    """
    try:
        async with asyncio_host() as host, AsyncExitStack() as stack:
            entered = {}
            for name, graph in graphs.items():
                entered[name] = graph
                if isinstance(graph, AbstractAsyncContextManager):
                    try:
                        entered[name] = await stack.enter_async_context(host.open(graph))
                    except (Exception, SystemExit) as exc:
                        raise BrokenModule(name, exc, doing="opening") from exc
                    check_graph(entered[name], f"{name} opens")
            yield entered
    except BaseExceptionGroup as group:
        # What is wrong in the block, or with a later graph, comes out of the task groups of those that are open.
        wrong, rest = group.split(UsageError)
        if wrong is None or rest is not None:
            raise
        raise _first(wrong) from group


def _first(group: BaseExceptionGroup[UsageError]) -> UsageError:
    (first, *_) = group.exceptions
    return _first(first) if isinstance(first, BaseExceptionGroup) else first
