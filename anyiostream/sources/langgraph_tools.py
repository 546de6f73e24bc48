"""Tools of LangGraph's `ToolNode` that ask their user.

LangGraph matches answers to one task's questions by the order in which they are asked again. A `ToolNode` calls
synchronous tools side by side, each in a thread; with the stream mode `tools`, which `run.tool_calls` and the server
need, the threads ask in any order, and a tool may be given another one's answer. `in_order` calls them one by one. An
agent of LangChain's `create_agent` calls each tool in a task of its own, so that nothing is mixed up. So a run warns
when a task is given several calls of tools that ask.
"""

from __future__ import annotations

import asyncio
import inspect
import warnings
from collections.abc import Awaitable, Callable, Collection, Iterator, Mapping
from contextlib import suppress
from types import CodeType, ModuleType
from typing import Any, Final, TypeVar, final
from weakref import WeakKeyDictionary, WeakValueDictionary

import attrs
from langgraph.types import interrupt

from anyiostream.errors import AnswersMayMixWarning
from anyiostream.foreign import TASK_ID

__all__ = ["AskingTools", "asking_tools", "in_order", "warn_of_mixed_answers"]

T = TypeVar("T")

_locks: Final[WeakValueDictionary[object, asyncio.Lock]] = WeakValueDictionary()
_asking: Final[WeakKeyDictionary[Any, dict[str, AskingTools]]] = WeakKeyDictionary()


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


@final
@attrs.frozen
class AskingTools:
    """Synchronous tools of one `ToolNode` that ask.

    Attributes:
        names: Their names.
        key: Where the node's messages are in its state.
        ordered: Whether the node calls its tools in order on the async lane.
    """

    names: frozenset[str]
    key: str
    ordered: bool

    def called(self, given: Any) -> list[str]:
        """The names of those that an input of the node calls, in order."""
        messages = given.get(self.key) if isinstance(given, Mapping) else given
        if not isinstance(messages, list) or not messages:
            return []
        calls = getattr(messages[-1], "tool_calls", messages)
        return [each["name"] for each in calls if isinstance(each, Mapping) and each.get("name") in self.names]


def asking_tools(graph: Any) -> Mapping[str, AskingTools]:
    """Name of a node -> its tools that ask, also of nodes of graphs inside a graph; looked for once a graph."""
    asking = _asking.get(graph)
    if asking is None:
        asking = _asking[graph] = {}
        for each in (graph, *(inside for _, inside in graph.get_subgraphs(recurse=True))):
            for name, node in getattr(each, "nodes", {}).items():
                found = _asking_tools(getattr(node, "bound", None))
                if found.names:
                    asking[name] = found
    return asking


def warn_of_mixed_answers(asking: Mapping[str, AskingTools], task: Mapping[str, Any], *, is_async: bool) -> None:
    """Warn if a task that begins calls several tools that ask at once: LangGraph goes by the order in which they do."""
    tools = asking.get(task["name"])
    if tools is not None and not (is_async and tools.ordered):
        called = tools.called(task.get("input"))
        if len(called) > 1:
            warnings.warn(AnswersMayMixWarning(sorted(set(called))), stacklevel=2)


def _asking_tools(node: Any) -> AskingTools:
    tools = getattr(node, "tools_by_name", None) or {}
    asking = (
        name
        for name, tool in tools.items()
        if getattr(tool, "coroutine", None) is None and _refers(getattr(tool, "func", None), interrupt)
    )
    key = str(getattr(node, "_messages_key", "messages"))
    wrapper = getattr(node, "_awrap_tool_call", None)
    return AskingTools(frozenset(asking), key, wrapper is in_order or _refers(wrapper, in_order))


def _refers(function: Any, target: Any) -> bool:
    """Whether a function refers to another one, itself or by way of functions of its own package."""
    seen: set[int] = set()
    pending = [function]
    while pending:
        each = pending.pop()
        if not inspect.isfunction(each) or id(each) in seen or _package(each) != _package(function):
            continue
        seen.add(id(each))
        names = set(_names(each.__code__))
        for value in (*map(each.__globals__.get, names), *_closure(each)):
            if value is target or (inspect.ismodule(value) and _has(value, names, target)):
                return True
            pending.append(getattr(value, "__func__", None) or getattr(value, "func", value))
    return False


def _has(module: ModuleType, names: Collection[str], target: Any) -> bool:
    return any(vars(module).get(name) is target for name in names)


def _package(function: Any) -> str:
    return (function.__module__ or "").partition(".")[0]


def _names(code: CodeType) -> Iterator[str]:
    """The names of globals and attributes in a function, and in those that are defined in it."""
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _names(constant)


def _closure(function: Any) -> Iterator[Any]:
    for cell in function.__closure__ or ():
        with suppress(ValueError):  # it is empty
            yield cell.cell_contents
