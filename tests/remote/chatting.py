"""A conversation as a chat page has it, over any server: its user's messages, and what the page is sent."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any, final
from uuid import uuid4

from langchain_core.messages import AIMessage
from langgraph.graph import END, START, MessagesState, StateGraph
from langgraph.types import interrupt
from starlette.requests import Request

from anyiostream.remote.responding import Responder
from anyiostream.sinks import parse

from ..browsing import Browser

__all__ = ["Chat", "answers", "chatting", "message"]


def chatting(saver: Any, gate: Callable[[str], Any] | None = None) -> Any:
    """A graph that answers with all that it has been asked so far; some questions it asks back first.

    Args:
        saver: Its checkpointer.
        gate: Awaited with each question before it is answered.
    """
    answers = 0

    async def answer(state: MessagesState) -> dict[str, Any]:
        nonlocal answers
        said = [str(each.content) for each in state["messages"]]
        if gate is not None:
            await gate(said[-1])
        if said[-1].startswith("fail"):
            raise ValueError("no")
        sure = f" ({interrupt('Sure?')})" if said[-1].startswith("ask") else ""
        answers += 1
        return {"messages": [AIMessage(f"{answers}: {', '.join(said)}{sure}", id=str(uuid4()))]}

    inner = StateGraph(MessagesState).add_node("answer", answer).add_edge(START, "answer").add_edge("answer", END)
    outer = StateGraph(MessagesState).add_node("inner", inner.compile()).add_edge(START, "inner").add_edge("inner", END)
    return outer.compile(checkpointer=saver)


@final
class Chat:
    """A page with `useChat`, as far as its requests go.

    Args:
        service: The server that is asked first; any of its deployment may be asked later.
        thread: The chat's id.
    """

    def __init__(self, service: Responder, thread: str = "chat") -> None:
        self.service = service
        self.thread = thread

    async def post(self, body: Mapping[str, Any], browser: Browser | None = None) -> Browser:
        """What the page posts, and the response."""
        browser = Browser() if browser is None else browser
        asked = parse("ai-sdk", {"id": self.thread, **body})
        return await browser.open(await self.service.respond(Request(browser.scope), "chat", asked))

    async def ask(self, text: str, browser: Browser | None = None) -> Browser:
        """Ask something; the text is the message's id, too."""
        return await self.post({"trigger": "submit-message", "messages": [message(text)]}, browser)

    async def regenerate(self, text: str, browser: Browser | None = None) -> Browser:
        """Have a question answered anew, as `regenerate()` does."""
        return await self.post({"trigger": "regenerate-message", "messages": [message(text)]}, browser)

    async def answer(self, asked: Browser, response: Any) -> Browser:
        """Answer the question that a response has ended with."""
        (question,) = (each["data"]["interruptId"] for each in asked.events if each["type"] == "data-interrupt")
        assistant = {"id": asked.events[0]["messageId"], "role": "assistant", "parts": []}
        return await self.post({"messages": [assistant], "answers": {question: response}})

    async def edit(self, message_id: str, text: str) -> Browser:
        """Ask something else instead, as `sendMessage({messageId, text})` does."""
        messages = [message(text, message_id)]
        return await self.post({"trigger": "submit-message", "messageId": message_id, "messages": messages})

    async def resume(self, browser: Browser | None = None) -> Browser:
        """What is under way."""
        browser = Browser() if browser is None else browser
        return await browser.open(await self.service.resume(Request(browser.scope), thread=self.thread))

    async def stop(self) -> Browser:
        """Press the button."""
        browser = Browser()
        return await browser.open(await self.service.stop(Request(browser.scope), thread=self.thread))

    async def history(self) -> list[str]:
        """What was said: the texts of all messages."""
        browser = Browser()
        await browser.open(await self.service.history(Request(browser.scope), thread=self.thread))
        return [
            " ".join(part["text"] for part in each["parts"] if part["type"] == "text")
            for each in json.loads(browser.body)
        ]


def answers(browser: Browser) -> str:
    """The whole answer that was streamed."""
    assert browser.whole
    assert browser.events[-1]["finishReason"] == "stop", browser.body
    return "".join(each["delta"] for each in browser.events if each["type"] == "text-delta")


def message(text: str, message_id: str | None = None) -> dict[str, Any]:
    """A message of the user's."""
    return {"id": message_id or text, "role": "user", "parts": [{"type": "text", "text": text}]}
