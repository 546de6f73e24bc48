"""`RunResponse` in Starlette and FastAPI, behind middleware, on real servers and both event loops."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import anyio
import httpx
import pytest
from fastapi import FastAPI, HTTPException
from fastapi.responses import JSONResponse
from starlette.applications import Starlette
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from anyiostream import AnyioStreamError, GraphWriter, open_run
from anyiostream.web import RunResponse

from ...serving import SERVERS
from ...waiting import PATIENCE, until

pytestmark = [
    pytest.mark.anyio,
    # BaseHTTPMiddleware leaves the generator that it reads a request by to the garbage collector, which trio minds.
    pytest.mark.filterwarnings("ignore:.*Request.stream:pytest.PytestUnraisableExceptionWarning"),
]

ended: list[str] = []
"""How the runs ended, as the graph knows it."""

alive: list[str] = []
"""The runs whose graph is at work."""

flooded: list[str] = []
"""A name for each piece that such a run has written."""

PIECE = "x" * 2**17
"""A few dozen of them fill the buffers of a run and of a connection."""

AT_ONCE = 200
"""How many clients there are at the same time."""


async def agent(name: str, writer: GraphWriter) -> str:
    """Says its name, and goes on until its client has left, unless the name says how it ends."""
    how = "stopped"
    alive.append(name)
    try:
        async with writer.message() as message:
            await message.text(f"I am {name}. ")
            if name.startswith("failing"):
                raise ValueError("no such thing")
            while name.startswith("endless flood"):
                await message.text(PIECE)
                flooded.append(name)
            if name.startswith("endless"):
                await anyio.sleep_forever()
            await message.text(f"Still {name}.")
        how = "finished"
    finally:
        alive.remove(name)
        ended.append(f"{name} {how}")
    return name


def response(name: str) -> RunResponse:
    """What both applications answer with."""
    return RunResponse(open_run(object() if name == "wrong" else agent, name))


async def answer(request: Request) -> Response:
    """Starlette's endpoint."""
    return response(request.query_params["name"])


def wrong(_: Request, exc: Exception) -> Response:
    """A graph that is none."""
    return JSONResponse({"wrong": type(exc).__name__}, 501)


class Passing(BaseHTTPMiddleware):
    """Middleware as people write it."""

    async def dispatch(self, request: Request, call_next: Any) -> Response:
        answered: Response = await call_next(request)
        answered.headers["x-passed"] = "1"
        return answered


def starlette() -> Starlette:
    """An application of Starlette's."""
    return Starlette(routes=[Route("/answer", answer)], exception_handlers={AnyioStreamError: wrong})


def fastapi() -> FastAPI:
    """One of FastAPI's."""
    app = FastAPI()

    @app.get("/answer", response_model=None)
    async def answer(name: str) -> RunResponse:
        if name == "refused":
            raise HTTPException(403)
        return response(name)

    app.add_exception_handler(AnyioStreamError, wrong)
    return app


def behind_middleware() -> FastAPI:
    """The same behind two of Starlette's."""
    app = fastapi()
    app.add_middleware(Passing)
    app.add_middleware(GZipMiddleware)
    return app


APPLICATIONS = {"starlette": starlette, "fastapi": fastapi, "middleware": behind_middleware}


@pytest.fixture(params=[(server, app) for server in SERVERS for app in APPLICATIONS], ids=" ".join, scope="module")
def served(request: pytest.FixtureRequest) -> Iterator[str]:
    """The address of an application under a server."""
    server, app = request.param
    with SERVERS[server](APPLICATIONS[app]()) as url:
        yield url


@pytest.fixture
def app(request: pytest.FixtureRequest, served: str) -> str:
    """Which application it is."""
    name: str = request.node.callspec.params["served"][1]
    return name


@pytest.fixture
def anyio_backend() -> str:
    """The client's loop; the servers' are their own."""
    return "asyncio"


@pytest.fixture
async def client(served: str) -> Any:
    """A client."""
    limits = httpx.Limits(max_connections=AT_ONCE)
    async with httpx.AsyncClient(base_url=served, timeout=PATIENCE, limits=limits) as opened:
        yield opened


def events(text: str) -> list[Any]:
    """The events of a response."""
    return [json.loads(line.removeprefix("data: ")) for line in text.split("\n") if line.startswith("data: ")]


async def test_a_run_is_streamed_to_its_end(client: httpx.AsyncClient) -> None:
    """Its end is the last event, also if it fails; what is no graph has a status."""
    answered = await client.get("/answer", params={"name": "Ada"})
    assert events(answered.text)[-1]["params"]["data"] == {"event": "completed"}
    failed = await client.get("/answer", params={"name": "failing"})
    assert events(failed.text)[-1]["params"]["data"] == {"event": "failed", "error": "no such thing"}
    wrong = await client.get("/answer", params={"name": "wrong"})
    assert (wrong.status_code, wrong.json()) == (501, {"wrong": "NotAGraph"})


async def test_a_client_that_leaves_stops_its_run(client: httpx.AsyncClient) -> None:
    """Whether it has read something, or leaves at once, maybe before the graph has begun."""
    async with client.stream("GET", "/answer", params={"name": "endless slow"}) as answered:
        async for line in answered.aiter_lines():
            if "I am" in line:
                break
    await until(lambda: "endless slow stopped" in ended)
    ended.remove("endless slow stopped")
    for _ in range(5):
        async with client.stream("GET", "/answer", params={"name": "endless fast"}):
            pass
    await client.get("/answer", params={"name": "Ada"})
    await until(lambda: not any(name.startswith("endless") for name in alive))


async def test_a_client_that_does_not_read_stops_its_run_too(client: httpx.AsyncClient) -> None:
    """It is flooded until its socket is full, and leaves at whatever moment."""
    flooded.clear()
    async with client.stream("GET", "/answer", params={"name": "endless flood"}):
        await until(lambda: len(flooded) >= 16)
    await until(lambda: "endless flood stopped" in ended)
    ended.remove("endless flood stopped")


async def test_many_at_once_see_their_own_run_only(client: httpx.AsyncClient) -> None:
    """Each its own, whole."""
    names = [f"user-{n}" for n in range(AT_ONCE)]
    answers: dict[str, str] = {}

    async def ask(name: str) -> None:
        answers[name] = (await client.get("/answer", params={"name": name})).text

    async with anyio.create_task_group() as tasks:
        for name in names:
            tasks.start_soon(ask, name)
    for name, text in answers.items():
        assert events(text)[-1]["params"]["data"] == {"event": "completed"}
        assert {each for each in names if f"{each}." in text} == {name}
