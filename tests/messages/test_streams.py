"""`run.messages` on every lane: streams of scripted model calls."""

from __future__ import annotations

import gc
import weakref
from typing import Any

import anyio
import pytest

from anyiostream import (
    AsyncChatModelStream,
    ChatModelStream,
    FinishedMessage,
    MalformedPart,
    MessageFailed,
    RunAborted,
    open_run,
    parts,
)
from anyiostream.errors import WrongLane
from anyiostream.parts import messages

from ..conformance.adapter import Lab, Script
from .reading import block_finish, caught, delta, finish, message, output, part, start, text, text_message, usage, whole


async def only(lab: Lab, run: Any) -> Any:
    """The next message."""
    return await lab.reader(run.messages).next()


class Boom(Exception):
    """What failing graphs raise."""


# --- beginnings ---


async def test_a_stream_appears_at_the_start_of_its_message(lab: Lab) -> None:
    """The stream is there before the message has any content."""
    script = Script(message(start(id="m"), *text("a", "b"), finish(), langgraph_node="n"))
    async with lab.open(script, prefetch=0) as run:
        stream = await only(lab, run)
        assert isinstance(stream, AsyncChatModelStream if lab.is_async else ChatModelStream)
        assert (stream.message_id, stream.node, stream.namespace) == ("m", "n", [])
        assert stream.status == "streaming"
        assert not stream.done
        assert script.pulled == 1


async def test_pieces_come_one_by_one(lab: Lab) -> None:
    """Reading a message advances the graph as far as the piece that is wanted."""
    script = Script(text_message("a", "b", "c"))
    async with lab.open(script, prefetch=0) as run:
        stream = await only(lab, run)
        cursor = lab.reader(stream.text)
        for count, piece in enumerate("abc", start=2):
            assert await cursor.next() == piece
            assert script.pulled == count
        assert await cursor.rest() == []
        assert stream.status == "finished"
        assert stream.done


async def test_each_projection_has_its_own_pieces_and_final_value(lab: Lab) -> None:
    """Text, reasoning, tool calls, usage and the final message of one call."""
    call = {"type": "tool_call", "id": "t1", "name": "search", "args": {"q": 1}}
    chunk = {"type": "tool_call_chunk", "id": "t1", "name": "search", "args": ""}
    events = [
        start(id="m", metadata={"model": "x"}),
        delta("reasoning", "h"),
        delta("reasoning", "m"),
        block_finish({"type": "reasoning", "reasoning": "hm"}),
        *text("y", "es", index=1),
        block_finish({"type": "text", "text": "yes"}, 1),
        {"event": "content-block-start", "index": 2, "content": chunk},
        delta("tool-call", '{"q": ', 2),
        delta("tool-call", "1}", 2),
        block_finish(call, 2),
        finish(usage={"total_tokens": 3}, metadata={"stop": "end"}),
    ]
    async with lab.open(message(*events)) as run:
        stream = await only(lab, run)
        assert await lab.items(stream.text) == ["y", "es"]
        assert await whole(lab, stream.text) == "yes"
        assert await lab.items(stream.reasoning) == ["h", "m"]
        assert await whole(lab, stream.reasoning) == "hm"
        assert await lab.items(stream.tool_calls) == [{**chunk, "args": '{"q": '}, {**chunk, "args": "1}"}]
        assert await whole(lab, stream.tool_calls) == [call]
        assert await usage(lab, stream) == {"total_tokens": 3}
        assert await lab.items(stream) == events
        final = await output(lab, stream)
    assert isinstance(final, FinishedMessage)
    assert (final.id, final.text, final.reasoning, final.tool_calls) == ("m", "yes", "hm", (call,))
    assert final.usage == {"total_tokens": 3}
    assert final.metadata == {"model": "x", "stop": "end"}


def test_on_the_sync_lane_text_can_be_printed() -> None:
    """`str()` of a projection is its final value."""
    with open_run(iter(text_message("a", "b"))) as run:
        stream = next(iter(run.messages))
        assert str(stream.text) == "ab"


async def test_awaiting_a_stream_gives_its_output(lab: Lab) -> None:
    """On the async lane, the stream itself can be awaited."""
    async with lab.open(text_message("a")) as run:
        stream = await only(lab, run)
        final = await output(lab, stream)
        if lab.is_async:
            assert await stream is final


# --- many readers ---


async def test_every_cursor_replays_from_the_start(lab: Lab) -> None:
    """Whenever a cursor is opened, it gets every piece."""
    async with lab.open(text_message("a", "b", "c")) as run:
        stream = await only(lab, run)
        first = lab.reader(stream.text)
        assert await first.take(2) == ["a", "b"]
        second = lab.reader(stream.text)
        assert await second.take(1) == ["a"]
        assert await first.rest() == ["c"]
        assert await second.rest() == ["b", "c"]
        assert await lab.items(stream.text) == ["a", "b", "c"]
    assert await lab.items(stream.text) == ["a", "b", "c"]


async def test_awaiting_may_be_repeated(lab: Lab) -> None:
    """Each projection gives its final value as often as it is asked, the final message as the same object."""
    async with lab.open(text_message("a", "b")) as run:
        stream = await only(lab, run)
        assert [await whole(lab, stream.text) for _ in range(3)] == ["ab"] * 3
        outputs = [await output(lab, stream) for _ in range(3)]
        assert outputs[0] is outputs[1] is outputs[2]
    assert await output(lab, stream) is outputs[0]
    assert await whole(lab, stream.text) == "ab"
    assert await usage(lab, stream) is None


@pytest.mark.anyio
async def test_any_number_of_tasks_may_read_one_message(anyio_backend: Any) -> None:
    """Readers, and waiters, in tasks of their own all see the whole message."""
    seen: list[Any] = []

    async def graph(given: Any, writer: Any) -> None:
        async with writer.message() as writing:
            for piece in "abcdef":
                await writing.text(piece)
                await anyio.lowlevel.checkpoint()

    async def read(stream: Any) -> None:
        seen.append([piece async for piece in stream.text])

    async def wait(stream: Any) -> None:
        seen.append(list(await stream.text))

    async def final(stream: Any) -> None:
        seen.append(list((await stream).text))

    async with open_run(graph) as run:
        stream = await anext(aiter(run.messages))
        async with anyio.create_task_group() as tasks:
            for reader in (read, wait, final) * 3:
                tasks.start_soon(reader, stream)
    assert seen == [list("abcdef")] * 9


@pytest.mark.anyio
async def test_a_reader_cancelled_in_a_message_loses_nothing(anyio_backend: Any) -> None:
    """A cursor whose wait was cancelled goes on where it was, and so do the others."""
    go = anyio.Event()

    async def graph(given: Any, writer: Any) -> None:
        async with writer.message() as writing:
            await writing.text("a")
            await go.wait()
            for piece in "bcd":
                await writing.text(piece)

    async def wait(stream: Any) -> None:
        await stream

    async with open_run(graph) as run:
        stream = await anext(aiter(run.messages))
        cursor = aiter(stream.text)
        assert await anext(cursor) == "a"
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(anext, cursor)
            await anyio.wait_all_tasks_blocked()
            tasks.cancel_scope.cancel()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(wait, stream)
            await anyio.wait_all_tasks_blocked()
            tasks.cancel_scope.cancel()
        go.set()
        assert [piece async for piece in cursor] == ["b", "c", "d"]
        assert (await stream).text == "abcd"


@pytest.mark.anyio
async def test_a_reader_cancelled_in_the_turn_of_a_delta_loses_nothing(anyio_backend: Any) -> None:
    """The piece that wakes a reader is still there after the reader was cancelled before it could take it."""
    go = anyio.Event()

    async def graph(given: Any, writer: Any) -> None:
        async with writer.message() as writing:
            await go.wait()
            for piece in "abc":
                await writing.text(piece)

    async with open_run(graph) as run:
        stream = await anext(aiter(run.messages))
        cursor, got = aiter(stream.text), []

        async def read() -> None:
            async for piece in cursor:
                got.append(piece)

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(read)
            await anyio.wait_all_tasks_blocked()
            go.set()
            await anyio.lowlevel.checkpoint()
            tasks.cancel_scope.cancel()
        async for piece in cursor:
            got.append(piece)
    assert got == ["a", "b", "c"]


# --- calls side by side ---


async def test_concurrent_calls_are_kept_apart_by_their_run(lab: Lab) -> None:
    """Interleaved events go to the call of their `run_id`."""
    script = [
        part(start(id="1"), "r1"),
        part(start(id="2"), "r2"),
        part(text("a")[0], "r1"),
        part(text("x")[0], "r2"),
        part(text("b")[0], "r1"),
        part(finish(), "r2"),
        part(finish(), "r1"),
    ]
    async with lab.open(script) as run:
        first, second = await lab.items(run.messages)
        assert await lab.items(first.text) == ["a", "b"]
        assert await lab.items(second.text) == ["x"]
        assert (first.message_id, second.message_id) == ("1", "2")


async def test_calls_without_a_run_are_kept_apart_by_their_node(lab: Lab) -> None:
    """Where there is no `run_id`, the node and the checkpoint namespace tell the calls apart."""
    left, right = {"langgraph_node": "left"}, {"langgraph_node": "right", "langgraph_checkpoint_ns": "right:1"}
    script = [
        part(start(id="1"), None, **left),
        part(start(id="2"), None, **right),
        part(text("a")[0], None, **left),
        part(text("x")[0], None, **right),
        part(finish(), None, **left),
        part(finish(), None, **right),
    ]
    async with lab.open(script) as run:
        streams = await lab.items(run.messages)
        assert [await whole(lab, stream.text) for stream in streams] == ["a", "x"]


async def test_calls_without_metadata_follow_one_another(lab: Lab) -> None:
    """With no metadata at all there is one call at a time."""
    script = [
        {"type": "messages", "ns": (), "data": (event, None)}
        for event in (start(id="1"), *text("a"), finish(), start(id="2"), *text("b", "c"), finish())
    ]
    async with lab.open(script) as run:
        streams = await lab.items(run.messages)
        assert [await whole(lab, stream.text) for stream in streams] == ["a", "bc"]
        assert [stream.node for stream in streams] == [None, None]


async def test_a_run_may_make_one_call_after_another(lab: Lab) -> None:
    """A `run_id` that comes again after its message has ended starts another message."""
    async with lab.open([*text_message("a"), *text_message("b")]) as run:
        streams = await lab.items(run.messages)
        assert [await whole(lab, stream.text) for stream in streams] == ["a", "b"]


@pytest.mark.parametrize("ends", ["well", "with an error"])
async def test_a_message_replaced_before_it_ended_has_failed(lab: Lab, ends: str) -> None:
    """A second start of the same call says that the first one broke off, whatever becomes of the run."""
    script = Script(
        [part(start(id="1")), part(text("a")[0]), part(start(id="2")), part(text("b")[0]), part(finish())],
        Boom("boom") if ends == "with an error" else None,
    )
    async with lab.open(script) as run:
        messages = lab.reader(run.messages)
        first, second = await messages.take(2)
        assert await whole(lab, second.text) == "b"
        pieces, error = await lab.outcome(first.text)
        assert pieces == ["a"]
        assert isinstance(error, MessageFailed)
        assert first.status == "failed"
        assert isinstance(await caught(output, lab, first), MessageFailed)
        if ends == "with an error":
            assert isinstance(await caught(lab.output, run), Boom)
            assert isinstance(await caught(whole, lab, first.text), MessageFailed)
        else:
            assert (await output(lab, second)).text == "b"


async def test_a_message_that_the_graph_left_open_has_failed(lab: Lab) -> None:
    """A graph that ends without its message's finish: readers get what there was, and then the message's failure."""
    async with lab.open(message(start(id="1"), *text("a", "b"))) as run:
        stream = await only(lab, run)
        pieces, error = await lab.outcome(stream.text)
        assert pieces == ["a", "b"]
        assert isinstance(error, MessageFailed)
        assert isinstance(await caught(whole, lab, stream.text), MessageFailed)
        assert isinstance(await caught(output, lab, stream), MessageFailed)
        assert stream.done
        assert stream.status == "failed"
        await lab.output(run)
        assert run.status == "completed"


# --- what is no message ---


@pytest.mark.parametrize("data", [None, 7, "text", {}, (), ({},), ({}, {}, {}), [start()]], ids=str)
async def test_a_payload_that_is_no_pair_is_malformed(lab: Lab, data: Any) -> None:
    """The run fails with an exception that says what was expected."""
    async with lab.open([{"type": "messages", "ns": (), "data": data}]) as run:
        items, error = await lab.outcome(run.messages)
        assert items == []
        assert isinstance(error, MalformedPart)
        assert isinstance(error, TypeError)
        assert "pair" in str(error)
        assert run.status == "failed"


@pytest.mark.parametrize("metadata", [7, "text", ["x"]], ids=str)
async def test_metadata_that_is_no_mapping_is_malformed(lab: Lab, metadata: Any) -> None:
    """As a payload that is no pair."""
    async with lab.open([{"type": "messages", "ns": (), "data": (start(), metadata)}]) as run:
        assert isinstance((await lab.outcome(run.messages))[1], MalformedPart)


async def test_messages_of_tools_are_not_shown(lab: Lab) -> None:
    """A message whose role is `tool` is passed over with all of its events, and does not disturb others."""
    script = [
        part(start(role="tool"), "t"),
        *text_message("a"),
        part(text("hidden")[0], "t"),
        part(finish(), "t"),
        *text_message("b", run_id="t"),
    ]
    async with lab.open(script) as run:
        streams = await lab.items(run.messages)
        assert [await whole(lab, stream.text) for stream in streams] == ["a", "b"]


@pytest.mark.parametrize("role", ["ai", "human", "system", "oracle", None])
async def test_messages_of_any_other_role_are_shown(lab: Lab, role: str | None) -> None:
    """A role that is not known, or missing, is no reason to hide a message."""
    async with lab.open(message({"event": "message-start", "role": role, "id": "m"}, *text("a"), finish())) as run:
        stream = await only(lab, run)
        assert await whole(lab, stream.text) == "a"


async def test_events_without_a_start_are_passed_over(lab: Lab) -> None:
    """Deltas and ends of calls whose start was not seen make no message."""
    async with lab.open([*message(*text("lost"), finish()), *text_message("a", run_id="other")]) as run:
        (stream,) = await lab.items(run.messages)
        assert await whole(lab, stream.text) == "a"


async def test_payloads_of_other_types_are_passed_over(lab: Lab) -> None:
    """A payload that is neither event nor message makes no message."""
    script = [messages(payload, {"run_id": "x"}) for payload in (None, "text", 7, object())]
    async with lab.open([*script, *text_message("a")]) as run:
        (stream,) = await lab.items(run.messages)
        assert await whole(lab, stream.text) == "a"


async def test_a_subgraphs_messages_are_on_its_handle(lab: Lab) -> None:
    """Each scope shows its own model calls."""
    inner = [{**each, "ns": ("sub:1",)} for each in text_message("in")]
    script = [
        parts.task_start("1", "sub"),
        parts.task_start("2", "x", ns=("sub:1",)),
        *inner,
        parts.task_result("1", "sub"),
        *text_message("out"),
    ]
    async with lab.open(script) as run:
        root = lab.reader(run.messages)
        handle = await lab.reader(run.subgraphs).next()
        (stream,) = await lab.items(handle.messages)
        assert await whole(lab, stream.text) == "in"
        assert stream.namespace == ["sub:1"]
        (stream,) = await root.rest()
        assert await whole(lab, stream.text) == "out"


# --- errors ---


async def test_the_runs_failure_reaches_every_reader_after_its_pieces(lab: Lab) -> None:
    """Present and late readers and waiters get the buffered pieces first, and then the very same exception."""
    boom = Boom("boom")
    script = Script(message(start(id="m"), *text("a", "b"), delta("reasoning", "r", 1)), boom)
    async with lab.open(script) as run:
        stream = await only(lab, run)
        present = lab.reader(stream.text)
        assert await present.next() == "a"
        assert await present.outcome() == (["b"], boom)
        for _ in range(2):
            assert await lab.outcome(stream.text) == (["a", "b"], boom)
            assert await lab.outcome(stream.reasoning) == (["r"], boom)
            assert await lab.outcome(stream.tool_calls) == ([], boom)
            assert (await lab.outcome(stream))[1] is boom
            for projection in (stream.text, stream.reasoning, stream.tool_calls):
                assert await caught(whole, lab, projection) is boom
            assert await caught(output, lab, stream) is boom
            assert await caught(usage, lab, stream) is boom
        assert stream.status == "failed"
        assert await caught(lab.output, run) is boom
    assert await lab.outcome(stream.text) == (["a", "b"], boom)
    assert await caught(output, lab, stream) is boom


async def test_the_runs_failure_keeps_its_traceback_short(lab: Lab) -> None:
    """However often the error is raised, its traceback does not grow."""
    boom = Boom("boom")
    async with lab.open(Script(message(start()), boom)) as run:
        stream = await only(lab, run)
        lengths = set()
        for _ in range(5):
            error = await caught(whole, lab, stream.text)
            length, frame = 0, error.__traceback__
            while frame is not None:
                length, frame = length + 1, frame.tb_next
            lengths.add(length)
        # The first time, the frames that ran the graph are part of it.
        assert len(lengths) <= 2


async def test_the_runs_failure_spares_finished_messages(lab: Lab) -> None:
    """A message that has ended well stays good."""
    async with lab.open(Script([*text_message("a"), *message(start(), run_id="x")], Boom("boom"))) as run:
        messages = lab.reader(run.messages)
        good, bad = await messages.take(2)
        assert isinstance(await caught(output, lab, bad), Boom)
        assert await whole(lab, good.text) == "a"
        assert (await output(lab, good)).text == "a"
        assert isinstance((await messages.outcome())[1], Boom)


async def test_an_error_event_fails_its_message_alone(lab: Lab) -> None:
    """A model's own error ends its message; the graph, and the run, go on."""
    script = [*message(start(), *text("a"), {"event": "error", "message": "overloaded"}), *text_message("b")]
    async with lab.open(script) as run:
        failed, good = await lab.items(run.messages)
        assert failed.status == "failed"
        pieces, error = await lab.outcome(failed.text)
        assert pieces == ["a"]
        assert isinstance(error, MessageFailed)
        assert str(error) == "overloaded"
        assert await caught(output, lab, failed) is error
        assert await caught(usage, lab, failed) is error
        assert await whole(lab, good.text) == "b"
        await lab.output(run)
        assert run.status == "completed"


# --- abort ---


async def test_after_an_abort_iteration_ends_and_awaiting_raises(lab: Lab) -> None:
    """Readers of an unfinished message get what there is; waiters get `RunAborted` with the message so far."""
    async with lab.open(message(start(id="m"), *text("a", "b", "c"), finish()), prefetch=0) as run:
        stream = await only(lab, run)
        present = lab.reader(stream.text)
        assert await present.take(2) == ["a", "b"]
        await lab.abort(run)
        assert await present.rest() == []
        assert await lab.items(stream.text) == ["a", "b"]
        assert await lab.items(stream) == [start(id="m"), *text("a", "b")]
        assert stream.status == "aborted"
        assert stream.done
        for _ in range(2):
            for function, target in (
                (output, stream),
                (usage, stream),
                (whole, stream.text),
                (whole, stream.tool_calls),
            ):
                error = await caught(function, lab, target)
                assert isinstance(error, RunAborted)
                assert isinstance(error.partial, FinishedMessage)
                assert error.partial.id == "m"
                assert error.partial.text == "ab"
    assert await lab.items(stream.text) == ["a", "b"]
    assert isinstance(await caught(output, lab, stream), RunAborted)


async def test_leaving_the_block_aborts_the_message(lab: Lab) -> None:
    """A message that was not finished when the block was left is told like an aborted one."""
    async with lab.open(text_message("a", "b"), prefetch=0) as run:
        stream = await only(lab, run)
        assert await lab.reader(stream.text).next() == "a"
    error = await caught(output, lab, stream)
    assert isinstance(error, RunAborted)
    assert error.partial.text == "a"
    assert await lab.items(stream.text) == ["a"]


async def test_an_abort_spares_finished_messages(lab: Lab) -> None:
    """A message that has ended stays good."""
    async with lab.open([*text_message("a"), *message(start(), *text("b"), run_id="x")], prefetch=0) as run:
        messages = lab.reader(run.messages)
        good, _ = await messages.take(2)
        await lab.abort(run)
        assert (await output(lab, good)).text == "a"
        assert await whole(lab, good.text) == "a"


@pytest.mark.anyio
async def test_an_abort_wakes_parked_readers(anyio_backend: Any) -> None:
    """Whoever waits for a message when the run is aborted is told at once."""
    outcomes: dict[str, Any] = {}

    async def graph(given: Any, writer: Any) -> None:
        async with writer.message() as writing:
            await writing.text("a")
            await anyio.sleep_forever()

    async def read(stream: Any) -> None:
        outcomes["read"] = [piece async for piece in stream.text]

    async def wait(stream: Any) -> None:
        try:
            await stream
        except RunAborted as exc:
            outcomes["wait"] = exc.partial.text

    async with open_run(graph) as run:
        stream = await anext(aiter(run.messages))
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(read, stream)
            tasks.start_soon(wait, stream)
            await anyio.wait_all_tasks_blocked()
            await run.abort()
    assert outcomes == {"read": ["a"], "wait": "a"}


# --- the wrong lane ---


async def test_the_other_lanes_way_of_reading_is_refused(lab: Lab) -> None:
    """A message of one lane has none of the other's ways, or refuses them and names its own."""
    async with lab.open(text_message("a")) as run:
        stream = await only(lab, run)
        wrong: Any = iter if lab.is_async else aiter
        for target in (stream, stream.text, stream.tool_calls):
            with pytest.raises(TypeError):
                wrong(target)
        with pytest.raises(WrongLane):
            wrong(run.messages)


# --- memory ---


async def test_finished_messages_are_released(lab: Lab) -> None:
    """A message that nobody holds any more is gone, while the run goes on."""
    script = [*text_message("a"), *text_message("b", run_id="x"), *text_message("c", run_id="y")]
    async with lab.open(script, prefetch=0) as run:
        messages = lab.reader(run.messages)
        stream = await messages.next()
        final = await output(lab, stream)
        gone = [weakref.ref(final)]
        del stream, final
        stream = await messages.next()
        gc.collect()
        assert [each() for each in gone] == [None]
        assert await whole(lab, stream.text) == "b"


async def test_messages_without_a_reader_are_not_kept(lab: Lab) -> None:
    """A run whose messages nobody reads holds none of them."""
    marks = [Mark() for _ in range(3)]
    refs = [weakref.ref(mark) for mark in marks]

    def script() -> Any:
        while marks:
            event = {**start(), "mark": marks.pop()}
            yield part(event)
            yield part(finish())
        del event
        yield parts.values("done")
        yield parts.values("end")

    async with lab.open(Lines(script), prefetch=0) as run:
        assert await lab.reader(run.values).next() == "done"
        gc.collect()
        assert [ref() for ref in refs] == [None] * 3


class Mark:
    """Something that can be watched."""


class Lines(Script):
    """A script that makes its parts as they are wanted, so that it does not hold them."""

    def __init__(self, make: Any) -> None:
        super().__init__([])
        self._parts = make()


async def test_a_message_says_who_speaks(lab: Lab) -> None:
    """Its final message has the role that its start names, a model's unless another one is named."""
    events = [part(event, run_id="h") for event in (start(id="1", role="human"), *text("hi"), finish())]
    async with lab.open([*events, *text_message("yes", run_id="a")]) as run:
        finals = [await output(lab, stream) for stream in await lab.items(run.messages)]
        assert [(final.role, final.text) for final in finals] == [("human", "hi"), ("ai", "yes")]


NOT_TEXT: list[dict[str, Any]] = [
    {"event": ["x"]},
    {"event": "content-block-start", "index": 0, "content": {"type": ["a"]}},
    {"event": "content-block-start", "index": 0, "content": {"type": "tool_call_chunk", "name": ["y"], "args": 5}},
    {"event": "content-block-delta", "index": 0, "delta": {"type": ["a"]}},
    {"event": "content-block-delta", "index": 0, "delta": {"type": "text-delta", "text": 5}},
    {"event": "content-block-delta", "index": 0, "delta": {"type": "block-delta", "fields": {"type": ["x"]}}},
    {"event": "content-block-delta", "index": 0, "content_block": {"type": ["x"]}},
    {"event": "content-block-finish", "index": 0, "content": {"type": ["a"], "text": 5}},
    {"event": "content-block-finish", "index": 0, "content": {"type": "text", "text": ["a"]}},
    {"event": "content-block-finish", "index": 0, "content": {"type": "reasoning", "reasoning": ["a"]}},
    {"event": "content-block-finish", "index": 0, "content": {"type": "tool_call", "id": ["x"], "args": "no object"}},
    {"event": "message-finish", "usage": [1], "metadata": [2], "additional_kwargs": [3]},
]


@pytest.mark.parametrize("event", NOT_TEXT, ids=repr)
async def test_what_should_be_text_and_is_not_fails_nothing(lab: Lab, event: Any) -> None:
    """Models write what they like; a message shows of it what can be shown, and the run goes on."""
    script = [part(each, run_id="m") for each in (start(id="m"), *text("hi", index=7), event, finish())]
    async with lab.open(script) as run:
        (stream,) = await lab.items(run.messages)
        final = await output(lab, stream)
        assert (await whole(lab, stream.text), final.text, final.reasoning) == ("hi", "hi", "")
        assert isinstance(await whole(lab, stream.tool_calls), list)
        await lab.output(run)
