"""What exceptions of other packages mean.

Rules:

- They are recognised by class. An optional package, or an event loop that is not running, is not imported for that:
  whoever has raised its exception has imported it.
- Where a package raises a built-in class, and only the text says what it means, the text is here and nowhere else,
  except for those of event loops (`loops/__init__.py`). `tests/unit/test_foreign.py` fails when the package rewords it.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from anyiostream.errors import GraphInterrupt, RunDrained

__all__ = [
    "consists_of",
    "could_be",
    "describes",
    "inside_node",
    "interrupts_of",
    "is_cancellation",
    "is_drain",
    "is_langgraph_interrupt",
    "is_of",
    "leaves",
    "only_runs_async",
    "same_interrupt",
]


def is_cancellation(error: BaseException) -> bool:
    """Whether it is asyncio's cancellation, which anybody can raise, or a group of nothing else; trio's is always real.

    A group counts, because a task group that two cancelled tasks leave raises one, and readers that catch `Exception`
    would be ended by it as by a cancellation.
    """
    return consists_of(error, lambda each: is_of(each, "asyncio.exceptions", "CancelledError"))


def consists_of(error: BaseException, expected: Callable[[BaseException], bool]) -> bool:
    """Whether `error` is expected, or a group of errors that all are."""
    return all(map(expected, leaves(error)))


def leaves(error: BaseException) -> Iterator[BaseException]:
    """An error, or the errors in a group, however deep; each once, however often the group refers to it."""
    found: set[int] = set()
    pending = [error]
    while pending:
        each = pending.pop()
        if id(each) in found:
            continue
        found.add(id(each))
        if isinstance(each, BaseExceptionGroup):
            pending += reversed(each.exceptions)
        else:
            yield each


def interrupts_of(error: BaseException) -> tuple[Any, ...] | None:
    """The interrupts that a `GraphInterrupt` carries, this package's or LangGraph's; `None` for any other exception."""
    if isinstance(error, GraphInterrupt):
        return error.interrupts
    if not is_langgraph_interrupt(error):
        return None
    carried = error.args[0] if error.args else ()
    return tuple(carried) if isinstance(carried, (list, tuple)) else ()


def is_langgraph_interrupt(error: BaseException) -> bool:
    """Whether it is LangGraph's `GraphInterrupt`."""
    return is_of(error, "langgraph.errors", "GraphInterrupt")


def same_interrupt(value: Any, interrupt_id: str, other: Any) -> bool:
    """Whether `other` is LangGraph's `Interrupt` with this value and id."""
    kind = _class("langgraph.types", "Interrupt")
    return kind is not None and isinstance(other, kind) and (value, interrupt_id) == (other.value, other.id)


def inside_node() -> bool:
    """Whether this runs in a node of a LangGraph graph, to which LangGraph's `GraphInterrupt` is then addressed."""
    variable = getattr(sys.modules.get("langchain_core.runnables.config"), "var_child_runnable_config", None)
    config: Mapping[str, Any] = (variable.get() if variable is not None else None) or {}
    return TASK_ID in config.get("configurable", ())


def is_drain(error: BaseException) -> bool:
    """Whether the graph has stopped early because it had been asked to: this package's exception, or LangGraph's."""
    return isinstance(error, RunDrained) or is_of(error, "langgraph.errors", "GraphDrained")


def could_be(kind: type, module: str, name: str) -> bool:
    """Whether a class derives from another package's, if that package has been imported."""
    base = _class(module, name)
    return base is not None and issubclass(kind, base)


def only_runs_async(error: TypeError) -> bool:
    """Whether LangGraph was to run a node synchronously that is asynchronous only."""
    text = error.args[0] if error.args else None
    return isinstance(text, str) and NO_SYNCHRONOUS_FUNCTION in text


def describes(text: str, error: BaseException) -> bool:
    """Whether `text` is how LangGraph's task results describe `error`: they have its text, not the object."""
    try:
        return text in {str(error), repr(error)}
    except Exception:  # noqa: BLE001 -- whatever the methods of a foreign class raise
        return False


TASK_ID: Final = "__pregel_task_id"
"""The key under which LangGraph tells a node its task, in the configuration that the node's context carries."""

NO_SYNCHRONOUS_FUNCTION: Final = "No synchronous function provided"
"""How LangGraph's message begins."""


def is_of(error: BaseException, module: str, name: str) -> bool:
    """Whether it is of another package's class, if that package has been imported."""
    kind = _class(module, name)
    return kind is not None and isinstance(error, kind)


def _class(module: str, name: str) -> type[Any] | None:
    found = getattr(sys.modules.get(module), name, None)
    return found if isinstance(found, type) else None
