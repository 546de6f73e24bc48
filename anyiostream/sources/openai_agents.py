"""Agents of the OpenAI Agents SDK as graphs. Needs the `openai-agents` extra.

```python
from anyiostream import open_run
from anyiostream.sources.openai_agents import OpenAIAgent

async with open_run(OpenAIAgent(agent), "Where is Bergen?") as run:
    async for message in run.messages:
        async for piece in message.text:
            print(piece, end="")
    print((await run.output())["output"])
```

A tool that calls another agent:

```python
@function_tool
async def ask_expert(ctx: ToolContext, question: str) -> str:
    result = await run_nested(expert, question, context=ctx)
    return str(result.final_output)
```

| OpenAI Agents | here |
|---|---|
| a model's response, event by event | `run.messages`, with reasoning, tool calls and usage |
| a function tool | `run.tool_calls`; the SDK turns a tool's error into text for the model, which is the call's output |
| an agent after a handoff | `run.subgraphs`: it is one until the next handoff, or the end |
| an agent that a tool calls with `run_nested` | `run.subgraphs` |
| the history after each turn | `run.values` |
| `interruptions` | `run.interrupts()`; an interrupt's id is the call's |

The SDK queues an agent's events without a bound, and ends a turn when they have been taken: a slow reader holds up the
next turn, but not the answer that is being streamed. If a model fails, the SDK drops its queue.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import Any, Final, final

from anyiostream.errors import MissingExtra
from anyiostream.sources.agents import (
    AgentGraph,
    AgentInput,
    Approval,
    Blocks,
    as_subgraph,
    ask,
    tool_ended,
    tool_started,
)
from anyiostream.sources.asyncio_graph import close_anyhow, owned_tasks
from anyiostream.sources.openai_responses import arguments_of, call_id_of, field_of, input_items, write_event
from anyiostream.sources.writer import GraphWriter

__all__ = ["OpenAIAgent", "run_nested"]

FRAMEWORK: Final = "agents"

NOTHING: Final[Mapping[str, Any]] = {}


@final
class OpenAIAgent(AgentGraph):
    """An agent of the OpenAI Agents SDK as a graph, on the async lane.

    A run's input is a prompt (text, or a list of input items), or `{"prompt": ..., "messages": ...}` with the
    `messages` of an earlier output, which goes on with that conversation. Its output is `{"messages", "output",
    "usage"}`: the history as input items, the agent's final output, and token counts.

    Where calls wait for approval, the run is interrupted. An interrupt's value is `{"type": "approval",
    "tool_call_id", "tool_name", "args"}`. To resume, open a run with `Resumption(answers, output)`; an answer is true,
    false, or `{"approved": bool, "message": str}`. Unanswered questions are asked again. The interrupted run's output
    has its `RunState`, without its context: the context given here is used again.

    Leaving the run's block cancels the agent, and waits for all tasks that the SDK has started for it.

    Args:
        agent: The agent.
        options: Further arguments of `Runner.run_streamed`: `context`, `max_turns`, `run_config`, ...

    Raises:
        MissingExtra: The SDK is not installed.
    """

    framework = FRAMEWORK

    def __init__(self, agent: Any, **options: Any) -> None:
        _framework()
        self.agent = agent
        self._options = options

    async def run_agent(self, asked: AgentInput, writer: GraphWriter) -> Any:
        """Run it to its end."""
        given = await self._resumed(asked) if asked.pending else [*asked.messages, *input_items(asked.prompt)]
        result = await _stream(self.agent, given, writer, self._options, asked.pending)
        if result.interruptions:
            suspended = result.to_state().to_json(context_serializer=lambda _: {})
            questions = {call_id_of(item.raw_item): _question(item) for item in result.interruptions}
            await ask(writer, {**_state(result), "suspended": suspended}, questions, {})
        return {**_state(result), "output": result.final_output}

    async def _resumed(self, asked: AgentInput) -> Any:
        """The state that the run was left in, with the answers."""
        approvals = {name: Approval.of(name, answer) for name, answer in asked.answers.items()}
        state = await _framework().RunState.from_json(
            self.agent, asked.state["suspended"], context_override=self._options.get("context")
        )
        for item in state.get_interruptions():
            approval = approvals[call_id_of(item.raw_item)]
            if approval.approved:
                state.approve(item)
            else:
                state.reject(item, rejection_message=approval.message)
        return state


async def run_nested(agent: Any, prompt: Any, *, context: Any, **options: Any) -> Any:
    """Run an agent inside a tool of another one, as a subgraph of the run that is open.

    Outside of a run it is `Runner.run`.

    Args:
        agent: The agent; its name is the subgraph's.
        prompt: What it is asked.
        context: The tool's `ToolContext`; the agent gets the same context object.
        options: Further arguments of `Runner.run_streamed`.

    Returns:
        The SDK's result.
    """
    options.setdefault("context", context.context)
    async with as_subgraph(agent.name, prompt, getattr(context, "tool_call_id", None)) as writer:
        if writer is None:
            return await _framework().Runner.run(agent, prompt, **options)
        async with owned_tasks(FRAMEWORK):
            result = await _stream(agent, prompt, writer, options)
            await writer.values({**_state(result), "output": result.final_output})
            return result


async def _stream(
    agent: Any, given: Any, writer: GraphWriter, options: Mapping[str, Any], pending: Mapping[str, Any] = NOTHING
) -> Any:
    """Run the agent, and show its events; stop it if this is broken off."""
    result = _framework().Runner.run_streamed(agent, given, **options)
    events = result.stream_events()
    try:
        await Shown(agent, writer, result, events, pending).all()
    except BaseException:
        result.cancel()
        await close_anyhow(events)
        raise
    return result


@final
class Shown:
    """What a run of the SDK shows. Its methods take turns on the same events, each until what it shows has ended."""

    def __init__(
        self, agent: Any, writer: GraphWriter, result: Any, events: AsyncIterator[Any], pending: Mapping[str, Any]
    ) -> None:
        self._agent = agent
        self._root = writer
        self._result = result
        self._events = events
        self._pending = dict(pending)

    async def all(self) -> None:
        """Show all events: those of the first agent at the run's own level, those of others as subgraphs."""
        agent = await self._agents(self._agent, self._root)
        while agent is not None:
            if agent is self._agent:
                agent = await self._agents(agent, self._root)
                continue
            async with self._root.subgraph(agent.name, agent=agent.name) as inner:
                agent = await self._agents(agent, inner)

    async def _agents(self, agent: Any, writer: GraphWriter) -> Any:
        """Show what an agent does, and return the one that it hands over to, or `None`."""
        async for event in self._events:
            if event.type == "agent_updated_stream_event":
                if event.new_agent is not agent:
                    return event.new_agent
            elif event.type == "run_item_stream_event":
                await self._item(event, writer)
            elif event.data.type.startswith("response."):
                state = _state(self._result)
                await self._root.values(state)
                said = await self._response(event.data, agent.name, writer)
                await self._root.values({**state, "messages": [*state["messages"], *said]})
        return None

    async def _response(self, first: Any, node: str, writer: GraphWriter) -> list[Any]:
        """Show one response of a model, and return what it adds to the history."""
        response = getattr(first, "response", None)
        async with writer.message(node=node, metadata={"model": getattr(response, "model", None)}) as message:
            blocks = Blocks(message)
            if not await write_event(first, blocks):
                async for event in self._events:
                    if event.type == "run_item_stream_event":
                        await self._item(event, writer)
                    elif event.type == "raw_response_event":
                        first = event.data
                        if await write_event(first, blocks):
                            break
            response = getattr(first, "response", None)
            usage = getattr(response, "usage", None)
            message.usage = None if usage is None else _usage(usage)
        return [item.model_dump(exclude_unset=True) for item in getattr(response, "output", ())]

    async def _item(self, event: Any, writer: GraphWriter) -> None:
        """Show what becomes of a call of a tool."""
        item = event.item
        if event.name == "tool_called":
            name = field_of(item.raw_item, "name") or field_of(item.raw_item, "type")
            await tool_started(writer, call_id_of(item.raw_item), name, arguments_of(item.raw_item))
        elif event.name == "tool_output":
            call_id = call_id_of(item.raw_item)
            asked = self._pending.pop(call_id, None)
            if asked is not None:  # the SDK reports nothing else of an approved call
                await tool_started(writer, call_id, asked["tool_name"], asked["args"])
            await tool_ended(writer, call_id, item.output)


def _question(item: Any) -> dict[str, Any]:
    """What the user is asked about a call that waits for approval."""
    call = item.raw_item
    about = {"tool_call_id": call_id_of(call), "tool_name": item.tool_name, "args": arguments_of(call)}
    return {"type": "approval", **about}


def _state(result: Any) -> dict[str, Any]:
    return {"messages": result.to_input_list(), "usage": _usage(result.context_wrapper.usage)}


def _usage(usage: Any) -> dict[str, int]:
    return {name: getattr(usage, name) for name in ("input_tokens", "output_tokens", "total_tokens")}


def _framework() -> Any:
    try:
        import agents  # noqa: PLC0415 -- an extra

    except ModuleNotFoundError as exc:
        raise MissingExtra("anyiostream.sources.openai_agents", "openai-agents") from exc
    return agents
