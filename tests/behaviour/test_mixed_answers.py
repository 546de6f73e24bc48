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


def graph(over: threading.Event | None = None) -> Any:
    """A graph whose one node calls two tools: in order; or at once, and they change the order in which they ask.

    Args:
        over: Set when the first run is over, in which the second call asks and the first one does not come to it. Then
            the first one asks before the other.
    """
    paid = threading.Event()

    def pay(who: str) -> str:
        """Pay."""
        again = over is None or over.is_set()
        if over is not None:
            over.wait()
        try:
            return f"{who}: {interrupt(who)}"
        finally:
            if again:
                paid.set()

    def refund(who: str) -> str:
        """Refund."""
        if over is not None and over.is_set():
            paid.wait()
        return f"{who}: {interrupt(who)}"

    node = ToolNode([pay, refund], **({"awrap_tool_call": in_order} if over is None else {}))
    builder = StateGraph(MessagesState)
    builder.add_node("tools", node)
    builder.add_edge(START, "tools")
    builder.add_edge("tools", END)
    return builder.compile(checkpointer=InMemorySaver())


async def answered(made: Any, run_once: Any, over: threading.Event | None = None) -> list[str]:
    """What both tools return when each question is answered with its own name."""
    given: Any = {"messages": [AIMessage("", tool_calls=CALLS)]}
    config: Any = {"configurable": {"thread_id": "1"}}
    for _ in range(3):
        await run_once(made, given, config)
        if over is not None:
            over.set()
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
    """The tool that asks first gets the first answer, also where that is for another one's question."""
    over = threading.Event()
    assert anyio.run(answered, graph(over), plain, over) == ["Ann: for Bob", "Bob: for Bob"]


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_in_order_each_gets_its_own(backend: str) -> None:
    """One after the other: each question is answered before the next is asked."""

    async def program() -> None:
        assert await answered(graph(), streamed) == RIGHT

    if backend == "asyncio":
        anyio.run(program)
        assert anyio.run(answered, graph(), plain) == RIGHT
    else:

        async def read() -> None:
            async with open_run(graph(), {"messages": [AIMessage("", tool_calls=CALLS)]}, config={
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
        anyio.run(open_once, graph(threading.Event()), ToolCallTransformer)
    anyio.run(open_once, graph(), ToolCallTransformer)
    anyio.run(open_once, graph(threading.Event()))
