"""Agents while they run: tokens as they arrive, leaving in the middle, connections that are kept, many runs at once."""

from __future__ import annotations

from typing import Any

import anyio
import anyio.lowlevel
import anyio.to_thread
import pytest
from langchain.agents import create_agent
from langchain.tools import ToolRuntime
from langchain_core.tools import StructuredTool

from anyiostream import RunAborted

from ..conformance.adapter import Lab
from .cases import LANES, LOOPS
from .models import PROVIDERS, chat
from .observing import on_lane
from .provider.script import Gate, Text, call, say
from .provider.server import model_server

ASKED = {"messages": [("user", "How is the weather?")]}
HELD = say("It rains", Gate("rest"), Text((" all", " day.")))

in_lanes = pytest.mark.parametrize("lab", LANES, ids=lambda lab: lab.lane)
on_loops = pytest.mark.parametrize("lab", LOOPS, ids=lambda lab: lab.lane)
on_loops_with_clients = pytest.mark.parametrize("lab", [pytest.param(lab, id=lab.lane) for lab in LOOPS])
of_each_provider = pytest.mark.parametrize("model", PROVIDERS.values(), ids=PROVIDERS)


def run_of(lab: Lab, agent: Any) -> Any:
    """A run of the agent in the lab."""
    return lab.open_graph(agent, ASKED)


async def in_thread(function: Any, *args: Any) -> None:
    """Wait for the server without holding up the loop."""
    await anyio.to_thread.run_sync(function, *args)


@in_lanes
@of_each_provider
def test_tokens_arrive_while_the_model_speaks(lab: Lab, model: Any) -> None:
    """A reader has the first pieces of a reply while its rest has not been sent."""
    with model_server({"model": [HELD]}) as server:

        async def main() -> None:
            async with run_of(lab, create_agent(model(server), [])) as run:
                message = await lab.reader(run.messages).next()
                text = lab.reader(message.text)
                assert await text.take(2) == ["It", " rains"]
                assert not message.done
                server.open("rest")
                assert "".join(await text.rest()) == " all day."
                assert run.status == "running"
                await lab.output(run)
                assert run.status == "completed"

        on_lane(lab, main)


@on_loops
@of_each_provider
@pytest.mark.parametrize("way", ["leaving", "abort", "cancellation"])
def test_stopping_in_the_middle_of_a_reply(lab: Lab, model: Any, way: str) -> None:
    """Whichever way a run is stopped, its model's connection is closed, and its message is aborted."""
    with model_server({"model": [HELD]}) as server:

        async def main() -> None:
            message: Any = None
            with anyio.CancelScope() as scope:
                async with run_of(lab, create_agent(model(server), [])) as run:
                    message = await lab.reader(run.messages).next()
                    assert await lab.reader(message.text).take(2) == ["It", " rains"]
                    if way == "abort":
                        await run.abort()
                    elif way == "cancellation":
                        scope.cancel()
                        await anyio.lowlevel.checkpoint()
            assert (run.status, message.status) == ("aborted", "aborted")
            with pytest.raises(RunAborted):
                await message.output
            await in_thread(server.wait_for_leaving)

        on_lane(lab, main)


@on_loops_with_clients
@of_each_provider
def test_connections_are_kept(lab: Lab, model: Any) -> None:
    """A second run of a program uses the connection of the first one."""
    with model_server({"model": [say("Rain."), say("Snow.")]}) as server:

        async def main() -> None:
            agent = create_agent(model(server), [])
            texts = []
            for _ in range(2):
                async with run_of(lab, agent) as run:
                    texts += [await message.text async for message in run.messages]
            assert texts == ["Rain.", "Snow."]

        on_lane(lab, main)
        assert server.connections == 1


@on_loops
def test_many_runs_at_once(lab: Lab) -> None:
    """Runs of one agent side by side do not get in each other's way."""
    count = 10
    with model_server({f"model-{n}": [say(f"Rain {n}.")] for n in range(count)}) as server:

        async def main() -> None:
            seen: dict[int, list[str]] = {}

            async def read(n: int) -> None:
                async with run_of(lab, create_agent(chat(server, f"model-{n}"), [])) as run:
                    seen[n] = [await message.text async for message in run.messages]

            async with anyio.create_task_group() as tasks:
                for n in range(count):
                    tasks.start_soon(read, n)
            assert seen == {n: [f"Rain {n}."] for n in range(count)}

        on_lane(lab, main)


@pytest.mark.parametrize("lab", [*LANES, Lab("theirs", "sync"), Lab("theirs", "asyncio")], ids=str)
def test_output_of_a_tool_while_it_runs(lab: Lab) -> None:
    """A reader of a tool call has its deltas in order, as through the original."""

    def report(city: str, runtime: ToolRuntime) -> str:
        """Reports the weather."""
        for piece in ("It ", "rains."):
            runtime.emit_output_delta(piece)
        return f"{city}: it rains."

    async def areport(city: str, runtime: ToolRuntime) -> str:
        return report(city, runtime)

    tool = StructuredTool.from_function(report, coroutine=areport if lab.is_async else None)
    with model_server({"model": [say("", call("call-1", "report", '{"city": "Bergen"}')), say("Rain.")]}) as server:

        async def main() -> None:
            async with run_of(lab, create_agent(chat(server), [tool])) as run:
                each = await lab.reader(run.tool_calls).next()
                assert (each.tool_call_id, each.tool_name, each.completed) == ("call-1", "report", False)
                assert await lab.items(each.output_deltas) == ["It ", "rains."]
                assert each.completed
                await lab.output(run)

        on_lane(lab, main)
