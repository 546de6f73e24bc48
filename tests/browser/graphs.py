"""What the pages of these tests show, held back where a test wants to look."""

from __future__ import annotations

import operator
import threading
from collections import Counter
from typing import Annotated, Any, TypedDict

import anyio
from anyio.abc import TaskStatus
from langchain_core.language_models.fake_chat_models import GenericFakeChatModel
from langchain_core.messages import AIMessage
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import START, StateGraph
from langgraph.graph.message import add_messages
from langgraph.types import interrupt

from anyiostream import GraphWriter, parts
from anyiostream.remote import run_context

from ..waiting import until

__all__ = ["ASSISTANTS", "reached", "release"]

_gates: dict[str, threading.Semaphore] = {}

reached: Counter[str] = Counter()
"""How many gates the runs of a thread have come to."""


def release(thread_id: str, times: int = 1) -> None:
    """Let the runs of a thread pass some gates."""
    for _ in range(times):
        _gate(thread_id).release()


def _gate(thread_id: str) -> threading.Semaphore:
    """The same one for the server's thread and the test's, which may ask at once."""
    return _gates.setdefault(thread_id, threading.Semaphore(0))


async def gate() -> None:
    """Wait until a test lets this run go on."""
    thread_id = run_context.get().thread_id
    semaphore = _gate(thread_id)
    reached[thread_id] += 1
    await until(lambda: semaphore.acquire(blocking=False))


async def team(given: Any, writer: GraphWriter) -> Any:
    """Two researchers side by side, each with a message, a tool and a subgraph; then a summary."""
    topics = given["topics"]
    await writer.values({"topics": topics, "found": []})

    async def research(topic: str, *, task_status: TaskStatus[None]) -> None:
        async with writer.subgraph("researcher", topic) as researcher:
            task_status.started()
            async with researcher.message(node="think", message_id=f"m-{topic}") as message:
                await message.reasoning(f"what about {topic}? ")
                await message.text(f"Looking at {topic}. ")
                await gate()
                await message.text("See https://example.org/ for more.")
            async with researcher.tool_call("search", {"q": topic}, tool_call_id=f"call-{topic}") as call:
                await call.delta(f"half of {topic}")
                call.output = f"found {topic}"
            async with researcher.subgraph("checker") as checker:
                await checker.custom({"checked": topic})

    async with anyio.create_task_group() as researchers:
        for topic in topics:
            await researchers.start(research, topic)  # in this order, which trio's tasks by themselves have not
    async with writer.message(node="summary", message_id="m-summary") as message:
        await message.text("All done.")
        await writer.part(parts.custom({"name": "note", "payload": "summary"}))
    return {"topics": topics, "found": sorted(topics)}


async def asks(given: Any, writer: GraphWriter) -> Any:
    """Asks one question, unless it has an answer."""
    if hasattr(given, "answers"):
        return {"answer": given.answer}
    await writer.values({"asked": True})
    await writer.interrupt({"question": "Shall I?"})
    return None


async def fails(_: Any, writer: GraphWriter) -> Any:
    """Fails."""
    await writer.values({"step": 1})
    raise ValueError("it broke")


async def counts(given: Any, writer: GraphWriter) -> Any:
    """Many events; it waits at a gate before some of them."""
    for n in range(given["to"]):
        if n in given.get("gates", ()):
            await gate()
        await writer.custom({"name": "count", "payload": n})
    return {"counted": given["to"]}


async def runs_on(_: Any, writer: GraphWriter) -> Any:
    """Has to be stopped."""
    async with writer.message(node="think") as message:
        await message.text("On and on")
        await anyio.sleep_forever()


async def hostile(given: Any, writer: GraphWriter) -> Any:
    """Says a text in every place that there is."""
    text = given["text"]
    await writer.values({"messages": [{"type": "human", "content": text, "id": text, "name": text}], text[:100]: text})
    await writer.updates({text[:100]: text})
    await writer.custom({"name": text or "x", "payload": text})
    async with writer.subgraph(text[:50] or "x", "1", agent=text) as inner:
        async with inner.message(node=text, message_id=text or "m") as message:
            await message.reasoning(text)
            await message.text(text)
            await message.tool_call(text or "x", {text[:50]: text}, tool_call_id=text or "c")
        async with inner.tool_call(text or "x", {"q": text}, tool_call_id=text or "c") as call:
            await call.delta(text)
            call.output = {"content": text}
    if given.get("fails"):
        raise ValueError(text)
    await writer.interrupt({"question": text})
    return None


async def speaks(given: Any, writer: GraphWriter) -> Any:
    """Messages of a hundred words, and a subgraph with a call of a tool for each: some events a second, for some s."""
    rate, words = given["rate"], given["rate"] * given["seconds"]
    began, said = anyio.current_time(), 0
    while said < words:
        async with writer.message(node="think") as message:
            for _ in range(100):
                await anyio.sleep_until(began + said / rate)
                await message.text("word ")
                said += 1
        async with writer.subgraph("worker") as worker, worker.tool_call("search", {"said": said}) as call:
            call.output = "found"
    return {"said": said, "took": anyio.current_time() - began}


async def babbles(_: Any, writer: GraphWriter) -> Any:
    """Always has something to say, until a test lets it go on."""
    thread_id = run_context.get().thread_id
    while not _gate(thread_id).acquire(blocking=False):
        await writer.custom({"name": "count", "payload": None})
        await anyio.sleep(0.02)
    return None


async def reviewed(given: Any, writer: GraphWriter) -> Any:
    """Asks whether tools may be called, as agents do."""
    if hasattr(given, "answers"):
        return {"answer": given.answer}
    configs = [{"action_name": "search", "allowed_decisions": given}]
    await writer.interrupt({"action_requests": [{"name": "search", "args": {}}], "review_configs": configs})
    return None


class State(TypedDict, total=False):
    messages: Annotated[list[Any], add_messages]
    answers: Annotated[list[Any], operator.add]


async def call_model(_: State) -> State:
    model = GenericFakeChatModel(messages=iter([AIMessage("hello there")]))
    return {"messages": [await model.ainvoke("hi")]}


def ask(name: str) -> Any:
    def node(_: State) -> State:
        return {"answers": [f"{name}={interrupt({'ask': name})}"]}

    return node


def chat_graph() -> Any:
    """A LangGraph graph with a subgraph that calls a model; it remembers its turns."""
    inner = StateGraph(State).add_node("call", call_model).add_edge(START, "call").compile()
    return StateGraph(State).add_node("agent", inner).add_edge(START, "agent").compile(checkpointer=InMemorySaver())


def two_questions() -> Any:
    """A LangGraph graph whose two nodes ask in one step."""
    graph = StateGraph(State)
    for name in ("left", "right"):
        graph.add_node(name, ask(name)).add_edge(START, name)
    return graph.compile(checkpointer=InMemorySaver())


ASSISTANTS: dict[str, Any] = {
    "team": team,
    "asks": asks,
    "fails": fails,
    "counts": counts,
    "runs on": runs_on,
    "hostile": hostile,
    "speaks": speaks,
    "babbles": babbles,
    "reviewed": reviewed,
    "chat": chat_graph(),
    "two questions": two_questions(),
}
