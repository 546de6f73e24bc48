"""Subgraphs that a transformer synthesises behave as those that the graph reports."""

from __future__ import annotations

from typing import Any

import pytest

from anyiostream import (
    RunAborted,
    StreamTransformer,
    SubgraphFailed,
    convert_to_protocol_event,
    open_run,
    parts,
)

from .scripts import ON_LOOPS

pytestmark = pytest.mark.anyio


class ToolSubgraphs(StreamTransformer):
    """Turns each tool call of the root into a subgraph `tools:<id>`, with its output deltas as snapshots."""

    methods = ("tools",)
    own_scope = True

    def init(self) -> dict[str, Any]:
        """No projection."""
        return {}

    def on_register(self, emitter: Any) -> None:
        """Keep the emitter."""
        self.emitter = emitter

    def process(self, event: Any) -> bool:
        """Emit what the subgraph would."""
        if self.scope:
            return True
        data = event["params"]["data"]
        ident, kind = data["tool_call_id"], data["event"]
        space = (f"tools:{ident}",)
        if kind == "tool-started":
            given = {"tool_call": {"id": ident}}
            self.emit((), parts.task_start(ident, "tools", input=given))
            metadata = {"lc_agent_name": data["tool_name"]}
            self.emit(space, parts.task_start(f"in {ident}", data["tool_name"], metadata=metadata))
        elif kind == "tool-output-delta":
            self.emit(space, parts.values(data["delta"]))
            for message in ({"event": "message-start", "id": ident}, *text(str(data["delta"]))):
                self.emit(space, parts.messages(message, {"run_id": f"{ident}{data['delta']}"}))
        elif kind == "tool-finished":
            self.emit((), parts.task_result(ident, "tools", result=data["output"]))
        else:
            self.emit((), parts.task_result(ident, "tools", error=data["message"]))
        return True

    def emit(self, namespace: tuple[str, ...], part: Any) -> None:
        """Emit a part."""
        self.emitter.push(namespace, convert_to_protocol_event(part))


def text(what: str) -> list[dict[str, Any]]:
    """The events of a message's text, and of its end."""
    return [
        {"event": "content-block-start", "index": 0, "content": {"type": "text", "text": ""}},
        {"event": "content-block-delta", "index": 0, "delta": {"type": "text-delta", "text": what}},
        {"event": "content-block-finish", "index": 0, "content": {"type": "text", "text": what}},
        {"event": "message-finish"},
    ]


class AsyncBeside(StreamTransformer):
    """A transformer with an async hook, beside which others are awaited."""

    supports_sync = True

    def init(self) -> dict[str, Any]:
        """No projection."""
        return {}

    def process(self, event: Any) -> bool:
        """Nothing."""
        return True

    async def aprocess(self, event: Any) -> bool:
        """Nothing."""
        return True


async def graph(given: Any, writer: Any) -> str:
    """Two tool calls, the second of which fails."""
    async with writer.tool_call("search", tool_call_id="1") as call:
        await call.delta("a")
        await call.delta("b")
    try:
        async with writer.tool_call("fetch", tool_call_id="2") as call:
            await call.delta("c")
            raise ValueError("no luck")
    except ValueError:
        return "end"
    return "never"


BESIDE = pytest.mark.parametrize("beside", [[], [AsyncBeside]], ids=["alone", "beside async hooks"])


@BESIDE
async def test_emitted_subgraphs_have_handles(lane: Any, beside: list[Any]) -> None:
    """With values, messages, a name, a cause, an output and an end of their own."""
    async with lane.open(graph, transformers=[ToolSubgraphs, *beside]) as run:
        handles = lane.cursor(run.subgraphs)
        search = await lane.next(handles)
        assert (search.path, search.graph_name, search.trigger_call_id) == (("tools:1",), "search", "1")
        assert search.cause == {"type": "toolCall", "tool_call_id": "1"}
        messages = lane.cursor(search.messages)
        assert await lane.whole((await lane.next(messages)).text) == "a"
        assert await lane.whole((await lane.next(messages)).text) == "b"
        assert await lane.collect(search.values) == ["a", "b"]
        assert await lane.output(search) == "b"
        assert search.status == "completed"
        fetch = await lane.next(handles)
        with pytest.raises(SubgraphFailed, match="no luck"):
            await lane.output(fetch)
        assert (fetch.status, fetch.error) == ("failed", "no luck")
        assert await lane.output(run) == "end"
        assert run.statistics().subgraphs == 0


@BESIDE
async def test_emitted_subgraphs_have_a_lifecycle(lane: Any, beside: list[Any]) -> None:
    """As real ones; their tasks stay out of the raw log."""
    async with lane.open(graph, transformers=[ToolSubgraphs, *beside]) as run:
        lifecycle = lane.cursor(run.lifecycle)
        events = await lane.collect(run)
        payloads = await lane.collect(lifecycle)
    assert [(each["event"], each["namespace"], each.get("graph_name")) for each in payloads] == [
        ("started", ["tools:1"], "search"),
        ("completed", ["tools:1"], None),
        ("started", ["tools:2"], "fetch"),
        ("failed", ["tools:2"], None),
    ]
    assert "tasks" not in {event["method"] for event in events}
    assert [event["params"]["data"] for event in events if event["method"] == "values"][:3] == ["a", "b", "c"]
    assert [event["seq"] for event in events] == list(range(1, len(events) + 1))


async def test_an_emitted_subgraph_can_be_aborted(lane: Any) -> None:
    """Its handle ends; what is emitted for it afterwards passes by."""
    async with lane.open(graph, transformers=[ToolSubgraphs]) as run:
        handle = await lane.next(lane.cursor(run.subgraphs))
        values = lane.cursor(handle.values)
        assert await lane.next(values) == "a"
        await lane.abort(handle)
        assert await lane.collect(values) == []
        with pytest.raises(RunAborted):
            await lane.output(handle)
        assert await lane.output(run) == "end"


@ON_LOOPS
async def test_an_emitted_subgraph_that_stays_open_ends_with_the_run(lane: Any) -> None:
    """Completed, as the run did."""

    class Opening(ToolSubgraphs):
        def process(self, event: Any) -> bool:
            return event["params"]["data"]["event"] != "tool-started" or super().process(event)

    async with open_run(graph, transformers=[Opening]) as run:
        handles = [handle async for handle in run.subgraphs]
        assert [each.status for each in handles] == ["completed", "completed"]
