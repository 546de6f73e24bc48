"""Two synchronous tools of one `ToolNode` ask at once: plain LangGraph mixes their answers up, `in_order` does not.

Events let the second call's thread ask first, and later the first one's.
"""

from __future__ import annotations

import threading
from types import SimpleNamespace
from typing import Any, Final

import anyio
import anyio.lowlevel
import pytest
from langchain.agents import create_agent
from langchain_core.messages import AIMessage
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import END, START, MessagesState, StateGraph
from langgraph.prebuilt import ToolNode
from langgraph.types import Command, interrupt

from anyiostream import ToolCallTransformer, open_run
from anyiostream.errors import AnswersMayMixWarning
from anyiostream.sources.langgraph_tools import in_order
from anyiostream.testing import Reply
from anyiostream.testing.langchain import FakeStreamingChatModel

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
    begun, paid = threading.Event(), threading.Event()

    def pay(who: str) -> str:
        """Pay."""
        again = over is None or over.is_set()
        begun.set()
        if over is not None:
            over.wait()
        try:
            return f"{who}: {interrupt(who)}"
        finally:
            if again:
                paid.set()

    def refund(who: str) -> str:
        """Refund."""
        if over is not None:
            (paid if over.is_set() else begun).wait()
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


def pay(who: str) -> str:
    """Pay."""
    return str(interrupt(who))


def refund(who: str) -> str:
    """Refund, by way of another function."""
    return _ask(lambda: who)


def _ask(what: Any) -> str:
    return str(interrupt(what()))


def look_up(who: str) -> str:
    """Ask nobody."""
    return who


async def wire(who: str) -> str:
    """Ask, asynchronously."""
    return str(interrupt(who))


def tool_node(*tools: Any, **options: Any) -> Any:
    """A graph of one node, which calls these tools."""
    builder = StateGraph(MessagesState)
    builder.add_node("tools", ToolNode(tools, **options))
    builder.add_edge(START, "tools")
    return builder.compile(checkpointer=InMemorySaver())


def outer(inner: Any) -> Any:
    """A graph that has another one as a node."""
    builder = StateGraph(MessagesState)
    builder.add_node("inner", inner)
    builder.add_edge(START, "inner")
    return builder.compile(checkpointer=InMemorySaver())


def calls(*names: str) -> Any:
    """An input that calls these tools."""
    called: Any = [{"name": name, "id": str(n), "args": {"who": "x"}} for n, name in enumerate(names)]
    return {"messages": [AIMessage("", tool_calls=called)]}


def agent() -> Any:
    """An agent whose model calls two tools that ask, each of which has a task of its own."""
    called = [{"name": name, "args": {"who": "x"}} for name in ("pay", "refund")]
    model = FakeStreamingChatModel(Reply(tool_calls=called), "Done.")
    return create_agent(model, [pay, refund], checkpointer=InMemorySaver())


async def retried(request: Any, execute: Any) -> Any:
    """Some other wrapper around calls of tools."""
    return await execute(request)


ASKED: Final = {"configurable": {"thread_id": "1"}}

WARNED = {
    "two": (lambda: tool_node(pay, refund), calls("pay", "refund"), "'pay', 'refund'"),
    "one twice": (lambda: tool_node(pay), calls("pay", "pay"), "'pay'"),
    "inside": (lambda: outer(tool_node(pay, refund)), calls("pay", "refund"), "'pay', 'refund'"),
    "wrapped": (lambda: tool_node(pay, refund, awrap_tool_call=retried), calls("pay", "refund"), "'pay', 'refund'"),
}

QUIET = {
    "one": (lambda: tool_node(pay, look_up), calls("pay", "look_up")),
    "asynchronous": (lambda: tool_node(pay, wire), calls("pay", "wire")),
    "in order": (lambda: tool_node(pay, refund, awrap_tool_call=in_order), calls("pay", "refund")),
    "agent": (agent, {"messages": [("user", "x")]}),
}


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
@pytest.mark.parametrize("case", WARNED)
def test_a_run_warns_of_tools_that_ask_at_once(case: str, backend: str) -> None:
    """It names them."""
    make, given, named = WARNED[case]
    with pytest.warns(AnswersMayMixWarning, match=f"tools {named},"):
        anyio.run(streamed, make(), given, ASKED, backend=backend)


@pytest.mark.parametrize("case", QUIET)
def test_a_run_does_not_warn_where_nothing_is_mixed_up(case: str) -> None:
    """Where one alone asks, or not in a thread, or one after the other, or in tasks of their own."""
    make, given = QUIET[case]
    anyio.run(streamed, make(), given, ASKED)


def test_a_run_does_not_warn_where_it_does_not_stream_tool_calls() -> None:
    """LangGraph asks in order then."""

    async def read() -> None:
        async with open_run(tool_node(pay, refund), calls("pay", "refund"), config=ASKED) as run:
            await run.output()

    anyio.run(read)


def test_the_sync_lane_warns_as_well() -> None:
    """Its threads ask in any order, too."""
    with (
        pytest.warns(AnswersMayMixWarning, match="'pay', 'refund'"),
        open_run(
            tool_node(pay, refund), calls("pay", "refund"), config=ASKED, transformers=[ToolCallTransformer]
        ) as run,
    ):
        assert run.interrupted
