"""What both agents share: the state, a model that follows a script, its tool, and the packing list."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator, Sequence
from typing import Any

from langchain_core.callbacks import CallbackManagerForLLMRun
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage, HumanMessage
from langchain_core.messages.tool import ToolCall, tool_call_chunk
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from langgraph.graph import MessagesState

QUESTION: dict[str, Any] = {"messages": [HumanMessage("What should I pack for a weekend in Bergen?")]}
"""The input of every run."""

WEATHER = {"Saturday": "11 mm of rain", "Sunday": "4 mm of rain"}
"""What the forecast says."""

PACE = 0.01
"""How long the scripted model takes for a token, in s."""


class TripState(MessagesState):
    """The agent's state: the conversation, and what is in the bag."""

    bag: list[str]


def next_reply(messages: Sequence[BaseMessage]) -> AIMessage:
    """What the model says next: it asks for the forecast, and answers once it has it."""
    if isinstance(messages[-1], HumanMessage):
        call = ToolCall(name="forecast", args={"city": "Bergen"}, id="call-1")
        return AIMessage("Let me look at the forecast for Bergen.", tool_calls=[call])
    return AIMessage("Rain on both days: take the jacket, the boots and the umbrella.")


def tokens_of(text: str) -> list[str]:
    """The text in pieces, as a model streams it."""
    return re.findall(r"\S+\s*", text)


def pack_clothes() -> list[str]:
    """What to wear."""
    return ["rain jacket", "boots"]


def pack_extras(bag: Sequence[str]) -> list[str]:
    """What else to take."""
    return [*bag, "umbrella"]


class ScriptedModel(BaseChatModel):
    """A chat model that streams the script, token by token."""

    @property
    def _llm_type(self) -> str:
        return "scripted"

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,  # noqa: ARG002 -- the base class's signature
        run_manager: CallbackManagerForLLMRun | None = None,  # noqa: ARG002
        **kwargs: Any,  # noqa: ARG002
    ) -> ChatResult:
        return ChatResult(generations=[ChatGeneration(message=next_reply(messages))])

    def _stream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,  # noqa: ARG002 -- the base class's signature
        run_manager: CallbackManagerForLLMRun | None = None,  # noqa: ARG002
        **kwargs: Any,  # noqa: ARG002
    ) -> Iterator[ChatGenerationChunk]:
        reply = next_reply(messages)
        for token in tokens_of(reply.text):
            time.sleep(PACE)
            yield ChatGenerationChunk(message=AIMessageChunk(content=token))
        for index, call in enumerate(reply.tool_calls):
            args = json.dumps(call["args"])
            chunk = tool_call_chunk(name=call["name"], args=args, id=call["id"], index=index)
            yield ChatGenerationChunk(message=AIMessageChunk(content="", tool_call_chunks=[chunk]))
