"""`run.lifecycle`, and that it agrees with the handles."""

from __future__ import annotations

from typing import Any

import pytest

from anyiostream import GraphInterrupt, parts

from .scripts import nest, subgraph

pytestmark = pytest.mark.anyio


def brief(payloads: list[Any]) -> list[Any]:
    """Event and last segment of each payload."""
    return [(each["event"], each["namespace"][-1]) for each in payloads]


async def test_every_depth_inner_before_outer(lane: Any) -> None:
    """Starts go inwards, ends outwards."""
    async with lane.open(lane.source(nest(5))) as run:
        payloads = await lane.collect(run.lifecycle)
    assert brief(payloads) == [
        *(("started", f"sub:{n}") for n in range(1, 6)),
        *(("completed", f"sub:{n}") for n in range(5, 0, -1)),
    ]
    assert [each["namespace"] for each in payloads[:5]] == [[f"sub:{n}" for n in range(1, k + 1)] for k in range(1, 6)]


async def test_a_handle_shows_the_lifecycle_below_it(lane: Any) -> None:
    """At every depth, its own start and end excepted."""
    async with lane.open(lane.source(nest(4))) as run:
        handle = await lane.next(lane.cursor(run.subgraphs))
        for level in range(1, 4):
            inner = await lane.next(lane.cursor(handle.subgraphs))
            payloads = await lane.collect(handle.lifecycle)
            assert brief(payloads) == [
                *(("started", f"sub:{n}") for n in range(level + 1, 5)),
                *(("completed", f"sub:{n}") for n in range(4, level, -1)),
            ]
            handle = inner


class GraphDrained(Exception):
    """What a run control raises in a graph that it drains; told by its name."""


@pytest.mark.parametrize(
    ("error", "status"),
    [(ValueError("broken"), "failed"), (GraphDrained("enough"), "drained")],
    ids=["failed", "drained"],
)
async def test_the_runs_error_ends_what_is_open(lane: Any, error: Exception, status: str) -> None:
    """Each open subgraph ends as the kind of error says, inner first; handles agree."""
    script = [*subgraph("0", lambda ns: []), *nest(3)[:10], error]
    async with lane.open(lane.source(script)) as run:
        lifecycle = lane.cursor(run.lifecycle)
        handles = lane.cursor(run.subgraphs)
        ended, outer = await lane.next(handles), await lane.next(handles)
        middle = await lane.next(lane.cursor(outer.subgraphs))
        with pytest.raises(type(error)) as caught:
            await lane.output(run)
        assert caught.value is error
        payloads = []
        with pytest.raises(type(error)):
            while True:
                payloads.append(await lane.next(lifecycle))
        assert (ended.status, outer.status, middle.status) == ("completed", status, status)
        assert outer.error == ("broken" if status == "failed" else None)
    assert brief(payloads)[-3:] == [(status, "sub:3"), (status, "sub:2"), (status, "sub:1")]
    assert [each.get("error") for each in payloads[-3:]] == ["broken" if status == "failed" else None] * 3


async def test_an_interrupted_function_interrupts_its_subgraphs(lane: Any) -> None:
    """The subgraph that asks, and those round it, end interrupted; so does the run."""

    async def graph(given: Any, writer: Any) -> None:
        await writer.values("before")
        async with writer.subgraph("outer") as outer:
            async with outer.subgraph("inner") as inner:
                await inner.interrupt("sure?")

    async with lane.open(graph) as run:
        lifecycle = lane.cursor(run.lifecycle)
        handle = await lane.next(lane.cursor(run.subgraphs))
        assert await lane.output(run) == "before"
        assert (run.status, handle.status) == ("interrupted", "interrupted")
        payloads = await lane.collect(lifecycle)
        assert [each.value for each in await lane.interrupts(run)] == ["sure?"]
    assert [each["event"] for each in payloads] == ["started", "started", "interrupted", "interrupted"]


async def test_a_script_that_raises_graph_interrupt_interrupts_what_is_open(lane: Any) -> None:
    """It has not failed: open subgraphs end interrupted, not completed."""
    script = [*nest(2)[:7], GraphInterrupt(("question",))]
    async with lane.open(lane.source(script)) as run:
        lifecycle = lane.cursor(run.lifecycle)
        outer = await lane.next(lane.cursor(run.subgraphs))
        assert await lane.interrupts(run) == ["question"]
        assert (run.status, outer.status) == ("interrupted", "interrupted")
        assert brief(await lane.collect(lifecycle))[-2:] == [("interrupted", "sub:2"), ("interrupted", "sub:1")]


async def test_causes_and_agents(lane: Any) -> None:
    """An agent is called by its own name, and names the tool call that caused it."""

    async def graph(given: Any, writer: Any) -> None:
        async with writer.subgraph("tools", agent="researcher", tool_call_id="call 1") as inner:
            async with inner.subgraph("plain"):
                pass
        async with writer.subgraph("tools", agent="writer"):
            pass

    async with lane.open(graph) as run:
        lifecycle = lane.cursor(run.lifecycle)
        first, second = await lane.collect(run.subgraphs)
        payloads = [each for each in await lane.collect(lifecycle) if each["event"] == "started"]
    assert [each["graph_name"] for each in payloads] == ["researcher", "plain", "writer"]
    cause = {"type": "toolCall", "tool_call_id": "call 1"}
    assert [each.get("cause") for each in payloads] == [cause, None, None]
    assert (first.graph_name, first.cause) == ("researcher", cause)
    assert (second.graph_name, second.cause) == ("writer", None)
    assert [each["trigger_call_id"] for each in payloads][::2] == [first.trigger_call_id, second.trigger_call_id]


async def test_the_raw_log_has_the_lifecycle_and_no_tasks(lane: Any) -> None:
    """Numbered from one without a gap."""
    async with lane.open(lane.source([*nest(2), parts.values("end")])) as run:
        events = await lane.collect(run)
    assert [event["seq"] for event in events] == list(range(1, len(events) + 1))
    assert [event["method"] for event in events].count("lifecycle") == 4
    assert {event["method"] for event in events} == {"values", "lifecycle"}
