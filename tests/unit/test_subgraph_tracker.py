"""Which subgraphs are open."""

from __future__ import annotations

from typing import Any

import pytest

from anyiostream import parts
from anyiostream.subgraph_tracker import SubgraphTracker
from anyiostream.subgraphs import Subgraph


def start(tracker: SubgraphTracker, namespace: tuple[str, ...], task_id: str = "t", **facts: Any) -> Subgraph | None:
    """A task starts at `namespace`."""
    return tracker.start(namespace, parts.task_start(task_id, "step", **facts)["data"])


def result(tracker: SubgraphTracker, namespace: tuple[str, ...], task_id: str, **facts: Any) -> list[tuple[str, ...]]:
    """A task ends at `namespace`; the namespaces of the subgraphs that end with it."""
    return [ended.namespace for ended in tracker.result(namespace, parts.task_result(task_id, "step", **facts)["data"])]


# --- starting ---


def test_a_subgraph_starts_with_the_first_task_at_its_namespace() -> None:
    """The first task event below the scope reveals a subgraph; further ones do not."""
    tracker = SubgraphTracker()
    started = start(tracker, ("node:1",), "a")
    assert started is not None
    assert started.namespace == ("node:1",)
    assert start(tracker, ("node:1",), "b") is None
    assert len(tracker) == 1


def test_a_task_at_the_scope_reveals_nothing() -> None:
    """The graph's own tasks are no subgraphs."""
    assert start(SubgraphTracker(), (), "1") is None
    assert start(SubgraphTracker(("outer:1",)), ("outer:1",), "1") is None


@pytest.mark.parametrize("namespace", [("other:1",), ("other:1", "node:2"), ()])
def test_what_happens_outside_the_scope_is_ignored(namespace: tuple[str, ...]) -> None:
    """Only namespaces below the scope are watched."""
    tracker = SubgraphTracker(("outer:1",))
    assert start(tracker, namespace) is None
    assert len(tracker) == 0


def test_a_subgraph_is_named_by_its_node_and_task() -> None:
    """The last segment of its namespace, `name:task_id`, tells the node and the task."""
    started = start(SubgraphTracker(), ("outer:1", "node:2"))
    assert started is not None
    assert (started.graph_name, started.trigger_call_id, started.cause) == ("node", "2", None)


def test_a_task_id_may_contain_a_colon() -> None:
    """The name ends at the first colon."""
    started = start(SubgraphTracker(), ("node:a:b",))
    assert started is not None
    assert (started.graph_name, started.trigger_call_id) == ("node", "a:b")


def test_a_segment_without_task_id() -> None:
    """A namespace that does not tell the task gives a subgraph without a trigger."""
    started = start(SubgraphTracker(), ("node",))
    assert started is not None
    assert (started.graph_name, started.trigger_call_id) == ("node", None)


def test_a_segment_without_a_name() -> None:
    """A segment that is nothing but a task id gives a subgraph without a name."""
    started = start(SubgraphTracker(), (":1",))
    assert started is not None
    assert (started.graph_name, started.trigger_call_id) == (None, "1")


def test_an_agent_is_called_by_its_own_name() -> None:
    """Task metadata with `lc_agent_name` names the subgraph."""
    started = start(SubgraphTracker(), ("node:1",), metadata={"lc_agent_name": "researcher"})
    assert started is not None
    assert started.graph_name == "researcher"


@pytest.mark.parametrize(
    "given",
    [
        {"tool_call": {"id": "call-7", "name": "search"}},
        [{"id": "call-7", "name": "search"}],
        [{"name": "no id"}, {"id": "call-7"}],
    ],
)
def test_an_agents_cause_is_the_tool_call_its_task_got(given: Any) -> None:
    """The task's input, a tool call or a list of them, names the cause of an agent that it runs."""
    tracker = SubgraphTracker()
    tracker.start((), parts.task_start("1", "tools", input=given)["data"])
    started = start(tracker, ("tools:1",), metadata={"lc_agent_name": "researcher"})
    assert started is not None
    assert started.cause == {"type": "toolCall", "tool_call_id": "call-7"}


def test_an_agent_of_a_task_with_several_tool_calls_has_no_cause() -> None:
    """Each of the calls may have called it."""
    tracker = SubgraphTracker()
    tracker.start((), parts.task_start("1", "tools", input=[{"id": "call-7"}, {"id": "call-8"}])["data"])
    for namespace in (("tools:1",), ("tools:1", "1")):
        started = start(tracker, namespace, metadata={"lc_agent_name": "researcher"})
        assert started is not None
        assert started.cause is None


def test_a_subgraph_that_is_no_agent_has_no_cause() -> None:
    """Without an agent's name there is no cause."""
    tracker = SubgraphTracker()
    tracker.start((), parts.task_start("1", "tools", input={"tool_call": {"id": "call-7"}})["data"])
    started = start(tracker, ("tools:1",))
    assert started is not None
    assert started.cause is None


@pytest.mark.parametrize("given", [None, "text", 3, {}, [], {"tool_call": None}, {"tool_call": {"id": 3}}, [1, "x"]])
def test_any_other_input_is_no_tool_call(given: Any) -> None:
    """Inputs of any shape are taken; only tool calls with a string id count."""
    tracker = SubgraphTracker()
    tracker.start((), parts.task_start("1", "tools", input=given)["data"])
    started = start(tracker, ("tools:1",), metadata={"lc_agent_name": "researcher"})
    assert started is not None
    assert started.cause is None


def test_a_tool_call_is_forgotten_with_its_task() -> None:
    """Once the task has ended its tool call causes nothing more."""
    tracker = SubgraphTracker()
    tracker.start((), parts.task_start("1", "tools", input={"tool_call": {"id": "call-7"}})["data"])
    result(tracker, (), "1")
    started = start(tracker, ("tools:1",), metadata={"lc_agent_name": "researcher"})
    assert started is not None
    assert started.cause is None


@pytest.mark.parametrize("metadata", [None, {}])
def test_metadata_may_be_missing(metadata: Any) -> None:
    """Payloads with no metadata, or with `None`, are taken."""
    tracker = SubgraphTracker()
    assert tracker.start(("node:1",), {"id": "t", "name": "n", "input": None, "metadata": metadata}) is not None


# --- ending ---


def test_a_subgraph_ends_with_its_tasks_result_at_the_parents_namespace() -> None:
    """The result of the task that runs it, at the namespace above, ends it; any other does not."""
    tracker = SubgraphTracker()
    start(tracker, ("node:1",), "inner")
    assert result(tracker, ("node:1",), "inner") == []
    assert result(tracker, (), "2") == []
    assert result(tracker, ("node:1",), "1") == []
    assert result(tracker, (), "1") == [("node:1",)]
    assert len(tracker) == 0


def test_what_has_ended_is_forgotten() -> None:
    """A second result ends nothing, and the same namespace may start again."""
    tracker = SubgraphTracker()
    start(tracker, ("node:1",))
    result(tracker, (), "1")
    assert result(tracker, (), "1") == []
    assert start(tracker, ("node:1",)) is not None


def test_what_is_open_inside_ends_first() -> None:
    """An outer subgraph's end brings the end of those inside it, inner before outer."""
    tracker = SubgraphTracker()
    for namespace in (("a:1",), ("a:1", "b:2"), ("a:1", "b:2", "c:3"), ("a:1", "d:4"), ("other:9",)):
        start(tracker, namespace)
    ended = result(tracker, (), "1")
    assert sorted(ended) == [("a:1",), ("a:1", "b:2"), ("a:1", "b:2", "c:3"), ("a:1", "d:4")]
    assert ended[-1] == ("a:1",)
    assert ended.index(("a:1", "b:2", "c:3")) < ended.index(("a:1", "b:2"))
    assert len(tracker) == 1


def test_what_ended_before_does_not_end_again() -> None:
    """An inner subgraph that has ended is not among those that end with the outer one."""
    tracker = SubgraphTracker()
    start(tracker, ("a:1",))
    start(tracker, ("a:1", "b:2"))
    assert result(tracker, ("a:1",), "2") == [("a:1", "b:2")]
    assert result(tracker, (), "1") == [("a:1",)]


def test_one_task_may_run_several_subgraphs() -> None:
    """All subgraphs of a task end with it, in the order in which they started."""
    tracker = SubgraphTracker()
    start(tracker, ("first:1",))
    start(tracker, ("second:1",))
    assert result(tracker, (), "1") == [("first:1",), ("second:1",)]


def test_an_inner_subgraph_whose_outer_one_was_never_seen_ends_too() -> None:
    """A subgraph may start before any task of the one around it; each still ends with its own task."""
    tracker = SubgraphTracker()
    start(tracker, ("a:1", "b:2"))
    start(tracker, ("a:1",))
    ended = result(tracker, (), "1")
    assert ("a:1",) in ended
    assert result(tracker, ("a:1",), "2") + ended[:-1] == [("a:1", "b:2")]
    assert len(tracker) == 0


@pytest.mark.parametrize("task_id", [None, 3])
def test_a_result_without_a_task_id_ends_nothing(task_id: Any) -> None:
    """Payloads whose id is no string are ignored."""
    tracker = SubgraphTracker()
    start(tracker, ("node:1",))
    assert tracker.result((), {"id": task_id, "result": None}) == []
    assert len(tracker) == 1


def test_ending_all_ends_inner_before_outer() -> None:
    """`end_all` returns every open subgraph, each after those inside it, and forgets them."""
    tracker = SubgraphTracker()
    for namespace in (("a:1",), ("a:1", "b:2"), ("c:3",), ("a:1", "b:2", "d:4")):
        start(tracker, namespace)
    ended = [subgraph.namespace for subgraph in tracker.end_all()]
    assert len(ended) == 4
    assert ended.index(("a:1", "b:2", "d:4")) < ended.index(("a:1", "b:2")) < ended.index(("a:1",))
    assert len(tracker) == 0
    assert tracker.end_all() == []


def test_a_deep_tree_ends_without_recursion() -> None:
    """Depth is no limit."""
    tracker = SubgraphTracker()
    namespace: tuple[str, ...] = ()
    for level in range(2000):
        namespace = (*namespace, f"n:{level}")
        start(tracker, namespace)
    assert len(result(tracker, (), "0")) == 2000


# --- several of one task, and broken ones ---


def step(tracker: SubgraphTracker, namespace: tuple[str, ...], task_id: str = "t", **facts: Any) -> Subgraph | None:
    """A task of LangGraph's, which something triggers, starts at `namespace`."""
    return start(tracker, namespace, task_id, triggers=["branch:to:step"], **facts)


def test_further_calls_are_siblings_that_end_with_their_task() -> None:
    """Their namespaces are one segment longer; they are in the same graph, of the same name and task."""
    tracker = SubgraphTracker()
    first, second = step(tracker, ("a:1",)), step(tracker, ("a:1", "1"))
    inner = step(tracker, ("a:1", "1", "b:2"))
    assert first is not None
    assert second is not None
    assert inner is not None
    assert (second.graph_name, second.trigger_call_id, second.parent) == ("a", "1", ())
    assert inner.parent == ("a:1", "1")
    assert result(tracker, (), "1") == [("a:1",), ("a:1", "1", "b:2"), ("a:1", "1")]
    assert len(tracker) == 0


def test_what_a_called_task_runs_ends_with_it() -> None:
    """It is in the graph where the call was made, whatever its caller runs."""
    tracker = SubgraphTracker()
    step(tracker, (), "1")
    step(tracker, ("a:1",))
    start(tracker, (), "2", input=((), {}), triggers=("__pregel_push",))
    inner = step(tracker, ("a:1", "call:2"))
    assert inner is not None
    assert inner.parent == ()
    assert result(tracker, (), "2") == [("a:1", "call:2")]
    assert result(tracker, (), "1") == [("a:1",)]


def test_a_broken_one_ends_before_the_next_of_its_task() -> None:
    """With what is open inside, as failed with its own error; one that is not broken goes on."""
    tracker = SubgraphTracker()
    step(tracker, ("a:1",))
    step(tracker, ("a:1", "1"), "x")
    step(tracker, ("a:1", "1", "b:2"))
    result(tracker, ("a:1", "1"), "x", error="no")
    again = step(tracker, ("a:1", "2"))
    assert again is not None
    ended = tracker.broken_before(again)
    assert [(each.namespace, each.failure and each.failure.message) for each in ended] == [
        (("a:1", "1", "b:2"), "no"),
        (("a:1", "1"), "no"),
    ]
    assert tracker.broken_before(again) == []
    assert result(tracker, (), "1") == [("a:1",), ("a:1", "2")]


def test_an_error_that_is_handled_breaks_nothing() -> None:
    """By a task that starts after it, or by one of whose start nothing was told."""
    tracker = SubgraphTracker()
    graph = step(tracker, ("a:1",), "x")
    assert graph is not None
    result(tracker, ("a:1",), "x", error="no")
    assert graph.failure is not None
    result(tracker, ("a:1",), "handler")
    assert graph.failure is None
    step(tracker, ("a:1",), "y")
    result(tracker, ("a:1",), "y", error="no")
    assert graph.failure is not None
    step(tracker, ("a:1",), "z")
    assert graph.failure is None


def test_an_interrupt_or_a_called_tasks_error_breaks_nothing() -> None:
    """The caller may catch what it called; if it does not, its own result has the error."""
    tracker = SubgraphTracker()
    graph = step(tracker, ("a:1",), "x")
    assert graph is not None
    start(tracker, ("a:1",), "2", input=((), {}), triggers=("__pregel_push",))
    result(tracker, ("a:1",), "2", error="no")
    result(tracker, ("a:1",), "x", error="no", interrupts=["wait"])
    assert graph.failure is None


def test_a_function_graphs_block_may_catch_what_is_inside() -> None:
    """Its own result tells how it ended, not that of a task in it."""
    tracker = SubgraphTracker()
    graph = start(tracker, ("a:1",), "x")
    assert graph is not None
    start(tracker, ("a:1",), "2")
    result(tracker, ("a:1",), "2", error="no")
    assert graph.failure is None


def test_what_a_called_task_writes_is_its_graphs() -> None:
    """It comes with the namespace of the caller, where there may be a graph that does nothing (any more)."""
    tracker = SubgraphTracker()
    step(tracker, (), "1")
    assert tracker.writer_of(("a:1",)) == ("a:1",)
    start(tracker, (), "2", input=((), {}), triggers=("__pregel_push",))
    assert tracker.any_calls
    assert tracker.writer_of(()) == ()
    assert tracker.writer_of(("a:1",)) == ()
    assert tracker.writer_of(("a:1", "call:2")) == ()
    step(tracker, ("a:1",), "x")
    assert tracker.writer_of(("a:1",)) == ("a:1",)
    result(tracker, ("a:1",), "x")
    assert tracker.writer_of(("a:1",)) == ()


def test_what_a_called_task_writes_may_be_a_subgraphs() -> None:
    """The nearest one in which a task has called; once it has ended, calls are forgotten."""
    tracker = SubgraphTracker()
    step(tracker, ("a:1",), "b")
    start(tracker, ("a:1",), "3", input=((), {}), triggers=("__pregel_push",))
    assert tracker.writer_of(("a:1", "b:2")) == ("a:1",)
    assert tracker.writer_of(("other:9",)) == ("other:9",)
    result(tracker, (), "1")
    assert not tracker.any_calls


def test_what_a_handler_of_errors_writes_is_its_graphs() -> None:
    """It comes with the namespace of the task that failed, and so do the graphs that the handler runs."""
    tracker = SubgraphTracker()
    step(tracker, (), "1")
    graph = step(tracker, ("a:1",), "x")
    result(tracker, ("a:1",), "x", error="no")
    assert tracker.any_calls
    assert tracker.writer_of(("a:1", "n:x")) == ("a:1",)
    assert tracker.writer_of(("a:1",)) == ("a:1",)
    run_by_handler = step(tracker, ("a:1", "n:x", "handler:h"), "y")
    assert (run_by_handler and run_by_handler.parent) == (graph and graph.namespace) == ("a:1",)
    assert result(tracker, ("a:1",), "h") == [("a:1", "n:x", "handler:h")]


def test_errors_of_earlier_steps_are_forgotten() -> None:
    """A graph that starts another task goes on: nothing more comes with the namespace of one that failed."""
    tracker = SubgraphTracker()
    step(tracker, (), "1")
    result(tracker, (), "1", error="no")
    step(tracker, (), "2")
    inner = step(tracker, ("a:1", "b:3"), "x")
    assert inner is not None
    assert inner.parent == ("a:1",)


def test_a_subgraph_without_an_id_ends_with_the_task_of_its_name() -> None:
    """One that keeps its own history is at the names alone, also inside one that is not."""
    tracker = SubgraphTracker()
    step(tracker, ("outer:1",), "2")
    kept = step(tracker, ("outer", "kept"))
    again = step(tracker, ("outer", "kept", "1"))
    assert kept is not None
    assert again is not None
    assert (kept.parent, again.parent) == (("outer:1",), ("outer:1",))
    data = parts.task_result("2", "kept")["data"]
    assert [each.namespace for each in tracker.result(("outer:1",), data)] == [
        ("outer", "kept"),
        ("outer", "kept", "1"),
    ]
    assert step(tracker, ("outer", "kept")) is not None
