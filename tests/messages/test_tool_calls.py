"""`run.tool_calls` on every lane: tool calls of scripted runs."""

from __future__ import annotations

from typing import Any

import anyio
import pytest
from langchain_core.messages import ToolMessage

from anyiostream import MalformedPart, RunAborted, ToolCallStream, ToolCallTransformer, open_run, parts
from anyiostream.errors import WrongLane

from ..conformance.adapter import Lab, Script
from .reading import caught, result


class Boom(Exception):
    """What failing graphs raise."""


def event(kind: str, call_id: Any = "t1", ns: tuple[str, ...] = (), **fields: Any) -> Any:
    """A part of a tool call."""
    return parts.tools({"event": f"tool-{kind}", "tool_call_id": call_id, **fields}, ns=ns)


def started(call_id: Any = "t1", name: str = "search", **fields: Any) -> Any:
    """A call's start."""
    return event("started", call_id, tool_name=name, **fields)


def piece(value: Any, call_id: str = "t1") -> Any:
    """A piece of output."""
    return event("output-delta", call_id, delta=value)


def finished(value: Any, call_id: str = "t1") -> Any:
    """A call's end."""
    return event("finished", call_id, output=value)


def opened(lab: Lab, script: Any, **options: Any) -> Any:
    """A run that shows tool calls."""
    return lab.open(script, transformers=[ToolCallTransformer], **options)


async def only(lab: Lab, run: Any) -> ToolCallStream:
    """The next call."""
    call: ToolCallStream = await lab.reader(run.tool_calls).next()
    return call


async def test_a_call_from_start_to_finish(lab: Lab) -> None:
    """A call shows its name and arguments at once, its pieces as they come, and its output at the end."""
    script = Script([started(input={"q": 1}), piece("a"), piece("b"), finished("ab")])
    async with opened(lab, script, prefetch=0) as run:
        call = await only(lab, run)
        assert isinstance(call, ToolCallStream)
        assert (call.tool_call_id, call.tool_name, call.input) == ("t1", "search", {"q": 1})
        assert (call.output, call.error, call.completed) == (None, None, False)
        assert script.pulled == 1
        assert "running" in repr(call)
        pieces = lab.reader(call.output_deltas)
        assert await pieces.next() == "a"
        assert script.pulled == 2
        assert not call.completed
        assert await pieces.rest() == ["b"]
        assert (call.output, call.error, call.completed) == ("ab", None, True)
        assert await result(lab, call) == "ab"
        assert "completed" in repr(call)


async def test_every_reader_of_a_call_begins_at_its_start(lab: Lab) -> None:
    """Iterating the call and its `output_deltas` is the same, as often as one likes, after the block too."""
    async with opened(lab, [started(), piece(1), piece(2), finished(3)]) as run:
        call = await only(lab, run)
        assert await lab.items(call) == [1, 2]
        assert await lab.items(call) == await lab.items(call.output_deltas) == [1, 2]
        assert [await result(lab, call) for _ in range(2)] == [3, 3]
    assert await lab.items(call) == [1, 2]
    assert await result(lab, call) == 3


async def test_waiting_alone_runs_the_graph_to_the_end_of_the_call(lab: Lab) -> None:
    """The output can be waited for without reading the pieces, and no more of the graph is run than that."""
    script = Script([started(), piece(1), finished(2), parts.custom("after")])
    async with opened(lab, script, prefetch=0) as run:
        assert await result(lab, await only(lab, run)) == 2
        assert script.pulled == 3


async def test_a_tools_error_is_told_and_not_raised(lab: Lab) -> None:
    """A failed call has a text and no output; iterating and waiting end well, for the graph may handle it."""
    async with opened(lab, [started(), piece(1), event("error", message="no such page"), parts.values("end")]) as run:
        call = await only(lab, run)
        assert await lab.items(call) == [1]
        assert await result(lab, call) is None
        assert (call.output, call.error, call.completed) == (None, "no such page", True)
        assert "failed" in repr(call)
        assert await lab.output(run) == "end"
        assert run.status == "completed"


REFUSED = {"content": "no such page", "tool_call_id": "t1", "status": "error"}


@pytest.mark.parametrize(
    "answer",
    [
        ToolMessage(**REFUSED),
        ToolMessage(**{**REFUSED, "content": [{"type": "text", "text": "no such "}, "page"]}),
        {"type": "tool", **REFUSED},
        {"lc": 1, "type": "constructor", "id": ["langchain_core", "messages", "ToolMessage"], "kwargs": REFUSED},
    ],
    ids=["message", "blocks", "dumped", "serialised"],
)
async def test_an_error_that_is_a_tools_answer_is_an_error(lab: Lab, answer: Any) -> None:
    """The model is told of it as the tool's output, and so are the call's readers; but the tool has not completed."""
    async with opened(lab, [started(), finished(answer), parts.values("end")]) as run:
        call = await only(lab, run)
        said = await result(lab, call)
        assert (call.status, call.error) == ("failed", "no such page")
        assert call.output == said == (answer.content if isinstance(answer, ToolMessage) else "no such page")
        assert await lab.output(run) == "end"


async def test_calls_side_by_side_are_told_apart(lab: Lab) -> None:
    """Interleaved events go to the call of their id."""
    script = [
        started("1", "a"),
        started("2", "b"),
        piece("x", "2"),
        piece("y", "1"),
        finished("second", "2"),
        finished("first", "1"),
    ]
    async with opened(lab, script) as run:
        first, second = await lab.items(run.tool_calls)
        assert (await lab.items(first), await result(lab, first)) == (["y"], "first")
        assert (await lab.items(second), await result(lab, second)) == (["x"], "second")


async def test_an_id_may_come_again(lab: Lab) -> None:
    """A call that starts after another one of its id has ended is a call of its own."""
    async with opened(lab, [started(), finished(1), started(), finished(2)]) as run:
        calls = await lab.items(run.tool_calls)
        assert [await result(lab, call) for call in calls] == [1, 2]


async def test_what_belongs_to_no_call_is_skipped_and_counted(lab: Lab) -> None:
    """Events without an id, of a call whose start was not seen or that has ended, are passed over."""
    made: list[ToolCallTransformer] = []

    def make(scope: tuple[str, ...]) -> ToolCallTransformer:
        made.append(ToolCallTransformer(scope))
        return made[-1]

    script = [
        piece("lost", "unknown"),
        finished("lost", "unknown"),
        event("error", "unknown", message="lost"),
        event("started", None, tool_name="nameless"),
        started(),
        event("paused"),
        finished(1),
        piece("late"),
    ]
    async with lab.open(script, transformers=[make]) as run:
        (call,) = await lab.items(run.tool_calls)
        assert await lab.items(call) == []
        assert await result(lab, call) == 1
    assert made[0].skipped == 5


@pytest.mark.parametrize("data", [None, 7, "text", ["x"]], ids=str)
async def test_a_payload_that_is_no_mapping_is_malformed(lab: Lab, data: Any) -> None:
    """The run fails with an exception that says what was expected."""
    async with opened(lab, [{"type": "tools", "ns": (), "data": data}]) as run:
        items, error = await lab.outcome(run.tool_calls)
        assert items == []
        assert isinstance(error, MalformedPart)
        assert "mapping" in str(error)


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        (ToolMessage("text", tool_call_id="t1"), "text"),
        (ToolMessage([{"type": "text", "text": "x"}], tool_call_id="t1"), [{"type": "text", "text": "x"}]),
        (
            {
                "lc": 1,
                "type": "constructor",
                "id": ["langchain", "schema", "messages", "ToolMessage"],
                "kwargs": {"content": "text", "tool_call_id": "t1"},
            },
            "text",
        ),
        ({"type": "tool", "content": "text", "tool_call_id": "t1", "status": "success"}, "text"),
        ({"type": "constructor", "id": ["x", "AIMessage"], "kwargs": {"content": "c"}}, "same"),
        ({"type": "constructor", "id": [], "kwargs": {}}, "same"),
        ({"content": "c"}, "same"),
        ([1, 2], "same"),
        (None, None),
        (0, 0),
    ],
    ids=["message", "blocks", "serialised", "dumped", "other class", "no class", "mapping", "list", "none", "zero"],
)
async def test_a_tool_messages_content_is_the_output(lab: Lab, given: Any, shown: Any) -> None:
    """What a tool returned is taken out of the tool message that LangChain wraps it in; anything else stays."""
    async with opened(lab, [started(), finished(given)]) as run:
        call = await only(lab, run)
        assert await result(lab, call) == (given if shown == "same" else shown)


async def test_a_subgraphs_calls_are_on_its_handle(lab: Lab) -> None:
    """Each scope shows its own tool calls."""
    script = [
        parts.task_start("1", "sub"),
        parts.task_start("2", "x", ns=("sub:1",)),
        {**started("in"), "ns": ("sub:1",)},
        {**finished("inner", "in"), "ns": ("sub:1",)},
        parts.task_result("1", "sub"),
        started("out"),
        finished("outer", "out"),
    ]
    async with opened(lab, script) as run:
        root = lab.reader(run.tool_calls)
        handle = await lab.reader(run.subgraphs).next()
        (call,) = await lab.items(handle.tool_calls)
        assert await result(lab, call) == "inner"
        (call,) = await root.rest()
        assert await result(lab, call) == "outer"


async def test_a_call_without_an_end_has_failed(lab: Lab) -> None:
    """Nobody waits for ever for a tool that never reported, or takes it for one that returned nothing."""
    async with opened(lab, [started(), piece(1)]) as run:
        call = await only(lab, run)
        assert await lab.items(call) == [1]
        assert await result(lab, call) is None
        assert call.completed
        assert call.status == "failed"
        assert "cut off" in str(call.error)


@pytest.mark.parametrize("ends", ["well", "with an error"])
async def test_a_call_started_twice_has_failed(lab: Lab, ends: str) -> None:
    """A second start of a call says that the first one was cut off, whatever becomes of the run."""
    boom = Boom("boom")
    script = Script([started(), piece(1), started(), finished(2)], boom if ends == "with an error" else None)
    async with opened(lab, script) as run:
        calls = lab.reader(run.tool_calls)
        first, second = await calls.take(2)
        assert await result(lab, second) == 2
        pieces, error = await lab.outcome(first)
        assert pieces == [1]
        assert error is None
        assert (first.status, second.status) == ("failed", "completed")
        assert "started again" in str(first.error)
        if ends == "with an error":
            assert await caught(lab.output, run) is boom


async def test_the_runs_failure_reaches_every_reader_after_its_pieces(lab: Lab) -> None:
    """Present and late readers get the pieces first, and then, like those who wait, the very same exception."""
    boom = Boom("boom")
    async with opened(lab, Script([started(), piece(1), piece(2)], boom)) as run:
        call = await only(lab, run)
        present = lab.reader(call)
        assert await present.next() == 1
        assert await present.outcome() == ([2], boom)
        for _ in range(2):
            assert await lab.outcome(call) == ([1, 2], boom)
            assert await caught(result, lab, call) is boom
        assert call.completed
        assert call.error == "boom"
        assert await caught(lab.output, run) is boom
    assert await caught(result, lab, call) is boom


async def test_the_runs_failure_spares_finished_calls(lab: Lab) -> None:
    """A call that has ended well stays good."""
    async with opened(lab, Script([started(), finished(1)], Boom("boom"))) as run:
        calls = lab.reader(run.tool_calls)
        call = await calls.next()
        assert isinstance((await calls.outcome())[1], Boom)
        assert await result(lab, call) == 1
        assert call.error is None


async def test_after_an_abort_iteration_ends_and_waiting_raises(lab: Lab) -> None:
    """As with messages."""
    async with opened(lab, [started(), piece(1), piece(2), finished(3)], prefetch=0) as run:
        call = await only(lab, run)
        pieces = lab.reader(call)
        assert await pieces.next() == 1
        await lab.abort(run)
        assert await pieces.rest() == []
        assert await lab.items(call) == [1]
        for _ in range(2):
            assert isinstance(await caught(result, lab, call), RunAborted)
        assert call.completed
        assert call.output is None
    assert isinstance(await caught(result, lab, call), RunAborted)


async def test_leaving_the_block_aborts_the_call(lab: Lab) -> None:
    """A call that had not ended when the block was left is told like an aborted one."""
    async with opened(lab, [started(), piece(1), finished(3)], prefetch=0) as run:
        call = await only(lab, run)
    assert isinstance(await caught(result, lab, call), RunAborted)


async def test_the_other_lanes_way_of_reading_is_refused(lab: Lab) -> None:
    """A call's pieces are read as the lane does it, and the exception names the way."""
    async with opened(lab, [started(), finished(1)]) as run:
        call = await only(lab, run)
        wrong: Any = iter if lab.is_async else aiter
        for target in (call, call.output_deltas):
            with pytest.raises(WrongLane):
                wrong(target)
        if lab.is_async:
            with pytest.raises(WrongLane):
                call.result()
        else:
            with pytest.raises(WrongLane):
                call.__await__().send(None)


async def test_a_run_without_the_transformer_has_no_tool_calls(lab: Lab) -> None:
    """Tool calls are opt-in, and the exception says what there is."""
    async with lab.open([started()]) as run:
        with pytest.raises(AttributeError, match="tool_calls"):
            _ = run.tool_calls


@pytest.mark.anyio
async def test_any_number_of_tasks_may_read_one_call(anyio_backend: Any) -> None:
    """Readers and waiters in tasks of their own; one that is cancelled loses nothing."""
    seen: list[Any] = []
    go = anyio.Event()

    async def graph(given: Any, writer: Any) -> None:
        async with writer.tool_call("count") as call:
            await call.delta(0)
            await go.wait()
            for n in range(1, 4):
                await call.delta(n)
            call.output = "done"

    async def read(call: Any) -> None:
        seen.append([each async for each in call])

    async def wait(call: Any) -> None:
        seen.append(await call)

    async with open_run(graph, transformers=[ToolCallTransformer]) as run:
        call = await anext(aiter(run.tool_calls))
        cursor = aiter(call)
        assert await anext(cursor) == 0
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(anext, cursor)
            tasks.start_soon(wait, call)
            await anyio.wait_all_tasks_blocked()
            tasks.cancel_scope.cancel()
        go.set()
        async with anyio.create_task_group() as tasks:
            for reader in (read, wait) * 3:
                tasks.start_soon(reader, call)
        assert [each async for each in cursor] == [1, 2, 3]
    assert sorted(map(str, seen)) == ["[0, 1, 2, 3]"] * 3 + ["done"] * 3
