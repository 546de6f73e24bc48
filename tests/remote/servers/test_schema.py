"""What goes out is what the protocol's schema says: its types are `langchain-protocol`'s, checked with pydantic."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, get_args

import langchain_protocol as schema
import pytest
from pydantic import TypeAdapter

from anyiostream.remote.refusals import ErrorCode
from anyiostream.remote.subscriptions import CHANNELS

from .raw import Client, ask, events, root_event

DATA = {
    "lifecycle": schema.LifecycleData,
    "messages": schema.MessagesData,
    "tools": schema.ToolsData,
    "input.requested": schema.InputRequestedData,
    "custom": schema.CustomData,
    "checkpoints": schema.Checkpoint,
    "values": Any,  # the graph's own
    "tasks": Any,  # likewise
    "updates": dict[str, Any],  # as the Python client reads them: node name -> update
}


def literals(union: Any) -> Iterator[str]:
    """The strings of a union of literals."""
    for each in get_args(union):
        if isinstance(each, str):
            yield each
        else:
            yield from literals(each)


def test_the_codes_and_the_channels() -> None:
    """No more and no fewer than the schema has."""
    assert set(literals(ErrorCode)) == set(literals(schema.ErrorCode))
    assert {each for each in literals(schema.Channel) if ":" not in each} == CHANNELS


@pytest.mark.parametrize("assistant", ["everything", "chat", "ask two", "ask inside", "failing"])
def test_every_event(server: str, assistant: str) -> None:
    """Its envelope, and its payload by its method."""
    envelope: TypeAdapter[Any] = TypeAdapter(schema.Event)
    payloads = {method: TypeAdapter(kind) for method, kind in DATA.items()}
    with Client(server, f"schema-{assistant.replace(' ', '-')}-{server[-5:].strip(':')}") as client:
        client.start(assistant, {})
        with client.stream(channels=sorted(CHANNELS)) as response:
            for event in events(response):
                envelope.validate_python(event)
                payloads[event["method"]].validate_python(event["params"]["data"])
                if root_event(event) in {"completed", "failed", "interrupted"}:
                    break


def test_every_answer(server: str) -> None:
    """Of commands that succeed and of commands that do not."""
    success: TypeAdapter[Any] = TypeAdapter(schema.CommandResponse)
    error: TypeAdapter[Any] = TypeAdapter(schema.ErrorResponse)
    with Client(server, f"answers-{server[-5:].strip(':')}") as client, client.socket() as ws:
        started = success.validate_python(ask(ws, "run.start", {"assistant_id": "everything"}))
        assert TypeAdapter(schema.RunResult).validate_python(started["result"]) == started["result"]
        subscribed = success.validate_python(ask(ws, "subscription.subscribe", {"channels": ["input"]}, 2))
        assert TypeAdapter(schema.SubscribeResult).validate_python(subscribed["result"]) == subscribed["result"]
        tree = success.validate_python(ask(ws, "agent.getTree", {}, 3))
        assert TypeAdapter(schema.AgentResult).validate_python(tree["result"]) == tree["result"]
        error.validate_python(ask(ws, "nothing", {}, 4))
        error.validate_python(client.command("run.start").json())
        error.validate_python(client.post("commands", b"").json())
