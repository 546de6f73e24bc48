"""Run streams: projections, output, the raw log, options."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

import pytest
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.config import get_stream_writer
from langgraph.errors import GraphDrained
from langgraph.graph import END, START, StateGraph
from langgraph.runtime import RunControl, get_runtime

from anyiostream import BackpressureDeadlock, parts

from .adapter import OURS, THEIRS, Lab, Script, on, theirs_since
from .graphs import State, append, chain, node

THREE = [{"trail": []}, {"trail": ["a"]}, {"trail": ["a", "b"]}]
"""The snapshots of a graph of two nodes."""

OPT_IN = {
    "custom": "CustomTransformer",
    "updates": "UpdatesTransformer",
    "tasks": "TasksTransformer",
    "debug": "DebugTransformer",
    "checkpoints": "CheckpointsTransformer",
}
"""Projections that a run has on request only."""


async def test_values(lab: Lab) -> None:
    """(57) `values` yields the snapshots of the graph in order, the last of which is the final state."""
    async with lab.open_graph(chain(lab, "a", "b"), {"trail": []}) as run:
        assert await lab.items(run.values) == THREE
        assert await lab.output(run) == THREE[-1]


async def test_output(lab: Lab) -> None:
    """(58) The output is the last snapshot of the run's own scope, whatever comes from below after it."""
    script = [
        parts.values(1),
        parts.values("below", ns=("sub:1",)),
        parts.values(2),
        parts.values("below", ns=("sub:1",)),
    ]
    async with lab.open(script) as run:
        assert await lab.output(run) == 2
        assert await lab.output(run) == 2


async def test_output_without_snapshots(lab: Lab) -> None:
    """(58) The output of a run that yields no snapshot is None."""
    async with lab.open([parts.custom("x")]) as run:
        assert await lab.output(run) is None


async def test_output_without_values_transformer(lab: Lab) -> None:
    """(59) Output and interrupts do not depend on the `values` projection."""
    script = Script([parts.values(1), parts.values(2, interrupts=("question",))])
    if lab.ours:
        # Ours always register it; the state is known although the projection's reader has left.
        async with lab.open(script) as run:
            await lab.reader(run.values).close()
            assert await lab.output(run) == 2
            assert await lab.interrupts(run) == ["question"]
            assert run.statistics().channels["values"].readers == 0
    else:
        mux = lab.mux(factories=[])
        api = lab.api
        bare = api.AsyncGraphRunStream(script.parts(), mux) if lab.is_async else api.GraphRunStream(iter(script), mux)
        assert await lab.output(bare) == 2
        assert await lab.interrupts(bare) == ["question"]


async def test_raw_events(lab: Lab) -> None:
    """(60) Events of the raw log have a type, a method, a seq, and an integer timestamp."""
    async with lab.open_graph(chain(lab, "a", "b"), {"trail": []}) as run:
        events = [each for each in await lab.items(run) if each["method"] == "values"]
    assert [each["params"]["data"] for each in events] == THREE
    for each in events:
        assert each["type"] == "event"
        assert type(each["seq"]) is int
        assert type(each["params"]["timestamp"]) is int
        assert each["params"]["namespace"] == []


async def test_conversion(lab: Lab) -> None:
    """(60) A part is converted to an event that has its data as they are, its interrupts, and no seq yet."""
    data = {"n": 1}
    event = lab.api.convert_to_protocol_event(parts.values(data, interrupts=("question",), ns=("sub:1",)))
    assert type(event["params"].pop("timestamp")) is int
    assert event == {
        "type": "event",
        "method": "values",
        "params": {"namespace": ["sub:1"], "data": data, "interrupts": ("question",)},
    }
    assert event["params"]["data"] is data
    assert "interrupts" not in lab.api.convert_to_protocol_event(parts.custom(data))["params"]


async def test_extensions(lab: Lab) -> None:
    """(61) `extensions` is a read-only mapping."""
    async with lab.open([]) as run:
        assert isinstance(run.extensions, Mapping)
        assert {"values", "lifecycle", "subgraphs"} <= set(run.extensions)
        with pytest.raises(TypeError):
            run.extensions["values"] = None


async def test_attributes_are_extensions(lab: Lab) -> None:
    """(62) A projection's attribute is the object in `extensions`."""
    async with lab.open([]) as run:
        for name in ("values", "lifecycle", "subgraphs"):
            assert getattr(run, name) is run.extensions[name]


@theirs_since("1.2.12")
async def test_unknown_projection(lab: Lab) -> None:
    """(63) An unknown projection is an AttributeError that lists the registered ones."""
    async with lab.open([]) as run:
        with pytest.raises(AttributeError, match=r"'valeus'.*lifecycle.*subgraphs.*values"):
            _ = run.valeus


@theirs_since("1.2.12")
async def test_attribute_fallback_is_safe(lab: Lab) -> None:
    """(64) A run stream that is not initialised yet has no projections, and may be copied and asked for attributes."""
    async with lab.open([]) as run:
        bare = type(run).__new__(type(run))
        assert not hasattr(bare, "values")
        with pytest.raises(AttributeError, match="registered projections: none"):
            _ = bare.anything
        copied = copy.copy(run)
        assert copied.values is run.values
        assert not hasattr(copied, "anything")


async def test_undeclared_native_projection(lab: Lab) -> None:
    """(65) A native projection that the run stream's class does not declare is attached all the same."""

    class Weather(lab.api.StreamTransformer):  # type: ignore[name-defined,misc]
        _native = True

        def init(self) -> dict[str, Any]:
            self.forecast = lab.api.StreamChannel()
            return {"forecast": self.forecast}

        def process(self, event: Any) -> bool:
            self.forecast.push(event["params"]["data"])
            return True

    async with lab.open([parts.values("rain")], transformers=[Weather]) as run:
        assert await lab.items(run.forecast) == ["rain"]


def writing(lab: Lab) -> Any:
    """A graph whose node writes custom data."""

    def write(state: State) -> State:
        get_stream_writer()({"progress": 1})
        return {"trail": ["a"]}

    return chain(lab, ("a", write))


async def test_required_modes(lab: Lab) -> None:
    """(66) The graph is asked for the modes that registered transformers require, and for nothing else."""
    graph = writing(lab)
    asked: list[list[str]] = []
    name = "astream" if lab.is_async else "stream"
    original = getattr(graph, name)

    def spy(*args: Any, **kwargs: Any) -> Any:
        asked.append(sorted(kwargs["stream_mode"]))
        return original(*args, **kwargs)

    setattr(graph, name, spy)
    async with lab.open_graph(graph, {"trail": []}) as run:
        assert "custom" not in [each["method"] for each in await lab.items(run)]
    async with lab.open_graph(graph, {"trail": []}, transformers=[lab.api.CustomTransformer]) as run:
        assert "custom" in [each["method"] for each in await lab.items(run)]
    assert asked == [["messages", "tasks", "values"], ["custom", "messages", "tasks", "values"]]


@pytest.mark.parametrize("projection", OPT_IN)
async def test_opt_in_projections(lab: Lab, projection: str) -> None:
    """(67) `custom`, `updates`, `tasks`, `debug` and `checkpoints` exist when their transformer is registered."""
    graph = writing(lab)
    graph.checkpointer = InMemorySaver()
    config = {"configurable": {"thread_id": "1"}}
    async with lab.open_graph(graph, {"trail": []}, config=config) as run:
        with pytest.raises(AttributeError, match=projection):
            getattr(run, projection)
        await lab.output(run)
    transformers = [getattr(lab.api, OPT_IN[projection])]
    async with lab.open_graph(graph, {"trail": []}, config=config, transformers=transformers) as run:
        items = await lab.items(getattr(run, projection))
    assert items
    if projection == "custom":
        assert items == [{"progress": 1}]
    elif projection == "updates":
        assert items == [{"a": {"trail": ["a"]}}]


async def test_options_reach_the_graph(lab: Lab) -> None:
    """(68) Further keyword arguments reach the graph's `stream` and `astream`."""
    graph = chain(lab, "a", checkpointer=InMemorySaver())
    config = {"configurable": {"thread_id": "1"}}
    given: dict[str, Any] = {}
    name = "astream" if lab.is_async else "stream"
    original = getattr(graph, name)

    def spy(*args: Any, **kwargs: Any) -> Any:
        given.update(kwargs)
        return original(*args, **kwargs)

    setattr(graph, name, spy)
    async with lab.open_graph(graph, {"trail": []}, config=config, durability="exit", output_keys=["trail"]) as run:
        assert await lab.output(run) == {"trail": ["a"]}
    assert given["durability"] == "exit"
    assert given["output_keys"] == ["trail"]
    assert given["subgraphs"] is True


@pytest.mark.parametrize("option", [{"stream_mode": "values"}, {"subgraphs": False}], ids=str)
async def test_refused_options(lab: Lab, option: dict[str, Any]) -> None:
    """(68) `stream_mode` and `subgraphs` are not for choosing: a TypeError."""
    with pytest.raises(TypeError, match=next(iter(option))):
        async with lab.open_graph(chain(lab, "a"), {"trail": []}, **option):
            raise AssertionError("never entered")


async def test_context_reaches_the_nodes(lab: Lab) -> None:
    """(68) The run's `context` is what nodes find in their runtime."""

    def greet(state: State) -> State:
        return {"trail": [get_runtime(dict).context["name"]]}

    builder = StateGraph(State, context_schema=dict)
    builder.add_node("greet", node(lab, greet))
    builder.add_edge(START, "greet")
    async with lab.open_graph(builder.compile(), {"trail": []}, context={"name": "Ada"}) as run:
        assert await lab.output(run) == {"trail": ["Ada"]}


async def test_drain(lab: Lab) -> None:
    """(69) A drain that `control` requests raises GraphDrained through `values`, after the snapshots so far."""
    control = RunControl()

    def stop(state: State) -> State:
        control.request_drain("enough")
        return {"trail": ["a"]}

    graph = chain(lab, ("a", stop), "b", checkpointer=InMemorySaver())
    config = {"configurable": {"thread_id": "1"}}
    async with lab.open_graph(graph, {"trail": []}, config=config, control=control) as run:
        snapshots, error = await lab.outcome(run.values)
    assert snapshots == THREE[:2]
    assert isinstance(error, GraphDrained)
    assert "enough" in str(error)


@pytest.mark.parametrize(("option", "expected"), [("interrupt_before", []), ("interrupt_after", ["a"])])
async def test_static_interrupts(lab: Lab, option: str, expected: list[str]) -> None:
    """(70) `interrupt_before` and `interrupt_after` stop the graph there, and it can be resumed."""
    graph = chain(lab, "a", "b", checkpointer=InMemorySaver())
    config = {"configurable": {"thread_id": "1"}}
    async with lab.open_graph(graph, {"trail": []}, config=config, **{option: ["a"]}) as run:
        assert await lab.output(run) == {"trail": expected}
    async with lab.open_graph(graph, None, config=config) as run:
        assert await lab.output(run) == {"trail": ["a", "b"]}


@on(THEIRS)
async def test_without_context_manager_theirs(lab: Lab) -> None:
    """(71) Theirs may be used without a context manager."""
    assert await lab.output(lab.bare_run(Script([parts.values(1)]))) == 1


@on(OURS)
async def test_without_context_manager_ours(lab: Lab) -> None:
    """(71) As a deviation, ours has nothing to read before its context manager is entered."""
    opened = lab.api.open_run([parts.values(1)])
    for name in ("values", "output", "extensions", "abort"):
        assert not hasattr(opened, name)
    # Deviation: the context manager is required, on the lane's own protocol.
    async with lab.open([parts.values(1)]) as run:
        assert await lab.output(run) == 1


async def test_cursors_first(lab: Lab) -> None:
    """(72) Cursors that were opened first are filled while the output drives the run, and may be read afterwards."""
    script = [
        parts.values(1),
        parts.task_start("1", "sub"),
        parts.task_start("2", "inner", ns=("sub:1",)),
        parts.task_result("1", "sub"),
        parts.values(2),
    ]
    async with lab.open(script) as run:
        values, log, lifecycle, handles = (lab.reader(each) for each in (run.values, run, run.lifecycle, run.subgraphs))
        assert await lab.output(run) == 2
        assert await values.rest() == [1, 2]
        assert [each["method"] for each in await log.rest()] == ["values", "lifecycle", "lifecycle", "values"]
        assert [each["event"] for each in await lifecycle.rest()] == ["started", "completed"]
        assert [each.path for each in await handles.rest()] == [("sub:1",)]


async def test_cursors_first_beyond_the_bound(lab: Lab) -> None:
    """(72) As a deviation, ours say that a cursor with more than the bound has to be read meanwhile."""
    async with lab.open([parts.values(n) for n in range(200)]) as run:
        values = lab.reader(run.values)
        assert await values.next() == 0
        if lab.ours:
            # Deviation: bounds. Neither the run nor the cursor is harmed.
            with pytest.raises(BackpressureDeadlock, match="'values'"):
                await lab.output(run)
            assert lab.depth(run.values) == 64
        else:
            assert await lab.output(run) == 199
            assert lab.depth(run.values) == 199
        assert await values.rest() == list(range(1, 200))
        assert await lab.output(run) == 199


async def test_conditional_edges(lab: Lab) -> None:
    """(57, 58) A graph that loops yields a snapshot per superstep."""
    builder = StateGraph(State)
    builder.add_node("a", node(lab, append("a")))
    builder.add_edge(START, "a")
    builder.add_conditional_edges("a", lambda state: END if len(state["trail"]) == 4 else "a")
    async with lab.open_graph(builder.compile(), {"trail": []}) as run:
        assert await lab.items(run.values) == [{"trail": ["a"] * n} for n in range(5)]
