"""Model calls and tools that break off: they have failed, and their readers know before the run has ended."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, HumanMessage
from langchain_core.outputs import ChatGeneration, ChatResult
from langchain_core.tools import tool
from langgraph.config import get_stream_writer
from langgraph.func import entrypoint, task
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.types import RetryPolicy

from anyiostream import CustomTransformer, MessageFailed, SubgraphFailed, ToolCallTransformer, open_run
from anyiostream.parts import messages, task_result, task_start, values
from anyiostream.testing import Reply
from anyiostream.testing.langchain import FakeStreamingChatModel
from anyiostream.wire.encoder import WireEncoder

from ..conformance.adapter import Lab, Script
from .reading import caught, finish, output, start, text, whole

RETRY = RetryPolicy(max_attempts=2, initial_interval=0.0, jitter=False, retry_on=ConnectionError)
CUT = Reply("one two", error=ConnectionError("cut"))
STATE: dict[str, Any] = {"messages": []}


def asking(lab: Lab, *models: Any) -> Any:
    """A node that asks its models in turn until one answers."""

    async def anode(state: Any) -> Any:
        for model in models:
            try:
                return {"messages": [await model.ainvoke("x")]}
            except ConnectionError:
                if model is models[-1]:
                    raise
        return None

    def node(state: Any) -> Any:
        for model in models:
            try:
                return {"messages": [model.invoke("x")]}
            except ConnectionError:
                if model is models[-1]:
                    raise
        return None

    return anode if lab.is_async else node


def alone(node: Any, **options: Any) -> Any:
    """A graph of one node."""
    return StateGraph(MessagesState).add_node("agent", node, **options).add_edge(START, "agent")


def retried(lab: Lab) -> Any:
    """The node is tried again."""
    return alone(asking(lab, FakeStreamingChatModel(CUT, "one two three")), retry_policy=RETRY).compile()


def fallen_back(lab: Lab) -> Any:
    """Another model is asked instead."""
    models = FakeStreamingChatModel(CUT).with_fallbacks([FakeStreamingChatModel("one two three")])
    return alone(asking(lab, models)).compile()


def handled(lab: Lab) -> Any:
    """The node catches the error itself, and asks another model."""
    return alone(asking(lab, FakeStreamingChatModel(CUT), FakeStreamingChatModel("one two three"))).compile()


@pytest.mark.parametrize("build", [retried, fallen_back, handled])
async def test_a_call_that_broke_off_has_failed_when_the_next_begins(lab: Lab, build: Callable[[Lab], Any]) -> None:
    """Its readers get what there was and then the model's error; the message that follows is another one."""
    async with lab.open_graph(build(lab), STATE) as run:
        reader = lab.reader(run.messages)
        first, second = await reader.take(2)
        pieces, error = await lab.outcome(first.text)
        assert "".join(pieces) == "one two"
        assert isinstance(error, MessageFailed)
        assert "cut" in str(error)
        assert first.status == "failed"
        assert second.status == "streaming"
        assert isinstance(await caught(output, lab, first), MessageFailed)
        assert await whole(lab, second.text) == "one two three"
        assert second.status == "finished"
        state = await lab.output(run)
        assert [message.text for message in state["messages"]] == ["one two three"]


@pytest.mark.parametrize("build", [retried, fallen_back, handled])
async def test_a_call_whose_tokens_come_as_chunks(
    lab: Lab, build: Callable[[Lab], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where LangGraph offers no content-block events, the chunks' message fails likewise."""
    monkeypatch.setattr("anyiostream.sources.langgraph.CONTENT_BLOCKS_KEY", None)
    async with lab.open_graph(build(lab), STATE) as run:
        first, second = await lab.items(run.messages)
        pieces, error = await lab.outcome(first.text)
        assert "".join(pieces) == "one two"
        assert isinstance(error, MessageFailed)
        assert (first.status, second.status) == ("failed", "finished")
        assert await whole(lab, second.text) == "one two three"


async def test_a_call_that_broke_off_in_a_subgraph_has_failed(lab: Lab) -> None:
    """The subgraph is run anew by its node; the first run's message is the first handle's."""
    inner = alone(asking(lab, FakeStreamingChatModel(CUT, "one two three"))).compile()
    graph = StateGraph(MessagesState).add_node("sub", inner, retry_policy=RETRY).add_edge(START, "sub").compile()
    seen = []
    async with lab.open_graph(graph, STATE) as run:
        for handle in await lab.items(run.subgraphs):
            assert await lab.items(handle.subgraphs) == []
            for message in await lab.items(handle.messages):
                pieces, error = await lab.outcome(message.text)
                assert error is None or isinstance(error, MessageFailed)
                seen.append((handle.status, "".join(pieces), message.status))
            if handle.status == "failed":
                assert isinstance(await caught(lab.output, handle), SubgraphFailed)
    assert seen == [("failed", "one two", "failed"), ("completed", "one two three", "finished")]


async def test_a_call_that_broke_off_in_a_called_task_has_failed_with_it(lab: Lab) -> None:
    """Whoever has called the task catches the error, and goes on without a model."""
    ask = task(asking(lab, FakeStreamingChatModel(CUT)))

    @entrypoint()
    async def awaiting(given: Any) -> None:
        with suppress(ConnectionError):
            await ask(given)
        get_stream_writer()("caught")

    @entrypoint()
    def plain(given: Any) -> None:
        with suppress(ConnectionError):
            ask(given).result()
        get_stream_writer()("caught")

    graph = awaiting if lab.is_async else plain
    async with lab.open_graph(graph, STATE, transformers=[CustomTransformer]) as run:
        events = [
            event["params"]["data"] for event in await lab.items(run) if event["method"] in {"messages", "custom"}
        ]
    assert [data if data == "caught" else data[0]["event"] for data in events][-2:] == ["error", "caught"]


async def test_the_error_of_a_call_that_fails_the_run_is_the_runs(lab: Lab) -> None:
    """The message ends with the very exception that the graph raised."""
    boom = ConnectionError("cut")
    graph = alone(asking(lab, FakeStreamingChatModel(Reply("one two", error=boom)))).compile()
    async with lab.open_graph(graph, STATE) as run:
        (stream,) = await lab.reader(run.messages).take(1)
        pieces, error = await lab.outcome(stream.text)
        assert "".join(pieces) == "one two"
        assert error is boom
        assert await caught(lab.output, run) is boom


async def test_calls_side_by_side_in_one_node_do_not_end_each_other(anyio_backend: Any) -> None:
    """One that begins while another is under way says nothing of it; one that fails does not touch the other."""
    release = asyncio.Event()

    class Slow(FakeStreamingChatModel):
        async def _astream(self, *args: Any, **kwargs: Any) -> Any:
            first = True
            async for piece in super()._astream(*args, **kwargs):
                yield piece
                if first:
                    first = False
                    await release.wait()

    slow, broken, quick = Slow("a b c"), FakeStreamingChatModel(CUT), FakeStreamingChatModel("x y")

    async def agent(state: Any) -> Any:
        under_way = asyncio.ensure_future(slow.ainvoke("x"))
        await asyncio.sleep(0)
        await asyncio.gather(broken.ainvoke("x"), return_exceptions=True)
        await quick.ainvoke("x")
        release.set()
        return {"messages": [await under_way]}

    found = {}
    async with open_run(alone(agent).compile(), STATE) as run:
        async for stream in run.messages:
            pieces = []
            try:
                async for piece in stream.text:
                    pieces.append(piece)
            except MessageFailed:
                pass
            found["".join(pieces)] = stream.status
    assert found == {"a b c": "finished", "one two": "failed", "x y": "finished"}


class Endless(FakeStreamingChatModel):
    """Says one thing, and then nothing more."""

    async def _astream(self, *args: Any, **kwargs: Any) -> Any:
        async for piece in super()._astream(*args, **kwargs):
            yield piece
            await asyncio.Event().wait()


async def given_up(model: Any, begun: Callable[[], bool]) -> None:
    """Ask a model, and cancel that when it has begun to answer."""
    under_way = asyncio.ensure_future(model.ainvoke("x"))
    while not begun():
        await asyncio.sleep(0)
    under_way.cancel()
    await asyncio.gather(under_way, return_exceptions=True)


async def test_a_call_that_is_cancelled_has_failed_when_the_next_begins(anyio_backend: Any) -> None:
    """LangChain's callbacks are told nothing of it. The next call's message is under way when the first one's ends."""
    seen: list[str] = []
    release = asyncio.Event()

    class Waiting(FakeStreamingChatModel):
        async def _astream(self, *args: Any, **kwargs: Any) -> Any:
            async for piece in super()._astream(*args, **kwargs):
                yield piece
            await release.wait()

    async def agent(state: Any) -> Any:
        await given_up(Endless("one two"), lambda: bool(seen))
        return {"messages": [await Waiting("three").ainvoke("x")]}

    async with open_run(alone(agent).compile(), STATE, prefetch=0) as run:
        messages_of_run = aiter(run.messages)
        first = await anext(messages_of_run)
        with pytest.raises(MessageFailed, match="cancelled"):
            async for piece in first.text:
                seen.append(piece)
        assert first.status == "failed"
        second = await anext(messages_of_run)
        assert second.status == "streaming"
        run_on_loop(release.set)
        assert await second.text == "three"
        assert seen == ["one "]


def run_on_loop(call: Callable[[], object]) -> None:
    """Make a call where the graph runs: an event of asyncio wakes nobody on another thread's loop."""
    call()


class Unstreamed(BaseChatModel):
    """Answers in one piece."""

    @property
    def _llm_type(self) -> str:
        return "unstreamed"

    def _generate(self, messages: Any, stop: Any = None, run_manager: Any = None, **kwargs: Any) -> ChatResult:
        return ChatResult(generations=[ChatGeneration(message=AIMessage("good"))])


class Refused(Unstreamed):
    """Fails before it says anything."""

    def _generate(self, messages: Any, stop: Any = None, run_manager: Any = None, **kwargs: Any) -> ChatResult:
        raise ConnectionError("refused")


async def test_a_call_that_fails_before_it_speaks_is_not_shown(lab: Lab) -> None:
    """Neither as a message, nor as an event of one."""
    graph = alone(asking(lab, Refused(), FakeStreamingChatModel("one two"))).compile()
    async with lab.open_graph(graph, STATE) as run:
        events = [
            event["params"]["data"][0]["event"] for event in await lab.items(run) if event["method"] == "messages"
        ]
    assert events[0] == "message-start"
    assert "error" not in events


async def test_a_failure_is_shown_before_the_whole_message_of_the_next_call(lab: Lab) -> None:
    """A model that does not stream shows no start of a message."""
    whole_model = Unstreamed()
    graph = alone(asking(lab, FakeStreamingChatModel(CUT), whole_model)).compile()
    async with lab.open_graph(graph, STATE) as run:
        first, second = await lab.items(run.messages)
        assert (first.status, second.status) == ("failed", "finished")
    async with lab.open_graph(alone(asking(lab, FakeStreamingChatModel(CUT), whole_model)).compile(), STATE) as run:
        events = [event["params"]["data"][0] for event in await lab.items(run) if event["method"] == "messages"]
        kinds = [each["event"] if isinstance(each, dict) else "whole" for each in events]
        assert kinds[-2:] == ["error", "whole"]


async def test_an_earlier_failure_does_not_touch_what_a_node_returns(anyio_backend: Any) -> None:
    """The sum of `model.astream(...)` is a whole message, also where a call before it failed."""
    model = FakeStreamingChatModel(CUT, "fine here now")

    async def looping(state: Any) -> Any:
        total: Any = None
        async for chunk in model.astream("x"):
            total = chunk if total is None else total + chunk
        return {"messages": [total]}

    async with open_run(alone(looping, retry_policy=RETRY).compile(), STATE) as run:
        (stream,) = [each async for each in run.messages]
        assert await stream.text == "fine here now"
        assert stream.status == "finished"


# --- what any graph's parts tell ---


def said(event: Any, run_id: str, task: str = "n:1") -> Any:
    """A part of a model call that a task makes."""
    return messages(event, {"run_id": run_id, "langgraph_node": "n", "langgraph_checkpoint_ns": task})


@pytest.mark.parametrize(
    ("result", "ended"),
    [({}, True), ({"interrupts": [{"value": 1, "id": "i"}]}, True), ({"error": "boom"}, False)],
    ids=["well", "interrupted", "failed"],
)
async def test_a_call_ends_with_its_task(lab: Lab, result: Any, ended: bool) -> None:
    """A call of another task goes on. If the task failed, the call fails with the graph, and its error."""
    script = Script(
        [
            task_start("1", "n"),
            task_start("2", "n"),
            said(start(id="a"), "a"),
            said(start(id="b"), "b", "n:2"),
            *(said(event, "a") for event in text("x")),
            task_result("1", "n", **result),
            *(said(event, "b", "n:2") for event in text("y")),
            said(finish(), "b", "n:2"),
            values(1),
        ]
    )
    async with lab.open(script) as run:
        reader = lab.reader(run.messages)
        first, second = await reader.take(2)
        assert await lab.reader(second.text).take(1) == ["y"]
        assert second.status == "streaming"
        assert first.status == ("failed" if ended else "streaming")
        pieces, error = await lab.outcome(first.text)
        assert pieces == ["x"]
        assert isinstance(error, MessageFailed)


def test_the_wire_says_that_a_call_broke_off() -> None:
    """With its task, as the projection does; and a call that the graph leaves open, when the run completes."""
    encoder = WireEncoder()
    raw = [
        ("messages", said(start(id="a"), "a")["data"]),
        ("messages", said(start(id="b"), "b", "")["data"]),
        ("tasks", task_result("1", "n")["data"]),
        ("lifecycle", {"event": "completed", "namespace": []}),
    ]
    drafts: list[Any] = []
    for method, data in raw:
        event: Any = {"method": method, "params": {"namespace": [], "timestamp": 1, "data": data}}
        drafts += encoder.encode(event)
    shown = [(each.method, each.data.get("event"), each.data.get("id")) for each in drafts]
    assert shown == [
        ("messages", "message-start", "a"),
        ("messages", "message-start", "b"),
        ("messages", "error", "a"),
        ("tasks", None, "1"),
        ("messages", "error", "b"),
        ("lifecycle", "completed", None),
    ]


# --- tools ---


def cancelling() -> Any:
    """A graph whose first node cancels a tool, and goes on to the next one."""
    begun = asyncio.Event()

    @tool
    async def search(query: str) -> str:
        """Search."""
        begun.set()
        await asyncio.Event().wait()
        return "never"

    async def node(state: Any) -> Any:
        under_way = asyncio.ensure_future(search.ainvoke({"query": "x"}))
        await begun.wait()
        under_way.cancel()
        await asyncio.gather(under_way, return_exceptions=True)
        return {"messages": [HumanMessage("on")]}

    async def later(state: Any) -> Any:
        return {"messages": [HumanMessage("on")]}

    return alone(node).add_node("later", later).add_edge("agent", "later").compile()


async def test_a_tool_that_is_cancelled_has_failed(anyio_backend: Any) -> None:
    """Although the node goes on."""
    async with open_run(cancelling(), STATE, transformers=[ToolCallTransformer]) as run:
        (call,) = [each async for each in run.tool_calls]
        assert await call is None
        assert call.status == "failed"
        assert "cancelled" in str(call.error)


async def test_a_tool_that_is_cancelled_has_failed_in_its_superstep(anyio_backend: Any) -> None:
    """Its end comes with that of the task that called it."""
    seen = []
    async with open_run(cancelling(), STATE, transformers=[ToolCallTransformer]) as run:
        async for event in run:
            if event["method"] in {"tools", "values"}:
                seen.append(event["params"]["data"].get("event", event["method"]))
    assert seen == ["values", "tool-started", "tool-error", "values", "values"]


async def test_a_tool_that_fails_is_told_once(lab: Lab) -> None:
    """By the graph itself."""

    @tool
    def search(query: str) -> str:
        """Search."""
        raise ValueError("no such page")

    def node(state: Any) -> Any:
        try:
            search.invoke({"query": "x"})
        except ValueError:
            return {}
        return {}

    async def anode(state: Any) -> Any:
        return node(state)

    graph = alone(anode if lab.is_async else node).compile()
    async with lab.open_graph(graph, STATE, transformers=[ToolCallTransformer]) as run:
        (call,) = await lab.items(run.tool_calls)
        assert (call.status, call.error) == ("failed", "no such page")
