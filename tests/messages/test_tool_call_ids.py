"""Calls of tools that are under way at once and have one id, which a model gave to both, or two models did."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest
from langchain_core.messages import AIMessage
from langchain_core.tools import StructuredTool
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.prebuilt import ToolNode
from langgraph.types import RetryPolicy, Send

from anyiostream import ToolCallTransformer
from anyiostream.tooling import tool_key

from ..conformance.adapter import Lab

NUMBERS = (1, 2, 3)


def call(number: int) -> Any:
    """A call of the tool."""
    return {"type": "tool_call", "id": "functions.double:0", "name": "double", "args": {"number": number}}


def doubling(lab: Lab, fails: int | None = None) -> Any:
    """A node with a tool whose calls end when all of them have begun, the last one first."""
    begun: list[int] = []
    ended: list[int] = []
    changed = threading.Condition()

    def done(number: int) -> str:
        ended.append(number)
        if number == fails:
            raise ValueError(f"not {number}")
        return str(2 * number)

    def turn(number: int) -> bool:
        return len(begun) == len(NUMBERS) and all(later in ended for later in NUMBERS if later > number)

    def double(number: int) -> str:
        """Double a number."""
        with changed:
            begun.append(number)
            changed.notify_all()
            changed.wait_for(lambda: turn(number))
            changed.notify_all()
            return done(number)

    async def adouble(number: int) -> str:
        begun.append(number)
        while not turn(number):
            await asyncio.sleep(0)
        return done(number)

    tool = StructuredTool.from_function(double, coroutine=adouble if lab.is_async else None)
    return ToolNode([tool], handle_tool_errors=True)


def in_one_message(lab: Lab, fails: int | None = None) -> Any:
    """One model gives all of its calls the same id."""
    calls = [call(number) for number in NUMBERS]
    builder = StateGraph(MessagesState).add_node("model", lambda state: {"messages": [AIMessage("", tool_calls=calls)]})
    builder.add_node("tools", doubling(lab, fails)).add_edge(START, "model").add_edge("model", "tools")
    return builder.compile()


def in_several_tasks(lab: Lab, fails: int | None = None) -> Any:
    """Models that know nothing of each other do."""

    def spread(state: Any) -> Any:
        return [Send("tools", {"messages": [AIMessage("", tool_calls=[call(number)])]}) for number in NUMBERS]

    builder = StateGraph(MessagesState).add_node("tools", doubling(lab, fails))
    return builder.add_conditional_edges(START, spread, ["tools"]).compile()


@pytest.mark.parametrize("build", [in_one_message, in_several_tasks])
@pytest.mark.parametrize("fails", [None, *NUMBERS])
async def test_each_call_ends_as_it_did(lab: Lab, build: Any, fails: int | None) -> None:
    """With its own output, or its own error; none for another one's sake."""
    async with lab.open_graph(build(lab, fails), {"messages": []}, transformers=[ToolCallTransformer]) as run:
        calls = await lab.items(run.tool_calls)
        seen = {each.input["number"]: (each.status, each.output, each.error) for each in calls}
        assert seen == {
            number: ("failed", None, f"not {number}") if number == fails else ("completed", str(2 * number), None)
            for number in NUMBERS
        }
        assert {each.tool_call_id for each in calls} == {"functions.double:0"}


async def test_the_events_of_each_have_a_key_of_their_own(lab: Lab) -> None:
    """For those who read the raw log; the first call's is its id."""
    graph = in_one_message(lab)
    async with lab.open_graph(graph, {"messages": []}, transformers=[ToolCallTransformer]) as run:
        events = [each["params"]["data"] for each in await lab.items(run) if each["method"] == "tools"]
    kinds: dict[str, list[str]] = {}
    for event in events:
        kinds.setdefault(tool_key(event), []).append(event["event"])
    assert list(kinds.values()) == [["tool-started", "tool-finished"]] * len(NUMBERS)
    assert "functions.double:0" in kinds


async def test_a_call_that_was_cut_off_is_not_the_one_that_is_made_again(lab: Lab) -> None:
    """A node is tried again, whose tool has been cancelled: the stream says nothing of that."""
    if not lab.is_async:
        pytest.skip("nothing is cancelled there")
    tries: list[int] = []

    async def hang(number: int) -> str:
        """Hang once."""
        tries.append(number)
        if len(tries) == 1:
            await asyncio.Event().wait()
        return str(number)

    tool = StructuredTool.from_function(coroutine=hang, name="double", description="Double a number.")

    async def node(state: Any) -> Any:
        first = not tries
        hanging = asyncio.create_task(tool.ainvoke(call(1)))
        if first:
            while not tries:
                await asyncio.sleep(0)
            hanging.cancel()
            await asyncio.wait([hanging])
            raise ConnectionError("cut")
        return {"messages": [await hanging]}

    again = RetryPolicy(initial_interval=0, jitter=False, retry_on=ConnectionError)
    graph = StateGraph(MessagesState).add_node("node", node, retry_policy=again).add_edge(START, "node").compile()
    async with lab.open_graph(graph, {"messages": []}, transformers=[ToolCallTransformer]) as run:
        calls = await lab.items(run.tool_calls)
        assert [(each.status, each.output) for each in calls] == [("failed", None), ("completed", "1")]
