"""Clients with connections, and what they keep in tasks, outlive the runs that use them, as their event loop does."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, TypedDict

import anyio
import anyio.lowlevel
import httpx
import pytest
from langgraph.graph import END, START, StateGraph

from anyiostream import asyncio_host, open_run

pytestmark = pytest.mark.anyio

RUNS = 20


class Text(TypedDict):
    """What the server said."""

    text: str


@pytest.fixture
def server() -> Iterator[tuple[str, list[int]]]:
    """A server that keeps connections open: its URL, and the port of the client for each request."""
    ports: list[int] = []

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            ports.append(self.client_address[1])
            self.send_response(200)
            self.send_header("content-length", "5")
            self.end_headers()
            self.wfile.write(b"hello")

        def log_message(self, *args: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as served:
        served.daemon_threads = True
        thread = threading.Thread(target=served.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{served.server_address[1]}", ports
        finally:
            served.shutdown()
            thread.join()


def asking(client: httpx.AsyncClient, url: str) -> Any:
    """A graph that asks the server, with a client that it keeps."""

    async def ask(state: Text) -> Text:
        return {"text": (await client.get(url)).text}

    return StateGraph(Text).add_node("ask", ask).add_edge(START, "ask").add_edge("ask", END).compile()


async def test_a_client_that_is_kept_works_in_every_run(server: tuple[str, list[int]]) -> None:
    """One after another they use one connection; then as many at once, which all get their answers."""
    url, ports = server
    client = httpx.AsyncClient()
    graph = asking(client, url)
    texts: list[str] = []

    async def run() -> None:
        async with open_run(graph, {"text": ""}) as opened:
            texts.append((await opened.output())["text"])

    for _ in range(RUNS):
        await run()
    assert len(set(ports)) == 1
    async with anyio.create_task_group() as tasks:
        for _ in range(RUNS):
            tasks.start_soon(run)
    assert texts == ["hello"] * 2 * RUNS
    async with asyncio_host() as host:
        await host.run(client.aclose)


@pytest.mark.parametrize("thread", [False, True])
async def test_a_client_that_the_program_opens_works_in_every_run(server: tuple[str, list[int]], thread: bool) -> None:
    """And closes behind them, on the loop that it was opened on."""
    url, ports = server
    async with asyncio_host(thread=thread) as host, host.open(httpx.AsyncClient()) as client:
        for _ in range(3):
            async with open_run(asking(client, url), {"text": ""}) as run:
                assert (await run.output())["text"] == "hello"
        assert (await host.run(client.get, url)).text == "hello"
    assert client.is_closed
    assert len(set(ports)) == 1


async def test_a_session_with_a_task_of_its_own_serves_runs_at_once() -> None:
    """As one with an MCP server does: its task reads, while nodes of many runs wait for their answers."""

    class Session:
        def __init__(self) -> None:
            self.asked: asyncio.Queue[tuple[int, asyncio.Future[int]]] = asyncio.Queue()

        async def ask(self, n: int) -> int:
            answer = asyncio.get_running_loop().create_future()
            await self.asked.put((n, answer))
            return await answer

        async def serve(self) -> None:
            while True:
                n, answer = await self.asked.get()
                await anyio.lowlevel.checkpoint()
                answer.set_result(n + 1)

    @asynccontextmanager
    async def session() -> AsyncIterator[Session]:
        opened = Session()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(opened.serve)
            yield opened
            tasks.cancel_scope.cancel()

    class Number(TypedDict):
        n: int

    async with asyncio_host() as host, host.open(session()) as opened:

        async def ask(state: Number) -> Number:
            return {"n": await opened.ask(state["n"])}

        graph = StateGraph(Number).add_node("ask", ask).add_edge(START, "ask").add_edge("ask", END).compile()
        found: list[int] = []

        async def run(n: int) -> None:
            async with open_run(graph, {"n": n}) as run:
                found.append((await run.output())["n"])

        for _ in range(3):
            async with anyio.create_task_group() as tasks:
                for n in range(RUNS):
                    tasks.start_soon(run, n)
    assert sorted(found) == sorted(3 * list(range(1, RUNS + 1)))
