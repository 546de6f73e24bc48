"""Where a graph stands among others."""

from __future__ import annotations

import pytest

from anyiostream import parts
from anyiostream.namespaces import TaskCalls, around, task_path


@pytest.mark.parametrize(
    ("namespace", "path", "outer"),
    [
        ((), (), ()),
        (("a:1",), ("a:1",), ()),
        (("a:1", "b:2"), ("a:1", "b:2"), ("a:1",)),
        (("a:1", "1"), ("a:1",), ()),
        (("a:1", "12", "b:2"), ("a:1", "12", "b:2"), ("a:1", "12")),
        (("a:1", "1", "b:2", "3"), ("a:1", "1", "b:2"), ("a:1", "1")),
        (("a", "1"), ("a",), ()),
        (("7",), ("7",), ()),
    ],
)
def test_the_number_of_a_call_is_no_level(
    namespace: tuple[str, ...], path: tuple[str, ...], outer: tuple[str, ...]
) -> None:
    """A graph that a task runs again stands beside the first one."""
    assert task_path(namespace) == path
    assert around(namespace) == outer


def called(task_id: str, **facts: object) -> dict[str, object]:
    """The payload of a task that another one has called."""
    return {**parts.task_start(task_id, "call", input=((1,), {}), triggers=["__pregel_push"])["data"], **facts}


def test_what_a_called_task_runs_is_in_the_graph_of_its_caller() -> None:
    """However many calls are between; and the graph that the caller runs itself is not round it."""
    calls = TaskCalls()
    assert calls.note((), called("2"))
    assert calls.note((), called("3"))
    assert calls.around(("a:1", "b:2")) == ()
    assert calls.around(("a:1", "b:2", "c:3", "1")) == ()
    assert calls.around(("a:1", "d:4")) == ("a:1",)
    assert [*calls.outwards(("a:1", "b:2", "d:4"))] == [("a:1", "b:2", "d:4"), ("a:1", "b:2"), ()]
    assert calls.forget("2")
    assert not calls.forget("2")
    assert calls.around(("a:1", "b:2")) == ("a:1",)


def test_a_call_counts_in_its_own_graph_only() -> None:
    """A task of the same id elsewhere is another one."""
    calls = TaskCalls()
    calls.note(("x:9",), called("2"))
    assert calls.around(("a:1", "b:2")) == ("a:1",)
    assert calls.around(("x:9", "a:1", "b:2")) == ("x:9",)
    calls.clear()
    assert calls.around(("x:9", "a:1", "b:2")) == ("x:9", "a:1")


@pytest.mark.parametrize(
    "facts",
    [
        {"triggers": ("branch:to:call",)},
        {"triggers": None},
        {"id": None},
        {"input": {"sent": 1}},
        {"input": [1, 2]},
        {"input": "ab"},
        {"input": None},
    ],
)
def test_a_task_that_a_step_starts_or_sends_is_not_called(facts: dict[str, object]) -> None:
    """Only one that is given arguments, and pushed by another."""
    assert not TaskCalls().note((), called("2", **facts))


def test_a_call_is_told_from_json_too() -> None:
    """Where tuples are lists."""
    assert TaskCalls().note((), called("2", triggers=["__pregel_push"], input=[[1], {}]))
