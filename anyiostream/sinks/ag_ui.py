"""AG-UI 1.0, for CopilotKit and any other client of it.

- A run that is stopped is `RUN_FINISHED` with the outcome `cancelled`, at once or after its step; one that fails is
  `RUN_ERROR`, the last event.
- Graphs inside the run's are `SUBAGENT_*`; what they say has their `subagentRunId`. All have ended before the run does.
- Questions are the outcome `interrupt`; the front end answers with `resume`.
- State, if it is asked for, is a `STATE_SNAPSHOT` and then `STATE_DELTA`; other state is `CUSTOM`, by its method.
- What the graph writes to its channel `name` is `CUSTOM` of that name.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping
from typing import Any, Final, final

from anyiostream import Namespace
from anyiostream.sinks.approvals import Approval
from anyiostream.sinks.json_patch import difference
from anyiostream.sinks.parts import Block, Call, Graph, Message
from anyiostream.sinks.requests import digest_of, items_of, listed, mapping_of, text_of
from anyiostream.sinks.sink import DEFAULT_INCLUDE, MalformedRequest, Request, Status
from anyiostream.sinks.turn_sink import TurnSink, data_frame

__all__ = ["AgUiSink", "make", "parse"]

PROTOCOL: Final = "ag-ui"

VERSION: Final = "1.0"

CANCELLED: Final = "cancelled"


@final
class AgUiSink(TurnSink):
    """Shows a turn as one run of AG-UI.

    Args:
        thread_id: The thread's id.
        run_id: The run's id.
        include: Which state to show.
        calls: Tool calls that the front end has already.
        results: Those of them whose result it has, too.
    """

    def __init__(
        self,
        *,
        thread_id: str,
        run_id: str,
        include: Collection[str] = DEFAULT_INCLUDE,
        calls: Mapping[str, str] | None = None,
        results: Collection[str] = (),
    ) -> None:
        super().__init__(include=include, calls=calls, results=results, run_id=run_id)
        self._ids: dict[str, Any] = {"threadId": thread_id, "runId": run_id}
        self._graphs: dict[Namespace, str] = {}
        self._state: Any = None
        self._has_state = False

    def _event(self, kind: str, namespace: Namespace = (), **fields: Any) -> None:
        event: dict[str, Any] = {"type": kind, **fields}
        if self.timestamp:
            event["timestamp"] = self.timestamp
        if namespace in self._graphs:
            event["subagentRunId"] = self._graphs[namespace]
        self.emit(data_frame(event))

    def begun(self) -> None:
        """The run."""
        self._event("RUN_STARTED", **self._ids, protocolVersion=VERSION)

    def ended(self, status: Status, error: str, approvals: list[Approval]) -> None:
        """Its outcome.

        AG-UI 1.0 has three. `cancelled` is a run that was stopped before it has completed, and has not failed: one
        that was aborted, and one that was drained, of which nobody must think that it has its result. `interrupt` needs
        at least one question to answer. A run that has come to a breakpoint has none: nobody has stopped it, it has
        done all that its program lets it do, and the next run is an ordinary one, so it is a `success`.
        """
        if status in {"failed", "cut"}:
            code: dict[str, Any] = {"code": "connection_ended"} if status == "cut" else {}
            self._event("RUN_ERROR", message=error or "The connection ended before the run.", **code, **self._usage())
            return
        outcome: dict[str, Any] = {"type": "success"}
        if status in {"aborted", "drained"}:
            outcome = {"type": CANCELLED}
        elif status == "interrupted" and self.turn.questions:
            outcome = {"type": "interrupt", "interrupts": self._interrupts(approvals)}
        self._event("RUN_FINISHED", **self._ids, outcome=outcome, **self._usage())

    def _interrupts(self, approvals: list[Approval]) -> list[dict[str, Any]]:
        shown = []
        for question in self.turn.questions.values():
            calls = [each.call.id for each in approvals if each.question is question]
            value = question.value
            interrupt: dict[str, Any] = {"id": question.id, "reason": "tool_call" if calls else "input_required"}
            if isinstance(value, str):
                interrupt["message"] = value
            if len(calls) == 1:
                interrupt["toolCallId"] = calls[0]
            interrupt["metadata"] = {"value": value, "namespace": list(question.namespace), "toolCallIds": calls}
            shown.append(interrupt)
        return shown

    def _usage(self) -> dict[str, Any]:
        usage = []
        for (provider, model), used in self.turn.usage.items():
            named = {name: value for name, value in (("provider", provider), ("model", model)) if value}
            tokens = {"inputTokens": used.input, "outputTokens": used.output, "totalTokens": used.total}
            usage.append({**named, **tokens})
        return {"usage": usage} if usage else {}

    # --- messages ---

    def block_opened(self, block: Block) -> None:
        """A message, or a span of reasoning."""
        if block.kind == "text":
            named: dict[str, Any] = {"name": block.message.node} if block.message.node else {}
            whose = block.message.namespace
            self._event("TEXT_MESSAGE_START", whose, messageId=block.id, role="assistant", **named)
            return
        # All messages of a front end are in one list: the text of the same message has another id.
        self._event("REASONING_START", block.message.namespace, messageId=block.id)
        self._event("REASONING_MESSAGE_START", block.message.namespace, messageId=block.id, role="reasoning")

    def block_delta(self, block: Block, text: str) -> None:
        """A piece of it."""
        kind = "TEXT_MESSAGE_CONTENT" if block.kind == "text" else "REASONING_MESSAGE_CONTENT"
        self._event(kind, block.message.namespace, messageId=block.id, delta=text)

    def block_closed(self, block: Block) -> None:
        """Its end."""
        if block.kind == "text":
            self._event("TEXT_MESSAGE_END", block.message.namespace, messageId=block.id)
            return
        self._event("REASONING_MESSAGE_END", block.message.namespace, messageId=block.id)
        self._event("REASONING_END", block.message.namespace, messageId=block.id)

    def file(self, message: Message, content: Mapping[str, Any]) -> None:
        """An image, a recording or another file."""
        self._part("file", message, content)

    def source(self, message: Message, annotation: Mapping[str, Any]) -> None:
        """What is cited."""
        self._part("source", message, annotation)

    def _part(self, name: str, message: Message, content: Mapping[str, Any]) -> None:
        value = {"messageId": message.id, **content}
        self._event("CUSTOM", message.namespace, name=name, value=value)

    # --- tools ---

    def call_opened(self, call: Call) -> None:
        """A call, in its message."""
        parent: dict[str, Any] = {"parentMessageId": call.message.id} if call.message is not None else {}
        self._event("TOOL_CALL_START", call.namespace, toolCallId=call.id, toolCallName=call.name, **parent)

    def call_delta(self, call: Call, piece: str) -> None:
        """A piece of its arguments."""
        self._event("TOOL_CALL_ARGS", call.namespace, toolCallId=call.id, delta=piece)

    def call_closed(self, call: Call) -> None:
        """The end of its arguments."""
        self._event("TOOL_CALL_END", call.namespace, toolCallId=call.id)

    def call_output(self, call: Call, output: Any, *, last: bool) -> None:
        """Its result; what there is before is a `CUSTOM` event."""
        if last:
            self._result(call, output if isinstance(output, str) else json.dumps(output))
        else:
            self._event("CUSTOM", call.namespace, name="tool-output", value={"toolCallId": call.id, "output": output})

    def call_failed(self, call: Call, error: str) -> None:
        """Its error, as a result."""
        self._result(call, error, metadata={"error": True})

    def _result(self, call: Call, content: str, **fields: Any) -> None:
        # A run that goes on may call the tool anew: the front end keeps the messages of all runs in one list.
        message_id = self.numbered(call.id, "result")
        shown = {"messageId": message_id, "toolCallId": call.id, "content": content, "role": "tool", **fields}
        self._event("TOOL_CALL_RESULT", call.namespace, **shown)

    # --- graphs, and what they say ---

    def graph_opened(self, graph: Graph) -> None:
        """A subagent."""
        self._graphs[graph.namespace] = graph.id
        around: dict[str, Any] = {} if graph.around is None else {"parentSubagentRunId": graph.around.id}
        self._event("SUBAGENT_STARTED", graph.namespace, name=graph.name, **around)

    def graph_closed(self, graph: Graph, status: str, error: str) -> None:
        """Its end."""
        if status == "failed":
            self._event("SUBAGENT_ERROR", graph.namespace, message=error or "It failed.")
        elif status in {"aborted", "cut"}:
            self._event("SUBAGENT_ERROR", graph.namespace, message="It was stopped.", code=CANCELLED)
        else:
            outcome: dict[str, Any] = {"type": "success"}
            if status in {"interrupted", "drained"}:
                outcome = {"type": "suspended", "interruptIds": self._asked_in(graph.namespace)}
            self._event("SUBAGENT_FINISHED", graph.namespace, outcome=outcome)
        del self._graphs[graph.namespace]

    def _asked_in(self, namespace: Namespace) -> list[str]:
        asked = self.turn.questions.values()
        return [each.id for each in asked if each.namespace[: len(namespace)] == namespace]

    def state(self, method: str, namespace: Namespace, data: Any) -> None:
        """The run's own snapshots are its state, other state a `CUSTOM` event."""
        if method != "values" or namespace:
            self._event("CUSTOM", namespace, name=method, value=data)
            return
        if not self._has_state or not isinstance(data, dict):
            self._event("STATE_SNAPSHOT", snapshot=data)
        else:
            delta = list(difference(self._state, data))
            if delta:
                self._event("STATE_DELTA", delta=delta)
        self._state, self._has_state = data, isinstance(data, dict)

    def custom(self, name: str, namespace: Namespace, payload: Any) -> None:
        """By its name."""
        self._event("CUSTOM", namespace, name=name, value=payload)


def make(request: Request, *, run_id: str, message_id: str, include: Collection[str]) -> AgUiSink:
    """The sink that answers a request."""
    del message_id  # messages keep their own ids
    return AgUiSink(
        thread_id=request.thread or run_id,
        run_id=request.run_id or run_id,
        include=include,
        calls=request.calls,
        results=request.results,
    )


# --- requests ---


def parse(body: Any) -> Request:
    """A `RunAgentInput`.

    The input is what its user has said since the last message of an assistant; with `resume` there is none. A `resume`
    that is `cancelled` answers with `None`. The front end's tools and state are in `extra`.

    Front ends of AG-UI regenerate an answer by dropping it from their messages, and running again: the request looks
    like any other. `Request.users` has the ids of all that the user has said, by which a server tells.

    Raises:
        MalformedRequest: It is not one.
    """
    given = mapping_of(PROTOCOL, "the body", body)
    thread = text_of(PROTOCOL, "`threadId`", given.get("threadId"))
    run_id = text_of(PROTOCOL, "`runId`", given.get("runId"))
    messages = listed(PROTOCOL, "`messages`", given.get("messages"))
    answers: dict[str, Any] = {}
    for each in listed(PROTOCOL, "`resume`", given.get("resume"), needed=False):
        interrupt_id = text_of(PROTOCOL, "`interruptId`", each.get("interruptId"))
        assert interrupt_id is not None
        answers[interrupt_id] = each.get("payload") if each.get("status") == "resolved" else None
    new: list[dict[str, Any]] = []
    for message in messages:
        role = text_of(PROTOCOL, "a message's `role`", message.get("role"), needed=False)
        if role == "user":
            new.append(_message(message))
        elif role in {"assistant", "tool"}:
            new.clear()
    if not new and not answers:
        raise MalformedRequest(PROTOCOL, "it has neither a new user message nor an answer to a question.")
    return Request(
        input=None if answers else {"messages": new},
        thread=thread,
        run_id=run_id,
        answers=answers,
        users=() if answers else tuple(_users(messages)),
        calls=_calls(messages),
        results=tuple(_results(messages)),
        extra={name: given[name] for name in ("state", "tools", "context", "forwardedProps") if name in given},
        once=digest_of(body),
    )


def _users(messages: list[Mapping[str, Any]]) -> Iterator[str]:
    for message in messages:
        if message.get("role") == "user" and isinstance(message.get("id"), str):
            yield message["id"]


def _results(messages: list[Mapping[str, Any]]) -> Iterator[str]:
    for message in messages:
        if message.get("role") == "tool" and isinstance(message.get("toolCallId"), str):
            yield message["toolCallId"]


def _calls(messages: list[Mapping[str, Any]]) -> dict[str, str]:
    found: dict[str, str] = {}
    for message in messages:
        for call in items_of(PROTOCOL, "`toolCalls`", message.get("toolCalls")):
            if isinstance(call, Mapping) and isinstance(call.get("id"), str):
                function = call.get("function")
                name = function.get("name") if isinstance(function, Mapping) else None
                found[call["id"]] = text_of(PROTOCOL, "a function's `name`", name, needed=False) or "tool"
    return found


def _message(message: Mapping[str, Any]) -> dict[str, Any]:
    content = message.get("content")
    if isinstance(content, list):
        content = [_block(part) for part in content if isinstance(part, Mapping)]
    known = {"id": message["id"]} if isinstance(message.get("id"), str) else {}
    return {"role": "user", "content": content if isinstance(content, (str, list)) else "", **known}


def _block(part: Mapping[str, Any]) -> dict[str, Any]:
    source = part.get("source")
    if part.get("type") == "text" or not isinstance(source, Mapping):
        return {"type": "text", "text": _text(part, "text")}
    kind = _text(part, "type")
    block = {"type": kind if kind in {"image", "audio", "video"} else "file"}
    if isinstance(source.get("mimeType"), str):
        block["mime_type"] = source["mimeType"]
    field = {"data": "base64", "url": "url"}.get(_text(source, "type"), "file_id")
    return {**block, field: _text(source, "value")}


def _text(given: Mapping[str, Any], name: str) -> str:
    """A text that may be empty, or missing."""
    found = given.get(name)
    if found is not None and not isinstance(found, str):
        raise MalformedRequest(PROTOCOL, f"`{name}` of a message's content must be a string.")
    return found or ""
