"""Pages of many users at one endpoint of a program's own, on real servers and both event loops."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import anyio
import httpx
import pytest
from fastapi import FastAPI, Request, Response

from anyiostream import GraphWriter
from anyiostream.remote import Access, Limits, app
from anyiostream.sinks import PROTOCOLS, parse

from ...serving import SERVERS
from ...waiting import PATIENCE, until

pytestmark = [pytest.mark.anyio, pytest.mark.early]

USERS = 200
"""At the same time."""

go_on: list[str] = []
"""Whose answer need not wait any longer."""


async def agent(given: Any, writer: GraphWriter) -> dict[str, Any]:
    """Says who asks; those who hold it wait in the middle."""
    name = str(given["messages"][-1]["content"])
    async with writer.message() as message:
        await message.text(f"I am {name}. ")
        if name.startswith("held"):
            await until(lambda: name in go_on)
        await message.text(f"Still {name}.")
    return {"messages": [{"type": "human", "content": name, "id": name}]}


def owner(access: Access) -> str | None:
    """Whoever the request says that it is."""
    return access.headers.get("x-user")


@pytest.fixture(scope="module", params=SERVERS)
def served(request: pytest.FixtureRequest) -> Iterator[str]:
    """The address of a service under a server."""
    limits = Limits(runs=USERS, owner_runs=None, owner_connections=None)
    chats = app({"agent": agent}, authorize=owner, limits=limits)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncGenerator[None]:
        async with chats.router.lifespan_context(chats):
            yield

    api = FastAPI(lifespan=lifespan)

    @api.post("/{protocol}", response_model=None)
    async def chat(request: Request, protocol: Any) -> Response:
        asked = parse(protocol, await request.json())
        return await chats.respond(request, "agent", asked, thread="same", protocol=protocol)

    @api.get("/{protocol}", response_model=None)
    async def resume(request: Request, protocol: Any) -> Response:
        return await chats.resume(request, thread="same", protocol=protocol)

    @api.get("/", response_model=None)
    async def history(request: Request) -> Response:
        return await chats.history(request, thread="same")

    with SERVERS[request.param](api) as url:
        yield url


@pytest.fixture
def anyio_backend() -> str:
    """The clients' loop; the servers' are their own."""
    return "asyncio"


@pytest.fixture
async def client(served: str) -> Any:
    """A client."""
    limits = httpx.Limits(max_connections=USERS)
    async with httpx.AsyncClient(base_url=served, timeout=PATIENCE, limits=limits) as opened:
        yield opened


def question(protocol: str, name: str) -> Any:
    """What a front end posts."""
    said = {"id": name, "role": "user", "content": name, "parts": [{"type": "text", "text": name}]}
    return {
        "langgraph": {"input": {"messages": [said]}},
        "ai-sdk": {"id": "same", "messages": [said]},
        "ag-ui": {"threadId": "same", "runId": "same", "messages": [said]},
        "openai": {"model": "agent", "messages": [said], "stream": True},
        "text": {"input": name},
    }[protocol]


async def test_users_see_their_own_events_only(client: httpx.AsyncClient) -> None:
    """All at once, in every protocol, each on a thread of the same name."""
    protocols = list(PROTOCOLS)
    users = {f"user-{n}": protocols[n % len(protocols)] for n in range(USERS)}
    answers: dict[str, str] = {}

    async def ask(name: str) -> None:
        answered = await client.post(f"/{users[name]}", json=question(users[name], name), headers={"x-user": name})
        assert answered.status_code == 200, answered.text
        answers[name] = answered.text

    async with anyio.create_task_group() as tasks:
        for name in users:
            tasks.start_soon(ask, name)
    assert answers.keys() == users.keys()
    for name, text in answers.items():
        assert {each for each in users if f"{each}." in text} == {name}
    for name in ("user-1", "user-150"):
        history = (await client.get("/", headers={"x-user": name})).json()
        assert [part["text"] for each in history for part in each["parts"]] == [name]


@pytest.mark.parametrize("protocol", PROTOCOLS)
async def test_who_comes_back_has_the_whole_answer(client: httpx.AsyncClient, protocol: str) -> None:
    """Leaving stops nothing; others have nothing to come back to."""
    name = f"held-{protocol}"
    go_on.clear()
    headers = {"x-user": name}
    async with client.stream("POST", f"/{protocol}", json=question(protocol, name), headers=headers) as answered:
        async for text in answered.aiter_text():
            if "I am" in text:
                break
    stranger = await client.get(f"/{protocol}", headers={"x-user": "stranger"})
    assert stranger.status_code == 204
    async with client.stream("GET", f"/{protocol}", headers=headers) as resumed:
        told = ""
        async for text in resumed.aiter_text():
            told += text
            if "I am" in told:
                go_on.append(name)
    assert f"Still {name}." in told
    assert f"I am {name}." in told
    assert (await client.get(f"/{protocol}", headers=headers)).status_code == 204
