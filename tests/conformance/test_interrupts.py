"""Interrupts: a graph that waits for its user has not failed."""

from __future__ import annotations

from typing import Any

from langgraph.checkpoint.memory import InMemorySaver
from langgraph.types import Command, interrupt

from anyiostream import parts

from .adapter import Lab
from .graphs import State, chain

CONFIG = {"configurable": {"thread_id": "1"}}


def asking(lab: Lab) -> Any:
    """A graph that asks its user between two nodes."""

    def ask(state: State) -> State:
        return {"trail": [*state["trail"], interrupt("sure?")]}

    return chain(lab, "a", ("ask", ask), "b", checkpointer=InMemorySaver())


async def test_interrupted(lab: Lab) -> None:
    """(88) After the output, `interrupted` is true and `interrupts` holds what the graph asks."""
    async with lab.open_graph(asking(lab), {"trail": []}, config=CONFIG) as run:
        await lab.output(run)
        assert await lab.interrupted(run) is True
        assert [each.value for each in await lab.interrupts(run)] == ["sure?"]
        assert not lab.ours or run.status == "interrupted"


async def test_interrupted_without_output(lab: Lab) -> None:
    """(88) Asking for `interrupts` or `interrupted` first drives the run too."""
    async with lab.open_graph(asking(lab), {"trail": []}, config=CONFIG) as run:
        assert [each.value for each in await lab.interrupts(run)] == ["sure?"]
    async with lab.open_graph(asking(lab), {"trail": []}, config=CONFIG) as run:
        assert await lab.interrupted(run) is True


async def test_not_interrupted(lab: Lab) -> None:
    """(88) A run that completes is not interrupted."""
    async with lab.open_graph(chain(lab, "a"), {"trail": []}) as run:
        assert await lab.interrupted(run) is False
        assert await lab.interrupts(run) == []


async def test_output_of_an_interrupted_run(lab: Lab) -> None:
    """(89) The output of an interrupted run is the state so far."""
    async with lab.open_graph(asking(lab), {"trail": []}, config=CONFIG) as run:
        assert (await lab.output(run))["trail"] == ["a"]


async def test_values_of_an_interrupted_run(lab: Lab) -> None:
    """(90) `values` carries the state before the interrupt, and ends without an error."""
    async with lab.open_graph(asking(lab), {"trail": []}, config=CONFIG) as run:
        snapshots, error = await lab.outcome(run.values)
    assert error is None
    assert [snapshot["trail"] for snapshot in snapshots][:2] == [[], ["a"]]


async def test_resume(lab: Lab) -> None:
    """(88, 89) A run that resumes the thread goes on where it was, and is not interrupted."""
    graph = asking(lab)
    async with lab.open_graph(graph, {"trail": []}, config=CONFIG) as run:
        assert await lab.interrupted(run)
    async with lab.open_graph(graph, Command(resume="yes"), config=CONFIG) as run:
        assert await lab.output(run) == {"trail": ["a", "yes", "b"]}
        assert await lab.interrupted(run) is False


async def test_breakpoint(lab: Lab) -> None:
    """(88) A run that stops at a breakpoint has the state so far, and no interrupts; with ours it is interrupted."""
    graph = chain(lab, "a", "b", checkpointer=InMemorySaver(), interrupt_before=["b"])
    async with lab.open_graph(graph, {"trail": []}, config=CONFIG) as run:
        assert await lab.output(run) == {"trail": ["a"]}
        assert await lab.interrupts(run) == []
        assert await lab.interrupted(run) is lab.ours
    async with lab.open_graph(graph, None, config=CONFIG) as run:
        assert await lab.output(run) == {"trail": ["a", "b"]}
        assert await lab.interrupted(run) is False


async def test_interrupts_of_own_scope(lab: Lab) -> None:
    """(91) Interrupts are read from `values` parts of the run's own scope, in order."""
    script = [
        parts.values(1, interrupts=("below",), ns=("sub:1",)),
        parts.values(2, interrupts=("first", "second")),
        parts.values(3),
    ]
    async with lab.open(script) as run:
        assert await lab.interrupts(run) == ["first", "second"]
        assert await lab.interrupted(run) is True
    async with lab.open(script[:1]) as run:
        assert await lab.interrupts(run) == []
        assert await lab.interrupted(run) is False


async def test_raw_log_keeps_interrupts(lab: Lab) -> None:
    """(91) The raw log's event carries the interrupts beside the data."""
    async with lab.open([parts.values(1, interrupts=("question",))]) as run:
        (event,) = await lab.items(run)
    assert event["params"]["interrupts"] == ("question",)
