"""Handles of subgraphs, and runs inside runs."""

from __future__ import annotations

from typing import Any

import anyio
import pytest
from langgraph.errors import GraphDrained, GraphInterrupt

from anyiostream import parts

from .adapter import ASYNC, Lab, Script, drive, on, theirs_since
from .graphs import State, chain

ONE = [
    parts.values(0),
    parts.task_start("1", "sub"),
    parts.task_start("2", "inner", ns=("sub:1",)),
    parts.values("a", ns=("sub:1",)),
    parts.values("b", ns=("sub:1",)),
    parts.task_result("2", "inner", ns=("sub:1",)),
    parts.task_result("1", "sub"),
    parts.values(1),
]
"""A run with one subgraph."""

DEEP = [
    parts.task_start("1", "sub"),
    parts.task_start("2", "deeper", ns=("sub:1",)),
    parts.task_start("3", "inner", ns=("sub:1", "deeper:2")),
    parts.values("deep", ns=("sub:1", "deeper:2")),
    parts.task_result("2", "deeper", ns=("sub:1",)),
    parts.values("middle", ns=("sub:1",)),
    parts.task_result("1", "sub"),
    parts.values("top"),
]
"""A run with a subgraph that has a subgraph."""

TWO = [
    *ONE[:-1],
    parts.task_start("5", "next"),
    parts.task_start("6", "inner", ns=("next:5",)),
    parts.values("c", ns=("next:5",)),
    parts.task_result("5", "next"),
    parts.values(2),
]
"""A run with two subgraphs, one after the other."""


async def test_handle(lab: Lab) -> None:
    """(100) A handle comes with the first task event of a direct child, and says which subgraph it is."""
    script = Script(ONE)
    async with lab.open(script) as run:
        handle = await lab.reader(run.subgraphs).next()
        assert handle.path == ("sub:1",)
        assert handle.graph_name == "sub"
        assert handle.trigger_call_id == "1"
        assert handle.status == "started"
        assert handle.error is None
        assert isinstance(handle, lab.api.AsyncSubgraphRunStream if lab.is_async else lab.api.SubgraphRunStream)


async def test_task_at_the_root_makes_no_handle(lab: Lab) -> None:
    """(100) A task that runs no subgraph makes no handle."""
    script = [parts.task_start("1", "node"), parts.task_result("1", "node"), parts.values(1)]
    async with lab.open(script) as run:
        assert await lab.items(run.subgraphs) == []


async def test_handle_of_an_agent(lab: Lab) -> None:
    """(100, 119) The handle of an agent is called as the agent is."""
    script = [parts.task_start("2", "model", ns=("tools:1",), metadata={"lc_agent_name": "researcher"})]
    async with lab.open(script) as run:
        (handle,) = await lab.items(run.subgraphs)
        assert (handle.path, handle.graph_name) == (("tools:1",), "researcher")


RESULTS = {
    "completed": {},
    "failed": {"error": "NodeError('it broke')"},
    "interrupted": {"interrupts": ["question"]},
}


@pytest.mark.parametrize("status", RESULTS)
async def test_status_from_the_result(lab: Lab, status: str) -> None:
    """(101) How a subgraph ended is told by its parent's result, with the error's text."""
    script = [*ONE[:5], parts.task_result("1", "sub", **RESULTS[status]), parts.values(1)]
    async with lab.open(script) as run:
        (handle,) = await lab.items(run.subgraphs)
        assert handle.status == status
        assert handle.error == RESULTS[status].get("error")


async def test_result_before_the_end(lab: Lab) -> None:
    """(101) The status changes when the result arrives, not at the end of the run."""
    async with lab.open(ONE) as run:
        handle = await lab.reader(run.subgraphs).next()
        await lab.items(handle.values)
        assert handle.status == "completed"
        assert await lab.items(run.values) == [1]


async def test_grandchildren(lab: Lab) -> None:
    """(102) A grandchild appears on the child's handle, and not at the root."""
    paths: list[Any] = []
    async with lab.open(DEEP) as run:
        handles = lab.reader(run.subgraphs)
        child = await handles.next()
        paths.append(child.path)
        grandchild = await lab.reader(child.subgraphs).next()
        paths.append(grandchild.path)
        assert await lab.items(grandchild.values) == ["deep"]
        assert await lab.items(child.values) == ["middle"]
        assert await handles.rest() == []
    assert paths == [("sub:1",), ("sub:1", "deeper:2")]


async def test_close_completes_open_handles(lab: Lab) -> None:
    """(103) The good end of the run completes the handles that are still open, at every depth."""
    async with lab.open(DEEP[:4]) as run:
        child = await lab.reader(run.subgraphs).next()
        grandchild = await lab.reader(child.subgraphs).next()
        await lab.output(run)
        assert (child.status, grandchild.status) == ("completed", "completed")
        assert await lab.output(grandchild) == "deep"


async def test_failure_fails_open_handles(lab: Lab) -> None:
    """(104) The failure of the run fails the handles that are still open, with the error's text."""
    error = LookupError("broken")
    async with lab.open(Script(DEEP[:4], error)) as run:
        child = await lab.reader(run.subgraphs).next()
        values = lab.reader(child.values)
        with pytest.raises(LookupError):
            await lab.output(run)
        assert (child.status, child.error) == ("failed", "broken")
        assert (await values.outcome())[1] is error


@pytest.mark.parametrize(
    ("error", "status"), [(GraphInterrupt(), "interrupted"), (GraphDrained("enough"), "drained"), (None, "interrupted")]
)
async def test_interrupt_interrupts_open_handles(lab: Lab, error: Exception | None, status: str) -> None:
    """(104) A mux that fails with LangGraph's GraphInterrupt, or ours, leaves open handles interrupted, not failed."""
    mux = lab.mux(factories=[lab.api.SubgraphTransformer])
    handles = lab.reader(mux.extensions["subgraphs"])
    await lab.push(mux, {"type": "event", "method": "tasks", "params": _params(ONE[2])})
    handle = await handles.next()
    await lab.fail(mux, lab.api.GraphInterrupt() if error is None else error)
    assert (handle.status, handle.error) == (status, None)


def _params(part: Any) -> dict[str, Any]:
    return {"namespace": list(part["ns"]), "timestamp": 0, "data": part["data"]}


async def test_tasks_events_are_not_logged(lab: Lab) -> None:
    """(105) `tasks` events are on no raw log: not on the root's, not on a handle's."""
    async with lab.open(DEEP) as run:
        log = lab.reader(run)
        child = await lab.reader(run.subgraphs).next()
        child_log = lab.reader(child)
        await lab.output(run)
        methods = {each["method"] for each in await log.rest()}
        below = {each["method"] for each in await child_log.rest()}
    assert methods == {"values", "lifecycle"}
    assert "tasks" not in below
    assert "values" in below


def watching(lab: Lab, seen: list[Any]) -> type:
    """A transformer that notes its scope, the `values` events that it sees, and their `seq` at that time."""

    class Watching(lab.api.StreamTransformer):  # type: ignore[name-defined,misc]
        def init(self) -> dict[str, Any]:
            return {}

        def process(self, event: Any) -> bool:
            if event["method"] == "values" and event["params"]["namespace"] == ["sub:1"]:
                seen.append((self.scope, event, event.get("seq")))
            return True

    return Watching


async def test_child_gets_the_same_event(lab: Lab) -> None:
    """(106) A subgraph's transformers get the same event object as the root's, and it has no `seq` yet."""
    seen: list[Any] = []
    async with lab.open(ONE, transformers=[watching(lab, seen)]) as run:
        log = [each for each in await lab.items(run) if each["params"]["namespace"] == ["sub:1"]]
    by_scope = {scope: [event for at, event, _ in seen if at == scope] for scope in ((), ("sub:1",))}
    assert len(by_scope[()]) == len(by_scope["sub:1",]) == 2
    assert all(child is root for child, root in zip(by_scope["sub:1",], by_scope[()], strict=True))
    logged = [each for each in log if each["method"] == "values"]
    assert all(child is root for child, root in zip(by_scope["sub:1",], logged, strict=True))
    assert [seq for _, _, seq in seen] == [None] * 4


async def test_child_log(lab: Lab) -> None:
    """(106, 36) A handle's raw log holds the events of its namespace, which carry the `seq` of the root's."""
    async with lab.open(ONE) as run:
        log = lab.reader(run)
        handle = await lab.reader(run.subgraphs).next()
        below = [each for each in await lab.items(handle) if each["method"] == "values"]
        await lab.output(run)
        at_root = [each for each in await log.rest() if each["params"]["namespace"] and each["method"] == "values"]
    assert [each["params"]["data"] for each in below] == ["a", "b"]
    assert all(child is root for child, root in zip(below, at_root, strict=True))


@on(ASYNC)
async def test_child_runs_the_async_lane(lab: Lab) -> None:
    """(107) Under a run on the async lane the async hooks of a subgraph's transformers are called."""
    seen: list[Any] = []

    class Watching(lab.api.StreamTransformer):  # type: ignore[name-defined,misc]
        def init(self) -> dict[str, Any]:
            return {}

        async def aprocess(self, event: Any) -> bool:
            if self.scope and event["method"] == "values":
                seen.append(event["params"]["data"])
            return True

        async def afinalize(self) -> None:
            seen.append(("afinalize", self.scope))

    async with lab.open(ONE, transformers=[Watching]) as run:
        assert await lab.output(run) == 1
    assert seen == ["a", "b", ("afinalize", ("sub:1",)), ("afinalize", ())]


async def test_child_fail_hook(lab: Lab) -> None:
    """(108) The fail hook of a subgraph's transformer gets the same error object as the root's."""
    seen: list[Any] = []
    error = LookupError("broken")

    class Failing(lab.api.StreamTransformer):  # type: ignore[name-defined,misc]
        def init(self) -> dict[str, Any]:
            return {}

        def process(self, event: Any) -> bool:
            return True

        def fail(self, err: BaseException) -> None:
            seen.append((self.scope, err))

    class AsyncFailing(Failing):
        async def afail(self, err: BaseException) -> None:
            seen.append((self.scope, err))

    script = Script(ONE[:4], error)
    async with lab.open(script, transformers=[AsyncFailing if lab.is_async else Failing]) as run:
        with pytest.raises(LookupError):
            await lab.output(run)
    assert [scope for scope, _ in seen] == [("sub:1",), ()]
    assert all(err is error for _, err in seen)


async def test_drilling_in_the_body(lab: Lab) -> None:
    """(109) A handle's values are complete when they are read in the body of the loop."""
    got = []
    async with lab.open(TWO) as run:
        handles = lab.reader(run.subgraphs)
        for _ in range(2):
            handle = await handles.next()
            got.append((handle.graph_name, await lab.items(handle.values)))
        assert await handles.rest() == []
    assert got == [("sub", ["a", "b"]), ("next", ["c"])]


@theirs_since("1.2.6")
@on(ASYNC)
@pytest.mark.parametrize("waits", [True, False])
async def test_drilling_while_another_task_drives(lab: Lab, waits: bool) -> None:
    """(109) So are they, and the handle's raw log, while another task drives the run, also if the graph never waits."""
    got: list[Any] = []
    logs: list[Any] = []

    async def drill(run: Any) -> None:
        handles = lab.reader(run.subgraphs)
        while len(got) < 2:
            handle = await handles.next()
            values, log = lab.reader(handle.values), lab.reader(handle)
            got.append((handle.graph_name, await values.rest()))
            logs.append([each["params"]["data"] for each in await log.rest() if each["method"] == "values"])

    async with lab.open(Script(TWO, waits=waits)) as run:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(lab.output, run)
            tasks.start_soon(drill, run)
        assert await lab.output(run) == 2
        assert got == [("sub", ["a", "b"]), ("next", ["c"])]
        assert logs == [["a", "b"], ["c"]]


async def test_drilling_in_a_graph(lab: Lab) -> None:
    """(109) So are those of a real graph's subgraph."""
    graph = chain(lab, "a", ("sub", chain(lab, "x", "y")), "b")
    async with lab.open_graph(graph, {"trail": []}) as run:
        handles = lab.reader(run.subgraphs)
        handle = await handles.next()
        assert handle.graph_name == "sub"
        assert handle.path == (f"sub:{handle.trigger_call_id}",)
        trails = [snapshot["trail"] for snapshot in await lab.items(handle.values)]
        # The subgraph's first snapshot precedes its first task, and with it the handle.
        assert trails == [["a", "x"], ["a", "x", "y"]]
        assert await lab.output(handle) == {"trail": ["a", "x", "y"]}
        assert await handles.rest() == []
        assert (await lab.output(run))["trail"][-1] == "b"


async def test_output_of_a_handle_stops_at_its_end(lab: Lab) -> None:
    """(110) A handle's output drives the run to that subgraph's end, not further."""
    script = Script(TWO)
    async with lab.open(script, **({"prefetch": 0} if lab.ours else {})) as run:
        handle = await lab.reader(run.subgraphs).next()
        assert await lab.output(handle) == "b"
        assert script.pulled == 7
        assert await lab.output(run) == 2
        assert await lab.output(handle) == "b"


async def test_siblings(lab: Lab) -> None:
    """(111) Two subgraphs side by side are both discovered, and both completed at the end."""
    script = [
        parts.task_start("1", "left"),
        parts.task_start("2", "right"),
        parts.task_start("3", "inner", ns=("left:1",)),
        parts.task_start("4", "inner", ns=("right:2",)),
        parts.task_result("2", "right"),
        parts.task_result("1", "left"),
        parts.values(1),
    ]
    async with lab.open(script) as run:
        handles = await lab.items(run.subgraphs)
        assert [handle.graph_name for handle in handles] == ["left", "right"]
        assert [handle.status for handle in handles] == ["completed", "completed"]


async def test_same_node_twice(lab: Lab) -> None:
    """(100, 111) A node that runs its subgraph in two tasks makes two handles."""
    script = [
        parts.task_start("3", "inner", ns=("sub:1",)),
        parts.task_start("4", "inner", ns=("sub:2",)),
        parts.values("first", ns=("sub:1",)),
        parts.values("second", ns=("sub:2",)),
    ]
    async with lab.open(script) as run:
        handles = lab.reader(run.subgraphs)
        first = await handles.next()
        first_values = lab.reader(first.values)
        second = await handles.next()
        assert await lab.items(second.values) == ["second"]
        assert await first_values.rest() == ["first"]


async def test_own_scope_of_a_nested_run(lab: Lab) -> None:
    """(112) A run inside a node takes its scope from the node's namespace: it sees that and what is below."""
    observed: list[Any] = []
    inner = chain(lab, "x", ("sub", chain(lab, "y")))

    async def observe(state: State) -> State:
        async with lab.open_graph(inner, {"trail": state["trail"]}) as run:
            values, log, handles = (lab.reader(each) for each in (run.values, run, run.subgraphs))
            output = await lab.output(run)
            paths = [handle.path for handle in await handles.rest()]
            namespaces = {tuple(each["params"]["namespace"]) for each in await log.rest() if each["method"] == "values"}
            observed.append(([snapshot["trail"] for snapshot in await values.rest()], paths, namespaces))
        return output

    # On trio too the node runs on asyncio, as all of LangGraph's do; the inner run is opened there.
    graph = chain(lab, ("nested", observe if lab.is_async else lambda state: drive(observe(state))))
    async with lab.open_graph(graph, {"trail": ["start"]}) as run:
        assert await lab.output(run) == {"trail": ["start", "x", "y"]}
    ((trails, (path,), namespaces),) = observed
    assert trails == [["start"], ["start", "x"], ["start", "x", "y"]]
    assert [segment.split(":")[0] for segment in path] == ["nested", "sub"]
    assert namespaces == {path[:1], path}


async def test_scope_of_scripted_runs(lab: Lab) -> None:
    """(112) A run with a scope of its own shows the values of that scope and the handles directly below."""
    script = [
        parts.values("above"),
        parts.values("own", ns=("outer:1",)),
        parts.task_start("3", "inner", ns=("outer:1", "sub:2")),
        parts.values("below", ns=("outer:1", "sub:2")),
        parts.values("beside", ns=("other:9",)),
    ]
    async with lab.open(script, scope=("outer:1",)) as run:
        values = lab.reader(run.values)
        handles = await lab.items(run.subgraphs)
        assert [handle.path for handle in handles] == [("outer:1", "sub:2")]
        assert await values.rest() == ["own"]
        assert await lab.output(run) == "own"
