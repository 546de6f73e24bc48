"""What exceptions of other packages mean; these tests fail when one of those packages changes."""

from __future__ import annotations

import asyncio
import concurrent.futures
import subprocess
import sys
from collections.abc import Callable
from typing import Any, TypedDict

import pytest
from langgraph.errors import GraphDrained, GraphInterrupt, NodeInterrupt
from langgraph.graph import END, START, StateGraph

from anyiostream.foreign import (
    consists_of,
    could_be,
    describes,
    is_cancellation,
    is_drain,
    is_langgraph_interrupt,
    only_runs_async,
)


def named_alike(name: str) -> BaseException:
    """An exception of somebody's own that is called like another package's."""
    made: BaseException = type(name, (Exception,), {})("mine")
    return made


class State(TypedDict):
    """The state of the compiled graphs."""

    n: int


def compiled(node: Callable[..., Any]) -> Any:
    """A graph of one node."""
    builder = StateGraph(State)
    builder.add_node("node", node)
    builder.add_edge(START, "node")
    builder.add_edge("node", END)
    return builder.compile()


@pytest.mark.parametrize(
    ("means", "error"),
    [
        (is_cancellation, asyncio.CancelledError()),
        (is_cancellation, type("Mine", (asyncio.CancelledError,), {})()),
        (is_drain, GraphDrained("enough")),
        (is_langgraph_interrupt, GraphInterrupt()),
        (is_langgraph_interrupt, type("Mine", (GraphInterrupt,), {})()),
    ],
)
def test_an_exception_is_told_by_its_class(means: Callable[[Any], bool], error: BaseException) -> None:
    """Subclasses included."""
    assert means(error)


def test_interrupts_of_older_nodes_are_interrupts() -> None:
    """LangGraph derives them from its interrupt."""
    assert issubclass(NodeInterrupt, GraphInterrupt)


@pytest.mark.parametrize(
    ("means", "error"),
    [
        (is_cancellation, named_alike("CancelledError")),
        (is_cancellation, concurrent.futures.CancelledError()),
        (is_drain, named_alike("GraphDrained")),
        (is_langgraph_interrupt, named_alike("GraphInterrupt")),
    ],
)
def test_a_name_makes_no_exception_another_packages(means: Callable[[Any], bool], error: BaseException) -> None:
    """Classes of one's own may be called as one likes."""
    assert not means(error)


def test_langgraph_says_that_a_node_is_asynchronous_only() -> None:
    """When it is to run it without an event loop; other mistakes with types are something else."""

    async def node(state: State) -> State:
        return state

    with pytest.raises(TypeError) as caught:
        compiled(node).invoke({"n": 1})
    assert only_runs_async(caught.value)
    assert not only_runs_async(TypeError("unsupported operand"))


@pytest.mark.parametrize("error", [ValueError("broken"), KeyError("missing"), RuntimeError()])
def test_langgraph_tells_of_an_error_by_its_text(error: Exception) -> None:
    """In the result of the task that raised it."""

    def node(state: State) -> State:
        raise error

    told: list[str] = []
    with pytest.raises(type(error)):
        for part in compiled(node).stream({"n": 1}, stream_mode="tasks"):
            told += [str(part["error"])] if part.get("error") else []
    assert told
    assert all(describes(text, error) for text in told)
    assert not any(describes(text, ValueError("something else")) for text in told)


def test_a_class_may_derive_from_another_packages() -> None:
    """If that package has been imported, and has such a class."""
    assert could_be(type("Mine", (GraphDrained,), {}), "langgraph.errors", "GraphDrained")
    assert not could_be(ValueError, "langgraph.errors", "GraphDrained")
    assert not could_be(ValueError, "no_such_package", "Anything")
    assert not could_be(ValueError, "sys", "version")


def test_nothing_is_imported_to_find_out() -> None:
    """What is not there can have raised nothing."""
    code = (
        "import sys\n"
        "from anyiostream import foreign\n"
        "error = RuntimeError('broken')\n"
        "assert not (foreign.is_cancellation(error) or foreign.is_drain(error) or foreign.interrupts_of(error))\n"
        "assert not (foreign.inside_node() or foreign.same_interrupt('a', 'b', error))\n"
        "assert 'langgraph' not in sys.modules\n"
        "print('fine')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("fine\n", "")


def test_a_group_is_expected_if_all_in_it_are() -> None:
    """To any depth."""

    def is_value_error(error: BaseException) -> bool:
        return isinstance(error, ValueError)

    assert consists_of(ExceptionGroup("", [ValueError(), ExceptionGroup("", [ValueError()])]), is_value_error)
    assert not consists_of(ExceptionGroup("", [ValueError(), KeyError()]), is_value_error)
