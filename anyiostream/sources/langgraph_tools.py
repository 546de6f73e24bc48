"""Tools of LangGraph's `ToolNode` that ask their user.

LangGraph matches answers to one task's questions by the order in which they are asked again. A `ToolNode` calls
synchronous tools side by side, each in a thread; with the stream mode `tools`, which `run.tool_calls` and the server
need, the threads ask in any order, and a tool may be given another one's answer. `in_order` calls them one by one.
"""

from __future__ import annotations

import asyncio
import inspect
import warnings
from collections.abc import Awaitable, Callable, Iterator
from typing import Any, Final, TypeVar
from weakref import WeakKeyDictionary, WeakValueDictionary

from anyiostream.errors import AnswersMayMixWarning
from anyiostream.foreign import TASK_ID

__all__ = ["in_order", "warn_of_mixed_answers"]

T = TypeVar("T")

_locks: Final[WeakValueDictionary[object, asyncio.Lock]] = WeakValueDictionary()
_asking: Final[WeakKeyDictionary[Any, tuple[str, ...]]] = WeakKeyDictionary()


async def in_order(request: Any, execute: Callable[[Any], Awaitable[T]]) -> T:
    """Call the tools of one `ToolNode` one by one, in the order of the model's calls.

    ```py
    from langgraph.prebuilt import ToolNode

    from anyiostream.sources.langgraph_tools import in_order

    node = ToolNode([pay, refund], awrap_tool_call=in_order)
    ```

    For tools of which several may ask at once with LangGraph's `interrupt`: each gets its own answer, and the second
    one asks when the first has been answered. For the async lane and the server.

    Args:
        request: The call, as `ToolNode` gives it.
        execute: Makes it.

    Returns:
        What the tool returns.
    """
    config = request.runtime.config if request.runtime is not None else {}
    task = config.get("configurable", {}).get(TASK_ID) or id(asyncio.current_task())
    lock = _locks.get(task)
    if lock is None:
        lock = _locks[task] = asyncio.Lock()
    async with lock:
        return await execute(request)


def warn_of_mixed_answers(graph: Any) -> None:
    """Warn if a graph has tools whose answers may be mixed up; asks LangGraph for each graph once."""
    asking = _asking.get(graph)
    if asking is None:
        asking = _asking[graph] = tuple(_asking_tools(graph))
    if asking:
        warnings.warn(AnswersMayMixWarning(asking), stacklevel=2)


def _asking_tools(graph: Any) -> Iterator[str]:
    """The names of synchronous tools that call `interrupt` themselves, unless the node calls its tools in order."""
    if not graph.checkpointer:
        return
    for node in graph.nodes.values():
        bound = getattr(node, "bound", None)
        if getattr(bound, "_awrap_tool_call", None) is None:
            for name, tool in (getattr(bound, "tools_by_name", None) or {}).items():
                function = getattr(tool, "func", None)
                if getattr(tool, "coroutine", None) is None and inspect.isfunction(function) and _asks(function):
                    yield name


def _asks(function: Any) -> bool:
    from langgraph.types import interrupt  # noqa: PLC0415 -- an extra

    named = inspect.getclosurevars(function)
    return any(each is interrupt for each in (*named.globals.values(), *named.nonlocals.values()))
