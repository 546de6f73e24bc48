"""Two synchronous tools of one `ToolNode` ask at once: plain LangGraph mixes their answers up, `in_order` does not.

Events let the second call's thread ask first, and later the first one's.
"""

from __future__ import annotations

import threading
from types import SimpleNamespace
from typing import Any

import anyio
import anyio.lowlevel
import pytest
from langchain_core.messages import AIMessage
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import END, START, MessagesState, StateGraph
from langgraph.prebuilt import ToolNode
from langgraph.types import Command, interrupt

from anyiostream import ToolCallTransformer, open_run
from anyiostream.errors import AnswersMayMixWarning
from anyiostream.sources.langgraph_tools import in_order

CALLS: Any = [
    {"name": "pay", "id": "1", "args": {"who": "Ann"}},
    {"name": "refund", "id": "2", "args": {"who": "Bob"}},
]


def graph(*, ordered: bool) -> Any:
    """A graph whose one node calls two tools. If both are called at once, they change the order in which they ask."""
    asked, paid = threading.Event(), threading.Event()

    def pay(who: str) -> str:
        """Pay: after the other at first, before it from then on."""
        first = not asked.is_set()
        if not ordered:
            asked.wait()
        try:
            return f"{who}: {interrupt(who)}"
        finally:
            if not first:
                paid.set()

    def refund(who: str) -> str:
        """Refund."""
        if not ordered and asked.is_set():
            paid.wait()
        try:
            return f"{who}: {interrupt(who)}"
        finally:
            asked.set()

    node = ToolNode([pay, refund], **({"awrap_tool_call": in_order} if ordered else {}))
    builder = StateGraph(MessagesState)
    builder.add_node("tools", node)
    builder.add_edge(START, "tools")
    builder.add_edge("tools", END)
    return builder.compile(checkpointer=InMemorySaver())


async def answered(made: Any, run_once: Any) -> list[str]:
    """What both tools return when each question is answered with its own name."""
    given: Any = {"messages": [AIMessage("", tool_calls=CALLS)]}
    config: Any = {"configurable": {"thread_id": "1"}}
    for _ in range(3):
        await run_once(made, given, config)
        state = await made.aget_state(config)
        pending = [each for task in state.tasks for each in task.interrupts]
        if not pending:
            break
        given = Command(resume={each.id: f"for {each.value}" for each in pending})
    return [message.content for message in state.values["messages"][1:]]


async def plain(made: Any, given: Any, config: Any) -> None:
    async for _ in made.astream(given, config, stream_mode=["values", "tools"], version="v2"):
        pass


async def streamed(made: Any, given: Any, config: Any) -> None:
    async with open_run(made, given, config=config, transformers=[ToolCallTransformer]) as run:
        await run.output()


RIGHT = ["Ann: for Ann", "Bob: for Bob"]


def test_langgraph_goes_by_the_order_of_asking() -> None:
    """The tool that asks first gets the first answer, also where that is for another one's question. Threads decide."""
    assert any(anyio.run(answered, graph(ordered=False), plain) != RIGHT for _ in range(30))


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_in_order_each_gets_its_own(backend: str) -> None:
    """One after the other: each question is answered before the next is asked."""

    async def program() -> None:
        assert await answered(graph(ordered=True), streamed) == RIGHT

    if backend == "asyncio":
        anyio.run(program)
        assert anyio.run(answered, graph(ordered=True), plain) == RIGHT
    else:

        async def read() -> None:
            async with open_run(graph(ordered=True), {"messages": [AIMessage("", tool_calls=CALLS)]}, config={
                "configurable": {"thread_id": "1"}}, transformers=[ToolCallTransformer]) as run:  # fmt: skip
                assert [each.value for each in await run.interrupts()] == ["Ann"]

        anyio.run(read, backend="trio")


def test_calls_of_one_task_do_not_overlap() -> None:
    """In the order in which they are made; those of another task go on beside them."""
    seen: list[str] = []

    async def execute(request: Any) -> None:
        seen.append(f"{request.name} begins")
        for _ in range(3):
            await anyio.lowlevel.checkpoint()
        seen.append(f"{request.name} ends")

    def request(name: str, task: str) -> Any:
        config = {"configurable": {"__pregel_task_id": task}}
        return SimpleNamespace(name=name, runtime=SimpleNamespace(config=config))

    async def program() -> None:
        async with anyio.create_task_group() as tasks:
            for name, task in (("a", "1"), ("b", "1"), ("x", "2")):
                tasks.start_soon(in_order, request(name, task), execute)

    anyio.run(program)
    assert [each for each in seen if each[0] != "x"] == ["a begins", "a ends", "b begins", "b ends"]
    assert seen.index("x begins") < seen.index("a ends")


def test_open_run_warns_of_such_tools() -> None:
    """It names them; not where they are called in order, and not where tool calls are not streamed."""

    async def open_once(made: Any, *transformers: Any) -> None:
        async with open_run(
            made, {"messages": []}, config={"configurable": {"thread_id": "1"}}, transformers=transformers
        ):
            pass

    with pytest.warns(AnswersMayMixWarning, match="'pay', 'refund'"):
        anyio.run(open_once, graph(ordered=False), ToolCallTransformer)
    anyio.run(open_once, graph(ordered=True), ToolCallTransformer)
    anyio.run(open_once, graph(ordered=False))
