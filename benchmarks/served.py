"""The LangGraph graphs that `benchmarks.official` has both servers serve."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any, TypedDict

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from langgraph.config import get_stream_writer
from langgraph.graph import START, MessagesState, StateGraph

__all__ = ["count", "speak"]


class Given(TypedDict, total=False):
    """How many events, and of how many bytes."""

    events: int
    size: int


async def write(given: Given) -> Given:
    """Write as fast as it is read."""
    writer = get_stream_writer()
    for n in range(given["events"]):
        writer({"n": n, "sent": time.time(), "text": "x" * given["size"]})
    return {}


class Clock(BaseChatModel):
    """A model whose tokens say when they were made: as many as it is told to make."""

    @property
    def _llm_type(self) -> str:
        return "clock"

    def _generate(self, messages: list[BaseMessage], *_: Any, **__: Any) -> ChatResult:
        return ChatResult(generations=[ChatGeneration(message=AIMessage(str(messages[-1].content)))])

    def _stream(self, messages: list[BaseMessage], *_: Any, **__: Any) -> Iterator[ChatGenerationChunk]:
        for _n in range(int(str(messages[-1].content))):
            yield ChatGenerationChunk(message=AIMessageChunk(f"{time.time()} "))


async def answer(state: MessagesState) -> dict[str, Any]:
    """Ask the model."""
    return {"messages": [await Clock().ainvoke(state["messages"])]}


count = StateGraph(Given).add_node("write", write).add_edge(START, "write").compile()
speak = StateGraph(MessagesState).add_node("answer", answer).add_edge(START, "answer").compile()
