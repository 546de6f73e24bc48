"""Twelve conversations through every source, on every loop: the projections show the same, whoever runs the agent."""

from __future__ import annotations

import asyncio
import os
from typing import Any

import anyio
import attrs
import pytest

from anyiostream.loops.trio_host import hosted_tasks
from anyiostream.tooling import on_trio

from .adapters import ADAPTERS, FRAMEWORKS
from .conversations import CONVERSATIONS, Shown, Tools
from .reading import Observed, leave, observe, observe_sync

LOOPS = ("asyncio", "uvloop", "trio", "sync")

SOURCES = tuple(name for name in ADAPTERS if FRAMEWORKS.get(name, True))
"""Those that can be run here; `test_installed` tells why others cannot."""


def test_installed() -> None:
    """Both frameworks are there, where they have to be."""
    missing = [name for name, spec in FRAMEWORKS.items() if spec is None]
    if missing and not os.environ.get("ANYIOSTREAM_SOURCES"):
        pytest.skip(f"{' and '.join(missing)} are installed by `nox -s tests-sources`")
    assert missing == []


def cases() -> list[Any]:
    """Which run where."""
    return [
        pytest.param(source, name, loop, id=f"{source}-{name}-{loop}".replace(" ", "_"))
        for source in SOURCES
        for name in CONVERSATIONS
        for loop in LOOPS
        if (loop != "sync" or "sync" in ADAPTERS[source]().lanes) and (name, loop) != ("left in a tool", "sync")
    ]


@pytest.mark.parametrize(("source", "name", "loop"), cases())
def test_every_source_shows_the_same(source: str, name: str, loop: str) -> None:
    """Messages, tool calls, subgraphs, values, output, interrupts and their answers; nothing is left behind."""
    adapter, conversation, tools = ADAPTERS[source](), CONVERSATIONS[name], Tools()
    opened = adapter.opened(conversation, tools)

    async def program() -> None:
        before = alive()
        read = leave if conversation.left else observe
        seen = await read(opened, adapter, conversation, tools)
        check(seen, conversation.shown, source, raises=conversation.raises, left=conversation.left)
        assert tools.began == tools.ended == tools.cleaned
        assert alive() == before
        if conversation.answered is not None:
            again = adapter.resumed(opened, seen.interrupts, seen.state)
            check(await observe(again, adapter, conversation, tools), conversation.answered, source)
            assert alive() == before

    def sync_program() -> None:
        seen = observe_sync(opened, adapter, conversation, tools)
        check(seen, conversation.shown, source, raises=conversation.raises, left=conversation.left)
        if conversation.answered is not None:
            again = adapter.resumed(opened, seen.interrupts, seen.state)
            check(observe_sync(again, adapter, conversation, tools), conversation.answered, source)

    if loop == "sync":
        sync_program()
    else:
        options = {"use_uvloop": loop == "uvloop"} if loop != "trio" else {}
        anyio.run(program, backend="trio" if loop == "trio" else "asyncio", backend_options=options)


def check(seen: Observed, expected: Shown, source: str, *, raises: str | None = None, left: bool = False) -> None:
    """Compare what was read; of a run that was left, only how far it had come, for the rest depends on the reader."""
    shown = seen.shown
    if left:
        assert shown.status == expected.status
        # The SDK runs ahead of its reader: a tool may begin before the answer that asks for it has been read.
        known = max(1, len(shown.history)) if source == "openai-agents" else len(expected.history)
        assert shown.history == expected.history[:known]
        return
    if source == "openai-agents":
        # The SDK gives a tool's error to the model as text, and tells nobody else.
        calls = [(*each[:3], "completed" if each[3] == "failed" else each[3]) for each in expected.tool_calls]
        expected = attrs.evolve(expected, tool_calls=calls)
        if raises is not None:
            # It throws away what is queued when a model fails.
            (cut,), (whole,) = shown.messages, expected.messages
            assert whole[2].startswith(cut[2])
            shown = attrs.evolve(shown, messages=[whole])
    calls = sorted(expected.tool_calls, key=str)
    messages = sorted(expected.messages, key=lambda each: each[0])
    assert shown == attrs.evolve(expected, tool_calls=calls, messages=messages)
    assert (seen.failure is None) == (raises is None)
    assert raises is None or raises in str(seen.failure)


def alive() -> set[Any]:
    """Tasks of asyncio's, on its own or beside trio."""
    return set(hosted_tasks()) if on_trio() else {each for each in asyncio.all_tasks() if not each.done()}
