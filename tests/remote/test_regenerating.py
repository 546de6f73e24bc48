"""Answers that are written anew: what the page has forgotten, the graph has not heard of, either."""

from __future__ import annotations

import threading
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import anyio
import pytest
from langgraph.checkpoint.memory import InMemorySaver
from starlette.requests import Request

from anyiostream import GraphWriter
from anyiostream.remote import Assistant, ServerApplication, app
from anyiostream.sinks import parse

from ..browsing import Browser
from ..waiting import PATIENCE, until
from .chatting import Chat, answers, chatting, message
from .store.saver import FileSaver

pytestmark = pytest.mark.anyio


@pytest.fixture(params=["memory", "sqlite", "exit"])
async def chat(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Chat]:
    """A chat with a server, whose threads are in memory, or in a file as its checkpoints are.

    There is a checkpoint for each step, or only one for each run.
    """
    in_file = request.param == "sqlite"
    saver: Any = FileSaver(tmp_path / "checkpoints") if in_file else InMemorySaver()
    options = {"durability": "exit"} if request.param == "exit" else {}
    assistant = Assistant(graph=chatting(saver), options=options)
    service = app({"chat": assistant}, store=f"sqlite:{tmp_path / 'f'}" if in_file else "memory")
    async with service.router.lifespan_context(service):
        yield Chat(service)


async def test_the_last_answer_is_written_anew(chat: Chat) -> None:
    """As often as its user likes; the message is a new one, and the conversation goes on from there."""
    await chat.ask("one")
    first = await chat.ask("two")
    again = await chat.regenerate("two")
    assert (answers(first), answers(again)) == ("2: one, 1: one, two", "3: one, 1: one, two")
    assert again.events[0]["messageId"] != first.events[0]["messageId"]
    await chat.regenerate("two")
    assert await chat.history() == ["one", "1: one", "two", "4: one, 1: one, two"]
    assert answers(await chat.ask("three")).startswith("5: one, 1: one, two, 4: one, 1: one, two, three")


async def test_an_earlier_answer_is_written_anew(chat: Chat) -> None:
    """What was said after it is forgotten; also the first one, before which there is nothing."""
    for text in ("one", "two", "three"):
        await chat.ask(text)
    assert answers(await chat.regenerate("two")) == "4: one, 1: one, two"
    assert await chat.history() == ["one", "1: one", "two", "4: one, 1: one, two"]
    assert answers(await chat.regenerate("one")) == "5: one"
    assert answers(await chat.regenerate("one")) == "6: one"
    assert await chat.history() == ["one", "6: one"]


async def test_a_message_is_changed(chat: Chat) -> None:
    """And answered as if it had been said like that."""
    await chat.ask("one")
    await chat.ask("two")
    assert answers(await chat.edit("two", "else")) == "3: one, 1: one, else"
    assert answers(await chat.edit("one", "other")) == "4: other"
    assert await chat.history() == ["other", "4: other"]


async def test_an_answer_that_failed_is_tried_again(chat: Chat) -> None:
    """What `regenerate()` is used for most; and one that was never given."""
    await chat.ask("one")
    failed = await chat.ask("fail")
    assert failed.events[-1]["finishReason"] == "error"
    assert answers(await chat.edit("fail", "two")) == "2: one, 1: one, two"
    assert answers(await chat.regenerate("new")).endswith("two, new")


async def test_a_question_that_is_open_is_dropped(chat: Chat) -> None:
    """And asked again, if the graph comes to it; its answer goes to the new one."""
    await chat.ask("one")
    waits = await chat.ask("ask")
    assert waits.events[-1]["finishReason"] == "other"
    again = await chat.regenerate("ask")
    asked = [each["data"] for each in again.events if each["type"] == "data-interrupt"]
    assert [each["value"] for each in asked] == ["Sure?"]
    assert answers(await chat.answer(again, "yes")) == "2: one, 1: one, ask (yes)"
    assert answers(await chat.regenerate("one")) == "3: one"
    assert await chat.history() == ["one", "3: one"]


async def test_a_graph_without_checkpoints_says_why_it_cannot() -> None:
    """Before anything is begun."""

    async def function(_: Any, writer: GraphWriter) -> None:
        """Says nothing."""

    service: ServerApplication = app({"function": function, "chat": chatting(None)})
    asked = parse("ai-sdk", {"id": "t", "messages": [message("one")], "trigger": "regenerate-message"})
    async with service.router.lifespan_context(service):
        for name, why in (("function", "is a function"), ("chat", "has no checkpointer")):
            browser = Browser()
            await browser.open(await service.respond(Request(browser.scope), name, asked))
            assert browser.status == 400
            assert "an answer cannot be regenerated here: it takes a checkpoint" in browser.body
            assert why in browser.body


async def test_a_message_of_ag_ui_that_two_runs_are_asked_for() -> None:
    """The second one waits, and answers the same message: its run's turn tells that the thread has it by then."""
    go_on = threading.Event()
    asked: list[str] = []

    async def gate(text: str) -> None:
        asked.append(text)
        await until(go_on.is_set)

    given = {"threadId": "chat", "messages": [{"id": "u1", "role": "user", "content": "one"}]}
    service = app({"chat": chatting(InMemorySaver(), gate)})

    async def post(run_id: str) -> None:
        browser = Browser()
        asks = parse("ag-ui", {**given, "runId": run_id})
        response = await service.respond(Request(browser.scope), "chat", asks, protocol="ag-ui")
        await browser.open(response)
        assert browser.events[-1]["type"] == "RUN_FINISHED"

    async with service.router.lifespan_context(service):
        with anyio.fail_after(PATIENCE):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(post, "r1")
                tasks.start_soon(post, "r2")
                await until(lambda: asked)
                thread = await service.state.service.thread("chat", "")
                await until(lambda: len(thread.jobs) == 2)
                go_on.set()
        assert asked == ["one", "one"]
        assert await Chat(service).history() == ["one", "2: one"]
