"""What was said on a thread, as the AI SDK's `UIMessage`s, for a page that is reloaded.

It is read from the messages in a graph's state, as LangChain dumps them, and equals what a client makes of the turns'
streams: one message for a turn, with a step for each model call.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from anyiostream import Namespace
from anyiostream.sinks.approvals import approvals_of
from anyiostream.sinks.parts import Call, Question

__all__ = ["ui_messages"]

ROLES: Final = {"human": "user", "user": "user", "ai": "assistant", "assistant": "assistant", "tool": "tool"}

SPOKEN: Final = {"text": "text", "reasoning": "reasoning"}


def ui_messages(values: Any, questions: Iterable[Question] = (), *, finished: bool = True) -> list[dict[str, Any]]:
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
    if not finished and shown and shown[-1]["role"] == "assistant":
        del shown[-1]
    elif finished:
        _ask(shown, list(questions))
    return shown


def _parts(message: Mapping[str, Any]) -> Iterable[dict[str, Any]]:
    content = message.get("content")
    blocks = [{"type": "text", "text": content}] if isinstance(content, str) else content
    for block in blocks if isinstance(blocks, list) else ():
        kind = block.get("type") if isinstance(block, Mapping) else None
        if isinstance(kind, str) and kind in SPOKEN and isinstance(block.get(kind), str) and block[kind]:
            yield {"type": kind, "text": block[kind], "state": "done"}
    calls = message.get("tool_calls")
    for call in calls if isinstance(calls, list) else ():
        if isinstance(call, Mapping):
            yield {
                "type": "dynamic-tool",
                "toolName": str(call.get("name")),
                "toolCallId": str(call.get("id")),
                "state": "input-available",
                "input": call.get("args"),
                "providerExecuted": True,
            }


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
