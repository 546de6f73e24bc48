"""Real LangGraph graphs, each built afresh for every run, with nodes of the lane that it runs on.

Where branches run side by side, the configuration makes their order the same each time.
"""

from __future__ import annotations

import functools
import inspect
import operator
from collections.abc import Callable, Sequence
from typing import Annotated, Any, TypedDict

import attrs
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.config import get_stream_writer
from langgraph.func import entrypoint, task
from langgraph.graph import END, START, StateGraph
from langgraph.runtime import RunControl
from langgraph.types import Command, Send, interrupt

__all__ = ["CASES", "Built", "Case"]


class State(TypedDict, total=False):
    """What the graphs work on."""

    n: int
    trail: Annotated[list[str], lambda old, new: new if new[: len(old)] == old else old + new]
    results: Annotated[list[int], operator.add]


class GraphError(Exception):
    """What failing nodes raise."""


@attrs.frozen
class Built:
    """A graph and how it is called.

    Attributes:
        graph: The compiled graph.
        given: The inputs of its runs, one after the other on one thread.
        config: The configuration of each run.
        options: Further arguments of each run.
        transformers: Names of transformers that are registered besides the built-in ones.
    """

    graph: Any
    given: Sequence[Any]
    config: dict[str, Any] = attrs.field(factory=dict)
    options: dict[str, Any] = attrs.field(factory=dict)
    transformers: Sequence[str] = ()


@attrs.frozen
class Case:
    """A graph to compare."""

    name: str
    build: Callable[[bool], Built]

    def __str__(self) -> str:
        return self.name


CASES: list[Case] = []


def case(build: Callable[[bool], Built]) -> Callable[[bool], Built]:
    """Register a graph."""
    CASES.append(Case(build.__name__, build))
    return build


def lane(function: Callable[..., Any], *, is_async: bool) -> Any:
    """`function` itself, or an async function that does the same. An async function is one already."""
    if not is_async or inspect.iscoroutinefunction(function):
        return function

    @functools.wraps(function)
    async def run(*args: Any, **kwargs: Any) -> Any:
        return function(*args, **kwargs)

    return run


def append(name: str) -> Callable[[State], State]:
    """A node that leaves its name in the trail."""
    return lambda state: {"trail": [*state.get("trail", []), name]}


def chain(is_async: bool, *nodes: str | tuple[str, Any], **options: Any) -> Any:
    """A graph of nodes one after the other: names, or a name and a function or compiled graph."""
    builder = StateGraph(State)
    before = START
    for each in nodes:
        name, action = each if isinstance(each, tuple) else (each, append(each))
        builder.add_node(name, action if hasattr(action, "stream") else lane(action, is_async=is_async))
        builder.add_edge(before, name)
        before = name
    builder.add_edge(before, END)
    return builder.compile(**options)


THREAD = {"configurable": {"thread_id": "thread"}}


def one_at_a_time(*, is_async: bool) -> dict[str, Any]:
    """A configuration that runs the tasks of a superstep one after the other.

    On the sync lane, LangGraph's wait for stream parts takes up one of the two threads.
    """
    return {"max_concurrency": 1 if is_async else 2}


FRESH: State = {"n": 0, "trail": [], "results": []}


@case
def linear(is_async: bool) -> Built:
    """Three nodes."""
    return Built(chain(is_async, "a", "b", "c"), [FRESH])


@case
def fan_out_with_send(is_async: bool) -> Built:
    """A node that sends work to many tasks of another one, whose results are joined."""
    builder = StateGraph(State)
    builder.add_node("work", lane(lambda state: {"results": [state["n"] * 10]}, is_async=is_async))
    builder.add_node("join", lane(lambda state: {"n": sum(state["results"])}, is_async=is_async))
    builder.add_conditional_edges(START, lambda state: [Send("work", {"n": n}) for n in range(4)], ["work"])
    builder.add_edge("work", "join")
    return Built(builder.compile(), [FRESH], one_at_a_time(is_async=is_async))


@case
def branches(is_async: bool) -> Built:
    """Static branches that join."""
    builder = StateGraph(State)
    for name in ("left", "right"):
        builder.add_node(name, lane(lambda state, name=name: {"results": [len(name)]}, is_async=is_async))
        builder.add_edge(START, name)
        builder.add_edge(name, "join")
    builder.add_node("join", lane(append("join"), is_async=is_async))
    return Built(builder.compile(), [FRESH], one_at_a_time(is_async=is_async))


@case
def subgraph(is_async: bool) -> Built:
    """Two levels."""
    return Built(chain(is_async, "a", ("sub", chain(is_async, "x", "y")), "b"), [FRESH])


@case
def subgraph_three_deep(is_async: bool) -> Built:
    """Three levels."""
    inner = chain(is_async, "p", "q")
    middle = chain(is_async, "x", ("inner", inner), "y")
    return Built(chain(is_async, "a", ("middle", middle), "b"), [FRESH])


@case
def subgraphs_side_by_side(is_async: bool) -> Built:
    """Two subgraphs in one superstep."""
    builder = StateGraph(State)
    for name in ("left", "right"):
        inner = chain(is_async, (f"{name}-1", lambda state: {"results": [1]}), (f"{name}-2", lambda state: {"n": 2}))

        def call(state: State, inner: Any = inner) -> State:
            return {"results": [inner.invoke({"n": 0, "results": []})["n"]]}

        async def acall(state: State, inner: Any = inner) -> State:
            return {"results": [(await inner.ainvoke({"n": 0, "results": []}))["n"]]}

        builder.add_node(name, acall if is_async else call)
        builder.add_edge(START, name)
    return Built(builder.compile(), [FRESH], one_at_a_time(is_async=is_async))


@case
def subgraph_per_send(is_async: bool) -> Built:
    """One subgraph in several tasks of one node."""
    builder = StateGraph(State)
    inner = chain(is_async, ("double", lambda state: {"n": state["n"] * 2}))

    def call(state: State) -> State:
        return {"results": [inner.invoke(state)["n"]]}

    async def acall(state: State) -> State:
        return {"results": [(await inner.ainvoke(state))["n"]]}

    builder.add_node("work", acall if is_async else call)
    builder.add_conditional_edges(START, lambda state: [Send("work", {"n": n}) for n in (3, 4)], ["work"])
    return Built(builder.compile(), [FRESH], one_at_a_time(is_async=is_async))


@case
def loop(is_async: bool) -> Built:
    """A conditional edge back to the node."""
    builder = StateGraph(State)
    builder.add_node("count", lane(lambda state: {"n": state["n"] + 1}, is_async=is_async))
    builder.add_node("done", lane(append("done"), is_async=is_async))
    builder.add_edge(START, "count")
    builder.add_conditional_edges("count", lambda state: "done" if state["n"] == 5 else "count")
    return Built(builder.compile(), [FRESH])


@case
def loop_over_a_subgraph(is_async: bool) -> Built:
    """A subgraph that runs again and again, each time as a task of its own."""
    builder = StateGraph(State)
    builder.add_node("sub", chain(is_async, ("count", lambda state: {"n": state["n"] + 1})))
    builder.add_edge(START, "sub")
    builder.add_conditional_edges("sub", lambda state: END if state["n"] == 3 else "sub")
    return Built(builder.compile(), [FRESH])


@case
def command_goto(is_async: bool) -> Built:
    """Nodes that say where to go."""
    builder = StateGraph(State)
    builder.add_node(
        "a", lane(lambda state: Command(goto="c", update={"n": 1}), is_async=is_async), destinations=("b", "c")
    )
    builder.add_node("b", lane(append("b"), is_async=is_async))
    builder.add_node("c", lane(append("c"), is_async=is_async))
    builder.add_edge(START, "a")
    return Built(builder.compile(), [FRESH])


def ask(state: State) -> State:
    """A node that asks its user."""
    return {"trail": [*state.get("trail", []), interrupt({"question": "sure?"})]}


@case
def interrupt_and_resume(is_async: bool) -> Built:
    """An interrupt, and its answer."""
    graph = chain(is_async, "a", ("ask", ask), "b", checkpointer=InMemorySaver())
    return Built(graph, [FRESH, Command(resume="yes")], THREAD)


@case
def interrupt_in_a_subgraph(is_async: bool) -> Built:
    """An interrupt two levels down, and its answer."""
    middle = chain(is_async, "x", ("inner", chain(is_async, "p", ("ask", ask))), "y")
    graph = chain(is_async, "a", ("middle", middle), "b", checkpointer=InMemorySaver())
    return Built(graph, [FRESH, Command(resume="yes")], THREAD)


@case
def two_interrupts(is_async: bool) -> Built:
    """Two tasks of one superstep that ask, and two answers."""
    builder = StateGraph(State)
    for name in ("left", "right"):
        builder.add_node(name, lane(lambda state, name=name: {"results": [interrupt(f"{name}?")]}, is_async=is_async))
        builder.add_edge(START, name)
    graph = builder.compile(checkpointer=InMemorySaver())
    return Built(graph, [FRESH], {**THREAD, **one_at_a_time(is_async=is_async)})


@case
def static_interrupts(is_async: bool) -> Built:
    """A stop before a node, and going on."""
    graph = chain(is_async, "a", "b", "c", checkpointer=InMemorySaver())
    return Built(graph, [FRESH, None], THREAD, {"interrupt_before": ["b"]})


def fail(state: State) -> State:
    """A node that fails."""
    raise GraphError("it broke")


@case
def failing_node(is_async: bool) -> Built:
    """A node that fails after another one."""
    return Built(chain(is_async, "a", ("fail", fail), "c"), [FRESH])


@case
def failing_node_in_a_subgraph(is_async: bool) -> Built:
    """A node that fails three levels down."""
    middle = chain(is_async, "x", ("inner", chain(is_async, "p", ("fail", fail))), "y")
    return Built(chain(is_async, "a", ("middle", middle), "b"), [FRESH])


@case
def handled_failure_of_a_subgraph(is_async: bool) -> Built:
    """A subgraph that fails in a node that handles it."""
    inner = chain(is_async, "x", ("fail", fail))

    def call(state: State) -> State:
        try:
            return inner.invoke(state)  # type: ignore[no-any-return]
        except GraphError as exc:
            return {"trail": [*state["trail"], str(exc)]}

    async def acall(state: State) -> State:
        try:
            return await inner.ainvoke(state)  # type: ignore[no-any-return]
        except GraphError as exc:
            return {"trail": [*state["trail"], str(exc)]}

    return Built(chain(is_async, "a", ("careful", acall if is_async else call), "b"), [FRESH])


@case
def recursion_limit(is_async: bool) -> Built:
    """A loop that does not end."""
    builder = StateGraph(State)
    builder.add_node("again", lane(lambda state: {"n": state["n"] + 1}, is_async=is_async))
    builder.add_edge(START, "again")
    builder.add_edge("again", "again")
    return Built(builder.compile(), [FRESH], {"recursion_limit": 4})


@case
def functional_api(is_async: bool) -> Built:
    """An entry point with tasks."""

    @task
    def double(n: int) -> int:
        return n * 2

    @task
    async def adouble(n: int) -> int:
        return n * 2

    def workflow(given: dict[str, Any]) -> dict[str, Any]:
        return {"doubled": double(given["n"]).result(), "again": double(given["n"] + 1).result()}

    async def aworkflow(given: dict[str, Any]) -> dict[str, Any]:
        return {"doubled": await adouble(given["n"]), "again": await adouble(given["n"] + 1)}

    return Built(entrypoint()(aworkflow if is_async else workflow), [{"n": 4}])


@case
def functional_api_with_interrupt(is_async: bool) -> Built:
    """An entry point that asks its user and runs a graph."""
    inner = chain(is_async, "x", "y")

    def workflow(given: dict[str, Any]) -> dict[str, Any]:
        return {"trail": inner.invoke({"trail": [interrupt("name?")]})["trail"]}

    async def aworkflow(given: dict[str, Any]) -> dict[str, Any]:
        return {"trail": (await inner.ainvoke({"trail": [interrupt("name?")]}))["trail"]}

    graph = entrypoint(checkpointer=InMemorySaver())(aworkflow if is_async else workflow)
    return Built(graph, [{"n": 1}, Command(resume="Ada")], THREAD)


def write(state: State) -> State:
    """A node that writes custom data."""
    writer = get_stream_writer()
    for n in range(3):
        writer({"progress": n})
    return {"trail": [*state["trail"], "wrote"]}


@case
def custom_writer(is_async: bool) -> Built:
    """Custom data at two levels, asked for."""
    graph = chain(is_async, ("write", write), ("sub", chain(is_async, ("write", write))), "b")
    return Built(graph, [FRESH], transformers=["CustomTransformer"])


@case
def custom_writer_unasked(is_async: bool) -> Built:
    """Custom data that nobody asks for."""
    return Built(chain(is_async, ("write", write), "b"), [FRESH])


@case
def every_mode(is_async: bool) -> Built:
    """All the data transformers at once, with a checkpointer and a subgraph."""
    graph = chain(is_async, ("write", write), ("sub", chain(is_async, "x", "y")), "b", checkpointer=InMemorySaver())
    names = ("Updates", "Custom", "Tasks", "Debug", "Checkpoints")
    return Built(graph, [FRESH], THREAD, transformers=[f"{name}Transformer" for name in names])


@case
def drained(is_async: bool) -> Built:
    """A run that is asked to stop early."""
    control = RunControl()

    def stop(state: State) -> State:
        control.request_drain("enough")
        return {"trail": [*state["trail"], "stop"]}

    graph = chain(is_async, "a", ("stop", stop), "b", checkpointer=InMemorySaver())
    return Built(graph, [FRESH], THREAD, {"control": control})


@case
def drained_in_a_subgraph(is_async: bool) -> Built:
    """A run that is asked to stop early while a subgraph runs."""
    control = RunControl()

    def stop(state: State) -> State:
        control.request_drain("enough")
        return {"trail": [*state["trail"], "stop"]}

    graph = chain(is_async, ("sub", chain(is_async, ("stop", stop), "y")), "b", checkpointer=InMemorySaver())
    return Built(graph, [FRESH], THREAD, {"control": control})
