"""What was said on a thread, as the AI SDK's `UIMessage`s, for a page that is reloaded.

It is read from the messages in a graph's state, as LangChain dumps them, and equals what a client makes of the turns'
streams: one message for a turn, with a step for each model call.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from anyiostream import Namespace
from anyiostream.sinks.approvals import approvals_of
from anyiostream.sinks.parts import FILES, INVALID, Call, Question

__all__ = ["file_part", "ui_messages"]

ROLES: Final = {"human": "user", "user": "user", "ai": "assistant", "assistant": "assistant", "tool": "tool"}

UNANSWERED: Final = "The run ended before there was a result."
"""What is said of tools that have none and will have none."""


def file_part(content: Mapping[str, Any]) -> dict[str, Any] | None:
    """The part that a block with an image, a recording or another file is; `None` if it is no such block."""
    kind, url = str(content.get("type")), content.get("url")
    if kind == "image_url":  # OpenAI's, which LangChain takes as it is
        given = content.get("image_url")
        kind, url = "image", given.get("url") if isinstance(given, Mapping) else given
    if kind not in FILES:
        return None
    media_type = str(content.get("mime_type") or f"{kind}/*")
    if not isinstance(url, str) and isinstance(content.get("base64"), str):
        url = f"data:{media_type};base64,{content['base64']}"
    if not isinstance(url, str):
        return None
    extras = content.get("extras")
    name = extras.get("filename") if isinstance(extras, Mapping) else None
    named = {"filename": name} if isinstance(name, str) else {}
    return {"type": "file", "url": url, "mediaType": media_type, **named}


def ui_messages(
    values: Any, questions: Iterable[Question] = (), *, finished: bool = True, failed: bool = False
) -> list[dict[str, Any]]:
    """The messages of a state, in order.

    ```python
    from anyiostream.sinks.ai_sdk_history import ui_messages

    said = [{"type": "human", "content": "Hi", "id": "1"}, {"type": "ai", "content": "Hello", "id": "2"}]
    assert [each["role"] for each in ui_messages({"messages": said})] == ["user", "assistant"]
    ```

    Args:
        values: The state, plain; one without `messages` has none.
        questions: What the graph waits for its user with: the last message has them, and the consents they ask for.
        finished: Whether the last turn is over. If not, its answer is left out: the stream that goes on has all of it.
        failed: Whether it has failed or was stopped: tools without a result will have none.
    """
    given = values.get("messages") if isinstance(values, Mapping) else None
    shown: list[dict[str, Any]] = []
    results: dict[str, dict[str, Any]] = {}
    for place, message in enumerate(given if isinstance(given, list) else ()):
        if not isinstance(message, Mapping):
            continue
        role = ROLES.get(str(message.get("type") or message.get("role")))
        if role == "tool":
            _answer(results.get(str(message.get("tool_call_id"))), message)
        elif role is not None:
            if role == "user" or not shown or shown[-1]["role"] == "user":
                shown.append({"id": str(message.get("id") or f"message-{place}"), "role": role, "parts": []})
            parts = shown[-1]["parts"]
            if role == "assistant":
                parts.append({"type": "step-start"})
            parts.extend(_parts(message))
            results |= {part["toolCallId"]: part for part in parts if "toolCallId" in part}
    for message in shown if finished and failed else shown[:-1]:
        _give_up(message["parts"])
    if not finished and shown and shown[-1]["role"] == "assistant":
        del shown[-1]
    elif finished:
        _ask(shown, list(questions))
    return shown


def _parts(message: Mapping[str, Any]) -> Iterable[dict[str, Any]]:
    content, more = message.get("content"), message.get("additional_kwargs")
    if isinstance(more, Mapping) and isinstance(more.get("reasoning_content"), str):
        yield from _spoken("reasoning", more["reasoning_content"])
    for block in content if isinstance(content, list) else [content]:
        if isinstance(block, str):
            yield from _spoken("text", block)
        elif isinstance(block, Mapping):
            yield from _block(block)
    for call in _mappings(message.get("tool_calls")):
        yield {**_call(call), "state": "input-available"}
    for call in _mappings(message.get("invalid_tool_calls")):
        yield {**_call(call), "state": "output-error", "errorText": str(call.get("error") or INVALID)}


def _block(block: Mapping[str, Any]) -> Iterable[dict[str, Any]]:
    """A block, in LangChain's terms or in those of a provider, which its messages keep."""
    kind = str(block.get("type"))
    if kind in {"text", "refusal"}:
        yield from _spoken("text", block.get(kind))
    elif kind == "thinking":
        yield from _spoken("reasoning", block.get(kind))
    elif kind == "reasoning":
        yield from _spoken("reasoning", block.get(kind))
        for each in _mappings(block.get("summary")):
            yield from _spoken("reasoning", each.get("text"))
    else:
        part = file_part(block)
        yield from () if part is None else (part,)


def _spoken(kind: str, text: Any) -> Iterable[dict[str, Any]]:
    if isinstance(text, str) and text:
        yield {"type": kind, "text": text, "state": "done"}


def _call(call: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "type": "dynamic-tool",
        "toolName": str(call.get("name")),
        "toolCallId": str(call.get("id")),
        "input": call.get("args"),
        "providerExecuted": True,
    }


def _mappings(given: Any) -> Iterable[Mapping[str, Any]]:
    return [each for each in given if isinstance(each, Mapping)] if isinstance(given, list) else ()


def _give_up(parts: list[dict[str, Any]]) -> None:
    for part in parts:
        if part.get("state") == "input-available":
            part.update(state="output-error", errorText=UNANSWERED)


def _answer(part: dict[str, Any] | None, message: Mapping[str, Any]) -> None:
    if part is None:
        return
    if message.get("status") == "error":
        part.update(state="output-error", errorText=str(message.get("content")))
    else:
        part.update(state="output-available", output=dict(message))


def _ask(shown: list[dict[str, Any]], questions: list[Question]) -> None:
    """Put the questions into the last message."""
    if not questions:
        return
    if not shown or shown[-1]["role"] != "assistant":
        shown.append({"id": f"question-{questions[0].id}", "role": "assistant", "parts": [{"type": "step-start"}]})
    parts = shown[-1]["parts"]
    of = {part["toolCallId"]: part for part in parts if "toolCallId" in part}
    calls = {call_id: Call.known(call_id, part["toolName"]) for call_id, part in of.items()}
    for call_id, call in calls.items():
        call.input, call.answered = of[call_id]["input"], of[call_id]["state"] != "input-available"

    def make(call_id: str, name: str, args: Any, namespace: Namespace = ()) -> Call:
        del namespace
        of[call_id] = {
            "type": "dynamic-tool", "toolName": name, "toolCallId": call_id, "input": args, "providerExecuted": True,
        }  # fmt: skip
        parts.append(of[call_id])
        return Call.known(call_id, name)

    for approval in approvals_of(questions, calls, make):
        of[approval.call.id].update(state="approval-requested", approval={"id": approval.id})
    for question in questions:
        data = {"interruptId": question.id, "namespace": list(question.namespace), "value": question.value}
        parts.append({"type": "data-interrupt", "id": question.id, "data": data})
