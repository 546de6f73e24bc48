"""The `lifecycle` projection: subgraphs at every depth as they start and end."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest

from anyiostream import parts

from .adapter import Lab, Script, event
from .graphs import State, chain

SUB = ("sub:1",)
DEEPER = ("sub:1", "deeper:2")

DEEP = [
    parts.task_start("1", "sub"),
    parts.task_start("2", "deeper", ns=SUB),
    parts.task_start("3", "inner", ns=DEEPER),
    parts.task_result("3", "inner", ns=DEEPER),
    parts.task_result("2", "deeper", ns=SUB),
    parts.task_result("1", "sub"),
    parts.values("top"),
]
"""A run with a subgraph that has a subgraph."""


def brief(items: Iterable[Any]) -> list[tuple[str, tuple[str, ...]]]:
    """What happened where."""
    return [(item["event"], tuple(item["namespace"])) for item in items]


async def test_started_once(lab: Lab) -> None:
    """(113) A subgraph is announced once, however many tasks it has."""
    script = [
        parts.task_start("2", "x", ns=SUB),
        parts.task_result("2", "x", ns=SUB),
        parts.task_start("3", "y", ns=SUB),
        parts.task_result("1", "sub"),
    ]
    async with lab.open(script) as run:
        assert brief(await lab.items(run.lifecycle)) == [("started", SUB), ("completed", SUB)]


async def test_every_depth(lab: Lab) -> None:
    """(114, 115) Subgraphs at every depth below the scope are reported, and the inner one completes first."""
    async with lab.open(DEEP) as run:
        assert brief(await lab.items(run.lifecycle)) == [
            ("started", SUB),
            ("started", DEEPER),
            ("completed", DEEPER),
            ("completed", SUB),
        ]


async def test_scope_of_a_handle(lab: Lab) -> None:
    """(114) A handle's `lifecycle` reports what is below that subgraph."""
    async with lab.open(DEEP) as run:
        handle = await lab.reader(run.subgraphs).next()
        assert brief(await lab.items(handle.lifecycle)) == [("started", DEEPER), ("completed", DEEPER)]


async def test_inner_before_outer_without_results(lab: Lab) -> None:
    """(115) What is open at the run's end completes inner before outer in ours, in order of its start in theirs."""
    async with lab.open(DEEP[:3]) as run:
        ended = brief(await lab.items(run.lifecycle))[2:]
    expected = [("completed", DEEPER), ("completed", SUB)]
    # A defect of the original: what no result has ended is ended in order of its start.
    assert ended == (expected if lab.ours else expected[::-1])


@pytest.mark.parametrize(
    ("result", "status"),
    [({}, "completed"), ({"error": "it broke"}, "failed"), ({"interrupts": ["question"]}, "interrupted")],
    ids=str,
)
async def test_inner_before_outer_without_inner_result(lab: Lab, result: dict[str, Any], status: str) -> None:
    """(115) The outer subgraph's result ends the inner one first in ours; theirs leave it open to the run's end."""
    script = [*DEEP[:3], parts.task_result("1", "sub", **result), parts.values("top")]
    async with lab.open(script) as run:
        ended = brief(await lab.items(run.lifecycle))[2:]
    if lab.ours:
        assert ended == [(status, DEEPER), (status, SUB)]
    else:
        # A defect of the original, which also calls it completed whatever happened.
        assert ended == [(status, SUB), ("completed", DEEPER)]


async def test_payload_of_a_start(lab: Lab) -> None:
    """(113, 119) The announcement names the subgraph's node and the task that runs it."""
    async with lab.open(DEEP) as run:
        started = await lab.reader(run.lifecycle).next()
    assert started == {"event": "started", "namespace": ["sub:1"], "graph_name": "sub", "trigger_call_id": "1"}


async def test_failed(lab: Lab) -> None:
    """(116) A failed subgraph's payload carries the error's text."""
    script = [*DEEP[:5], parts.task_result("1", "sub", error="NodeError('it broke')")]
    async with lab.open(script) as run:
        last = (await lab.items(run.lifecycle))[-1]
    assert last == {"event": "failed", "namespace": ["sub:1"], "error": "NodeError('it broke')"}


async def test_interrupted(lab: Lab) -> None:
    """(116, 117) An interrupted subgraph's payload carries no error, and an interrupt counts before an error."""
    for result in ({"interrupts": ["question"]}, {"interrupts": ["question"], "error": "GraphInterrupt()"}):
        async with lab.open([*DEEP[:5], parts.task_result("1", "sub", **result)]) as run:
            last = (await lab.items(run.lifecycle))[-1]
        assert last == {"event": "interrupted", "namespace": ["sub:1"]}


async def test_run_failure(lab: Lab) -> None:
    """(116) What is open when the run fails has failed with the run's error."""
    async with lab.open(Script(DEEP[:2], LookupError("broken"))) as run:
        items, error = await lab.outcome(run.lifecycle)
    assert items[-1] == {"event": "failed", "namespace": ["sub:1"], "error": "broken"}
    assert isinstance(error, LookupError)


async def test_interrupt_error_at_the_end(lab: Lab) -> None:
    """(117) A mux that fails with GraphInterrupt reports interrupted subgraphs, not failed ones."""
    mux = lab.mux(factories=[lab.api.LifecycleTransformer])
    lifecycle = lab.reader(mux.extensions["lifecycle"])
    await lab.push(mux, event("tasks", DEEP[1]["data"], ns=SUB))
    await lab.fail(mux, lab.api.GraphInterrupt())
    items, _ = await lifecycle.outcome()
    assert items[-1] == {"event": "interrupted", "namespace": ["sub:1"]}


@pytest.mark.parametrize("result", [{}, {"error": "it broke"}, {"interrupts": ["question"]}], ids=str)
async def test_agrees_with_the_handle(lab: Lab, result: dict[str, Any]) -> None:
    """(118) The last report on a subgraph agrees with its handle's status and error."""
    script = [*DEEP[:5], parts.task_result("1", "sub", **result)]
    async with lab.open(script) as run:
        lifecycle = lab.reader(run.lifecycle)
        (handle,) = await lab.items(run.subgraphs)
        last = (await lifecycle.rest())[-1]
    assert (handle.status, handle.error) == (last["event"], last.get("error"))


async def test_agrees_with_the_handle_in_a_graph(lab: Lab) -> None:
    """(118, 114) So it does in a real graph whose innermost node fails, at each level."""

    def fail(state: State) -> State:
        raise LookupError("innermost")

    graph = chain(lab, ("sub", chain(lab, ("deeper", chain(lab, "x", ("y", fail))))))
    async with lab.open_graph(graph, {"trail": []}) as run:
        lifecycle, handles = lab.reader(run.lifecycle), lab.reader(run.subgraphs)
        child = await handles.next()
        grandchild = await lab.reader(child.subgraphs).next()
        with pytest.raises(LookupError):
            await lab.output(run)
        items, _ = await lifecycle.outcome()
    last = {tuple(item["namespace"]): item for item in items}
    for handle in (child, grandchild):
        assert handle.status == last[handle.path]["event"] == "failed"
        assert handle.error == last[handle.path]["error"]
        assert "innermost" in handle.error


async def test_graph_name(lab: Lab) -> None:
    """(119) `graph_name` is the agent's name when one is given, else the name of the node."""
    script = [
        parts.task_start("3", "model", ns=("tools:1",), metadata={"lc_agent_name": "researcher"}),
        parts.task_start("4", "model", ns=("plain:2",), metadata={}),
    ]
    async with lab.open(script) as run:
        started = [item for item in await lab.items(run.lifecycle) if item["event"] == "started"]
    assert [item["graph_name"] for item in started] == ["researcher", "plain"]


CALL = {"name": "research", "args": {}, "id": "call-7"}


@pytest.mark.parametrize(
    "given", [{"tool_call": CALL}, [CALL], [{"name": "no id"}, CALL]], ids=["dict", "list", "later"]
)
async def test_cause(lab: Lab, given: Any) -> None:
    """(120) An agent that a tool runs is caused by the tool call that the task's input names, a dict or a list."""
    script = [
        parts.task_start("1", "tools", input=given),
        parts.task_start("2", "model", ns=("tools:1",), metadata={"lc_agent_name": "researcher"}),
    ]
    async with lab.open(script) as run:
        started = await lab.reader(run.lifecycle).next()
    assert started["cause"] == {"type": "toolCall", "tool_call_id": "call-7"}


async def test_no_cause(lab: Lab) -> None:
    """(121) A nested run that is no agent has no cause, although a tool call runs it."""
    script = [
        parts.task_start("1", "tools", input={"tool_call": CALL}),
        parts.task_start("2", "inner", ns=("tools:1",)),
    ]
    async with lab.open(script) as run:
        assert "cause" not in await lab.reader(run.lifecycle).next()


async def test_override_with_three_arguments(lab: Lab) -> None:
    """(122) A subclass whose `_on_started` takes namespace, name and task is called with these."""
    seen: list[Any] = []

    class Named(lab.api.LifecycleTransformer):  # type: ignore[name-defined,misc]
        def _on_started(self, ns: Any, graph_name: Any, trigger_call_id: Any) -> None:
            seen.append((ns, graph_name, trigger_call_id))
            super()._on_started(ns, f"the {graph_name}", trigger_call_id)

    mux = lab.mux(factories=[Named])
    lifecycle = lab.reader(mux.extensions["lifecycle"])
    await lab.push(mux, event("tasks", DEEP[1]["data"], ns=SUB))
    await lab.close(mux)
    started, completed = await lifecycle.rest()
    assert seen == [(SUB, "sub", "1")]
    assert started["graph_name"] == "the sub"
    assert completed["event"] == "completed"


async def test_namespace_without_task_id(lab: Lab) -> None:
    """(113) A namespace that does not tell its task is not reported, since nothing could say how it ended."""
    async with lab.open([parts.task_start("2", "x", ns=("sub",)), parts.values(1)]) as run:
        assert await lab.items(run.lifecycle) == []
        assert await lab.output(run) == 1


async def test_forwarded(lab: Lab) -> None:
    """(38, 105) The payloads are `lifecycle` events of the raw log, in place of the `tasks` events."""
    async with lab.open(DEEP) as run:
        lifecycle = lab.reader(run.lifecycle)
        log = [each for each in await lab.items(run) if each["method"] == "lifecycle"]
        assert [each["params"]["data"] for each in log] == await lifecycle.rest()
    assert len(log) == 4
