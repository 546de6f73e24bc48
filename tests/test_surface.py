"""The names of `anyiostream`: those that it must have, and those that would be in a user's way."""

from __future__ import annotations

import importlib
from types import ModuleType

import pytest

import anyiostream

BORROWED = {
    "AsyncChatModelStream",
    "AsyncGraphRunStream",
    "AsyncSubgraphRunStream",
    "ChatModelStream",
    "GraphInterrupt",
    "GraphRunStream",
    "LifecyclePayload",
    "LifecycleTransformer",
    "MessagesTransformer",
    "ProtocolEvent",
    "StreamChannel",
    "StreamEmitter",
    "StreamMux",
    "StreamPart",
    "StreamTransformer",
    "SubgraphRunStream",
    "SubgraphStatus",
    "SubgraphTransformer",
    "ValuesTransformer",
    "convert_to_protocol_event",
}
"""LangGraph's names for the same things: a program changes the line that imports them."""

COUNTERPARTS = {
    # Transformers of LangGraph's for further stream modes, and for tool calls.
    "CheckpointsTransformer",
    "CustomTransformer",
    "DebugTransformer",
    "TasksTransformer",
    "ToolCallTransformer",
    "UpdatesTransformer",
    # What projections of messages are to type checkers, in a module that users have no reason to import.
    "AsyncProjection",
}
"""Names besides that mean the same here as there."""

NEIGHBOURS = (
    "asyncio",
    "langchain.agents",
    "langchain_core.callbacks",
    "langchain_core.language_models",
    "langchain_core.language_models.chat_model_stream",
    "langchain_core.messages",
    "langchain_core.runnables",
    "langchain_core.tools",
    "langgraph.config",
    "langgraph.errors",
    "langgraph.func",
    "langgraph.graph",
    "langgraph.prebuilt",
    "langgraph.stream",
    "langgraph.types",
)
"""Modules that a program is likely to import from beside this package."""


def exported(module: ModuleType) -> set[str]:
    """The names that a module is imported for."""
    named = getattr(module, "__all__", None)
    return set(named) if named is not None else {name for name in vars(module) if not name.startswith("_")}


def test_borrowed_names_are_there() -> None:
    """Each by the name that LangGraph's reference gives it."""
    assert set(anyiostream.__all__) >= BORROWED


@pytest.mark.parametrize("neighbour", NEIGHBOURS)
def test_no_name_means_something_else_next_door(neighbour: str) -> None:
    """A module imports from this package and from `neighbour` without renaming anything."""
    shared = set(anyiostream.__all__) & exported(importlib.import_module(neighbour))
    assert shared <= BORROWED | COUNTERPARTS


@pytest.mark.parametrize(("before", "now"), [("StreamWriter", "GraphWriter"), ("Interrupt", "PendingInterrupt")])
def test_a_name_that_was_changed_is_still_found(before: str, now: str) -> None:
    """But it is listed no more."""
    assert getattr(anyiostream, before) is getattr(anyiostream, now)
    assert before not in anyiostream.__all__


def test_an_exception_that_has_moved_is_still_found() -> None:
    """Only under the names that there are."""
    assert anyiostream.NotAGraph is anyiostream.errors.NotAGraph  # type: ignore[attr-defined]
    with pytest.raises(AttributeError, match="has no attribute 'Nothing'"):
        _ = anyiostream.Nothing  # type: ignore[attr-defined]
