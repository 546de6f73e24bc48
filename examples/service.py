"""A web service that streams runs, with both answers to a client that leaves.

`python -m examples.service` starts it, shows as its own client what happens, and ends; with `--port 8000` it serves
until Ctrl-C.

`GET /answer?question=...`: the client's leaving stops the run, which lives in the response.

`POST /chats/{id}?question=...`, `GET` and `DELETE` of the same: the client's leaving does not stop the run, which lives
in the server; who comes back is shown the turn from its start.

`POST /v1/chat/completions` and `GET /v1/models`: the agent as a model of OpenAI's, for chat programs that speak that.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import anyio
import httpx
import uvicorn
from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse

from anyiostream import GraphWriter, open_run
from anyiostream.remote import app as server
from anyiostream.sinks import MalformedRequest, openai, parse
from anyiostream.web import RunResponse

WORDS = 40
"""How many words the scripted model says."""

PACE = 0.01
"""How long it takes for each, in s."""

ended: list[str] = []
"""How the agent's runs ended, as the agent itself knows it."""


async def agent(question: str, writer: GraphWriter) -> dict[str, str]:
    """The graph: a long answer."""
    how = "was stopped"
    try:
        async with writer.message() as message:
            for n in range(WORDS):
                await anyio.sleep(PACE)
                await message.text(f"word{n} ")
        how = "has finished"
    finally:
        ended.append(f"the agent {how}: {question}")
    return {"question": question}


chats = server({"agent": agent})


@asynccontextmanager
async def lifespan(_: FastAPI) -> AsyncGenerator[None]:
    """Chats live as long as the service does."""
    async with chats.router.lifespan_context(chats):
        yield


app = FastAPI(lifespan=lifespan)


@app.get("/answer")
async def answer(question: str) -> Response:
    """Stream a run that ends with its client."""
    return RunResponse(open_run(agent, question))


@app.post("/chats/{chat}")
async def ask(request: Request, chat: str, question: str) -> Response:
    """Start a run that goes on without its client, and stream it."""
    return await chats.respond(request, "agent", question, thread=chat, protocol="ai-sdk")


@app.get("/chats/{chat}")
async def come_back(request: Request, chat: str) -> Response:
    """Stream what is under way, from its start."""
    return await chats.resume(request, thread=chat, protocol="ai-sdk")


@app.delete("/chats/{chat}")
async def stop(request: Request, chat: str) -> Response:
    """Stop what is under way."""
    return await chats.stop(request, thread=chat)


@app.get("/v1/models")
async def models() -> dict[str, Any]:
    """Which models there are: chat programs let their user choose."""
    return openai.models(["agent"])


@app.post("/v1/chat/completions")
async def complete(request: Request) -> Response:
    """Answer the last message of a conversation."""
    try:
        asked = parse("openai", await request.json())
    except MalformedRequest as exc:
        return JSONResponse(openai.error_body(str(exc), "invalid_request_error"), 400)
    question = str(asked.input["messages"][-1].get("content"))
    return RunResponse(open_run(agent, question), protocol="openai", request=asked)


# --- its own client ---


async def show() -> None:
    """Start the service, and be its client."""
    serving = uvicorn.Server(uvicorn.Config(app, port=0, log_level="warning", ws="none"))
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(serving.serve)
        while not serving.started:  # noqa: ASYNC110 -- uvicorn offers no event
            await anyio.sleep(PACE)
        port = serving.servers[0].sockets[0].getsockname()[1]
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as client:
            print("A client that leaves its answer:")
            await words(client, "GET", "/answer?question=first", most=5)
            await until_ended(1)
            print("A client that leaves a chat, and comes back:")
            await words(client, "POST", "/chats/1?question=second", most=5)
            said = await words(client, "GET", "/chats/1")
            await until_ended(2)
            print("  it was told every word:", said == "".join(f"word{n} " for n in range(WORDS)))
            print("A run that is stopped:")
            await words(client, "POST", "/chats/2?question=third", most=5)
            await client.delete("/chats/2")
            await until_ended(3)
        serving.should_exit = True


async def words(client: httpx.AsyncClient, method: str, path: str, most: int | None = None) -> str:
    """What a stream's model says; leave the stream after `most` events."""
    said, seen = "", 0
    async with client.stream(method, path) as response:
        async for line in response.aiter_lines():
            if line.startswith("data: {"):
                event: dict[str, Any] = json.loads(line.removeprefix("data: "))
                said += event.get("delta", "")
                seen += 1
                if seen == most:
                    break
    return said


async def until_ended(runs: int) -> None:
    """Wait until the agent has ended so many times, and show how."""
    while len(ended) < runs:  # noqa: ASYNC110 -- the service may as well run elsewhere
        await anyio.sleep(PACE)
    print(" ", ended[-1])


def main() -> None:
    """Run the program."""
    parser = argparse.ArgumentParser(description="A web service that streams runs.")
    parser.add_argument("--port", type=int, help="serve until Ctrl-C, in place of showing itself")
    port: Any = parser.parse_args().port
    if port is None:
        anyio.run(show)
    else:
        uvicorn.run(app, port=port)


if __name__ == "__main__":
    main()
