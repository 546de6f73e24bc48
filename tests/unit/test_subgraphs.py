"""Which subgraphs are open."""

from __future__ import annotations

from typing import Any

import pytest

from anyiostream import GraphInterrupt, RunAborted, parts
from anyiostream.ending import Ending
from anyiostream.subgraphs import (
    ObserverToCome,
    Subgraph,
    SubgraphEnd,
    SubgraphTracker,
    end_by_exception,
    end_by_result,
)


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


# --- how it ended ---


@pytest.mark.parametrize(
    ("facts", "status", "error"),
    [
        ({}, "completed", None),
        ({"error": "no"}, "failed", "no"),
        ({"interrupts": ["wait"]}, "interrupted", None),
        ({"interrupts": ["wait"], "error": "no"}, "interrupted", None),
    ],
)
def test_a_result_tells_how_it_ended(facts: dict[str, Any], status: str, error: str | None) -> None:
    """An interrupt counts before an error, and an error has its text."""
    end = end_by_result(parts.task_result("1", "node", **facts)["data"])
    assert (end.status, end.error) == (status, error)


def test_an_error_object_becomes_its_text() -> None:
    """A payload may carry an exception; the end carries its text."""
    assert end_by_result({"error": ValueError("no")}).error == "no"


class GraphDrained(Exception):
    """Called like LangGraph's exception of a run that was asked to stop early."""


@pytest.mark.parametrize(
    ("error", "status", "text"),
    [
        (GraphInterrupt(), "interrupted", None),
        (GraphDrained(), "drained", None),
        (RunAborted(), "aborted", None),
        (ValueError("no"), "failed", "no"),
    ],
)
def test_the_runs_error_tells_how_the_open_ones_ended(error: BaseException, status: str, text: str | None) -> None:
    """Control flow is no failure."""
    end = end_by_exception(error)
    assert (end.status, end.error) == (status, text)


def test_subclasses_of_control_flow_exceptions_count() -> None:
    """LangGraph's own subclasses of an interrupt are interrupts."""

    class NodeInterrupt(GraphInterrupt):
        pass

    assert end_by_exception(NodeInterrupt()).status == "interrupted"


# --- payloads ---


def test_the_payload_of_a_start_has_what_is_known() -> None:
    """Keys whose value is not known are left out."""
    full = Subgraph(("a:1",), "agent", "1", {"type": "toolCall", "tool_call_id": "c"})
    assert full.started() == {
        "event": "started",
        "namespace": ["a:1"],
        "graph_name": "agent",
        "trigger_call_id": "1",
        "cause": {"type": "toolCall", "tool_call_id": "c"},
    }
    assert Subgraph(("a",), None, None, None).started() == {"event": "started", "namespace": ["a"]}


def test_the_payload_of_an_end_has_an_error_only_if_there_is_one() -> None:
    """A failed subgraph's payload carries its text."""
    subgraph = Subgraph(("a:1",), "a", "1", None)
    assert subgraph.ended(end_by_result({})) == {"event": "completed", "namespace": ["a:1"]}
    assert subgraph.ended(end_by_result({"error": "no"})) == {
        "event": "failed",
        "namespace": ["a:1"],
        "error": "no",
    }


# --- observers that are not there yet ---


class Late:
    """Notes what it is told."""

    children_only = False

    def __init__(self) -> None:
        self.told: list[Any] = []

    def catch_up(self, notes: Any, missed: int) -> None:
        """What was before."""
        self.told.append(([(stamp, each.namespace, end) for stamp, each, end in notes], missed))

    def subgraph_started(self, subgraph: Subgraph) -> None:
        """One has started."""
        self.told.append(("started", subgraph.namespace))

    def run_started(self) -> None:
        """The run has."""

    def end_open(self, end: SubgraphEnd, ending: Ending) -> None:
        """The scope ends."""
        self.told.append(("open", end))

    def subgraph_ended(self, subgraph: Subgraph, end: SubgraphEnd, ending: Ending | None) -> None:
        """One has ended."""
        self.told.append(("ended", subgraph.namespace, end))


ONE, END = Subgraph(("sub:1",), "sub", "1", None), SubgraphEnd("completed")


def test_an_observer_to_come_takes_notes_until_it_has_come() -> None:
    """Of subgraphs that a task runs, in order, with stamps; then it hands on what it is told."""
    stamps = iter(range(1, 9))
    stand_in, late = ObserverToCome(stamps.__next__, 3), Late()
    stand_in.subgraph_started(ONE)
    stand_in.subgraph_started(Subgraph(("nameless",), None, None, None))
    stand_in.subgraph_ended(ONE, END, None)
    stand_in.end_open(END, Ending())
    stand_in.has_come(late)
    stand_in.subgraph_started(ONE)
    stand_in.subgraph_ended(ONE, END, None)
    stand_in.end_open(END, Ending())
    assert late.told == [
        ([(1, ONE.namespace, None), (2, ONE.namespace, END)], 0),
        ("started", ONE.namespace),
        ("ended", ONE.namespace, END),
        ("open", END),
    ]


def test_an_observer_to_come_gives_up_what_is_too_much() -> None:
    """It keeps how much that was."""
    stand_in, late = ObserverToCome(iter(range(9)).__next__, 3), Late()
    for _ in range(5):
        stand_in.subgraph_started(ONE)
    stand_in.has_come(late)
    assert late.told == [([], 5)]
