"""Warnings."""

from __future__ import annotations

from collections.abc import Iterable

__all__ = [
    "AnswersMayMixWarning",
    "ItemsDroppedWarning",
    "NotAwaitedWarning",
    "RunBlocksLoopWarning",
    "RunUnclosedWarning",
]


class AnswersMayMixWarning(RuntimeWarning):
    """LangGraph may give a tool the answer that its user has given to another one."""

    def __init__(self, tools: Iterable[str]) -> None:
        names = ", ".join(map(repr, tools))
        super().__init__(
            f"one task has called the synchronous tools {names}, which ask with `interrupt`, at once. LangGraph may "
            "mix up their answers, because this run streams tool calls. Make them `async def`, or let their `ToolNode` "
            "call them one by one: `awrap_tool_call=in_order`, from `anyiostream.sources.langgraph_tools`."
        )


class ItemsDroppedWarning(UserWarning):
    """A channel was subscribed after the run had finished, and items had passed by unread."""


class RunUnclosedWarning(ResourceWarning):
    """A run was entered and its block never left."""


class RunBlocksLoopWarning(RuntimeWarning):
    """A run was opened on the sync lane by a coroutine, which blocks the event loop while the graph runs."""

    def __init__(self, run: str) -> None:
        super().__init__(
            f"`with open_run(...)` in a coroutine: {run} blocks the event loop while it runs, and its `output` is a "
            "property that is not awaited. Write `async with open_run(...) as run:`. If the sync lane is what you "
            "want, open the run in a plain function."
        )


class NotAwaitedWarning(RuntimeWarning):
    """An async method was called and its result dropped without an `await`."""

    def __init__(self, what: str) -> None:
        super().__init__(f"{what} was called and never awaited, so it did nothing: write `await {what}`.")
