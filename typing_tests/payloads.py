"""Events are narrowed by `method`, and what they carry by `event` and by `type`."""

# pyright: reportUnnecessaryTypeIgnoreComment=true

from __future__ import annotations

from typing import Any, assert_type

from anyiostream import LifecyclePayload
from anyiostream.payloads import (
    ContentBlock,
    MessageEvent,
    RunEvent,
    TextBlock,
    ToolCallDelta,
    ToolEvent,
    ToolFinished,
    ToolStarted,
)


def narrowed_by_method(event: RunEvent) -> None:
    """Each method has its own data."""
    if event["method"] == "messages":
        assert_type(event["params"]["data"], tuple[MessageEvent, dict[str, Any]])
    elif event["method"] == "tools":
        assert_type(event["params"]["data"], ToolEvent)
    elif event["method"] == "lifecycle":
        assert_type(event["params"]["data"], LifecyclePayload)
    elif event["method"] == "updates":
        assert_type(event["params"]["data"], dict[str, Any])


def narrowed_by_event(said: MessageEvent, done: ToolEvent) -> None:
    """So has each event of a call."""
    if said["event"] == "content-block-delta":
        if said["delta"]["type"] == "tool-call-delta":
            assert_type(said["delta"], ToolCallDelta)
    elif said["event"] == "content-block-finish":
        assert_type(said["content"], ContentBlock)
    if done["event"] == "tool-started":
        assert_type(done, ToolStarted)
    elif done["event"] == "tool-finished":
        assert_type(done, ToolFinished)


def narrowed_by_type(block: ContentBlock) -> str:
    """And each block."""
    if block["type"] == "text":
        assert_type(block, TextBlock)
        return block["text"]
    return ""
