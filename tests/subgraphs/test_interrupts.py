"""LangGraph graphs that ask their user, and are resumed by a second run."""

from __future__ import annotations

from typing import Any

import pytest
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.types import Command, interrupt

from .graphs import State, chain, fan

pytestmark = pytest.mark.anyio

CONFIG = {"configurable": {"thread_id": "thread"}}
FRESH: State = {"trail": [], "answers": []}


def asking(question: str) -> Any:
    """A node that asks."""
    return lambda state: {"answers": [interrupt(question)]}


async def test_an_interrupted_run_and_its_resumption(lane: Any) -> None:
    """The first run is interrupted, with its state so far; the second, on the same thread, goes on from there."""
    graph = chain(lane, "a", ("ask", asking("sure?")), "b", checkpointer=InMemorySaver())
    async with lane.open(graph, FRESH, config=CONFIG) as run:
        values = lane.cursor(run.values)
        assert await lane.interrupted(run) is True
        (question,) = await lane.interrupts(run)
        assert question.value == "sure?"
        assert (await lane.output(run))["trail"] == ["a"]
        assert run.status == "interrupted"
        assert [each["trail"] for each in await lane.collect(values)][:2] == [[], ["a"]]
    async with lane.open(graph, Command(resume="yes"), config=CONFIG) as run:
        assert await lane.output(run) == {"trail": ["a", "b"], "answers": ["yes"]}
        assert await lane.interrupted(run) is False
        assert await lane.interrupts(run) == []
        assert run.status == "completed"


async def test_an_interrupt_inside_a_subgraph_is_told_once(lane: Any) -> None:
    """By the run, though every level streams it; handle and lifecycle say interrupted; it is resumed from outside."""
    deepest = chain(lane, "x", ("ask", asking("deep?")), "y")
    graph = chain(lane, "a", ("outer", chain(lane, ("inner", deepest))), "b", checkpointer=InMemorySaver())
    async with lane.open(graph, FRESH, config=CONFIG) as run:
        lifecycle = lane.cursor(run.lifecycle)
        outer = await lane.next(lane.cursor(run.subgraphs))
        inner = await lane.next(lane.cursor(outer.subgraphs))
        assert [each.value for each in await lane.interrupts(run)] == ["deep?"]
        assert (run.status, outer.status, inner.status) == ("interrupted",) * 3
        payloads = await lane.collect(lifecycle)
        assert [(each["event"], len(each["namespace"])) for each in payloads] == [
            ("started", 1),
            ("started", 2),
            ("interrupted", 2),
            ("interrupted", 1),
        ]
    async with lane.open(graph, Command(resume="yes"), config=CONFIG) as run:
        outer = await lane.next(lane.cursor(run.subgraphs))
        inner = await lane.next(lane.cursor(outer.subgraphs))
        assert (await lane.output(inner))["trail"] == ["a", "x", "y"]
        output = await lane.output(run)
        assert (output["trail"], output["answers"][-1]) == (["a", "x", "y", "b"], "yes")
        assert (run.status, outer.status, inner.status) == ("completed",) * 3


async def test_a_handle_tells_the_interrupts_of_its_level(lane: Any) -> None:
    """Of the subgraph in which it was asked."""
    graph = chain(lane, ("sub", chain(lane, ("ask", asking("deep?")))), checkpointer=InMemorySaver())
    async with lane.open(graph, FRESH, config=CONFIG) as run:
        handle = await lane.next(lane.cursor(run.subgraphs))
        assert [each.value for each in await lane.interrupts(handle)] == ["deep?"]
        assert await lane.interrupted(handle) is True


async def test_several_interrupts_at_once(lane: Any) -> None:
    """Each is told once; answering by id resumes each with its own answer, one of them leaves the other."""
    graph = fan(
        lane,
        ("one", asking("1?")),
        ("two", chain(lane, ("ask", asking("2?")))),
        ("three", asking("3?")),
        checkpointer=InMemorySaver(),
    )
    async with lane.open(graph, FRESH, config=CONFIG) as run:
        interrupts = await lane.interrupts(run)
        assert sorted(each.value for each in interrupts) == ["1?", "2?", "3?"]
        assert len({each.id for each in interrupts}) == 3
    by_value = {each.value: each.id for each in interrupts}
    some = {by_value["1?"]: "first", by_value["2?"]: "second"}
    async with lane.open(graph, Command(resume=some), config=CONFIG) as run:
        assert [each.value for each in await lane.interrupts(run)] == ["3?"]
        assert run.status == "interrupted"
    async with lane.open(graph, Command(resume="third"), config=CONFIG) as run:
        assert sorted((await lane.output(run))["answers"]) == ["first", "second", "third"]
        assert run.status == "completed"


async def test_a_node_that_asks_twice(lane: Any) -> None:
    """Three runs, one question each."""

    def ask(state: State) -> State:
        return {"answers": [interrupt("first?"), interrupt("second?")]}

    graph = chain(lane, ("ask", ask), checkpointer=InMemorySaver())
    for given, expected in ((FRESH, ["first?"]), (Command(resume="1"), ["second?"]), (Command(resume="2"), [])):
        async with lane.open(graph, given, config=CONFIG) as run:
            assert [each.value for each in await lane.interrupts(run)] == expected
            if not expected:
                assert (await lane.output(run))["answers"] == ["1", "2"]


async def test_a_breakpoint_before_a_node(lane: Any) -> None:
    """The run stops there without a question; the state so far is its output, and a second run goes on."""
    graph = chain(lane, "a", "b", checkpointer=InMemorySaver())
    async with lane.open(graph, FRESH, config=CONFIG, interrupt_before=["b"]) as run:
        assert (await lane.output(run))["trail"] == ["a"]
        assert await lane.interrupts(run) == []
    async with lane.open(graph, None, config=CONFIG) as run:
        assert (await lane.output(run))["trail"] == ["a", "b"]


async def test_reading_an_interrupted_run_to_its_end_raises_nothing(lane: Any) -> None:
    """Every projection ends, the raw log too, which carries the interrupt beside the state."""
    graph = chain(lane, "a", ("ask", asking("sure?")), checkpointer=InMemorySaver())
    async with lane.open(graph, FRESH, config=CONFIG) as run:
        events = await lane.collect(run)
    told = [event["params"]["interrupts"] for event in events if event["params"].get("interrupts")]
    assert told
    assert {each.value for interrupts in told for each in interrupts} == {"sure?"}
