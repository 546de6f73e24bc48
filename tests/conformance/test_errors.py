"""Errors: which one, for whom, and when."""

from __future__ import annotations

from typing import Any

import pytest

from anyiostream import parts

from .adapter import Lab, Script
from .graphs import State, chain


class NodeError(Exception):
    """What the nodes of these tests raise."""


def raising(state: State) -> State:
    """A node that fails."""
    raise NodeError("node failed")


@pytest.mark.parametrize("asked", ["output", "interrupted", "interrupts"])
async def test_node_error_reaches_whoever_asks(lab: Lab, asked: str) -> None:
    """(81) A node's error is raised, with its type, by `output`, `interrupted` and `interrupts`, each time."""
    async with lab.open_graph(chain(lab, "a", ("b", raising)), {"trail": []}) as run:
        for _ in range(2):
            with pytest.raises(NodeError, match="node failed"):
                await getattr(lab, asked)(run)


@pytest.mark.parametrize("projection", ["values", "raw log", "lifecycle", "subgraphs"])
async def test_node_error_reaches_readers(lab: Lab, projection: str) -> None:
    """(81) A node's error is raised, with its type, at the end of every projection and of the raw log."""
    async with lab.open_graph(chain(lab, "a", ("b", raising)), {"trail": []}) as run:
        _, error = await lab.outcome(run if projection == "raw log" else run.extensions[projection])
        assert type(error) is NodeError
        assert str(error) == "node failed"


async def test_every_reader_gets_the_same_error(lab: Lab) -> None:
    """(81) All readers get the same exception object."""
    error = NodeError("broken")
    async with lab.open(Script([parts.values(1)], error)) as run:
        readers = [lab.reader(each) for each in (run.values, run, run.lifecycle)]
        for reader in readers:
            assert (await reader.outcome())[1] is error
        with pytest.raises(NodeError) as caught:
            await lab.output(run)
        assert caught.value is error


SUBGRAPH = [
    parts.values(1),
    parts.task_start("1", "sub"),
    parts.task_start("2", "inner", ns=("sub:1",)),
    parts.values("inside", ns=("sub:1",)),
    parts.task_result("2", "inner", ns=("sub:1",)),
    parts.task_result("1", "sub"),
    parts.values(2),
]
"""A run with one subgraph."""


def faulty(lab: Lab, hook: str, error: BaseException) -> type:
    """A transformer whose `hook` raises `error` below the root."""

    class Faulty(lab.api.StreamTransformer):  # type: ignore[name-defined,misc]
        def init(self) -> dict[str, Any]:
            return {}

        def process(self, event: Any) -> bool:
            if self.scope and hook == "process" and event["method"] == "values":
                raise error
            return True

        def finalize(self) -> None:
            if self.scope and hook == "finalize":
                raise error

    return Faulty


@pytest.mark.parametrize("hook", ["process", "finalize"])
async def test_child_pipeline_error(lab: Lab, hook: str) -> None:
    """(82, 83) An error of a subgraph's transformer, while it handles an event or at its end, fails the root's run."""
    error = NodeError(hook)
    async with lab.open(Script(SUBGRAPH), transformers=[faulty(lab, hook, error)]) as run:
        with pytest.raises(NodeError) as caught:
            await lab.output(run)
        assert caught.value is error


async def test_child_finalize_error_at_the_end_of_the_run(lab: Lab) -> None:
    """(83) The error of a child's `finalize` reaches the output also when the subgraph is ended by the run's end."""
    error = NodeError("finalize")
    async with lab.open(Script(SUBGRAPH[:4]), transformers=[faulty(lab, "finalize", error)]) as run:
        with pytest.raises(NodeError) as caught:
            await lab.output(run)
        assert caught.value is error


async def test_subgraph_error_at_the_root(lab: Lab) -> None:
    """(84) A subgraph's error is raised at the root with its own type."""
    inner = chain(lab, "x", ("y", raising))
    async with lab.open_graph(chain(lab, "a", ("sub", inner)), {"trail": []}) as run:
        snapshots, error = await lab.outcome(run.values)
        assert snapshots == [{"trail": []}, {"trail": ["a"]}]
        assert type(error) is NodeError
        with pytest.raises(NodeError):
            await lab.output(run)


async def test_output_of_a_failed_child(lab: Lab) -> None:
    """(85) A failed subgraph's output raises a RuntimeError with the error's text, also if the run itself goes on."""
    script = [*SUBGRAPH[:4], parts.task_result("1", "sub", error="NodeError('it broke')"), parts.values(2)]
    async with lab.open(script) as run:
        (handle,) = await lab.items(run.subgraphs)
        assert (handle.status, handle.error) == ("failed", "NodeError('it broke')")
        with pytest.raises(RuntimeError, match="it broke") as caught:
            await lab.output(handle)
        if lab.ours:
            # Deviation: a type of its own, by which it can be told from other RuntimeErrors.
            assert type(caught.value) is lab.api.SubgraphFailed
        else:
            assert type(caught.value) is RuntimeError
        assert await lab.output(run) == 2


async def test_output_of_a_failed_child_of_a_graph(lab: Lab) -> None:
    """(85) The output of a subgraph that fails in a real graph raises with the error's text."""
    inner = chain(lab, "x", ("y", raising))
    async with lab.open_graph(chain(lab, ("sub", inner)), {"trail": []}) as run:
        handle = await lab.reader(run.subgraphs).next()
        with pytest.raises(Exception, match="node failed"):
            await lab.output(handle)
        assert handle.status == "failed"
        assert "node failed" in handle.error
        with pytest.raises(NodeError):
            await lab.output(run)


async def test_error_after_items(lab: Lab) -> None:
    """(86) A reader gets everything that came before the error, and then the error."""
    error = NodeError("broken")
    async with lab.open(Script([parts.values(n) for n in range(20)], error)) as run:
        values = lab.reader(run.values)
        with pytest.raises(NodeError):
            await lab.output(run)
        assert await values.outcome() == (list(range(20)), error)


async def test_late_reader_gets_the_error(lab: Lab) -> None:
    """(86, 9) A reader that subscribes after the failure gets the error at once."""
    error = NodeError("broken")
    async with lab.open(Script([parts.values(1)], error)) as run:
        with pytest.raises(NodeError):
            await lab.output(run)
        assert await lab.outcome(run.values) == ([], error)


@pytest.mark.parametrize("fault", ["init", "conflict"])
async def test_validation_at_construction(lab: Lab, fault: str) -> None:
    """(87) A transformer that cannot be registered is refused when the run is opened, before the graph has moved."""

    class Invalid(lab.api.StreamTransformer):  # type: ignore[name-defined,misc]
        def init(self) -> Any:
            return ["no", "dict"] if fault == "init" else {"values": 1}

        def process(self, event: Any) -> bool:
            return True

    script = Script([parts.values(1)])
    with pytest.raises(TypeError if fault == "init" else ValueError, match="dict" if fault == "init" else "'values'"):
        async with lab.open(script, transformers=[Invalid]):
            raise AssertionError("never entered")
    assert script.pulled == 0
