"""What readers of agents see is what happened, also where the original shows something else."""

from __future__ import annotations

from typing import Any

import pytest
from langchain.agents import create_agent
from langchain.agents.middleware import ModelRetryMiddleware
from langchain_core.messages import AIMessage
from langchain_core.tools import StructuredTool
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.config import get_stream_writer
from langgraph.func import entrypoint, task
from langgraph.graph import START, MessagesState, StateGraph

from anyiostream import CustomTransformer

from ..conformance.adapter import Lab
from ..differential.graphs import Built
from ..messages.reading import output, whole
from .cases import LANES, Case, in_every_lane
from .models import anthropic, chat
from .observing import on_lane, open_agent
from .provider.script import HttpError, call, say
from .provider.server import model_server
from .reading import as_read, reading
from .test_agents import CASES as AGENTS
from .test_deepagents import CASES as DEEP_AGENTS
from .test_multi_agent import CASES as MULTI_AGENT

ASKED = {"messages": [("user", "How is the weather?")]}

HANDS_BACK = {"supervisor", "supervisor_with_full_history"}
"""Their supervisors write messages of their own, each with a tool call, at once."""

in_lanes = pytest.mark.parametrize("lab", LANES, ids=lambda lab: lab.lane)

ASYNCIO = Lab("ours", "asyncio")
ONCE = [pytest.param(case, id=str(case)) for case in (*AGENTS, *DEEP_AGENTS, *MULTI_AGENT)]


@pytest.mark.parametrize("case", ONCE)
def test_agreement(case: Case) -> None:
    """Each message's text, reasoning, tool calls and usage are those of its output, at every level of an agent."""
    lab = ASYNCIO  # how messages are read is the same on all lanes
    failed = 0

    async def check(messages: list[Any]) -> None:
        nonlocal failed
        for message in messages:
            if message.status == "failed":
                failed += 1
            else:
                assert await reading(lab, message) == as_read(await output(lab, message))

    async def descend(stream: Any) -> None:
        messages = lab.reader(stream.messages)
        handles, _ = await lab.outcome(stream.subgraphs)
        for handle in handles:
            await descend(handle)
        await check((await messages.outcome())[0])

    with model_server(case.script) as server:

        async def main() -> None:
            async with case.opened(lab, server) as built:
                for given in built.given:
                    async with open_agent(lab, built, given) as run:
                        await descend(run)
                        await run.output() if run.status == "completed" else await ended(run)

        async def ended(run: Any) -> None:
            try:
                await run.output()
            except Exception:
                assert run.status == "failed"

        on_lane(lab, main)


@in_every_lane([case for case in MULTI_AGENT if case.name in HANDS_BACK])
def test_messages_of_supervisors(case: Case, lab: Lab) -> None:
    """The output of a message that a node wrote at once is the message of the state."""
    with model_server(case.script) as server:

        async def main() -> None:
            async with case.opened(lab, server) as built, open_agent(lab, built, built.given[0]) as run:
                outputs = {each.message_id: await output(lab, each) for each in await lab.items(run.messages)}
                stored = (await lab.output(run))["messages"]
                handed = [each for each in stored if isinstance(each, AIMessage) and each.id in outputs]
                assert any(each.response_metadata.get("__is_handoff_back") for each in handed)
                assert [outputs[each.id] for each in handed] == handed

        on_lane(lab, main)


@in_lanes
@pytest.mark.parametrize("where", [{"interrupt_before": ["tools"]}, {"interrupt_after": ["model"]}], ids=str)
def test_breakpoints(lab: Lab, where: dict[str, Any]) -> None:
    """An agent that stops before its tools has been interrupted."""

    def weather() -> str:
        """Tells the weather."""
        return "rain"

    async def aweather() -> str:
        return weather()

    tool = StructuredTool.from_function(weather, coroutine=aweather if lab.is_async else None)
    with model_server({"model": [say("", call("call-1", "weather", "{}"))]}) as server:

        async def main() -> None:
            agent = create_agent(chat(server), [tool], checkpointer=InMemorySaver(), **where)
            built = Built(agent, [ASKED], {"configurable": {"thread_id": "thread"}})
            async with open_agent(lab, built, ASKED) as run:
                assert await lab.interrupted(run)
                assert run.status == "interrupted"

        on_lane(lab, main)


@in_lanes
def test_model_that_fails_before_it_speaks(lab: Lab) -> None:
    """A call that is refused, and made again by the agent, leaves no message, and no event of one."""
    with model_server({"model": [HttpError(500), say("Rain.")]}) as server:

        async def main() -> None:
            middleware = [ModelRetryMiddleware(max_retries=1, initial_delay=0, jitter=False)]
            agent = create_agent(chat(server, max_retries=0), [], middleware=middleware)
            async with open_agent(lab, Built(agent, [ASKED]), ASKED) as run:
                messages, log = lab.reader(run.messages), lab.reader(run)
                events = [each["params"]["data"] for each in await log.rest() if each["method"] == "messages"]
                assert [await whole(lab, each.text) for each in await messages.rest()] == ["Rain."]
                assert events[0][0]["event"] == "message-start"
                assert len({metadata["run_id"] for _, metadata in events}) == 1

        on_lane(lab, main)


@in_lanes
def test_agent_called_again_and_again(lab: Lab) -> None:
    """An agent that a node calls three times is three subgraphs, each with its own messages."""
    with model_server({"model": [say("One."), say("Two."), say("Three.")]}) as server:

        async def main() -> None:
            agent = create_agent(anthropic(server), [], name="agent")

            def thrice(state: MessagesState) -> None:
                for _ in range(3):
                    agent.invoke(ASKED)

            async def athrice(state: MessagesState) -> None:
                for _ in range(3):
                    await agent.ainvoke(ASKED)

            builder = StateGraph(MessagesState)
            builder.add_node("thrice", athrice if lab.is_async else thrice)
            graph = builder.add_edge(START, "thrice").compile()
            async with open_agent(lab, Built(graph, [ASKED]), ASKED) as run:
                seen = []
                for handle in await lab.items(run.subgraphs):
                    texts = [await whole(lab, each.text) for each in await lab.items(handle.messages)]
                    seen.append((handle.graph_name, texts))
                assert seen == [("agent", ["One."]), ("agent", ["Two."]), ("agent", ["Three."])]

        on_lane(lab, main)


@in_lanes
def test_what_tasks_write(lab: Lab) -> None:
    """What a task writes before and after its model speaks is in `run.custom`."""
    with model_server({"model": [say("Rain.")]}) as server:

        async def main() -> None:
            model = chat(server)

            @task
            def ask(question: str) -> str:
                writer = get_stream_writer()
                writer("asking")
                answer = str(model.invoke(question).text)
                writer("asked")
                return answer

            @task
            async def aask(question: str) -> str:
                writer = get_stream_writer()
                writer("asking")
                answer = str((await model.ainvoke(question)).text)
                writer("asked")
                return answer

            def workflow(given: str) -> str:
                return str(ask(given).result())

            async def aworkflow(given: str) -> str:
                return str(await aask(given))

            graph = entrypoint()(aworkflow if lab.is_async else workflow)
            async with lab.open_graph(graph, "Well?", transformers=[CustomTransformer]) as run:
                assert await lab.items(run.custom) == ["asking", "asked"]
                assert await lab.output(run) == "Rain."

        on_lane(lab, main)
