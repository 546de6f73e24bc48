"""OpenAI's chat completions, streamed and whole: for every chat program that speaks them.

- Texts are the answer, one after the other. The tools that the graph calls are its own business.
- Reasoning is `reasoning_content`, as many servers have it, if it is asked for.
- A question to the user that is a text ends the answer.
- A run that fails is an error: before the first chunk an HTTP status, later inside the stream.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any, Final, final

from anyiostream.sinks.approvals import Approval
from anyiostream.sinks.flat import FlatText
from anyiostream.sinks.parts import Block
from anyiostream.sinks.requests import listed, mapping_of, text_of
from anyiostream.sinks.sink import MalformedRequest, Request, Status, check_include
from anyiostream.sinks.turn_sink import JSON, TurnSink, data_frame
from anyiostream.wire import encode

__all__ = ["OpenAiSink", "OpenAiWholeSink", "error_body", "make", "models", "parse"]

PROTOCOL: Final = "openai"

DONE: Final = b"data: [DONE]\n\n"


@final
class OpenAiSink(TurnSink):
    """Shows a turn as the chunks of one completion.

    Args:
        completion_id: Its id.
        model: The name that it was asked for by.
        usage: Whether to tell the tokens, in a chunk of their own.
        reasoning: Whether to show reasoning.
        subgraphs: Whether what inner graphs say belongs to the answer.
    """

    eager = False  # until there is something to say, an error is an HTTP status

    def __init__(
        self, *, completion_id: str, model: str, usage: bool = False, reasoning: bool = False, subgraphs: bool = True
    ) -> None:
        super().__init__()
        self._completion_id = completion_id
        self._model = model
        self._usage = usage
        self._reasoning = reasoning
        self._text = FlatText(subgraphs=subgraphs)
        self._created: int | None = None

    def opening(self, event_id: str) -> bytes:
        """Nothing: some clients take an event without data for a broken one."""
        del event_id
        return b""

    def failure(self, error: str) -> tuple[str, bytes]:
        """The error as an object."""
        return JSON, encode(error_body(error))

    def block_delta(self, block: Block, text: str) -> None:
        """A piece of the answer."""
        if block.kind == "reasoning":
            if self._reasoning:
                self._chunk({"reasoning_content": text})
        else:
            self._say(self._text.delta(block, text))

    def block_closed(self, block: Block) -> None:
        """What has waited for its end."""
        self._say(self._text.closed(block))

    def ended(self, status: Status, error: str, approvals: list[Approval]) -> None:  # noqa: ARG002 -- a consent is not text
        """Why the answer ends."""
        if status in {"failed", "cut"}:
            self.emit(data_frame(error_body(error or "The connection ended before the run.")))
            return
        for question in self.turn.questions.values() if status == "interrupted" else ():
            if isinstance(question.value, str):
                self._say(self._text.alone(question.value))
        self._chunk({}, finish=self.turn.shortened or "stop")
        if self._usage:
            self.emit(data_frame({**self._head(), "choices": [], "usage": tokens(self.turn.usage.values())}))
        self.emit(DONE)

    def _say(self, text: str) -> None:
        if text:
            self._chunk({"content": text})

    def _chunk(self, delta: dict[str, Any], finish: str | None = None) -> None:
        if self._created is None:
            self._created = self.timestamp // 1000
            delta = {"role": "assistant", **({} if "content" in delta else {"content": ""}), **delta}
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
        usage = {"usage": None} if self._usage else {}
        self.emit(data_frame({**self._head(), "choices": [choice], **usage}))

    def _head(self) -> dict[str, Any]:
        return {
            "id": self._completion_id,
            "object": "chat.completion.chunk",
            "created": self._created or 0,
            "model": self._model,
        }


@final
class OpenAiWholeSink(TurnSink):
    """Shows a turn as one completion, for `stream: false`. The arguments are those of `OpenAiSink`."""

    media_type = JSON
    eager = False

    def __init__(self, *, completion_id: str, model: str, reasoning: bool = False, subgraphs: bool = True) -> None:
        super().__init__()
        self._completion_id = completion_id
        self._model = model
        self._reasoning = reasoning
        self._flat = FlatText(subgraphs=subgraphs)
        self._said: list[str] = []
        self._thought: list[str] = []

    def opening(self, event_id: str) -> bytes:
        """Nothing."""
        del event_id
        return b""

    def heartbeat(self) -> bytes:
        """Nothing: the first byte would fix the status."""
        return b""

    def failure(self, error: str) -> tuple[str, bytes]:
        """The error as an object."""
        return JSON, encode(error_body(error))

    def block_delta(self, block: Block, text: str) -> None:
        """A piece of the answer."""
        if block.kind == "reasoning":
            self._thought.append(text)
        else:
            self._said.append(self._flat.delta(block, text))

    def block_closed(self, block: Block) -> None:
        """What has waited for its end."""
        self._said.append(self._flat.closed(block))

    def ended(self, status: Status, error: str, approvals: list[Approval]) -> None:  # noqa: ARG002 -- a consent is not text
        """All of it."""
        if status in {"failed", "cut"}:
            self.emit(encode(error_body(error or "The connection ended before the run.")))
            return
        for question in self.turn.questions.values() if status == "interrupted" else ():
            if isinstance(question.value, str):
                self._said.append(self._flat.alone(question.value))
        message = {"role": "assistant", "content": "".join(self._said), "refusal": None}
        if self._reasoning and self._thought:
            message["reasoning_content"] = "".join(self._thought)
        finish = self.turn.shortened or "stop"
        choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": finish}
        completion = {
            "id": self._completion_id,
            "object": "chat.completion",
            "created": self.timestamp // 1000,
            "model": self._model,
            "choices": [choice],
            "usage": tokens(self.turn.usage.values()),
        }
        self.emit(encode(completion))


def tokens(usage: Iterable[Any]) -> dict[str, int]:
    """Tokens, in the protocol's terms."""
    used = list(usage)
    return {
        "prompt_tokens": sum(each.input for each in used),
        "completion_tokens": sum(each.output for each in used),
        "total_tokens": sum(each.total for each in used),
    }


def error_body(text: str, kind: str = "server_error", code: str | None = None) -> dict[str, Any]:
    """The body of a response that is an error, and what a stream that breaks off ends with."""
    return {"error": {"message": text, "type": kind, "param": None, "code": code}}


def models(names: Collection[str]) -> dict[str, Any]:
    """The body of the response to `GET /v1/models`.

    ```python
    from anyiostream.sinks import openai

    assert [each["id"] for each in openai.models(["agent"])["data"]] == ["agent"]
    ```
    """
    data = [{"id": name, "object": "model", "created": 0, "owned_by": "anyiostream"} for name in names]
    return {"object": "list", "data": data}


def make(request: Request, *, run_id: str, message_id: str, include: Collection[str]) -> OpenAiSink | OpenAiWholeSink:
    """The sink that answers a request."""
    del message_id
    check_include(include)
    completion_id, model = f"chatcmpl-{run_id}", request.assistant or "agent"
    if not request.stream:
        return OpenAiWholeSink(completion_id=completion_id, model=model)
    return OpenAiSink(completion_id=completion_id, model=model, usage=request.usage)


# --- requests ---


def parse(body: Any) -> Request:
    """What is posted to `/v1/chat/completions`. The input is the whole conversation: the protocol has no threads.

    Raises:
        MalformedRequest: It is not one, or it asks for several answers or for the caller's own tools.
    """
    given = mapping_of(PROTOCOL, "the body", body)
    messages = listed(PROTOCOL, "`messages`", given.get("messages"))
    if not messages:
        raise MalformedRequest(PROTOCOL, "`messages` is empty.")
    if given.get("n") not in (None, 1):
        raise MalformedRequest(PROTOCOL, "`n` must be 1: a run gives one answer.")
    if given.get("tools") or given.get("functions"):
        raise MalformedRequest(PROTOCOL, "`tools` are not accepted: the graph has its own.")
    options = given.get("stream_options")
    return Request(
        input={"messages": [dict(each) for each in messages]},
        assistant=text_of(PROTOCOL, "`model`", given.get("model")),
        stream=given.get("stream") is True,
        usage=isinstance(options, Mapping) and options.get("include_usage") is True,
        extra={name: value for name, value in given.items() if name not in {"messages", "model", "stream"}},
    )
