"""Scripted sources, on every lane."""

from __future__ import annotations

from typing import Any

import anyio
import pytest
import trio
import trio.testing

from anyiostream import GraphInterrupt, PendingInterrupt, open_run, parts
from anyiostream.testing import Gate, GateHeld, Pause, ScriptedSource


def test_a_script_is_a_graph_of_the_sync_lane() -> None:
    """Its parts come in order, and it is closed once."""
    source = ScriptedSource(parts.values(1), Pause(3600), parts.values(2))
    with open_run(source) as run:
        assert list(run.values) == [1, 2]
    assert (source.opened, source.closed) == (1, 1)
    assert source.produced == [parts.values(1), parts.values(2)]


@pytest.mark.anyio
async def test_a_script_is_a_graph_of_the_async_lane() -> None:
    """Its parts come in order, and it is closed once."""
    source = ScriptedSource(parts.values(1), Pause(0), parts.values(2))
    async with open_run(source) as run:
        assert [state async for state in run.values] == [1, 2]
    assert (source.opened, source.closed, source.cancelled) == (1, 1, False)


def test_each_run_follows_the_script_from_its_start() -> None:
    """So one source serves several runs."""
    source = ScriptedSource(parts.values(1))
    for _ in range(2):
        with open_run(source) as run:
            assert run.output == 1
    assert (source.opened, source.closed) == (2, 2)


@pytest.mark.trio
async def test_a_pause_is_of_the_loops_clock(autojump_clock: trio.testing.MockClock) -> None:
    """Under trio's virtual clock an hour passes at once."""
    async with open_run(ScriptedSource(parts.values(1), Pause(3600), parts.values(2)), prefetch=0) as run:
        cursor = aiter(run.values)
        assert await anext(cursor) == 1
        before = trio.current_time()
        assert await anext(cursor) == 2
        assert trio.current_time() - before == 3600


@pytest.mark.anyio
async def test_a_gate_holds_the_graph_until_it_is_released() -> None:
    """The test knows when the graph stands there."""
    gate = Gate()
    seen: list[Any] = []

    async def read(run: Any) -> None:
        seen.extend([state async for state in run.values])

    async with open_run(ScriptedSource(parts.values(1), gate, parts.values(2)), prefetch=0) as run:
        assert not gate.was_reached
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(read, run)
            await gate.reached()
            await anyio.wait_all_tasks_blocked()
            assert (gate.was_reached, gate.is_open) == (True, False)
            assert run.status == "running"
            gate.release()
        assert seen == [1, 2]
        assert repr(gate) == "<the gate, open>"


@pytest.mark.anyio
async def test_leaving_a_run_that_stands_at_a_gate_cancels_the_script() -> None:
    """And the source says so."""
    gate = Gate()
    source = ScriptedSource(gate, parts.values(1))
    async with open_run(source) as run:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(run.output)
            await gate.reached()
            tasks.cancel_scope.cancel()
    assert (source.closed, source.cancelled, run.status) == (1, True, "aborted")


def test_a_closed_gate_on_the_sync_lane_is_an_error() -> None:
    """Nobody else could open it; an open one lets the script through."""
    gate = Gate("the model's gate")
    with pytest.raises(GateHeld, match="the model's gate is closed"), open_run(ScriptedSource(gate)) as run:
        _ = run.output
    gate.release()
    with open_run(ScriptedSource(gate, parts.values(1))) as run:
        assert run.output == 1


@pytest.mark.parametrize("is_async", [False, True], ids=["sync lane", "async lane"])
def test_an_exception_ends_the_script(is_async: bool) -> None:
    """It is raised as the very object; `GraphInterrupt` interrupts."""
    error = ValueError("no more")
    failing = ScriptedSource(parts.values(1), error)
    asking = ScriptedSource(parts.values(1), GraphInterrupt([PendingInterrupt("sure?", "1")]))

    async def in_a_loop() -> None:
        with pytest.raises(ValueError, match="no more") as caught:
            async with open_run(failing) as run:
                await run.output()
        assert caught.value is error
        async with open_run(asking) as run:
            assert await run.interrupted()
            assert await run.output() == 1

    if is_async:
        anyio.run(in_a_loop)
        return
    with pytest.raises(ValueError, match="no more") as caught, open_run(failing) as run:
        _ = run.output
    assert caught.value is error
    with open_run(asking) as run:
        assert (run.interrupted, run.output) == (True, 1)


@pytest.mark.anyio
async def test_a_callable_is_called_where_it_stands() -> None:
    """And awaited, on the async lane, if it is asynchronous; on the sync lane that is refused."""
    called: list[str] = []

    async def step() -> None:
        called.append("async")

    source = ScriptedSource(lambda: called.append("plain"), step, parts.values(1))
    async with open_run(source) as run:
        assert await run.output() == 1
    assert called == ["plain", "async"]
    opened = open_run(ScriptedSource(step))
    run = opened.__enter__()
    with pytest.raises(TypeError, match="awaits nothing"):
        _ = run.output
    opened.__exit__(None, None, None)


def test_a_step_that_is_none_is_refused() -> None:
    """At once, with what a script consists of."""
    with pytest.raises(TypeError, match="a script consists of"):
        ScriptedSource(3)  # type: ignore[arg-type]
