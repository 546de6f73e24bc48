"""What can be observed of agents of real libraries: all that `tests/differential` sees of a graph, and the messages."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Coroutine, Mapping
from typing import Any

import anyio
from langchain_core.messages import AIMessageChunk, BaseMessage
from langgraph.graph.message import REMOVE_ALL_MESSAGES

from ..conformance.adapter import BACKENDS, Lab, drive
from ..differential.graphs import Built
from ..differential.observing import Normal, asked, children, identity
from .cases import Case
from .provider.server import model_server

__all__ = ["PROJECTIONS", "drill", "observed", "on_lane", "open_agent", "survey"]

PROJECTIONS = ("values", "updates", "custom", "messages", "tool_calls", "lifecycle", "subagents")
"""Projections that are read of a run and of each of its handles, where there are such."""

BUFFER = 4096
"""Items: here the projections are compared, not what happens if one is not read."""

WAITS = "the tool call was interrupted"
"""How the error of a tool call begins that has neither returned nor failed."""

URL = re.compile(r"http://127\.0\.0\.1:\d+/\d+")


class AgentNormal(Normal):
    """Makes observations of agents comparable: besides ids, the address of the server."""

    def of(self, value: Any) -> Any:
        """`value` with ids replaced and times left out."""
        value = super().of(value)
        return URL.sub("<server>", value) if isinstance(value, str) else value


def on_lane(lab: Lab, main: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Run `main` on the lab's lane. A hang is for pytest's limit to end: agents may take their time."""
    if not lab.is_async:
        drive(main())
        return
    backend, _ = BACKENDS[lab.lane]
    anyio.run(main, backend=backend)


def observed(lab: Lab, case: Case, view: Callable[..., Any]) -> dict[str, Any]:
    """What the view shows of the case's runs in that lab, and what the models were asked."""
    seen: dict[str, Any] = {}
    with model_server(case.script) as server:

        async def main() -> None:
            async with case.opened(lab, server) as built:
                seen["runs"] = await view(lab, built)

        on_lane(lab, main)
        seen["requests"] = AgentNormal().of([list(each) for each in server.requests])
        seen["unplayed"] = server.unplayed
    return seen


async def survey(lab: Lab, built: Built) -> list[dict[str, Any]]:
    """For each run of the thread: the root's projections, by cursors that are opened first and read afterwards."""
    normal = AgentNormal()
    return [await _surveyed(lab, normal, built, given) for given in built.given]


async def drill(lab: Lab, built: Built) -> list[Any]:
    """For each run of the thread: the tree of subgraphs, each read while it runs, in the body of its parent's loop."""
    normal = AgentNormal()
    seen = []
    for given in built.given:
        async with open_agent(lab, built, given) as run:
            seen.append({"subgraphs": await children(lab, normal, run, _child), **await _outcome(lab, normal, run)})
    return seen


def open_agent(lab: Lab, built: Built, given: Any) -> Any:
    """A run of the agent on `given`."""
    transformers = [getattr(lab.api, name) for name in built.transformers]
    own = {"buffer": BUFFER} if lab.ours else {}
    return lab.open_graph(built.graph, given, config=built.config, transformers=transformers, **built.options, **own)


async def _surveyed(lab: Lab, normal: Normal, built: Built, given: Any) -> dict[str, Any]:
    async with open_agent(lab, built, given) as run:
        readers = {name: lab.reader(run.extensions[name]) for name in PROJECTIONS if name in run.extensions}
        log, handles = lab.reader(run), lab.reader(run.subgraphs)
        logged, error = await log.outcome()
        logged = [_as_returned(each) for each in logged if not _is_failure(each)]
        events = normal.events(([{**each, "seq": number} for number, each in enumerate(logged, 1)], error))
        return {
            "raw log": events,
            **await _outcome(lab, normal, run),
            **{name: await _read(lab, normal, name, reader) for name, reader in readers.items()},
            "subgraphs": [identity(normal, handle) for handle in (await handles.outcome())[0]],
        }


async def _outcome(lab: Lab, normal: Normal, run: Any) -> dict[str, Any]:
    return {
        "output": normal.of(await asked(lab.output(run))),
        "interrupted": normal.of(await asked(lab.interrupted(run))),
        "interrupts": normal.of(await asked(lab.interrupts(run))),
    }


async def _child(lab: Lab, normal: Normal, handle: Any) -> Any:
    names = [name for name in PROJECTIONS if name in handle.extensions]
    readers = {name: lab.reader(handle.extensions[name]) for name in names}
    below = await children(lab, normal, handle, _child)
    output = normal.of(await asked(lab.output(handle)))
    return {
        **identity(normal, handle),
        "output": output,
        "interrupted": normal.of(await asked(lab.interrupted(handle))),
        **{name: await _read(lab, normal, name, reader) for name, reader in readers.items()},
        "subgraphs": below,
    }


async def _read(lab: Lab, normal: Normal, name: str, reader: Any) -> Any:
    items, error = await reader.outcome()
    if name == "messages":  # an instruction to remove messages is none itself, though the original takes it for one
        items = [each for each in items if each.message_id != REMOVE_ALL_MESSAGES]
    show = {"messages": _message, "tool_calls": _tool_call, "subagents": _subagent}.get(name, _plain)
    return [[await show(lab, normal, each) for each in items], normal.of(error)]


async def _plain(lab: Lab, normal: Normal, item: Any) -> Any:
    return normal.of(item)


async def _message(lab: Lab, normal: Normal, message: Any) -> Any:
    # Not its namespace: the original's says `[]` wherever the call was made.
    seen: dict[str, Any] = {"node": message.node, "id": message.message_id, "done": message.done}
    for name in ("text", "reasoning", "tool_calls"):
        projection = getattr(message, name)
        pieces, error = await lab.outcome(projection)
        if name == "tool_calls":
            # A call that comes whole is one piece here, and in none of the original's.
            pieces = [piece for piece in pieces if not _is_whole(piece)]
        seen[f"{name} in pieces"] = [pieces, error]
        seen[f"{name} as a whole"] = await asked(projection if lab.is_async else _got(projection))
    seen["output"] = _meaning(await asked(message.output if lab.is_async else _attribute(message, "output")))
    events, error = await lab.outcome(message)
    seen["events"] = [[_core(each) for each in events], error]
    return normal.of(seen)


def _is_whole(piece: Any) -> bool:
    try:
        return isinstance(json.loads(piece["args"]), dict)
    except ValueError:
        return False


def _meaning(message: Any) -> Any:
    """What a final message says.

    Of a message that came whole, the original makes another one, an `AIMessage` of blocks; here it is itself.
    """
    if not isinstance(message, BaseMessage):
        return message
    metadata = {key: value for key, value in message.response_metadata.items() if key != "output_version"}
    seen = {"id": message.id, "blocks": [_without(block, "index") for block in message.content_blocks]}
    names = ("tool_calls", "invalid_tool_calls", "usage_metadata")
    return {**seen, "metadata": metadata, **{name: getattr(message, name, None) or None for name in names}}


def _is_failure(event: Any) -> bool:
    """Whether an event says that a message broke off, which the original's log never says."""
    return event["method"] == "messages" and _field(event["params"]["data"][0], "event") == "error"


def _as_returned(event: Any) -> Any:
    """An event without the mark that a chunk is the last one, which the sum that a node returns has here."""
    if event["method"] != "messages" or not isinstance(event["params"]["data"][0], AIMessageChunk):
        return event
    chunk, metadata = event["params"]["data"]
    data = (chunk.model_copy(update={"chunk_position": None}), metadata)
    return {**event, "params": {**event["params"], "data": data}}


def _field(value: Any, name: str) -> Any:
    return value.get(name) if isinstance(value, Mapping) else None


def _core(event: Any) -> Any:
    """An event of a message, without what the libraries make up differently for one that came whole."""
    if event["event"] == "message-start":
        metadata = _without(event.get("metadata") or {}, "name")
        return {**_without(event, "role"), "metadata": metadata}
    if event["event"] == "message-finish":
        return _without(event, "additional_kwargs")
    if event["event"] == "content-block-start":
        return {**event, "content": {key: event["content"].get(key) for key in ("type", "id", "name")}}
    if event["event"] == "content-block-finish":
        return {**event, "content": _without(event["content"], "index")}
    return event


def _without(mapping: Any, name: str) -> dict[str, Any]:
    return {key: value for key, value in mapping.items() if key != name}


async def _tool_call(lab: Lab, normal: Normal, call: Any) -> Any:
    names = ("tool_call_id", "tool_name", "input", "output", "error", "completed")
    seen = {name: getattr(call, name) for name in names}
    if seen["error"] is not None and (seen["error"].startswith(WAITS) or seen["output"] is not None):
        # The original says nothing of a call that waits for its user, and of an error that is a tool's answer.
        seen["error"] = None
    return normal.of(seen)


async def _subagent(lab: Lab, normal: Normal, handle: Any) -> Any:
    return {**identity(normal, handle), "name": normal.of(handle.name), "cause": normal.of(handle.cause)}


async def _got(projection: Any) -> Any:
    return projection.get()


async def _attribute(value: Any, name: str) -> Any:
    return getattr(value, name)
