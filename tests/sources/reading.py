"""Reads a run of any source, on either lane, into the words of `Shown`."""

from __future__ import annotations

import contextlib
from typing import Any

import anyio
import attrs
import pytest

from anyiostream import RunAborted, ToolCallTransformer, open_run

from ..waiting import until
from .adapters import Adapter
from .conversations import Conversation, Shown, Tools

__all__ = ["Observed", "leave", "observe", "observe_sync"]


@attrs.frozen
class Observed:
    """What was read: all of it in the words of `Shown`, the last snapshot, the interrupts, and what reading raised."""

    shown: Shown
    state: Any
    interrupts: Any
    failure: BaseException | None


async def observe(opened: dict[str, Any], adapter: Adapter, conversation: Conversation, tools: Tools) -> Observed:
    """Read everything at once, on the async lane."""
    reading = Reading(adapter)
    failure: BaseException | None = None
    async with open_run(**opened, transformers=[ToolCallTransformer], prefetch=1) as run:
        # All are subscribed to before one is read: on trio, whose tasks begin in any order, none comes too late.
        roots, subgraphs, tool_calls, states = map(aiter, (run.messages, run.subgraphs, run.tool_calls, run.values))
        async with anyio.create_task_group() as tasks:

            async def one(message: Any, entry: Entry) -> None:
                text = ""
                try:
                    async for piece in message.text:
                        text += piece
                    entry.end(await message)
                except Exception:
                    entry.cut(text)

            async def messages(items: Any, path: tuple[str, ...]) -> None:
                try:
                    async for message in items:
                        tasks.start_soon(one, message, reading.begin(path))
                except Exception as exc:
                    nonlocal failure
                    failure = exc

            async def handles() -> None:
                try:
                    async for handle in subgraphs:
                        reading.handles.append(handle)
                        tasks.start_soon(messages, handle.messages, (adapter.named(handle),))
                except Exception:  # what the messages' reader has, too
                    return

            async def calls() -> None:
                try:
                    async for call in tool_calls:
                        reading.calls.append(call)
                except Exception:
                    return

            async def values() -> None:
                try:
                    async for state in states:
                        reading.state = state
                except Exception:
                    return

            for reader in (handles, calls, values):
                tasks.start_soon(reader)
            tasks.start_soon(messages, roots, ())
        if failure is None:
            reading.state = await run.output()
            reading.interrupts = await run.interrupts()
    return Observed(reading.shown(run.status), reading.state, reading.interrupts, failure)


async def leave(opened: dict[str, Any], adapter: Adapter, conversation: Conversation, tools: Tools) -> Observed:
    """Read until the conversation says so, one thing at a time so that the agent is hardly ahead, and leave."""
    reading = Reading(adapter)
    async with open_run(**opened, transformers=[ToolCallTransformer], prefetch=0) as run:
        if conversation.agent.tools:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(run.output)  # wants all that comes
                await until(lambda: tools.began)
                tasks.cancel_scope.cancel()
        else:
            message = await anext(aiter(run.messages))
            count = 0
            async for _ in message.text:
                count += 1
                if count == 2:
                    break
    with pytest.raises(RunAborted) as left:
        await run.output()
    reading.state = left.value.partial
    return Observed(reading.shown(run.status), reading.state, reading.interrupts, None)


def observe_sync(opened: dict[str, Any], adapter: Adapter, conversation: Conversation, tools: Tools) -> Observed:
    """Read everything in turns, on the sync lane."""
    reading = Reading(adapter)
    failure: BaseException | None = None
    with open_run(**opened, transformers=[ToolCallTransformer]) as run:
        try:
            for name, item in run.interleave("messages", "subgraphs", "tool_calls", "values"):
                if name == "messages":
                    entry = reading.begin(())
                    text = ""
                    try:
                        for piece in item.text:
                            text += piece
                            if conversation.left and len(text.split()) == 2:
                                raise Leave
                        entry.end(item.output)
                    except RunAborted:
                        entry.cut(text)
                    except Exception:
                        entry.cut(text)
                        raise
                elif name == "subgraphs":
                    reading.handles.append(item)
                    for message in item.messages:
                        reading.begin((adapter.named(item),)).end(message.output)
                elif name == "tool_calls":
                    reading.calls.append(item)
                else:
                    reading.state = item
            reading.state, reading.interrupts = run.output, run.interrupts
        except Leave:
            pass
        except Exception as exc:
            failure = exc
            with contextlib.suppress(Exception):
                _ = run.output
    return Observed(reading.shown(run.status), reading.state, reading.interrupts, failure)


class Leave(Exception):
    """The reader has seen enough."""


class Entry:
    """One message."""

    def __init__(self, path: tuple[str, ...]) -> None:
        self.path = path
        self.shown: Any = None

    def end(self, message: Any) -> None:
        """It is complete."""
        blocks = (
            message.content if not isinstance(message.content, str) else [{"type": "text", "text": message.content}]
        )
        texts = {
            kind: "".join(block.get(kind) or "" for block in blocks if block["type"] == kind)
            for kind in ("reasoning", "text")
        }
        usage = getattr(message, "usage", None) or getattr(message, "usage_metadata", None)
        calls = [(call["name"], call["args"]) for call in message.tool_calls]
        self.shown = (self.path, texts["reasoning"], texts["text"], calls, usage["total_tokens"] if usage else None)

    def cut(self, text: str) -> None:
        """It broke off."""
        self.shown = (self.path, "", text, [], None)


class Reading:
    """What has been read so far."""

    def __init__(self, adapter: Adapter) -> None:
        self.adapter = adapter
        self.entries: list[Entry] = []
        self.handles: list[Any] = []
        self.calls: list[Any] = []
        self.interrupts: Any = ()
        self.state: Any = None

    def begin(self, path: tuple[str, ...]) -> Entry:
        """A message has begun."""
        self.entries.append(Entry(path))
        return self.entries[-1]

    def shown(self, status: str) -> Shown:
        """All of it."""
        state = self.state
        return Shown(
            messages=sorted((entry.shown for entry in self.entries), key=lambda each: each[0]),  # each level in order
            tool_calls=sorted(
                (call_of(each) for each in self.calls),
                key=str,
            ),
            subgraphs=[((self.adapter.named(handle),), handle.status) for handle in self.handles],
            output=self.adapter.output(state) if state is not None and status == "completed" else None,
            history=self.adapter.history(state) if state is not None else [],
            interrupts=[self.adapter.asked(each.value) for each in self.interrupts],
            status=status,
        )


def call_of(call: Any) -> tuple[str, Any, Any, str]:
    """(name, arguments, output or error, status) of a tool call."""
    said = call.output if call.status == "completed" else call.error if call.status == "failed" else None
    return call.tool_name, call.input, said, call.status
