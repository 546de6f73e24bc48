"""A part of the fault battery over agents of other frameworks, the same each time.

`nox -s faults -- --source pydantic-ai --source openai-agents` runs it at length.
"""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import anyio
import pytest

from anyiostream import open_run
from anyiostream.testing import Reply

from ..faults.agents import AGENTS, INSTALLED
from ..faults.battery import Figures, sweep
from ..faults.engine import run_scenario
from ..faults.faults import FAULTS
from ..faults.scenarios import Scenario
from ..waiting import PATIENCE, until
from .adapters import OpenAIAgents, PydanticAI
from .conversations import Agent, Conversation, Shown, Tools, call

STRIKING = (
    "cancel-outer-by-scope-at-turn",
    "cancel-reader-by-scope-at-suspension",
    "failing-sibling",
    "abort-in-turn",
    "source-raises-InjectedError",
    "reader-leaves-by-exception",
)
"""Faults that strike anywhere: all else in the battery strikes at a few places only."""

ONCE = tuple(
    fault.name
    for fault in FAULTS.values()
    if set(AGENTS) <= set(fault.sources) and fault.name not in {"none", *STRIKING} and "trio" in fault.loops
)
"""The others, each of which strikes once."""

STEP = 37
"""Of how many turns of the event loop one is struck."""

pytestmark = pytest.mark.skipif(not INSTALLED, reason="needs a framework: `nox -s tests-sources`")


@pytest.mark.parametrize("readers", ["log", "woven", "all"])
@pytest.mark.parametrize("loop", ["asyncio", "trio", "debug", "uvloop"])
@pytest.mark.parametrize("source", INSTALLED)
def test_nothing_happens_without_a_fault(source: str, loop: str, readers: str) -> None:
    """All readers get all that the agents say, three levels deep and side by side; nothing is left."""
    outcome = run_scenario(Scenario(source, "two", readers, "none", 1, loop, 1))
    assert (outcome.status, outcome.violations, outcome.left) == ("completed", (), 0)


@pytest.mark.parametrize("fault", STRIKING)
@pytest.mark.parametrize("loop", ["asyncio", "trio"])
@pytest.mark.parametrize("source", INSTALLED)
def test_faults_that_strike_anywhere(source: str, loop: str, fault: str) -> None:
    """No task, thread, async generator or descriptor is left, and no invariant violated."""
    figures = Figures()
    step = STEP if "turn" in fault or "sibling" in fault else 2
    for outcome in sweep(Scenario(source, "one", "all", fault, 1, loop, 7), step=step):
        figures.add(outcome)
    assert figures.examples == []
    assert figures.landed[fault]


@pytest.mark.parametrize("fault", ONCE)
@pytest.mark.parametrize("loop", ["asyncio", "trio"])
@pytest.mark.parametrize("source", INSTALLED)
def test_other_faults(source: str, loop: str, fault: str) -> None:
    """Hooks, readers, tools that ignore a cancellation or fail in their clean-up: the same holds."""
    outcome = run_scenario(Scenario(source, "one", "all", fault, 6 if FAULTS[fault].swept else 1, loop, 7))
    assert (outcome.violations, outcome.left) == ((), 0)


class Holding:
    """A synchronous tool that returns when it may.

    Attributes:
        began: Whether it is in its thread.
        go_on: Whether it may return.
        ended: Whether it has.
    """

    def __init__(self) -> None:
        self.began, self.go_on, self.ended = threading.Event(), threading.Event(), threading.Event()

    def tool(self, q: str) -> str:
        self.began.set()
        assert self.go_on.wait(PATIENCE)
        self.ended.set()
        return q


HOLDING = (Reply(tool_calls=[call("hold", "c1", q="tides")]), Reply("Never said."))


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
@pytest.mark.parametrize("source", INSTALLED)
def test_a_tool_in_a_thread(source: str, backend: str) -> None:
    """No thread can be stopped: both frameworks leave it when the call is cancelled, and it runs on."""
    hold = Holding()
    graph = PLAIN[source](hold)

    async def program() -> None:
        async with open_run(graph, "Hi") as run, anyio.create_task_group() as tasks:
            tasks.start_soon(run.output)
            await until(hold.began.is_set)
            tasks.cancel_scope.cancel()
        assert not hold.ended.is_set()
        hold.go_on.set()
        await until(hold.ended.is_set)

    anyio.run(program, backend=backend)


def pydantic_agent(hold: Holding) -> Any:
    """An agent of pydantic-ai with a plain function for a tool."""
    from anyiostream.sources.pydantic_ai import PydanticAgent

    made = PydanticAI().opened(Conversation(Agent("main", HOLDING), Shown()), Tools())["graph"]
    assert isinstance(made, PydanticAgent)
    made.agent.tool_plain(hold.tool, name="hold")
    return made


def openai_agent(hold: Holding) -> Any:
    """An agent of the SDK with the same."""
    import agents

    made = OpenAIAgents().opened(Conversation(Agent("main", HOLDING), Shown()), Tools())["graph"]
    made.agent.tools.append(agents.function_tool(hold.tool, name_override="hold"))
    return made


PLAIN = {"pydantic-ai": pydantic_agent, "openai-agents": openai_agent}


async def pydantic_ai_alone(agent: Any, began: threading.Event) -> None:
    """A run of the framework that is cancelled as soon as its tool is in its thread."""

    async def hear(_: Any, events: Any) -> None:
        async for _ in events:
            pass

    running = asyncio.create_task(agent.run("Hi", event_stream_handler=hear))  # scripted models only stream
    await until(lambda: began.is_set() or running.done())
    running.cancel()
    await asyncio.wait([running])


async def openai_agents_alone(agent: Any, began: threading.Event) -> None:
    """The same of the SDK."""
    import agents

    running = agents.Runner.run_streamed(agent, "Hi", run_config=agents.RunConfig(tracing_disabled=True))
    await until(began.is_set)
    running.cancel()
    async for _ in running.stream_events():
        pass


ALONE = {"pydantic-ai": pydantic_ai_alone, "openai-agents": openai_agents_alone}


@pytest.mark.parametrize("source", INSTALLED)
def test_the_frameworks_leave_a_tool_in_a_thread_by_themselves(source: str) -> None:
    """So a run cannot wait for it: nothing tells of the thread."""
    hold = Holding()
    graph = PLAIN[source](hold)

    async def main() -> None:
        await ALONE[source](graph.agent, hold.began)
        assert not hold.ended.is_set()
        hold.go_on.set()
        await until(hold.ended.is_set)

    asyncio.run(main())
