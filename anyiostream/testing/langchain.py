"""A streaming LangChain chat model that follows a script, for real LangGraph graphs. Needs the `langgraph` extra."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator, Sequence
from typing import Any, final

from anyiostream.errors import MissingExtra
from anyiostream.testing.models import Replies, Reply, pieces

try:
    from langchain_core.callbacks import AsyncCallbackManagerForLLMRun, CallbackManagerForLLMRun
    from langchain_core.language_models import BaseChatModel, LanguageModelInput
    from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage
    from langchain_core.messages.ai import UsageMetadata
    from langchain_core.messages.tool import ToolCall, tool_call_chunk
    from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
    from langchain_core.runnables import Runnable
    from pydantic import PrivateAttr
except ImportError as exc:
    raise MissingExtra("anyiostream.testing.langchain", "langgraph") from exc

__all__ = ["FakeStreamingChatModel"]


@final
class FakeStreamingChatModel(BaseChatModel):
    """A chat model whose calls stream scripted replies, as `anyiostream.testing.FakeChatModel` does.

    ```python
    model = FakeStreamingChatModel("Good morning")
    graph = create_agent(model, tools=[])
    ```

    Text comes word by word, reasoning as `reasoning` content blocks, the arguments of a tool call in two fragments,
    usage with the last chunk. Tools may be bound; what it asks for is up to the script. `astream` waits for nothing;
    to hold a call up, let the graph's node do it.
    """

    _replies: Replies = PrivateAttr()

    def __init__(self, *replies: str | Reply) -> None:
        """Write the script.

        Args:
            replies: One for each call; a string is a reply of that text.
        """
        super().__init__()
        self._replies = Replies(replies)

    @property
    def called(self) -> int:
        """Calls so far."""
        return self._replies.called

    @property
    def _llm_type(self) -> str:
        return "scripted"

    def bind_tools(self, tools: Sequence[Any], **kwargs: Any) -> Runnable[LanguageModelInput, AIMessage]:  # noqa: ARG002 -- the base class's signature
        """Itself: the script says what it asks for."""
        return self

    def _generate(
        self,
        messages: list[BaseMessage],  # noqa: ARG002 -- the base class's signature
        stop: list[str] | None = None,  # noqa: ARG002
        run_manager: CallbackManagerForLLMRun | None = None,  # noqa: ARG002
        **kwargs: Any,  # noqa: ARG002
    ) -> ChatResult:
        reply = self._replies.next()
        if reply.error is not None:
            raise reply.error
        content: Any = reply.whole_text
        if reply.reasoning:
            content = [{"type": "reasoning", "reasoning": reply.whole_reasoning}]
            content += [{"type": "text", "text": reply.whole_text}] if reply.text else []
        message = AIMessage(
            content=content,
            tool_calls=[ToolCall(name=call["name"], args=call["args"], id=call["id"]) for call in reply.calls],
            usage_metadata=_usage(reply),
        )
        return ChatResult(generations=[ChatGeneration(message=message)])

    def _stream(
        self,
        messages: list[BaseMessage],  # noqa: ARG002 -- the base class's signature
        stop: list[str] | None = None,  # noqa: ARG002
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,  # noqa: ARG002
    ) -> Iterator[ChatGenerationChunk]:
        reply = self._replies.next()
        for chunk in _chunks(reply):
            if run_manager is not None:
                run_manager.on_llm_new_token(chunk.text, chunk=chunk)
            yield chunk
        if reply.error is not None:
            raise reply.error

    async def _astream(
        self,
        messages: list[BaseMessage],  # noqa: ARG002 -- the base class's signature
        stop: list[str] | None = None,  # noqa: ARG002
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,  # noqa: ARG002
    ) -> AsyncIterator[ChatGenerationChunk]:
        reply = self._replies.next()
        for chunk in _chunks(reply):
            if run_manager is not None:
                await run_manager.on_llm_new_token(chunk.text, chunk=chunk)
            yield chunk
        if reply.error is not None:
            raise reply.error


def _chunks(reply: Reply) -> Iterator[ChatGenerationChunk]:
    for piece in pieces(reply.reasoning):
        yield _chunk([{"type": "reasoning", "reasoning": piece, "index": 0}])
    as_blocks = bool(reply.reasoning)
    for piece in pieces(reply.text):
        yield _chunk([{"type": "text", "text": piece, "index": 1}] if as_blocks else piece)
    for index, call in enumerate(reply.calls, 2 if as_blocks else 0):
        args = json.dumps(call["args"])
        half = len(args) // 2
        first = tool_call_chunk(name=call["name"], args=args[:half], id=call["id"], index=index)
        yield _chunk([] if as_blocks else "", tool_call_chunks=[first])
        yield _chunk([] if as_blocks else "", tool_call_chunks=[tool_call_chunk(args=args[half:], index=index)])
    if reply.usage is not None:
        yield _chunk([] if as_blocks else "", usage_metadata=_usage(reply))


def _chunk(content: Any, **fields: Any) -> ChatGenerationChunk:
    return ChatGenerationChunk(message=AIMessageChunk(content=content, **fields))


def _usage(reply: Reply) -> UsageMetadata | None:
    if reply.usage is None:
        return None
    given, produced = reply.usage.get("input_tokens", 0), reply.usage.get("output_tokens", 0)
    return UsageMetadata(
        input_tokens=given,
        output_tokens=produced,
        total_tokens=reply.usage.get("total_tokens", given + produced),
    )
