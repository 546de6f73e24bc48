"""The writer of function graphs: what it writes is what the projections show, alike on every lane."""

from __future__ import annotations

from typing import Any

import anyio
import pytest

from anyiostream import (
    CustomTransformer,
    FinishedMessage,
    GraphInterrupt,
    GraphWriter,
    MessageFailed,
    PendingInterrupt,
    RunAborted,
    SubagentTransformer,
    SubgraphFailed,
    ToolCallTransformer,
    open_run,
)

from ..conformance.adapter import Lab
from .reading import caught, output, result, usage, whole


class Boom(Exception):
    """What failing graphs raise."""


# --- messages ---


async def test_a_written_message(lab: Lab) -> None:
    """Text, reasoning, tool calls and usage come out as they were written; pieces of a kind make one block."""

    async def graph(given: Any, writer: GraphWriter) -> None:
        async with writer.message(node="n", message_id="m", metadata={"model": "x"}) as message:
            assert message.message_id == "m"
            await message.reasoning("h")
            await message.reasoning("m")
            await message.text("a")
            await message.text("b")
            await message.tool_call("search", {"q": 1}, tool_call_id="t1")
            await message.text("c")
            message.usage = {"input_tokens": 1, "output_tokens": 2, "total_tokens": 3}

    async with lab.open_graph(graph) as run:
        (stream,) = await lab.items(run.messages)
        assert (stream.message_id, stream.node, stream.status) == ("m", "n", "finished")
        assert await lab.items(stream.reasoning) == ["h", "m"]
        assert await lab.items(stream.text) == ["a", "b", "c"]
        assert await whole(lab, stream.text) == "abc"
        call = {"type": "tool_call", "id": "t1", "name": "search", "args": {"q": 1}}
        assert await whole(lab, stream.tool_calls) == [call]
        pieces = await lab.items(stream.tool_calls)
        assert "".join(piece["args"] for piece in pieces) == '{"q": 1}'
        assert await usage(lab, stream) == {"input_tokens": 1, "output_tokens": 2, "total_tokens": 3}
        final = await output(lab, stream)
        assert isinstance(final, FinishedMessage)
        assert final.content == (
            {"type": "reasoning", "reasoning": "hm"},
            {"type": "text", "text": "ab"},
            call,
            {"type": "text", "text": "c"},
        )
        assert final.metadata == {"model": "x"}
    assert run.status == "completed"


async def test_a_written_message_is_a_whole_life_cycle(lab: Lab) -> None:
    """Each block has a start, its pieces and a finish, under an index of its own."""

    async def graph(given: Any, writer: GraphWriter) -> None:
        async with writer.message() as message:
            await message.text("a")
            await message.reasoning("b")
            await message.tool_call("t", {}, tool_call_id="1")

    async with lab.open_graph(graph) as run:
        (stream,) = await lab.items(run.messages)
        events = [(each["event"], each.get("index")) for each in await lab.items(stream)]
    block = ["content-block-start", "content-block-delta", "content-block-finish"]
    assert events == [
        ("message-start", None),
        *((each, 0) for each in block),
        *((each, 1) for each in block),
        *((each, 2) for each in block),
        ("message-finish", None),
    ]


async def test_an_empty_message(lab: Lab) -> None:
    """A message without content has none, and a minted id."""

    async def graph(given: Any, writer: GraphWriter) -> None:
        for _ in range(2):
            async with writer.message():
                pass

    async with lab.open_graph(graph) as run:
        streams = await lab.items(run.messages)
        assert len({stream.message_id for stream in streams}) == 2
        for stream in streams:
            assert await whole(lab, stream.text) == ""
            assert await usage(lab, stream) is None
            assert (await output(lab, stream)).content == ()


@pytest.mark.parametrize("handled", [True, False], ids=["handled", "not handled"])
async def test_an_error_in_a_message(lab: Lab, handled: bool) -> None:
    """It fails the message by its text and goes on; the graph may handle it."""
    boom = Boom("boom")

    async def graph(given: Any, writer: GraphWriter) -> None:
        try:
            async with writer.message() as message:
                await message.text("a")
                raise boom
        except Boom:
            if not handled:
                raise

    async with lab.open_graph(graph) as run:
        messages = lab.reader(run.messages)
        stream = await messages.next()
        pieces, error = await lab.outcome(stream.text)
        assert pieces == ["a"]
        assert isinstance(error, MessageFailed)
        assert str(error) == "boom"
        assert stream.status == "failed"
        assert await caught(output, lab, stream) is error
        assert (await messages.outcome())[1] is (None if handled else boom)
        assert run.status == ("completed" if handled else "failed")


async def test_messages_may_be_written_inside_one_another(lab: Lab) -> None:
    """Two messages that are open at a time are kept apart."""

    async def graph(given: Any, writer: GraphWriter) -> None:
        async with writer.message() as one, writer.message() as two:
            for first, second in zip("ab", "xy", strict=True):
                await one.text(first)
                await two.text(second)

    async with lab.open_graph(graph) as run:
        streams = await lab.items(run.messages)
        assert [await lab.items(stream.text) for stream in streams] == [["a", "b"], ["x", "y"]]


# --- tool calls ---


async def test_a_written_tool_call(lab: Lab) -> None:
    """The call's name, arguments, pieces and output."""

    async def graph(given: Any, writer: GraphWriter) -> None:
        async with writer.tool_call("search", {"q": 1}, tool_call_id="t1") as call:
            assert call.tool_call_id == "t1"
            await call.delta("a")
            await call.delta("b")
            call.output = "ab"

    async with lab.open_graph(graph, transformers=[ToolCallTransformer]) as run:
        call = await lab.reader(run.tool_calls).next()
        assert (call.tool_call_id, call.tool_name, call.input) == ("t1", "search", {"q": 1})
        assert await lab.items(call) == ["a", "b"]
        assert await result(lab, call) == "ab"
        assert call.error is None


@pytest.mark.parametrize("text", ["boom", ""])
async def test_an_error_in_a_tool_call(lab: Lab, text: str) -> None:
    """It fails the call by its text, or its name if it has none, and goes on."""
    boom = Boom(text)

    async def graph(given: Any, writer: GraphWriter) -> None:
        async with writer.tool_call("search"):
            raise boom

    async with lab.open_graph(graph, transformers=[ToolCallTransformer]) as run:
        call = await lab.reader(run.tool_calls).next()
        assert await result(lab, call) is None
        assert call.error == (text or "Boom")
        assert await caught(lab.output, run) is boom


# --- subgraphs ---


async def test_a_written_subgraph(lab: Lab) -> None:
    """It has a handle with its name and its own projections; what it does is not the parent's."""

    async def graph(given: Any, writer: GraphWriter) -> None:
        await writer.values("before")
        async with writer.subgraph("researcher", {"q": 1}) as inner:
            assert inner.namespace[-1].startswith("researcher:")
            await inner.values({"found": 1})
            await inner.custom("c")
            async with inner.message() as message:
                await message.text("hi")
            inner.result = {"found": 1}
        await writer.values("after")

    async with lab.open_graph(graph, transformers=[CustomTransformer]) as run:
        lifecycle, values, messages = (lab.reader(each) for each in (run.lifecycle, run.values, run.messages))
        handle = await lab.reader(run.subgraphs).next()
        assert (handle.graph_name, handle.cause, handle.status) == ("researcher", None, "started")
        assert await lab.items(handle.interleave("values", "custom")) == [("values", {"found": 1}), ("custom", "c")]
        (stream,) = await lab.items(handle.messages)
        assert await whole(lab, stream.text) == "hi"
        assert await lab.output(handle) == {"found": 1}
        assert handle.status == "completed"
        assert await values.rest() == ["before", "after"]
        assert await messages.rest() == []
        assert [each["event"] for each in await lifecycle.rest()] == ["started", "completed"]


async def test_subgraphs_nest(lab: Lab) -> None:
    """A subgraph's subgraph is on its handle, under its namespace."""

    async def graph(given: Any, writer: GraphWriter) -> None:
        async with writer.subgraph("outer") as outer:
            async with outer.subgraph("inner") as inner:
                assert inner.namespace[:-1] == outer.namespace
                await inner.values("deep")
            await outer.values("shallow")

    async with lab.open_graph(graph) as run:
        lifecycle = lab.reader(run.lifecycle)
        outers = lab.reader(run.subgraphs)
        outer = await outers.next()
        inner = await lab.reader(outer.subgraphs).next()
        assert (outer.graph_name, inner.graph_name) == ("outer", "inner")
        assert inner.path[:-1] == outer.path
        assert await lab.output(inner) == "deep"
        assert await lab.output(outer) == "shallow"
        assert await outers.rest() == []
        assert [(each["event"], len(each["namespace"])) for each in await lifecycle.rest()] == [
            ("started", 1),
            ("started", 2),
            ("completed", 2),
            ("completed", 1),
        ]


async def test_a_subgraph_that_is_an_agent(lab: Lab) -> None:
    """With an agent's name, it is on `subagents` too, and tells the tool call that caused it."""

    async def graph(given: Any, writer: GraphWriter) -> None:
        async with writer.subgraph("tools", {"q": 1}, agent="researcher", tool_call_id="t1") as inner:
            await inner.values("found")
        async with writer.subgraph("plain") as inner:
            await inner.values("x")

    async with lab.open_graph(graph, transformers=[SubagentTransformer]) as run:
        lifecycle = lab.reader(run.lifecycle)
        (handle,) = await lab.items(run.subagents)
        assert handle.graph_name == "researcher"
        assert handle.cause == {"type": "toolCall", "tool_call_id": "t1"}
        assert await lab.output(handle) == "found"
        starts = [each for each in await lifecycle.rest() if each["event"] == "started"]
        assert [each["graph_name"] for each in starts] == ["researcher", "plain"]
        assert starts[0]["cause"] == handle.cause
        assert "cause" not in starts[1]


async def test_a_subgraphs_error(lab: Lab) -> None:
    """It fails the handle by its text, after its items, and goes on; the graph may handle it."""

    async def graph(given: Any, writer: GraphWriter) -> None:
        try:
            async with writer.subgraph("inner") as inner:
                await inner.values(1)
                raise Boom("boom")
        except Boom:
            await writer.values("handled")

    async with lab.open_graph(graph) as run:
        handle = await lab.reader(run.subgraphs).next()
        items, error = await lab.outcome(handle.values)
        assert items == [1]
        assert isinstance(error, SubgraphFailed)
        assert str(error) == "boom"
        assert (handle.status, handle.error) == ("failed", "boom")
        assert await caught(lab.output, handle) is error
        assert await lab.output(run) == "handled"
        assert run.status == "completed"


async def test_a_subgraphs_error_that_nobody_handles_fails_the_run(lab: Lab) -> None:
    """With the original exception."""
    boom = Boom("boom")

    async def graph(given: Any, writer: GraphWriter) -> None:
        async with writer.subgraph("inner"):
            raise boom

    async with lab.open_graph(graph) as run:
        handle = await lab.reader(run.subgraphs).next()
        assert await caught(lab.output, run) is boom
        assert (handle.status, handle.error) == ("failed", "boom")


async def test_an_interrupt_in_a_subgraph(lab: Lab) -> None:
    """It interrupts the subgraph and the run; neither is a failure."""

    async def graph(given: Any, writer: GraphWriter) -> None:
        await writer.values("state")
        async with writer.subgraph("inner") as inner:
            await inner.values("inner state")
            await inner.interrupt("sure?", interrupt_id="i1")

    async with lab.open_graph(graph) as run:
        handle = await lab.reader(run.subgraphs).next()
        assert await lab.items(handle.values) == ["inner state", "inner state"]
        assert await lab.output(handle) == "inner state"
        assert handle.status == "interrupted"
        assert await lab.interrupted(handle)
        assert await lab.interrupts(handle) == [PendingInterrupt("sure?", "i1")]
        assert await lab.output(run) == "state"
        assert run.status == "interrupted"


async def test_a_raised_graph_interrupt_interrupts_the_subgraph(lab: Lab) -> None:
    """The exception alone says so too."""

    async def graph(given: Any, writer: GraphWriter) -> None:
        try:
            async with writer.subgraph("inner"):
                raise GraphInterrupt([PendingInterrupt("sure?", "i1")])
        except GraphInterrupt:
            pass

    async with lab.open_graph(graph) as run:
        (handle,) = await lab.items(run.subgraphs)
        assert (handle.status, handle.error) == ("interrupted", None)


# --- interrupts ---


async def test_an_interrupt(lab: Lab) -> None:
    """The run ends as interrupted, with its last state and the interrupt."""
    after: list[bool] = []

    async def graph(given: Any, writer: GraphWriter) -> None:
        await writer.values({"n": 1})
        await writer.interrupt("sure?", interrupt_id="i1")
        after.append(True)

    async with lab.open_graph(graph) as run:
        assert await lab.items(run.values) == [{"n": 1}, {"n": 1}]
        assert await lab.interrupted(run) is True
        assert await lab.interrupts(run) == [PendingInterrupt("sure?", "i1")]
        assert await lab.output(run) == {"n": 1}
        assert run.status == "interrupted"
    assert after == []


async def test_an_interrupt_without_a_state(lab: Lab) -> None:
    """An interrupt may come before any snapshot, and mints its id."""

    async def graph(given: Any, writer: GraphWriter) -> None:
        await writer.interrupt("sure?")

    async with lab.open_graph(graph) as run:
        assert await lab.output(run) is None
        (interrupt,) = await lab.interrupts(run)
        assert interrupt.value == "sure?"
        assert interrupt.id
        assert run.status == "interrupted"


async def test_an_interrupt_inside_a_message(lab: Lab) -> None:
    """A message that an interrupt leaves unfinished does not stay open, and the run is interrupted, not failed."""

    async def graph(given: Any, writer: GraphWriter) -> None:
        await writer.values(1)
        async with writer.message() as message:
            await message.text("a")
            await writer.interrupt("sure?")

    async with lab.open_graph(graph) as run:
        (stream,) = await lab.items(run.messages)
        assert stream.done
        assert (await lab.outcome(stream.text))[0] == ["a"]
        assert await lab.output(run) == 1
        assert run.status == "interrupted"


# --- aborting one subgraph ---


async def test_aborting_a_subgraph_spares_the_rest(lab: Lab) -> None:
    """The block is left at its next write, or at once where it can be cancelled; parent and siblings go on."""
    trail: list[str] = []

    async def graph(given: Any, writer: GraphWriter) -> None:
        async with writer.subgraph("first") as inner:
            try:
                for n in range(1000):
                    await inner.values(n)
                    await writer.values(f"parent saw {n}")
                trail.append("not left")
            finally:
                trail.append("cleaned")
        trail.append("after")
        async with writer.subgraph("second") as inner:
            await inner.values("second")
        await writer.values("end")

    async with lab.open_graph(graph, prefetch=0) as run:
        lifecycle = lab.reader(run.lifecycle)
        handles = lab.reader(run.subgraphs)
        first = await handles.next()
        values = lab.reader(first.values)
        assert await values.take(2) == [0, 1]
        await lab.abort(first)
        await lab.abort(first)
        assert first.status == "aborted"
        left = await values.rest()
        assert len(left) <= 2
        error: Any = await caught(lab.output, first)
        assert isinstance(error, RunAborted)
        assert error.partial in (1, 2, 3)
        second = await handles.next()
        assert await lab.output(second) == "second"
        assert second.status == "completed"
        assert await lab.output(run) == "end"
        assert run.status == "completed"
        events = [each["event"] for each in await lifecycle.rest()]
    assert trail == ["cleaned", "after"]
    assert events == ["started", "aborted", "started", "completed"]


async def test_aborting_a_subgraph_as_soon_as_its_handle_is_seen(lab: Lab) -> None:
    """The block is left although it may not have begun when its handle appeared."""
    written: list[int] = []

    async def graph(given: Any, writer: GraphWriter) -> None:
        async with writer.subgraph("first") as inner:
            for n in range(100):
                await inner.values(n)
                written.append(n)
        await writer.values("end")

    async with lab.open_graph(graph, prefetch=0) as run:
        first = await lab.reader(run.subgraphs).next()
        await lab.abort(first)
        assert await lab.output(run) == "end"
        assert first.status == "aborted"
        assert isinstance(await caught(lab.output, first), RunAborted)
    assert written == []


async def test_aborting_a_subgraph_aborts_what_is_inside(lab: Lab) -> None:
    """Its subgraphs, and its unfinished message and tool call, end as aborted."""

    async def graph(given: Any, writer: GraphWriter) -> None:
        async with writer.subgraph("outer") as outer:
            async with outer.subgraph("inner") as inner, inner.message() as message:
                for n in range(1000):
                    await message.text(str(n))
        await writer.values("end")

    async with lab.open_graph(graph, prefetch=0) as run:
        outer = await lab.reader(run.subgraphs).next()
        inner = await lab.reader(outer.subgraphs).next()
        stream = await lab.reader(inner.messages).next()
        assert await lab.reader(stream.text).next() == "0"
        await lab.abort(outer)
        assert (outer.status, inner.status) == ("aborted", "aborted")
        assert stream.status == "aborted"
        error: Any = await caught(output, lab, stream)
        assert isinstance(error, RunAborted)
        assert error.partial.text.startswith("0")
        assert isinstance(await caught(lab.output, inner), RunAborted)
        assert await lab.output(run) == "end"
        assert run.status == "completed"


async def test_aborting_the_inner_subgraph_spares_the_outer(lab: Lab) -> None:
    """Only the block of the subgraph that was aborted is left."""

    async def graph(given: Any, writer: GraphWriter) -> None:
        async with writer.subgraph("outer") as outer:
            async with outer.subgraph("inner") as inner:
                for n in range(1000):
                    await inner.values(n)
            await outer.values("outer goes on")

    async with lab.open_graph(graph, prefetch=0) as run:
        outer = await lab.reader(run.subgraphs).next()
        inner = await lab.reader(outer.subgraphs).next()
        assert await lab.reader(inner.values).next() == 0
        await lab.abort(inner)
        assert await lab.output(outer) == "outer goes on"
        assert (outer.status, inner.status) == ("completed", "aborted")


async def test_aborting_a_subgraph_that_has_ended_does_nothing(lab: Lab) -> None:
    """Its result stays."""

    async def graph(given: Any, writer: GraphWriter) -> None:
        async with writer.subgraph("inner") as inner:
            await inner.values(1)
        await writer.values("end")

    async with lab.open_graph(graph) as run:
        handle = await lab.reader(run.subgraphs).next()
        assert await lab.output(handle) == 1
        await lab.abort(handle)
        assert handle.status == "completed"
        assert await lab.output(handle) == 1
        assert await lab.output(run) == "end"


@pytest.mark.anyio
async def test_aborting_a_subgraph_cancels_it_where_it_waits(anyio_backend: Any) -> None:
    """On the async lane the block ends at once; siblings that run beside it do not notice."""
    trail: list[str] = []
    go = anyio.Event()

    async def graph(given: Any, writer: GraphWriter) -> None:
        async def waiting() -> None:
            async with writer.subgraph("waiting") as inner:
                try:
                    await inner.values(1)
                    await anyio.sleep_forever()
                finally:
                    trail.append("cancelled")
            trail.append("after the block")

        async def working() -> None:
            async with writer.subgraph("working") as inner:
                await inner.values(2)
                await go.wait()
                await inner.values(3)

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(waiting)
            tasks.start_soon(working)
        await writer.values("end")

    async with open_run(graph) as run:
        handles = aiter(run.subgraphs)
        by_name = {handle.graph_name: handle for handle in [await anext(handles), await anext(handles)]}
        working = aiter(by_name["working"].values)
        assert await anext(aiter(by_name["waiting"].values)) == 1
        assert await anext(working) == 2
        await by_name["waiting"].abort()
        assert by_name["waiting"].status == "aborted"
        await anyio.wait_all_tasks_blocked()
        # It goes on after the block when somebody wants what it writes next.
        assert trail[:1] == ["cancelled"]
        go.set()
        assert [each async for each in working] == [3]
        assert await run.output() == "end"
    assert trail == ["cancelled", "after the block"]
    assert by_name["working"].status == "completed"


@pytest.mark.anyio
async def test_an_abort_wakes_the_handles_readers(anyio_backend: Any) -> None:
    """Whoever waits for a subgraph that is aborted is told at once."""
    outcomes: dict[str, Any] = {}

    async def graph(given: Any, writer: GraphWriter) -> None:
        async with writer.subgraph("inner") as inner:
            await inner.values(1)
            await anyio.sleep_forever()
        await writer.values("end")

    async def read(handle: Any) -> None:
        outcomes["read"] = [each async for each in handle.values]

    async def wait(handle: Any) -> None:
        try:
            await handle.output()
        except RunAborted as exc:
            outcomes["wait"] = exc.partial

    async with open_run(graph) as run:
        handle = await anext(aiter(run.subgraphs))
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(read, handle)
            tasks.start_soon(wait, handle)
            await anyio.wait_all_tasks_blocked()
            await handle.abort()
        assert await run.output() == "end"
    assert outcomes == {"read": [1], "wait": 1}


# --- blocks that are cancelled ---


async def test_what_a_cancelled_block_wrote_has_failed(anyio_backend: Any) -> None:
    """A message, a tool call and a subgraph end where their block does, and not with the run; the graph goes on."""
    seen: list[Any] = []
    told = anyio.Event()

    async def graph(given: Any, writer: GraphWriter) -> str:
        for write in (writer.message, lambda: writer.tool_call("search"), lambda: writer.subgraph("inner")):
            with anyio.CancelScope() as scope:
                async with write() as block:
                    if hasattr(block, "values"):
                        await block.values(1)
                    scope.cancel()
                    await anyio.sleep_forever()
        await told.wait()
        return "done"

    async with open_run(graph, transformers=[ToolCallTransformer]) as run:
        async for name, item in run.interleave("messages", "tool_calls", "subgraphs"):
            if name == "messages":
                seen.append(await caught(lambda item=item: item.output))
            elif name == "tool_calls":
                await item
                seen.append(item.error)
            else:
                seen.append(await caught(item.output))
            seen.append(item.status)
            if name == "subgraphs":
                told.set()
        assert await run.output() == "done"
    message, _, tool, _, subgraph, _ = seen
    assert isinstance(message, MessageFailed)
    assert isinstance(subgraph, SubgraphFailed)
    assert str(message) == tool == str(subgraph) == "it was cancelled before it ended"
    assert seen[1::2] == ["failed"] * 3
