"""Following `tasks` events: which observers are called, in which order, and what an error or a cancellation leaves."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import pytest

from anyiostream import MalformedPart, StreamTransformer
from anyiostream.mux.following import SubgraphFollower
from anyiostream.mux.registry import Registry
from anyiostream.mux.run_state import RunState
from anyiostream.mux.scope import Scope
from anyiostream.mux.tree import Tree
from anyiostream.outcome import COMPLETED, INTERRUPTED, Outcome
from anyiostream.subgraph_tracker import SubgraphTracker

A, B = ("a:1",), ("b:2",)
INNER = ("a:1", "inner:3")


class Rig:
    """A follower of the subgraphs below a root, whose observers note what they are called with."""

    def __init__(self, port: Any, observers: int) -> None:
        rig = self
        self.notes: list[Any] = []
        self.waiting: Callable[[Any], Any] = lambda _: None

        class Observing(StreamTransformer):
            children_only: ClassVar[bool] = False

            def init(self) -> dict[str, Any]:
                return {}

            def process(self, event: Any) -> bool:
                return True

            def subgraph_observer(self, maker: Any) -> Any:
                return self

            def run_started(self) -> None:
                rig.notes.append("run")

            def subgraph_started(self, subgraph: Any) -> None:
                rig.notes.append(("started", subgraph.namespace))

            def subgraph_ended(self, subgraph: Any, outcome: Any, *, by_result: bool) -> Any:
                rig.notes.append((outcome.status, subgraph.namespace))
                return rig.waiting(subgraph)

            def end_open(self, outcome: Any) -> None:
                raise AssertionError("no scope is aborted alone here")

        run = RunState(port)
        registry = Registry(Scope((), None, port.stamp), None, run, None)  # type: ignore[arg-type]  # no handles
        registry.register([Observing] * observers, ())
        tracker = SubgraphTracker()
        self.task_ends = run.task_ends
        self.tree = Tree(registry, tracker)
        self.follower = SubgraphFollower(self.tree, tracker, run.task_ends)

    def start(self, namespace: tuple[str, ...], task: str = "t") -> Any:
        return self.follower.follow(namespace, {"id": task, "name": "task", "input": {}, "triggers": []})

    def result(self, namespace: tuple[str, ...], task: str, name: str, **result: Any) -> Any:
        return self.follower.follow(namespace, {"id": task, "name": name, "result": {}, "interrupts": [], **result})


@pytest.fixture
def make(make_port: Any) -> Callable[..., Rig]:
    """Makes a follower and its observers."""

    def rig(observers: int = 1, *, waits: bool = False) -> Rig:
        made = Rig(make_port(), observers)
        if waits:
            made.tree.let_ends_wait()
        return made

    return rig


def test_each_observer_is_called_once_inner_before_outer(make: Any) -> None:
    """Of a subgraph's start from outside inwards; of its end after the ends of those inside it."""
    rig = make(observers=2)
    rig.start(A)
    rig.start(INNER)
    assert len(rig.follower) == 2
    assert rig.result((), "1", "a") is None
    started = [("started", A), ("started", A), ("started", INNER), ("started", INNER)]
    assert rig.notes == [*started, *[("completed", INNER)] * 2, *[("completed", A)] * 2]
    assert len(rig.follower) == 0


def test_the_run_begins_with_its_first_part(make: Any) -> None:
    """Only observers of the root are called."""
    rig = make()
    rig.follower.begin()
    assert rig.notes == ["run"]


@pytest.mark.parametrize("data", ["started", None, [1]])
def test_a_payload_is_a_dict(make: Any, data: Any) -> None:
    """Anything else is not a task."""
    with pytest.raises(MalformedPart, match="dict"):
        make().follower.follow((), data)


def test_a_result_reaches_the_watchers_of_its_namespace(make: Any) -> None:
    """Before the subgraphs end that it ends; the start of a task reaches none."""
    rig = make()
    rig.task_ends.watch((), lambda data: rig.notes.append(data["id"]))
    rig.start(A)
    rig.result((), "1", "a")
    rig.result(A, "9", "other")
    assert rig.notes == [("started", A), "1", ("completed", A)]


def test_an_end_that_may_wait_is_left_to_the_caller(make: Any, drive: Any) -> None:
    """`follow` gives a coroutine; nothing has been called before that runs."""
    rig = make(waits=True)
    rig.start(A)
    waiting = rig.result((), "1", "a")
    assert rig.notes == [("started", A)]
    assert drive(waiting).done
    assert rig.notes[1:] == [("completed", A)]


def test_after_a_cancellation_the_next_call_goes_on(make: Any, drive: Any, suspension: Any) -> None:
    """An observer whose call was cancelled is called again; those before it are not."""
    rig, suspended = make(observers=2, waits=True), []  # type: ignore[var-annotated]

    async def wait_once(_: Any) -> None:
        if len(rig.notes) == 3 and not suspended:
            suspended.append(True)
            await suspension()

    rig.start(A)
    del rig.notes[:1]
    rig.waiting = wait_once
    ending = drive(rig.result((), "1", "a"))
    assert not ending.done
    ending.cancel()
    del rig.notes[:]
    assert drive(rig.follower.end_all(COMPLETED)).done
    assert rig.notes == [("completed", A)]


def test_an_error_does_not_keep_others_from_ending(make: Any, drive: Any) -> None:
    """At the run's end all subgraphs end; the first error is raised then."""
    rig = make(observers=2)

    def fail(subgraph: Any) -> None:
        raise ValueError(subgraph.namespace)

    rig.start(A)
    rig.start(B)
    del rig.notes[:]
    rig.waiting = fail
    with pytest.raises(ValueError, match="a:1"):
        drive(rig.follower.end_all(COMPLETED))
    assert sorted(rig.notes) == sorted([("completed", A)] * 2 + [("completed", B)] * 2)


@pytest.mark.parametrize(
    ("outcome", "status"),
    [
        (COMPLETED, "completed"),
        (INTERRUPTED, "interrupted"),
        (Outcome.by(ValueError("no")), "failed"),
    ],
)
def test_what_is_open_ends_as_the_run_does(make: Any, drive: Any, outcome: Outcome, status: str) -> None:
    """The run's outcome says how."""
    rig = make()
    rig.start(A)
    assert drive(rig.follower.end_all(outcome)).done
    assert rig.notes[-1] == (status, A)
    assert drive(rig.follower.end_all(outcome)).done
    assert len(rig.notes) == 2


def test_a_finished_subgraph_is_forgotten(make: Any) -> None:
    """Its namespace keeps no table of routes."""
    rig = make()
    rig.start(A)
    rig.tree.share(A, rig.tree.root)
    rig.result((), "1", "a")
    assert list(rig.tree.dispatchers) == [()]


def test_a_call_among_tasks_is_expected_from_then_on(make: Any) -> None:
    """A task that is pushed with arguments has been called by another one, which may write in its place."""
    rig = make()
    rig.start(A)
    assert not rig.tree.any_calls
    call = {"id": "2", "name": "called", "input": [(1,), {}], "triggers": ["__pregel_push"]}
    rig.follower.follow(A, call)
    assert rig.tree.any_calls
