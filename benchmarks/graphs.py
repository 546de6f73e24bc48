"""Real LangGraph graphs, whose model streams a script, and how they are run without a streaming layer."""

from __future__ import annotations

import operator
import time
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from typing import Annotated, Any, Final, TypedDict

import anyio
from langchain_core.callbacks import AsyncCallbackManagerForLLMRun, CallbackManagerForLLMRun
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage, HumanMessage
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from langgraph.config import get_stream_writer
from langgraph.graph import END, START, MessagesState, StateGraph

__all__ = ["QUESTION", "chat", "native", "nested_chat", "steps", "writing"]

QUESTION: Final[dict[str, Any]] = {"messages": [HumanMessage("How long is it?")]}
"""The input of graphs that talk."""

MODES: Final = ["values", "messages", "tasks"]
"""What both libraries ask a graph for, if no further transformer is registered."""


class Talker(BaseChatModel):
    """A model that streams a number of pieces of text, and does not wait."""

    pieces: int

    @property
    def _llm_type(self) -> str:
        return "talker"

    def _generate(
        self,
        messages: list[BaseMessage],  # noqa: ARG002 -- the base class's signature
        stop: list[str] | None = None,  # noqa: ARG002
        run_manager: CallbackManagerForLLMRun | None = None,  # noqa: ARG002
        **kwargs: Any,  # noqa: ARG002
    ) -> ChatResult:
        return ChatResult(generations=[ChatGeneration(message=AIMessage("token " * self.pieces))])

    async def _astream(
        self,
        messages: list[BaseMessage],  # noqa: ARG002 -- the base class's signature
        stop: list[str] | None = None,  # noqa: ARG002
        run_manager: AsyncCallbackManagerForLLMRun | None = None,  # noqa: ARG002
        **kwargs: Any,  # noqa: ARG002
    ) -> AsyncIterator[ChatGenerationChunk]:
        for _ in range(self.pieces):
            yield ChatGenerationChunk(message=AIMessageChunk(content="token "))


class Count(TypedDict):
    """How many steps have been made."""

    steps: Annotated[int, operator.add]


def chat(pieces: int) -> Any:
    """A node that asks the model."""
    model = Talker(pieces=pieces)

    async def talk(state: MessagesState) -> dict[str, Any]:
        return {"messages": [await model.ainvoke(state["messages"])]}

    builder = StateGraph(MessagesState)
    builder.add_node("talk", talk)
    builder.add_edge(START, "talk")
    builder.add_edge("talk", END)
    return builder.compile()


def nested_chat(pieces: int) -> Any:
    """The same as a subgraph."""
    builder = StateGraph(MessagesState)
    builder.add_node("inner", chat(pieces))
    builder.add_edge(START, "inner")
    builder.add_edge("inner", END)
    return builder.compile()


def steps(count: int, made: list[int] | None = None, *, threads: bool = True) -> Any:
    """A node that runs `count` times, one superstep each; it notes its number in `made`, if given, and writes it.

    What decides whether it runs again is synchronous, so that LangGraph calls it in a thread, unless `threads` is
    false.
    """

    async def step(state: Count) -> dict[str, Any]:
        if made is not None:
            made.append(state["steps"])
            get_stream_writer()(state["steps"])
        return {"steps": 1}

    def decide(state: Count) -> str:
        return "step" if state["steps"] < count else END

    async def decide_here(state: Count) -> str:
        return decide(state)

    builder = StateGraph(Count)
    builder.add_node("step", step)
    builder.add_edge(START, "step")
    builder.add_conditional_edges("step", decide if threads else decide_here, ["step", END])
    return builder.compile().with_config(recursion_limit=count + 5)


def writing(count: int, *, pace: float | None) -> Any:
    """A node that writes the time `count` times, every `pace` s, or as fast as it can.

    The time is that of `time.perf_counter`, in s.
    """

    async def write(state: Count) -> dict[str, Any]:  # noqa: ARG001 -- a node takes the state
        writer = get_stream_writer()
        for _ in range(count):
            writer(time.perf_counter())
            if pace is not None:
                await anyio.sleep(pace)
        return {"steps": 1}

    builder = StateGraph(Count)
    builder.add_node("write", write)
    builder.add_edge(START, "write")
    builder.add_edge("write", END)
    return builder.compile()


def native(graph: Any, given: Any, modes: Sequence[str] = ()) -> AsyncGenerator[Any]:
    """The parts that a streaming layer gets from a graph: the same modes, and messages in the same form."""
    from langgraph._internal._constants import CONFIG_KEY_STREAM_MESSAGES_V2  # noqa: PLC0415

    config = {"configurable": {CONFIG_KEY_STREAM_MESSAGES_V2: True}}
    stream: AsyncGenerator[Any] = graph.astream(
        given, config, stream_mode=[*MODES, *modes], subgraphs=True, version="v2"
    )
    return stream
