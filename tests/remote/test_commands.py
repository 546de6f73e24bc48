"""Commands are decoded, or refused with the protocol's code."""

from __future__ import annotations

from typing import Any

import pytest

from anyiostream.remote.commands import (
    Answer,
    GetTree,
    InputRespond,
    RunStart,
    Subscribe,
    Unsubscribe,
    command_id,
    parse_command,
)
from anyiostream.remote.limits import Limits
from anyiostream.remote.refusals import Refusal

LIMITS = Limits()


def parse(method: str, params: Any = None) -> Any:
    """The command that a client sends."""
    return parse_command({"id": 1, "method": method, "params": params}, LIMITS)


@pytest.mark.parametrize(
    "message",
    [
        None,
        [],
        "x",
        {},
        {"id": 1},
        {"method": "run.start"},
        {"id": "1", "method": "x"},
        {"id": True, "method": "x"},
        {"id": -1, "method": "x"},
        {"id": 2**60, "method": "x"},
        {"id": 1, "method": 3},
    ],
)
def test_what_has_no_id_or_no_method_is_no_command(message: Any) -> None:
    """It cannot even be answered: HTTP 400."""
    with pytest.raises(Refusal) as caught:
        command_id(message)
    assert caught.value.status == 400


def test_a_run_is_started() -> None:
    """With its assistant, input, configuration and metadata."""
    config = {"configurable": {"model": "x"}, "recursion_limit": 3, "tags": ["t"]}
    params = {"assistant_id": "demo", "input": {"a": 1}, "config": config, "metadata": {"m": 1}}
    assert parse("run.start", params) == RunStart("demo", {"a": 1}, config, {"m": 1})
    assert parse("run.start", {"assistant_id": "demo"}) == RunStart("demo", None, {}, {})


def test_interrupts_are_answered() -> None:
    """One, or several at a time."""
    one = {"interrupt_id": "i", "namespace": ["a:1"], "response": None}
    assert parse("input.respond", one) == InputRespond((Answer("i", ("a:1",), None),), None, None, {}, {})
    many = {"responses": [one, {**one, "interrupt_id": "j"}], "update": {"x": 1}, "goto": ["n", {"node": "m"}]}
    command = parse("input.respond", many)
    assert [answer.interrupt_id for answer in command.answers] == ["i", "j"]
    assert (command.update, command.goto) == ({"x": 1}, ["n", {"node": "m"}])


def test_subscriptions_and_trees() -> None:
    """The remaining commands."""
    assert isinstance(parse("subscription.subscribe", {"channels": ["values"]}), Subscribe)
    assert parse("subscription.unsubscribe", {"subscription_id": "s"}) == Unsubscribe("s")
    assert parse("agent.getTree") == GetTree()


@pytest.mark.parametrize("method", ["state.fork", "input.inject", "__class__", "", "run.start "])
def test_unknown_commands_are_refused(method: str) -> None:
    """With the code that the schema has for it."""
    with pytest.raises(Refusal) as caught:
        parse(method)
    assert caught.value.code == "unknown_command"


@pytest.mark.parametrize(
    ("method", "params"),
    [
        ("run.start", []),
        ("run.start", {}),
        ("run.start", {"assistant_id": 3}),
        ("run.start", {"assistant_id": "a", "metadata": []}),
        ("input.respond", {}),
        ("input.respond", {"responses": []}),
        ("input.respond", {"responses": [3]}),
        ("input.respond", {"interrupt_id": "i", "namespace": "x", "response": 1}),
        ("input.respond", {"interrupt_id": "i"}),
        ("input.respond", {"responses": [{"interrupt_id": "i", "response": 1}] * 2}),
        ("input.respond", {"responses": [{"interrupt_id": str(n), "response": 1} for n in range(1000)]}),
        ("input.respond", {"interrupt_id": "i", "response": 1, "goto": {"input": 1}}),
        ("input.respond", {"interrupt_id": "i", "response": 1, "update": 3}),
        ("subscription.subscribe", {}),
        ("subscription.unsubscribe", {}),
    ],
)
def test_malformed_parameters_are_refused(method: str, params: Any) -> None:
    """Also an interrupt that is answered twice, and more answers than anybody has."""
    with pytest.raises(Refusal) as caught:
        parse(method, params)
    assert caught.value.code == "invalid_argument"


@pytest.mark.parametrize(
    "config",
    [
        3,
        {"stream_mode": "values"},
        {"callbacks": []},
        {"store": {}},
        {"__pregel_stream": 1},
        {"configurable": {"checkpoint_ns": "x"}},
        {"configurable": {"checkpoint_id": "x"}},
        {"configurable": {"__pregel_checkpointer": 1}},
        {"configurable": []},
        {"metadata": 3},
        {"tags": "x"},
        {"tags": [1]},
        {"recursion_limit": 0},
        {"recursion_limit": True},
        {"max_concurrency": "x"},
        {"run_name": 3},
    ],
)
def test_a_callers_configuration_is_limited(config: Any) -> None:
    """Neither stream modes nor callbacks, checkpoints or internals; in an answer as in a start."""
    with pytest.raises(Refusal) as caught:
        parse("run.start", {"assistant_id": "a", "config": config})
    assert caught.value.code == "invalid_argument"
    with pytest.raises(Refusal):
        parse("input.respond", {"interrupt_id": "i", "response": 1, "config": config})
