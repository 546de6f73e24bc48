"""Things that look like a graph and are not, and what to say of them: for `open_run` and for the command line."""

from __future__ import annotations

import enum
import inspect
import io
import sys
from collections import deque
from collections.abc import Iterator, Mapping
from collections.abc import Set as AbstractSet
from types import FunctionType
from typing import Any, Final, final

from anyiostream.sources.compiled import PLAIN, is_langgraph

__all__ = ["Lookalike", "called", "holds_parts", "lookalike", "problem_of", "wraps", "wrong_call"]

NO_PARTS: Final = (str, bytes, bytearray, memoryview, range, Mapping, AbstractSet, io.IOBase, type)
"""Iterables of something else. A set cannot hold parts, and the views of a mapping's keys and items are sets."""

DEPTH: Final = 8
"""How many levels deep a graph is looked for."""


def holds_parts(graph: object) -> bool:
    """Whether it may be an iterable of parts."""
    if type(graph) in PLAIN:
        return hasattr(graph, "__iter__")
    # As the abstract base classes see it; they take five times as long to look.
    iterable = getattr(type(graph), "__iter__", None) is not None
    return iterable and not isinstance(graph, NO_PARTS) and not _is_model(graph)


@final
class Lookalike(enum.Enum):
    """What is easily mistaken for a graph."""

    UNCOMPILED = enum.auto()
    COROUTINE = enum.auto()
    FUNCTION = enum.auto()
    MAPPING = enum.auto()
    MODEL = enum.auto()


PROBLEMS: Final[Mapping[Lookalike, str]] = {
    Lookalike.UNCOMPILED: "it has not been compiled; pass graph.compile()",
    Lookalike.COROUTINE: "it is a coroutine; pass the function itself, without calling it",
    Lookalike.FUNCTION: "it is a plain function; make it `async def`, or let it yield its parts",
    Lookalike.MAPPING: "it is a mapping; if it is a part, pass a list of parts",
    Lookalike.MODEL: "it is a data model; iterating it gives its fields, not parts",
}
"""Why it is not a graph, and what to pass instead."""


def lookalike(graph: object) -> Lookalike | None:
    """Which of these it is, or `None`. Closes a coroutine."""
    if hasattr(graph, "compile") and hasattr(graph, "add_node"):
        return Lookalike.UNCOMPILED
    if inspect.iscoroutine(graph):
        graph.close()
        return Lookalike.COROUTINE
    if inspect.isroutine(graph):
        return Lookalike.FUNCTION
    if isinstance(graph, Mapping):
        return Lookalike.MAPPING
    return Lookalike.MODEL if _is_model(graph) else None


def problem_of(graph: object) -> str:
    """Why it is not a graph, and what to pass instead; empty if there is nothing to say."""
    inside = wraps(graph)
    if inside:
        return inside
    kind = lookalike(graph)
    return PROBLEMS[kind] if kind is not None else ""


def called(graph: Any) -> Any:
    """What is called when `graph` is: itself, or its `__call__`; `None` if it cannot be."""
    if not callable(graph):
        return None
    return graph if inspect.isroutine(graph) or hasattr(graph, "func") else type(graph).__call__


def wrong_call(graph: Any, *arguments: str) -> str:
    """Why it cannot be called with these arguments; empty if it can, or if that is not known."""
    if isinstance(graph, FunctionType) and graph.__code__.co_argcount == len(arguments):
        return ""
    try:
        signature = inspect.signature(graph)
    except ValueError:
        return ""  # written in C, without a signature
    try:
        signature.bind(*arguments)
    except TypeError:
        return f"it is called as `graph({', '.join(arguments)})`, and takes `{signature}`"
    return ""


def wraps(graph: object) -> str:
    """What to say of something that is not a graph itself, but has been made from one or holds one; else nothing."""
    owner = getattr(graph, "__self__", None)
    if is_langgraph(owner):
        name = getattr(graph, "__name__", "")
        return f"it is the method `{name}` of {_named(owner)}; pass the graph itself"
    if not _is_runnable(graph):
        return ""
    for path, found in _inside(graph):
        if is_langgraph(found):
            return (
                f"it wraps {_named(found)}, which is its `{path}`; pass that, and put what is around it into a node of "
                "a graph"
            )
    return "it is a LangChain runnable; make it a node of a graph"


def _inside(outer: object) -> Iterator[tuple[str, object]]:
    """What a runnable is made of, outer before inner: where it is, and what."""
    pending = deque([("", outer, 0)])
    seen: set[int] = set()
    while pending:
        path, each, depth = pending.popleft()
        if id(each) in seen:
            continue
        seen.add(id(each))
        if path:
            yield path.removeprefix("."), each
        if depth < DEPTH and _is_runnable(each):
            pending += [(path + where, part, depth + 1) for where, part in _parts(each)]


def _parts(runnable: object) -> Iterator[tuple[str, object]]:
    for name, value in getattr(runnable, "__dict__", {}).items():
        if isinstance(value, (list, tuple)):
            for place, item in enumerate(value):
                yield f".{name}[{place}]", item
        elif isinstance(value, Mapping):
            for key, item in value.items():
                yield f".{name}[{key!r}]", item
        else:
            yield f".{name}", value
            owner = getattr(value, "__self__", None)
            if owner is not None:
                yield f".{name}.__self__", owner


def _is_runnable(value: object) -> bool:
    module = sys.modules.get("langchain_core.runnables.base")
    return module is not None and isinstance(value, module.Runnable) and not is_langgraph(value)


def _is_model(value: object) -> bool:
    module = sys.modules.get("pydantic")
    return module is not None and isinstance(value, module.BaseModel)


def _named(graph: object) -> str:
    name = getattr(graph, "name", None)
    return f"the {type(graph).__name__} {name!r}" if isinstance(name, str) else f"a {type(graph).__name__}"
