"""What the pages of this folder talk to. `python -m examples.pages.service --port 8000`, then open `/`.

The chat needs to be bundled once: `npm install` and `npm run build` in this folder.
"""

from __future__ import annotations

import argparse
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import uvicorn
from fastapi import FastAPI, HTTPException, Request, Response
from fastapi.responses import FileResponse

from anyiostream import GraphWriter, open_run
from anyiostream.remote import app as server
from anyiostream.sinks import MalformedRequest, parse
from anyiostream.web import RunResponse

FOLDER = Path(__file__).parent

PACE = 0.05
"""How long the scripted model takes for each word, in s."""


async def think() -> None:
    """What the scripted model does before each word."""
    await anyio.sleep(PACE)


async def say(writer: GraphWriter, text: str) -> None:
    """One message, word by word."""
    async with writer.message() as message:
        for word in text.split():
            await think()
            await message.text(f"{word} ")


async def answerer(question: str, writer: GraphWriter) -> None:
    """A graph that says something."""
    await say(writer, f"You asked: {question} And that is a good question.")


async def shop(given: Any, writer: GraphWriter) -> dict[str, Any]:
    """A graph that looks something up in a subgraph, asks for consent, and pays."""
    if not hasattr(given, "answers"):
        wanted = given["messages"][-1]["content"]
        await say(writer, "Let me see what that costs.")
        async with writer.subgraph("prices") as prices:
            await say(prices, "It costs 3.")
        async with writer.message() as message:
            await message.tool_call("pay", {"amount": 3}, tool_call_id="pay-1")
        await writer.values({"wanted": wanted})
        await writer.interrupt({"tool_call_id": "pay-1", "text": "Pay 3?"}, interrupt_id="consent-1")
        return {}
    if given.answer["approved"]:
        async with writer.tool_call("pay", {"amount": 3}, tool_call_id="pay-1") as call:
            call.output = "paid"
        await say(writer, f"Bought: {given.values['wanted']} and that is all there is to say about it.")
    else:
        await say(writer, "Then not.")
    return {"wanted": given.values["wanted"]}


chats = server({"shop": shop})


@asynccontextmanager
async def lifespan(_: FastAPI) -> AsyncGenerator[None]:
    """Chats live as long as the service does."""
    async with chats.router.lifespan_context(chats):
        yield


app = FastAPI(lifespan=lifespan)


@app.get("/answer")
async def answer(question: str) -> Response:
    """For `EventSource`."""
    return RunResponse(open_run(answerer, question))


@app.post("/text")
async def text(request: Request) -> Response:
    """For `fetch`."""
    question = parse("text", await request.json()).input["messages"][0]["content"]
    return RunResponse(open_run(answerer, question), protocol="text")


@app.post("/chat")
async def chat(request: Request) -> Response:
    """For `useChat`: what its user says, or answers."""
    try:
        asked = parse("ai-sdk", await request.json())
    except MalformedRequest as exc:
        raise HTTPException(400, str(exc)) from exc
    return await chats.respond(request, "shop", asked, protocol="ai-sdk")


@app.get("/chat/{chat_id}/stream")
async def stream(request: Request, chat_id: str) -> Response:
    """For `useChat`, when the page has been loaded anew and has not seen the end of a turn that is over by now."""
    return await chats.resume(request, thread=chat_id, protocol="ai-sdk", ended=True)


@app.post("/chat/{chat_id}/stop")
async def stop(request: Request, chat_id: str) -> Response:
    """For the button."""
    return await chats.stop(request, thread=chat_id)


@app.get("/{name}")
async def page(name: str) -> Response:
    """The pages, and the bundle."""
    if name not in {"event_source.html", "fetch.html", "chat.html", "chat.bundle.js"} or not (FOLDER / name).exists():
        raise HTTPException(404)
    return FileResponse(FOLDER / name)


@app.get("/")
async def index() -> Response:
    """The list of them."""
    names = ("event_source.html", "fetch.html", "chat.html")
    links = "".join(f'<li><a href="/{name}">{name}</a></li>' for name in names)
    return Response(f"<!doctype html><title>Pages</title><ul>{links}</ul>", media_type="text/html")


def main() -> None:
    """Serve."""
    parser = argparse.ArgumentParser(description="What the pages talk to.")
    parser.add_argument("--port", type=int, default=8000)
    uvicorn.run(app, port=parser.parse_args().port)


if __name__ == "__main__":
    main()
