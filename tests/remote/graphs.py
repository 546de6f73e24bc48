"""The graphs that the tests serve, and a way to hold one back."""

from __future__ import annotations

import operator
import threading
from typing import Annotated, Any, TypedDict

import anyio
from langchain_core.language_models.fake_chat_models import GenericFakeChatModel
from langchain_core.messages import AIMessage
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.config import get_stream_writer
from langgraph.graph import END, START, StateGraph
from langgraph.graph.message import add_messages
from langgraph.types import interrupt

from anyiostream import GraphWriter, ProtocolEvent, StreamChannel, StreamTransformer, parts
from anyiostream.remote import run_context

from ..waiting import until

__all__ = ["ASSISTANTS", "Progress", "release"]

_gates: dict[str, threading.Event] = {}


def gate(thread_id: str) -> threading.Event:
    """What the runs of a thread wait for; the same one for a server's thread and a test's that ask at once."""
    return _gates.setdefault(thread_id, threading.Event())


def release(thread_id: str) -> None:
    """Let the runs of a thread go on."""
    gate(thread_id).set()


async def held() -> None:
    """Wait until the thread of this run is released."""
    await until(gate(run_context.get().thread_id).is_set)


class Progress(StreamTransformer):
    """A transformer of a user's, with a named channel: the number of snapshots so far."""

    methods = ("values",)
    own_scope = True

    def __init__(self, scope: tuple[str, ...] = ()) -> None:
        super().__init__(scope)
        self._count = 0
        self._channel: StreamChannel[Any] = StreamChannel("progress")

    def init(self) -> dict[str, Any]:
        return {"progress": self._channel}

    def process(self, event: ProtocolEvent) -> bool:
        if not self.scope:
            self._count += 1
            self._channel.push({"done": self._count})
        return True


async def everything(given: Any, writer: GraphWriter) -> Any:
    """A function graph that writes something of every kind."""
    await writer.values({"step": 1})
    await writer.updates({"node": {"step": 1}})
    await writer.custom({"note": "x"})
    async with writer.message(node="model") as message:
        for piece in ("Good ", "morning", "!"):
            await message.text(piece)
        await message.tool_call("search", {"q": "x"}, tool_call_id="t1")
    async with writer.tool_call("search", {"q": "x"}, tool_call_id="t1") as call:
        await call.delta("half")
        call.output = "found"
    async with writer.subgraph("outer") as outer, outer.subgraph("middle") as middle, middle.subgraph("inner") as inner:
        async with inner.message() as message:
            await message.text("deep")
        async with inner.tool_call("look", tool_call_id="t2") as call:
            call.output = "seen"
    return {"step": 2, "given": given}


async def writing(given: Any, writer: GraphWriter) -> Any:
    """A function graph whose model writes the arguments of a tool call piece by piece."""

    async def put(event: str, **fields: Any) -> None:
        await writer.part(parts.messages({"event": event, **fields}, {"run_id": "r", "langgraph_node": "model"}))

    chunk = {"type": "tool_call_chunk", "id": "c", "name": "write_file", "args": ""}
    await put("message-start", role="ai", id="m")
    await put("content-block-start", index=0, content=chunk)
    for piece in ('{"content": "', *(["abcd "] * given["to"]), '"}'):
        await put("content-block-delta", index=0, delta={"type": "tool-call-delta", "args": piece})
    call = {"type": "tool_call", "id": "c", "name": "write_file", "args": {"content": "abcd " * given["to"]}}
    await put("content-block-finish", index=0, content=call)
    await put("message-finish")
    return {"written": given["to"]}


async def question(given: Any, writer: GraphWriter) -> Any:
    """A function graph that asks its user, unless it has an answer."""
    if hasattr(given, "answers"):
        return {"answer": given.answer, "before": given.values}
    await writer.values({"asked": True})
    await writer.interrupt("who?")
    return None


async def failing(_: Any, writer: GraphWriter) -> Any:
    """A function graph that fails, with a path in its text."""
    await writer.values({"step": 1})
    raise ValueError("cannot read /srv/secret/key.pem")


async def endless(_: Any, writer: GraphWriter) -> Any:
    """A function graph that has to be stopped."""
    await writer.values({"step": 1})
    await anyio.sleep_forever()


async def counting(given: Any, writer: GraphWriter) -> Any:
    """A function graph that counts, and may stop after each; it waits to be released before it counts to `held`."""
    for n in range(given["to"]):
        if n == given.get("held"):
            await held()
        await writer.custom({"name": "count", "payload": n})
        writer.drain_if_requested()
    return {"counted": given["to"]}


async def gated(given: Any, writer: GraphWriter) -> Any:
    """A function graph that waits to be released before and after its message."""
    async with writer.message() as message:
        await message.text("one ")
        await held()
        await message.text("two")
    return {"given": given}


class State(TypedDict, total=False):
    messages: Annotated[list[Any], add_messages]
    answers: Annotated[list[Any], operator.add]


async def call_model(_: State) -> State:
    get_stream_writer()({"name": "note", "payload": "calling"})
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


def asking_graph(*names: str) -> Any:
    """A LangGraph graph whose nodes all ask in one step."""
    graph = StateGraph(State)
    for name in names:
        graph.add_node(name, ask(name)).add_edge(START, name).add_edge(name, END)
    return graph.compile(checkpointer=InMemorySaver())


def nested_asking_graph() -> Any:
    """A LangGraph graph whose subgraph asks."""
    inner = StateGraph(State).add_node("ask", ask("inner")).add_edge(START, "ask").compile()
    return StateGraph(State).add_node("child", inner).add_edge(START, "child").compile(checkpointer=InMemorySaver())


ASSISTANTS: dict[str, Any] = {
    "everything": everything,
    "writing": writing,
    "question": question,
    "failing": failing,
    "endless": endless,
    "counting": counting,
    "gated": gated,
    "chat": chat_graph(),
    "ask": asking_graph("a"),
    "ask two": asking_graph("a", "b"),
    "ask inside": nested_asking_graph(),
}
