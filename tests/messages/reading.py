"""Ways to read messages and tool calls, and events to write them with."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from anyiostream import parts
from anyiostream.projections.messages.record import MessageRecord

from ..conformance.adapter import Lab

__all__ = [
    "block_finish",
    "caught",
    "delta",
    "finish",
    "message",
    "output",
    "part",
    "recorded",
    "result",
    "start",
    "text",
    "text_message",
    "usage",
    "whole",
]


def recorded(*events: Any) -> MessageRecord:
    """The record of one message's events."""
    record = MessageRecord()
    for event in events:
        record.dispatch(event)
    return record


async def whole(lab: Lab, projection: Any) -> Any:
    """The final value of a message's text, reasoning or tool calls."""
    return await lab.whole(projection)


async def output(lab: Lab, message: Any) -> Any:
    """The final message."""
    return await lab.final(message, "output")


async def usage(lab: Lab, message: Any) -> Any:
    """The token counts of a message."""
    return await lab.final(message, "usage")


async def result(lab: Lab, call: Any) -> Any:
    """The output of a tool call."""
    return await lab.settle(call)


async def caught(function: Callable[..., Any], *args: Any) -> BaseException:
    """The exception that awaiting `function(*args)` raises."""
    try:
        await function(*args)
    except Exception as exc:
        return exc
    raise AssertionError("nothing was raised")


def start(**fields: Any) -> dict[str, Any]:
    """A message's start."""
    return {"event": "message-start", "role": "ai", **fields}


def delta(kind: str, piece: Any, index: Any = 0) -> dict[str, Any]:
    """A piece of a block: of `"text"`, `"reasoning"` or `"tool-call"`."""
    field = "args" if kind == "tool-call" else kind
    return {"event": "content-block-delta", "index": index, "delta": {"type": f"{kind}-delta", field: piece}}


def text(*pieces: str, index: Any = 0) -> list[dict[str, Any]]:
    """Pieces of text of one block."""
    return [delta("text", piece, index) for piece in pieces]


def block_finish(content: Any, index: Any = 0) -> dict[str, Any]:
    """A block's end."""
    return {"event": "content-block-finish", "index": index, "content": content}


def finish(**fields: Any) -> dict[str, Any]:
    """A message's end."""
    return {"event": "message-finish", **fields}


def part(event: Any, run_id: str | None = "call", ns: tuple[str, ...] = (), **metadata: Any) -> Any:
    """A part that carries one event of a model call."""
    return parts.messages(event, {**metadata, **({} if run_id is None else {"run_id": run_id})}, ns=ns)


def message(*events: Any, run_id: str | None = "call", **metadata: Any) -> list[Any]:
    """Parts that carry a message's events."""
    return [part(event, run_id, **metadata) for event in events]


def text_message(*pieces: str, run_id: str | None = "call", **metadata: Any) -> list[Any]:
    """Parts of a message that is plain text."""
    return message(start(id=run_id), *text(*pieces), finish(), run_id=run_id, **metadata)
