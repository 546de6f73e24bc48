"""Agents of pydantic-ai as graphs. Needs the `pydantic-ai` extra.

```python
from anyiostream import open_run
from anyiostream.sources.pydantic_ai import PydanticAgent

async with open_run(PydanticAgent(agent), "Where is Bergen?") as run:
    async for message in run.messages:
        async for piece in message.text:
            print(piece, end="")
    print((await run.output())["output"])
```

A tool that calls another agent:

```python
@parent.tool
async def ask_expert(ctx: RunContext, question: str) -> str:
    result = await run_nested(expert, question, context=ctx)
    return result.output
```

| pydantic-ai | here |
|---|---|
| a model's response, part by part | `run.messages`, with reasoning, tool calls and usage |
| a function tool | `run.tool_calls`; one that asks for a retry, fails or is denied is an error |
| an agent that a tool calls with `run_nested` | `run.subgraphs` |
| the history after each node | `run.values` |
| `DeferredToolRequests` as output | `run.interrupts()`, an interrupt for each call; its id is the call's |
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast, final

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
from anyiostream.sources.asyncio_graph import entered, owned_tasks
from anyiostream.sources.writer import GraphWriter

__all__ = ["PydanticAgent", "run_nested"]

FRAMEWORK = "pydantic_ai"


@final
class PydanticAgent(AgentGraph):
    """An agent of pydantic-ai as a graph, on the async lane.

    A run's input is a prompt, or `{"prompt": ..., "messages": ...}` with the `messages` of an earlier output, which
    goes on with that conversation. Its output is `{"messages", "output", "usage"}`: the history as
    `ModelMessagesTypeAdapter` dumps it, the agent's own output, and its token counts.

    Where the agent's output is `DeferredToolRequests`, the run is interrupted. An interrupt's value is `{"type",
    "tool_call_id", "tool_name", "args", "metadata"}`; the type is `approval`, or `external` for a call that somebody
    else makes. To resume, open a run with `Resumption(answers, output)`; answers are true, false or `{"approved":
    bool, "message": str}` for approvals, and the result for external calls. Unanswered questions are asked again.

    It is iterated node by node, no further than its readers. Leaving the run's block cancels it, and waits for it.

    Args:
        agent: The agent.
        options: Further arguments of its `iter`: `deps`, `model`, `usage_limits`, ...

    Raises:
        MissingExtra: pydantic-ai is not installed.
    """

    framework = FRAMEWORK

    def __init__(self, agent: Any, **options: Any) -> None:
        _framework()
        self.agent = agent
        self._options = options

    async def run_agent(self, asked: AgentInput, writer: GraphWriter) -> Any:
        """Iterate it to its end."""
        history = _framework().ModelMessagesTypeAdapter.validate_python(list(asked.messages))
        options: dict[str, Any] = {**self._options, "message_history": history or None}
        if asked.pending:
            options["deferred_tool_results"] = _results(asked)
        result = await _iterate(self.agent, asked.prompt, writer, options)
        deferred = _questions(result.output)
        if deferred is not None:
            await ask(writer, _state(result), deferred, {})
        return {**_state(result), "output": result.output}


async def run_nested(agent: Any, prompt: Any, *, context: Any, **options: Any) -> Any:
    """Run an agent inside a tool of another one, as a subgraph of the run that is open.

    Tokens count as the outer agent's. Outside of a run it is `agent.run`.

    Args:
        agent: The agent; its name is the subgraph's.
        prompt: What it is asked.
        context: The tool's `RunContext`.
        options: Further arguments of the agent's `iter`; the result is that of its `run`.
    """
    options.setdefault("usage", context.usage)
    async with as_subgraph(agent.name or "agent", prompt, context.tool_call_id) as writer:
        if writer is None:
            return await agent.run(prompt, **options)
        async with owned_tasks(FRAMEWORK):
            result = await _iterate(agent, prompt, writer, options)
            await writer.values({**_state(result), "output": result.output})
            return result


async def _iterate(agent: Any, prompt: Any, writer: GraphWriter, options: Mapping[str, Any]) -> Any:
    """Run the agent node by node, and show each."""
    framework = _framework()
    holders = (framework.result.AgentStream, framework.models.StreamedResponse)  # of a response's async generators
    async with entered(agent.iter(prompt, **options)) as run:
        async for node in run:
            if agent.is_model_request_node(node):
                await writer.values(_state(run, node.request))
                before = _usage(run.usage)
                async with entered(node.stream(run.ctx), *holders) as stream:
                    await _model_call(stream, writer, agent.name, before)
            elif agent.is_call_tools_node(node):
                await writer.values(_state(run))
                async with entered(node.stream(run.ctx), *holders) as stream:
                    async for event in stream:
                        await _tool_event(event, writer)
    return run.result


async def _model_call(stream: Any, writer: GraphWriter, node: str | None, before: Mapping[str, int]) -> None:
    """Write one response of a model; `before` is the usage of the run up to here."""
    response = stream.response
    about = {"provider": response.provider_name, "model": response.model_name}
    async with writer.message(node=node, metadata=about) as message:
        blocks = Blocks(message)
        async for event in stream:
            await _part(event, blocks)
        await blocks.end_all()
        after = _usage(stream.usage)
        message.usage = {name: after[name] - before[name] for name in after} if after != before else None


async def _part(event: Any, blocks: Blocks) -> None:
    """Write what a model's response gains."""
    kind = event.event_kind
    if kind == "part_start":
        await _begin(event.index, event.part, blocks)
    elif kind == "part_delta" and blocks.has(event.index):
        delta = event.delta
        piece = delta.args_delta if delta.part_delta_kind == "tool_call" else getattr(delta, "content_delta", None)
        if isinstance(piece, str):
            await blocks.add(event.index, piece)
    elif kind == "part_end" and blocks.has(event.index):
        part = event.part
        await blocks.end(event.index, part.args_as_json_str() if part.part_kind == "tool-call" else part.content)


async def _begin(index: int, part: Any, blocks: Blocks) -> None:
    kind = part.part_kind
    if kind == "tool-call":
        await blocks.begin_call(index, part.tool_name, part.tool_call_id)
        if isinstance(part.args, str):
            await blocks.add(index, part.args)
    elif kind in {"text", "thinking"}:
        await blocks.begin(index, "text" if kind == "text" else "reasoning")
        await blocks.add(index, part.content)
    elif kind == "builtin-tool-call":
        call = {"id": part.tool_call_id, "name": part.tool_name, "args": part.args_as_dict()}
        await blocks.whole({"type": "server_tool_call", **call})
    elif kind == "builtin-tool-return":
        output = part.model_response_object()
        await blocks.whole({"type": "server_tool_result", "tool_call_id": part.tool_call_id, "output": output})
    else:
        response = _framework().ModelResponse(parts=[part])
        await blocks.whole({"type": "non_standard", "value": _dumped([response])[0]["parts"][0]})


async def _tool_event(event: Any, writer: GraphWriter) -> None:
    """Write the result of a function tool's call; how an output is made is the agent's own business."""
    kind = event.event_kind
    if kind == "function_tool_call":
        await tool_started(writer, event.tool_call_id, event.part.tool_name, event.part.args_as_dict())
    elif kind == "function_tool_result":
        part = event.part
        well = getattr(part, "outcome", "retried") == "success"  # before 2.60 a retry is a part without an outcome
        error = None if well else str(part.content)
        await tool_ended(writer, event.tool_call_id, part.content, error=error)


def _questions(output: Any) -> dict[str, Any] | None:
    """What the user is asked if an agent's output is a request for that: call's id -> question."""
    framework = _framework()
    if not isinstance(output, framework.DeferredToolRequests):
        return None
    asked = {"approval": output.approvals, "external": output.calls}
    return {
        call.tool_call_id: {
            "type": kind,
            "tool_call_id": call.tool_call_id,
            "tool_name": call.tool_name,
            "args": call.args_as_dict(),
            "metadata": output.metadata.get(call.tool_call_id, {}),
        }
        for kind, calls in asked.items()
        for call in calls
    }


def _results(asked: AgentInput) -> Any:
    """The answers, as the framework wants them."""
    framework = _framework()
    approvals: dict[str, Any] = {}
    calls: dict[str, Any] = {}
    for name, answer in asked.answers.items():
        if asked.pending[name]["type"] == "external":
            calls[name] = answer
            continue
        approval = Approval.of(name, answer)
        denied = framework.ToolDenied() if approval.message is None else framework.ToolDenied(approval.message)
        approvals[name] = framework.ToolApproved() if approval.approved else denied
    return framework.DeferredToolResults(approvals=approvals, calls=calls)


def _state(run: Any, *requests: Any) -> dict[str, Any]:
    return {"messages": _dumped([*run.all_messages(), *requests]), "usage": _usage(run.usage)}


def _usage(usage: Any) -> dict[str, int]:
    return {name: getattr(usage, name) for name in ("input_tokens", "output_tokens", "total_tokens")}


def _dumped(messages: Any) -> list[Any]:
    return cast("list[Any]", _framework().ModelMessagesTypeAdapter.dump_python(messages, mode="json"))


def _framework() -> Any:
    try:
        import pydantic_ai  # noqa: PLC0415 -- an extra
    except ModuleNotFoundError as exc:
        raise MissingExtra("anyiostream.sources.pydantic_ai", "pydantic-ai") from exc
    return pydantic_ai
