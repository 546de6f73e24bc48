"""Agents of other frameworks that say what a script says: its snapshots as answers, the rest as calls of tools.

What follows a snapshot, up to the next one, is called for by the same answer, at once: custom items are a tool's, a
subgraph is another agent's. So a script that is `(values, custom, custom, values)` is an answer with two calls side by
side, and a last one without.
"""

from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import AbstractContextManager, aclosing
from importlib.util import find_spec
from typing import Any, Final, Protocol

import attrs

from anyiostream.testing import Reply
from anyiostream.testing.models import pieces

from .scripts import TREES, Branch, Say

__all__ = ["AGENTS", "INSTALLED", "Answer", "answers", "calls_of", "open_agent", "texts_of"]

Steps = Sequence[Say | Branch]


class Feed(Protocol):
    """What the models and the tools have of the scenario."""

    def at_work(self, what: str) -> AbstractContextManager[None]:
        """A block in which one of them is at work."""
        ...

    async def step(self) -> None:
        """Wait, or do what the fault says."""


@attrs.define
class Answer:
    """One answer of a model, and what it calls for."""

    text: str
    calls: list[Say | Branch] = attrs.field(factory=list)

    def reply(self) -> Reply:
        """The same for a scripted model."""
        calls = []
        for number, step in enumerate(self.calls):
            called = ("note", {"n": step.data}) if isinstance(step, Say) else (step.name, {"q": step.name})
            calls.append({"name": called[0], "args": called[1], "id": f"{self.text.split()[-1]}-{number}"})
        return Reply(self.text, tool_calls=calls)


def answers(steps: Steps) -> list[Answer]:
    """The answers of the agent that says these steps."""
    said: list[Answer] = []
    for step in steps:
        if isinstance(step, Say) and step.kind == "values":
            said.append(Answer(f"snapshot {step.data['n']}"))
        else:
            said[-1].calls.append(step)
    return said


def at(steps: Steps, path: tuple[str, ...]) -> Steps:
    """The steps of a subgraph."""
    for name in path:
        steps = next(step.steps for step in steps if isinstance(step, Branch) and step.name == name)
    return steps


def texts_of(tree: str, path: tuple[str, ...]) -> list[str]:
    """What the models say at one level."""
    return [each.text for each in answers(at(TREES[tree], path))]


def calls_of(tree: str, path: tuple[str, ...]) -> list[Any]:
    """The tools that are called at one level: what is noted, or who is asked."""
    steps = [step for each in answers(at(TREES[tree], path)) for step in each.calls]
    return [step.data if isinstance(step, Say) else step.name for step in steps]


def branches(steps: Steps) -> dict[str, Branch]:
    """The agents that an agent calls."""
    return {step.name: step for step in steps if isinstance(step, Branch)}


# --- pydantic-ai ---


def pydantic_agent(feed: Feed, name: str, steps: Steps) -> Any:
    """An agent with a `FunctionModel`."""
    import json

    from pydantic_ai import Agent, RunContext
    from pydantic_ai.models.function import AgentInfo, DeltaToolCall, FunctionModel

    from anyiostream.sources.pydantic_ai import run_nested

    replies = iter([each.reply() for each in answers(steps)])

    async def stream(messages: Any, info: AgentInfo) -> AsyncGenerator[Any]:
        reply = next(replies)
        with feed.at_work("a model"):
            for piece in pieces(reply.text):
                await feed.step()
                yield piece
            for index, call in enumerate(reply.calls, 5):
                yield {index: DeltaToolCall(call["name"], json.dumps(call["args"]), tool_call_id=call["id"])}
            await feed.step()

    agent: Any = Agent(FunctionModel(stream_function=stream), name=name)

    async def note(n: int) -> str:
        return await noted(feed, n)

    agent.tool_plain(note)

    def asking(inner: Any) -> Callable[..., Any]:
        async def ask(ctx: RunContext[None], q: str) -> str:
            with feed.at_work("a tool"):
                await feed.step()
                return str((await run_nested(inner, q, context=ctx)).output)

        return ask

    for branch in branches(steps).values():
        agent.tool(asking(pydantic_agent(feed, branch.name, branch.steps)), name=branch.name)
    return agent


# --- OpenAI Agents ---


def openai_agent(feed: Feed, name: str, steps: Steps) -> Any:
    """An agent with a model that streams as the Responses API does."""
    import agents
    from agents.tool_context import ToolContext

    from anyiostream.sources.openai_agents import run_nested

    from ..sources.openai_model import ScriptedModel

    class Model(ScriptedModel):
        async def stream_response(self, *args: Any, **kwargs: Any) -> AsyncGenerator[Any]:
            with feed.at_work("a model"):
                async with aclosing(super().stream_response(*args, **kwargs)) as events:
                    async for event in events:
                        if event.type in {"response.created", "response.output_text.delta", "response.completed"}:
                            await feed.step()
                        yield event

    async def note(n: int) -> str:
        return await noted(feed, n)

    def asking(inner: Any) -> Callable[..., Any]:
        async def ask(ctx: ToolContext[None], q: str) -> str:
            with feed.at_work("a tool"):
                await feed.step()
                config = agents.RunConfig(tracing_disabled=True)
                return str((await run_nested(inner, q, context=ctx, run_config=config)).final_output)

        return ask

    # Without this the SDK would tell the model of an error, and go on.
    tools = [agents.function_tool(note, failure_error_function=None)]
    for branch in branches(steps).values():
        inner = openai_agent(feed, branch.name, branch.steps)
        tools.append(agents.function_tool(asking(inner), name_override=branch.name, failure_error_function=None))
    return agents.Agent(name, model=Model([each.reply() for each in answers(steps)]), tools=tools)


async def noted(feed: Feed, n: int) -> str:
    """The tool that takes a custom item."""
    with feed.at_work("a tool"):
        await feed.step()
        await feed.step()
    return str(n)


def pydantic_graph(feed: Feed, steps: Steps) -> Any:
    """The agent as a graph."""
    from anyiostream.sources.pydantic_ai import PydanticAgent

    return PydanticAgent(pydantic_agent(feed, "main", steps))


def openai_graph(feed: Feed, steps: Steps) -> Any:
    """The agent as a graph."""
    import agents

    from anyiostream.sources.openai_agents import OpenAIAgent

    return OpenAIAgent(openai_agent(feed, "main", steps), run_config=agents.RunConfig(tracing_disabled=True))


AGENTS: Final[Mapping[str, Callable[[Feed, Steps], Any]]] = {
    "pydantic-ai": pydantic_graph,
    "openai-agents": openai_graph,
}

INSTALLED: Final = tuple(
    name for name, package in (("pydantic-ai", "pydantic_ai"), ("openai-agents", "agents")) if find_spec(package)
)
"""Those that can be run here."""


def open_agent(feed: Feed, kind: str, tree: str) -> Any:
    """The agent of a scenario, as a graph."""
    return AGENTS[kind](feed, TREES[tree])
