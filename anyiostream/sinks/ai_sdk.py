"""The UI message stream of Vercel's AI SDK, version 1 of the protocol: `useChat` with `ai` 6 and 7.

- One turn is one message, however many model calls it has. A run that goes on after an answer continues the message
  that the front end has: its id is in the request.
- Every tool is `dynamic`: the front end need not know its type.
- What an inner graph says has its namespace in `providerMetadata.anyiostream`.
- Questions are `data-interrupt` parts. Those that ask consent for a tool are also a `tool-approval-request`.
- `ai` 5 refuses approval requests, and is not supported.

Our own parts, by type; `anyiostream.sinks.ai_sdk_types` has them for TypeScript:

- `data-interrupt`, by the interrupt's id: `{interruptId, namespace, value}`.
- `data-subgraph`, by the graph's id: `{namespace, name, status, error?}`.
- `data-values`, `data-updates`, `data-checkpoints`, `data-tasks`: state, if it is asked for; the last one stands.
- `data-restarted`: the server has died and goes on with the run.
- `data-<name>`: what the graph writes to its channel `name`; `data-custom` for what has no name.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any, Final, final

from anyiostream import Namespace
from anyiostream.sinks.ai_sdk_history import file_part
from anyiostream.sinks.ai_sdk_types import InterruptData, SubgraphData
from anyiostream.sinks.approvals import Approval, answer_of
from anyiostream.sinks.parts import Block, Call, Graph, Message
from anyiostream.sinks.requests import digest_of, items_of, listed, mapping_of, text_of
from anyiostream.sinks.sink import DEFAULT_INCLUDE, MalformedRequest, Request, Status
from anyiostream.sinks.turn_sink import TurnSink, data_frame

__all__ = ["AiSdkSink", "make", "parse"]

PROTOCOL: Final = "ai-sdk"

OWN: Final = "anyiostream"

FINISHES: Final[Mapping[Status, str]] = {
    "completed": "stop", "failed": "error", "cut": "error", "interrupted": "other", "drained": "other",
}  # fmt: skip

SHORTENED: Final = {"length": "length", "content_filter": "content-filter"}

RESTARTED: Final = "run.restarted"

ANSWERED: Final = frozenset({"approval-responded", "output-denied"})


@final
class AiSdkSink(TurnSink):
    """Shows a turn as one UI message.

    Args:
        message_id: The message's id.
        run_id: The run's id, which is told in the message's metadata.
        include: Which state to show.
        calls: Tool calls that the front end has already.
        results: Those of them whose result it has, too.
    """

    headers: Mapping[str, str] = {"x-vercel-ai-ui-message-stream": "v1"}

    def __init__(
        self,
        *,
        message_id: str,
        run_id: str = "",
        include: Collection[str] = DEFAULT_INCLUDE,
        calls: Mapping[str, str] | None = None,
        results: Collection[str] = (),
    ) -> None:
        super().__init__(include=include, calls=calls, results=results, run_id=run_id)
        self._message_id = message_id
        self._run_id = run_id
        self._open = 0
        self._answered = False
        self._graphs: dict[Graph, str] = {}

    def _chunk(self, kind: str, **fields: Any) -> None:
        self.emit(data_frame({"type": kind, **fields}))

    def begun(self) -> None:
        """The message begins, and its first step."""
        metadata = {"messageMetadata": {"runId": self._run_id}} if self._run_id else {}
        self._chunk("start", messageId=self._message_id, **metadata)
        self._chunk("start-step")

    def ended(self, status: Status, error: str, approvals: list[Approval]) -> None:
        """Questions, then the message's end."""
        for question in self.turn.questions.values() if status == "interrupted" else ():
            data: InterruptData = {
                "interruptId": question.id,
                "namespace": list(question.namespace),
                "value": question.value,
            }
            self._chunk("data-interrupt", id=question.id, data=data)
        for approval in approvals:
            self._chunk("tool-approval-request", approvalId=approval.id, toolCallId=approval.call.id)
        if status == "aborted":
            self._chunk("abort")
        else:
            if status in {"failed", "cut"}:
                self._chunk("error", errorText=error or "The connection ended before the run.")
            self._chunk("finish-step")
            finish = SHORTENED.get(self.turn.shortened) if status == "completed" else None
            self._chunk("finish", finishReason=finish or FINISHES[status], messageMetadata=self._metadata(status))
        self.emit(b"data: [DONE]\n\n")

    def _metadata(self, status: Status) -> dict[str, Any]:
        used = self.turn.usage.values()
        usage = {
            "inputTokens": sum(each.input for each in used),
            "outputTokens": sum(each.output for each in used),
            "totalTokens": sum(each.total for each in used),
        }
        return {"status": status, **({"usage": usage} if used else {})}

    # --- messages ---

    def block_opened(self, block: Block) -> None:
        """A text part, or a reasoning part."""
        self._step(block.message)
        self._open += 1
        self._chunk(f"{block.kind}-start", id=block.id, **_whose(block.message.namespace))

    def block_delta(self, block: Block, text: str) -> None:
        """A piece of it."""
        self._chunk(f"{block.kind}-delta", id=block.id, delta=text)

    def block_closed(self, block: Block) -> None:
        """Its end."""
        self._open -= 1
        self._chunk(f"{block.kind}-end", id=block.id)

    def _step(self, message: Message) -> None:
        """A model call after a tool has answered begins a step. The end of a step forgets open parts."""
        if self._answered and not self._open and not message.namespace:
            self._answered = False
            self._chunk("finish-step")
            self._chunk("start-step")

    def file(self, message: Message, content: Mapping[str, Any]) -> None:
        """An image, a recording or another file."""
        part = file_part(content)
        if part is not None:
            self._chunk("file", url=part["url"], mediaType=part["mediaType"], **_whose(message.namespace))

    def source(self, message: Message, annotation: Mapping[str, Any]) -> None:
        """A page that is cited."""
        url, title = annotation.get("url"), annotation.get("title")
        if isinstance(url, str):
            named = {"title": title} if isinstance(title, str) else {}
            source_id = str(annotation.get("id") or self.numbered(message.id, "source"))
            self._chunk("source-url", sourceId=source_id, url=url, **named, **_whose(message.namespace))

    # --- tools ---

    def call_opened(self, call: Call) -> None:
        """A tool part."""
        if call.message is not None:
            self._step(call.message)
        self._open += 1
        whose = _whose(call.namespace)
        self._chunk("tool-input-start", toolCallId=call.id, toolName=call.name, dynamic=True, **whose)

    def call_delta(self, call: Call, piece: str) -> None:
        """A piece of its input."""
        self._chunk("tool-input-delta", toolCallId=call.id, inputTextDelta=piece)

    def call_closed(self, call: Call) -> None:
        """Its input."""
        self._open -= 1
        fields = {"toolCallId": call.id, "toolName": call.name, "input": call.input, "dynamic": True}
        # The server runs the tool: a front end must not think that it has to.
        self._chunk("tool-input-available", **fields, providerExecuted=True, **_whose(call.namespace))

    def call_output(self, call: Call, output: Any, *, last: bool) -> None:
        """Its output, so far or at last."""
        self._answered = self._answered or last
        so_far = {} if last else {"preliminary": True}
        self._chunk("tool-output-available", toolCallId=call.id, output=output, **so_far)

    def call_failed(self, call: Call, error: str) -> None:
        """Its error."""
        self._answered = True
        self._chunk("tool-output-error", toolCallId=call.id, errorText=error)

    # --- parts of our own ---

    def graph_opened(self, graph: Graph) -> None:
        """It is at work."""
        self._subgraph(graph, "running")

    def graph_closed(self, graph: Graph, status: str, error: str) -> None:
        """It has ended."""
        self._subgraph(graph, status, error)

    def _subgraph(self, graph: Graph, status: Any, error: str = "") -> None:
        data: SubgraphData = {"namespace": list(graph.namespace), "name": graph.name, "status": status}
        if error:
            data["error"] = error
        if graph not in self._graphs:
            # A graph that goes on after a question is the same one in each run of the message.
            path = "/".join(graph.namespace)
            place = self.place("subgraph", path)
            self._graphs[graph] = path if place == 1 else f"{path}#{place}"
        self._chunk("data-subgraph", id=self._graphs[graph], data=data)

    def state(self, method: str, namespace: Namespace, data: Any) -> None:
        """State that was asked for; the last one of each graph stands."""
        self._chunk(f"data-{method}", id="/".join((method, *namespace)), data=data)

    def custom(self, name: str, namespace: Namespace, payload: Any) -> None:
        """Each is a part of its own, but the same one when a turn is replayed: its number is its place in the run."""
        kind = "data-restarted" if name == RESTARTED else f"data-{name}"
        self._chunk(kind, id=self.numbered("/".join(namespace), name), data=payload)


def _whose(namespace: Namespace) -> dict[str, Any]:
    return {"providerMetadata": {OWN: {"namespace": list(namespace)}}} if namespace else {}


def make(request: Request, *, run_id: str, message_id: str, include: Collection[str]) -> AiSdkSink:
    """The sink that answers a request."""
    return AiSdkSink(
        message_id=request.continues or message_id,
        run_id=run_id,
        include=include,
        calls=request.calls,
        results=request.results,
    )


# --- requests ---


def parse(body: Any) -> Request:
    """What `DefaultChatTransport` has posted.

    The input is the user's last message; with consents or `answers`, by interrupt id in the body, there is none: the
    run goes on. What `regenerate()` posts is to be answered anew, and so is a message that `sendMessage` has changed.

    ```python
    from anyiostream.sinks import ai_sdk

    request = ai_sdk.parse({"id": "chat-1", "messages": [{"role": "user", "parts": [{"type": "text", "text": "Hi"}]}]})
    assert request.thread == "chat-1"
    assert request.input == {"messages": [{"role": "user", "content": "Hi"}]}
    ```

    Raises:
        MalformedRequest: It is not one.
    """
    given = mapping_of(PROTOCOL, "the body", body)
    messages = listed(PROTOCOL, "`messages`", given.get("messages"))
    thread = text_of(PROTOCOL, "`id`", given.get("id"), needed=False)
    answers = dict(mapping_of(PROTOCOL, "`answers`", given.get("answers"), needed=False))
    last = messages[-1] if messages else {}
    role = text_of(PROTOCOL, "a message's `role`", last.get("role"), needed=False)
    extra = {name: value for name, value in given.items() if name not in {"id", "messages", "trigger", "messageId"}}
    calls: dict[str, str] = {}
    results: list[str] = []
    continues: str | None = None
    if role == "assistant":
        parts = [each for each in _parts(last) if isinstance(each, Mapping)]
        answers = {**_consents(parts), **answers}
        if answers:
            continues = text_of(PROTOCOL, "a message's `id`", last.get("id"), needed=False)
            calls = dict(_calls(parts))
            results = [call_id for part in parts if _has_result(part) for call_id, _ in _calls([part])]
    # If the assistant's message is last, only answers are new: its user's question has been asked already.
    asked = last if role == "user" and not answers else None
    regenerate: str | None = None
    # The messages end with the one that is answered; `messageId` may be that one's, its answer's, or not be there.
    if asked is not None and (given.get("trigger") == "regenerate-message" or given.get("messageId") is not None):
        regenerate = text_of(PROTOCOL, "a message's `id`", asked.get("id"))
    if asked is None and not answers:
        raise MalformedRequest(PROTOCOL, "it has neither a user message nor an answer to a question.")
    return Request(
        input=None if asked is None else {"messages": [_message(asked)]},
        thread=thread,
        answers=answers,
        regenerate=regenerate,
        continues=continues,
        calls=calls,
        results=tuple(results),
        extra=extra,
        # Without an id of its message, it may be another one with the same words.
        once=None if continues is None and (asked is None or "id" not in _message(asked)) else digest_of(body),
    )


def _consents(parts: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """Interrupt id -> answer, for the questions whose consents are all given."""
    said: dict[str, Mapping[str, Any]] = {}
    asked: dict[str, Any] = {}
    for part in parts:
        approval, data = part.get("approval"), part.get("data")
        state = text_of(PROTOCOL, "a part's `state`", part.get("state"), needed=False)
        if isinstance(approval, Mapping) and state in ANSWERED and isinstance(approval.get("id"), str):
            said[approval["id"]] = approval
        elif part.get("type") == "data-interrupt" and isinstance(data, Mapping):
            interrupt_id = text_of(PROTOCOL, "`interruptId`", data.get("interruptId"))
            assert interrupt_id is not None
            asked[interrupt_id] = data.get("value")
    found = {interrupt_id: answer_of(interrupt_id, value, said) for interrupt_id, value in asked.items()}
    return {interrupt_id: answer for interrupt_id, answer in found.items() if answer is not None}


def _calls(parts: Iterable[Mapping[str, Any]]) -> Iterable[tuple[str, str]]:
    for part in parts:
        kind, call_id = part.get("type"), part.get("toolCallId")
        if isinstance(kind, str) and isinstance(call_id, str):
            name = text_of(PROTOCOL, "`toolName`", part.get("toolName"), needed=False)
            yield call_id, name or kind.removeprefix("tool-")


def _has_result(part: Mapping[str, Any]) -> bool:
    state = part.get("state")
    return isinstance(state, str) and state.startswith("output-") and part.get("preliminary") is not True


def _parts(message: Mapping[str, Any]) -> list[Any]:
    return items_of(PROTOCOL, "a message's `parts`", message.get("parts"))


def _message(message: Mapping[str, Any]) -> dict[str, Any]:
    """A user's message as a graph takes it: text, or blocks if there is more than that."""
    blocks = []
    for part in _parts(message):
        if isinstance(part, Mapping) and part.get("type") == "text" and isinstance(part.get("text"), str):
            blocks.append({"type": "text", "text": part["text"]})
        elif isinstance(part, Mapping) and part.get("type") == "file" and isinstance(part.get("url"), str):
            media_type = text_of(PROTOCOL, "`mediaType`", part.get("mediaType") or None, needed=False)
            blocks.append(_file(part["url"], media_type or "application/octet-stream", part.get("filename")))
    content: Any = blocks
    if all(each["type"] == "text" for each in blocks):
        content = "".join(each["text"] for each in blocks)
    known = {"id": message["id"]} if isinstance(message.get("id"), str) else {}
    return {"role": "user", "content": content, **known}


def _file(url: str, media_type: str, name: Any) -> dict[str, Any]:
    kind = media_type.partition("/")[0]
    block: dict[str, Any] = {"type": kind if kind in {"image", "audio", "video"} else "file", "mime_type": media_type}
    if isinstance(name, str) and name:
        block["extras"] = {"filename": name}  # where LangChain has it, and some models need it
    if url.startswith("data:") and ";base64," in url:
        return {**block, "base64": url.partition(";base64,")[2]}
    return {**block, "url": url}
