"""Agents with MCP tools show through `open_run` what they show through the original."""

from __future__ import annotations

import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from langchain.agents import create_agent
from langchain_mcp_adapters.client import MultiServerMCPClient
from langchain_mcp_adapters.tools import load_mcp_tools

from ..conformance.adapter import Lab
from ..differential.graphs import Built
from .cases import LOOPS, Case, Cases, in_every_lane
from .comparing import assert_alike
from .models import chat
from .observing import survey
from .provider.script import call, say
from .provider.server import ModelServer
from .resources import held

CASES = Cases()
ASKED = {"messages": [("user", "What is 2 + 3?")]}
CONNECTION: Any = {
    "transport": "stdio",
    "command": sys.executable,
    "args": [str(Path(__file__).with_name("mcp_tools.py"))],
}


@asynccontextmanager
async def tools_of_a_session() -> AsyncGenerator[Any]:
    """The server's tools, in one session of it."""
    client = MultiServerMCPClient({"arithmetic": CONNECTION})
    async with client.session("arithmetic") as session:
        yield await load_mcp_tools(session)


@asynccontextmanager
async def tools_of_their_own() -> AsyncGenerator[Any]:
    """The server's tools, which start the server anew for each call."""
    yield await MultiServerMCPClient({"arithmetic": CONNECTION}).get_tools()


@CASES.add(
    {
        "model": [
            say("", call("call-1", "add", '{"a": 2, "b": 3}')),
            say("", call("call-2", "divide", '{"a": 5, "b": 0}')),
            say("5, and no quotient."),
        ]
    },
    lanes=LOOPS,
)
@asynccontextmanager
async def session(lab: Lab, server: ModelServer) -> AsyncGenerator[Built]:
    """A call that succeeds and one that fails, in one session."""
    async with held(lab, tools_of_a_session()) as tools:
        yield Built(create_agent(chat(server), tools), [ASKED])


@CASES.add({"model": [say("", call("call-1", "add", '{"a": 2, "b": 3}')), say("5.")]}, lanes=LOOPS)
@asynccontextmanager
async def server_per_call(lab: Lab, server: ModelServer) -> AsyncGenerator[Built]:
    """A call in a session of its own."""
    async with held(lab, tools_of_their_own()) as tools:
        yield Built(create_agent(chat(server), tools), [ASKED])


@in_every_lane(CASES)
def test_mcp(case: Case, lab: Lab) -> None:
    """Messages, tool calls, values, the raw log and requests are the original's; on loops, which MCP tools need."""
    assert_alike(case, lab, survey)
