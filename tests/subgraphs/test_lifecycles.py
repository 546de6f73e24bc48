"""`run.lifecycle`, and that it agrees with the handles."""

from __future__ import annotations

from typing import Any

import anyio
import pytest
from langgraph.errors import GraphDrained

from anyiostream import GraphInterrupt, ItemsMissed, StreamTransformer, parts

from .scripts import ON_LOOPS, nest, subgraph

pytestmark = pytest.mark.anyio


def no_parts(ns: tuple[str, ...]) -> list[Any]:
    """Nothing."""
    return []


def mark(what: str, ns: tuple[str, ...]) -> Any:
    """A snapshot, to read on to."""
    return parts.values(what, ns=ns)


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


# --- read later than it happened ---


async def test_it_may_be_read_when_all_is_over(lane: Any) -> None:
    """A handle keeps what happened below it, at every depth, for who reads it last."""
    async with lane.open(lane.source(nest(4))) as run:
        handle = await lane.next(lane.cursor(run.subgraphs))
        await lane.output(run)
        assert brief(await lane.collect(handle.lifecycle)) == [
            *(("started", f"sub:{n}") for n in range(2, 5)),
            *(("completed", f"sub:{n}") for n in range(4, 1, -1)),
        ]
        inner = await lane.next(lane.cursor(handle.subgraphs))
        assert [each["event"] for each in await lane.collect(inner.lifecycle)] == ["started"] * 2 + ["completed"] * 2


async def test_it_may_be_read_in_the_middle(lane: Any) -> None:
    """What was kept comes first, then what happens, each once."""
    script = subgraph("1", lambda ns: [part for n in "23" for part in (*subgraph(n, no_parts, ns=ns), mark(n, ns))])
    async with lane.open(lane.source(script)) as run:
        handle = await lane.next(lane.cursor(run.subgraphs))
        assert await lane.next(lane.cursor(handle.values)) == "2"
        assert brief(await lane.collect(handle.lifecycle)) == [
            (event, f"sub:{n}") for n in "23" for event in ("started", "completed")
        ]


async def test_a_handle_keeps_as_much_of_it_as_of_anything_else(lane: Any) -> None:
    """Beyond the run's buffer its reader is told how much has been missed, by then."""
    script = subgraph("1", lambda ns: [part for n in range(2, 7) for part in subgraph(str(n), no_parts, ns=ns)])
    async with lane.open(lane.source(script), buffer=8) as run:
        handle = await lane.next(lane.cursor(run.subgraphs))
        await lane.output(run)
        with pytest.raises(ItemsMissed) as missed:
            await lane.collect(handle.lifecycle)
        assert "10" in str(missed.value)
        assert handle.statistics().channels["lifecycle"].dropped == 10


async def test_the_raw_log_of_a_handle_has_the_lifecycle(lane: Any) -> None:
    """Also where nobody reads `handle.lifecycle`."""
    async with lane.open(lane.source(nest(2))) as run:
        handle = await lane.next(lane.cursor(run.subgraphs))
        events = await lane.collect(handle)
    assert brief([each["params"]["data"] for each in events if each["method"] == "lifecycle"]) == [
        ("started", "sub:2"),
        ("completed", "sub:2"),
    ]


@ON_LOOPS
async def test_nothing_is_lost_where_it_is_first_read_while_an_end_is_awaited(lane: Any) -> None:
    """The end of a subgraph that waits for a hook is told to a projection that is made meanwhile."""
    reached, go_on = anyio.Event(), anyio.Event()

    class Slow(StreamTransformer):
        def init(self) -> dict[str, Any]:
            return {}

        def process(self, event: Any) -> bool:
            return True

        async def afinalize(self) -> None:
            if len(self.scope) == 3:
                reached.set()
                await go_on.wait()

    spaces = [tuple(f"sub:{n}" for n in range(1, depth + 1)) for depth in range(1, 4)]
    script = [
        *(parts.task_start("in", "inner", ns=space) for space in spaces),
        parts.task_result("2", "sub", ns=spaces[0]),  # and with it what is inside
        parts.task_result("1", "sub"),
    ]
    payloads: list[Any] = []
    async with lane.open(lane.source(script), transformers=[Slow]) as run, anyio.create_task_group() as tasks:
        handle = await lane.next(lane.cursor(run.subgraphs))
        tasks.start_soon(lane.output, run)
        await reached.wait()
        cursor = lane.cursor(handle.lifecycle)
        go_on.set()
        payloads += [payload async for payload in cursor]
    assert brief(payloads) == [
        ("started", "sub:2"),
        ("started", "sub:3"),
        ("completed", "sub:3"),
        ("completed", "sub:2"),
    ]
