"""An `AttributeError` of the graph or of a hook is the run's error, and is not taken for a name that is not there."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from typing import Any, TypedDict

import pytest
from langgraph.graph import END, START, StateGraph

from anyiostream import MessageFailed, StreamTransformer, open_run, parts
from anyiostream.errors import MissingProjection

pytestmark = pytest.mark.anyio

PROPERTIES = ("output", "interrupted", "interrupts")


class State(TypedDict):
    """The state of the compiled graph."""

    n: int


def broken(error: AttributeError) -> dict[str, Any]:
    """Graphs of each kind whose code raises `error`."""

    def generate(given: object) -> Iterator[Any]:
        yield parts.values(1)
        raise error

    async def write(given: object, writer: Any) -> None:
        await writer.values(1)
        raise error

    def node(state: State) -> State:
        raise error

    builder = StateGraph(State)
    builder.add_node("node", node)
    builder.add_edge(START, "node")
    builder.add_edge("node", END)
    return {"generator": generate, "function": write, "compiled": builder.compile()}


class FailsAtTheEnd(StreamTransformer):
    """A transformer whose `finalize` raises `error` in subgraphs."""

    error = AttributeError("of a hook")

    def init(self) -> dict[str, Any]:
        """No projection."""
        return {}

    def process(self, event: Any) -> bool:
        """Look at nothing."""
        return True

    def finalize(self) -> None:
        """Fail, but for the root's."""
        if self.scope:
            raise self.error


@pytest.mark.parametrize("kind", ["generator", "function", "compiled"])
@pytest.mark.parametrize("name", PROPERTIES)
def test_a_property_of_a_run_raises_the_graphs_own_attribute_error(kind: str, name: str) -> None:
    """The very object, as often as it is asked for; once somebody has got it the block is left in silence."""
    error = AttributeError("'NoneType' object has no attribute 'content'")
    with open_run(broken(error)[kind], {"n": 0}) as run:
        for _ in range(2):
            with pytest.raises(AttributeError) as caught:
                getattr(run, name)
            assert caught.value is error
            assert error.__context__ is None
    assert run.status == "failed"


async def test_no_lane_takes_it_for_a_missing_name(lane: Any) -> None:
    """What awaiting `output()` raises is what the property of the other lane raises."""
    error = AttributeError("of a node")
    async with lane.open(broken(error)["function"]) as run:
        with pytest.raises(AttributeError) as caught:
            await lane.output(run)
        assert caught.value is error


def test_an_attribute_error_that_nobody_got_leaves_the_block() -> None:
    """As any other error."""
    error = AttributeError("of a node")
    with pytest.raises(AttributeError) as caught, open_run(broken(error)["generator"]) as run:
        assert next(iter(run.values)) == 1
        for _ in run.messages:
            pass
    assert caught.value is error


@pytest.mark.parametrize("name", PROPERTIES)
@pytest.mark.parametrize("of_a_hook", [False, True])
def test_a_property_of_a_handle_raises_it_as_well(name: str, of_a_hook: bool) -> None:
    """Of the run that ended while the subgraph was open, or of a hook at the subgraph's end."""
    error = FailsAtTheEnd.error if of_a_hook else AttributeError("of a node")

    def graph(given: object) -> Iterator[Any]:
        yield parts.task_start("t", "child")
        yield parts.values(1, ns=("child:t",))
        yield parts.task_start("i", "inner", ns=("child:t",))
        if of_a_hook:
            yield parts.task_result("t", "child")
        raise error

    with open_run(graph, transformers=[FailsAtTheEnd] if of_a_hook else []) as run:
        handle = next(iter(run.subgraphs))
        with pytest.raises(AttributeError) as caught:
            getattr(handle, name)
        assert caught.value is error
        with pytest.raises(AttributeError) as caught:
            _ = run.output
        assert caught.value is error


@pytest.mark.parametrize("use", [lambda run: run.ouptut, lambda run: run.no_such_thing])
def test_a_name_that_is_not_there_is_still_missing(use: Callable[[Any], object]) -> None:
    """Also when the run has failed with an AttributeError of its own."""
    with (
        pytest.raises(AttributeError, match="of a node"),
        open_run(broken(AttributeError("of a node"))["function"]) as run,
    ):
        list(run.messages)
        with pytest.raises(MissingProjection, match="has no attribute"):
            use(run)


def test_half_made_runs_and_copies_have_attributes_that_can_be_asked_for() -> None:
    """`hasattr` answers, and `copy` copies, before there is anything to ask."""
    with open_run([parts.values(1)]) as run:
        blank = type(run).__new__(type(run))
        assert not hasattr(blank, "values")
        assert not any(hasattr(blank, name) for name in (*PROPERTIES, "extensions", "status"))
        assert copy.copy(run).output == 1
        assert not hasattr(run, "no_such_thing")
        assert all(hasattr(run, name) for name in (*PROPERTIES, "values", "status"))


@pytest.mark.parametrize("name", ["output", "usage"])
def test_a_property_of_a_message_raises_it_as_well(name: str) -> None:
    """The run's own, which cut the message off."""
    error = AttributeError("of a node")

    async def graph(given: object, writer: Any) -> None:
        async with writer.message() as message:
            await message.text("half")
            raise error

    with open_run(graph) as run:
        message = next(iter(run.messages))
        with pytest.raises((AttributeError, MessageFailed)) as caught:
            getattr(message, name)
        assert "of a node" in str(caught.value)
        assert not isinstance(caught.value, MissingProjection)
        with pytest.raises(AttributeError) as caught:
            _ = run.output
        assert caught.value is error
