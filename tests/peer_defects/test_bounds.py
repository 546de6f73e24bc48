"""Buffers without bounds, and work that grows with what has gone by.

`langgraph.stream` accepts `maxlen` and ignores it, keeps items for readers that have left, and
never forgets a subgraph.
"""

from __future__ import annotations

import gc
import weakref
from typing import Any, TypedDict

import anyio
import pytest
from langgraph.graph import END, START, StateGraph

from anyiostream import BackpressureDeadlock, parts

from ..conformance.adapter import ASYNC, SYNC, Lab, Script, event, on
from .defects import Lazy, in_turn, prefix, siblings, snapshots, still, work

COUNT = 300


async def test_maxlen_is_ignored(lab: Lab) -> None:
    """A channel with `maxlen=4` never holds more; theirs holds whatever its reader has not read."""

    class Small(lab.api.StreamTransformer):  # type: ignore[name-defined,misc]
        _native = True

        def init(self) -> dict[str, Any]:
            self.small = lab.api.StreamChannel(maxlen=4)
            return {"small": self.small}

        def process(self, event: Any) -> bool:
            if event["method"] == "values":
                self.small.push(event["params"]["data"])
            return True

    async with lab.open(snapshots(COUNT), transformers=[Small]) as run:
        reader = lab.reader(run.small)
        assert await reader.next() == {"v": 0}
        if lab.ours:
            with pytest.raises(BackpressureDeadlock):
                await lab.output(run)
            assert lab.depth(run.small) == run.small.statistics().peak == 4
            assert await reader.rest() == prefix(COUNT)[1:]
        else:
            await lab.output(run)
            still(lab.depth(run.small) == COUNT - 1, "a channel holds more than its maxlen")


class Count(TypedDict):
    """The state of the counting graph."""

    n: int


def counting(steps: int) -> Any:
    """A compiled graph of one node that runs so many times."""

    async def step(state: Count) -> Count:
        return {"n": state["n"] + 1}

    builder = StateGraph(Count)
    builder.add_node("step", step)
    builder.add_edge(START, "step")
    builder.add_conditional_edges("step", lambda state: "step" if state["n"] < steps else END)
    return builder.compile()


@on(ASYNC)
async def test_a_slow_reader_of_a_real_graph_lets_its_buffer_grow(lab: Lab) -> None:
    """Beside a fast reader of the raw log, the snapshots of a slow one stay below the bound; theirs pile up."""
    steps, buffer, peak = 40, 8, 0
    options = {"buffer": buffer} if lab.ours else {}
    slow: list[Any] = []
    async with lab.open_graph(counting(steps), {"n": 0}, config={"recursion_limit": 100}, **options) as run:
        go_on = anyio.Event()
        values = lab.reader(run.values)

        async def read_slowly() -> None:
            slow.append(await values.next())
            await go_on.wait()
            slow.extend(await values.rest())

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(read_slowly)
            await anyio.lowlevel.checkpoint()
            async for _ in run:
                peak = max(peak, lab.depth(run.values))
                if lab.ours and peak == buffer:
                    go_on.set()
            go_on.set()
    assert slow == [{"n": n} for n in range(steps + 1)]
    if lab.ours:
        assert peak == buffer
    else:
        still(peak >= steps, "a slow reader's snapshots pile up")


@pytest.mark.parametrize("how", ["closed", "dropped"])
async def test_a_cursor_that_was_left_keeps_buffering(lab: Lab, how: str) -> None:
    """After a reader has left, nothing is kept for it; theirs go on as if it read."""
    async with lab.open(Script(snapshots(COUNT), waits=False)) as run:
        reader = lab.reader(run.values)
        await reader.next()
        if how == "closed":
            await reader.close()
        del reader
        gc.collect()
        assert await lab.output(run) == {"v": COUNT - 1}
        if lab.ours:
            assert lab.depth(run.values) == 0
        else:
            still(lab.depth(run.values) == COUNT - 1, "a channel buffers for a reader that has left")


async def test_one_advance_pumps_the_whole_run(lab: Lab) -> None:
    """Waiting for one projection stops where another one that is read is full; theirs read on to the end."""
    async with lab.open(Script(snapshots(COUNT), waits=False)) as run:
        values, messages = lab.reader(run.values), lab.reader(run.messages)
        await values.next()
        if lab.ours:
            with pytest.raises(BackpressureDeadlock):
                await messages.next()
            assert lab.depth(run.values) == 64
            assert await values.rest() == prefix(COUNT)[1:]
        else:
            assert await messages.rest() == []
            still(lab.depth(run.values) == COUNT - 1, "one step of a reader buffers the whole run for another")


async def test_branches_of_a_tee_drift_apart(lab: Lab) -> None:
    """The slowest branch paces the others, and nothing is lost; of theirs one may be the whole stream ahead."""
    async with lab.open(Script(snapshots(COUNT), waits=False)) as run:
        first, second = lab.tee(run.values, 2)
        await second.next()
        await first.next()
        items, error = await first.outcome()
        if lab.ours:
            assert isinstance(error, BackpressureDeadlock)
            # As many as the other one's buffer holds, and the event of which a copy waits for room there.
            assert items == prefix(COUNT)[1:66]
            assert lab.depth(run.values) == 64
            assert await second.take(65) == items
            assert await first.next() == {"v": 66}
        else:
            still(len(items) == COUNT - 1, "a branch of a tee is drained while its sibling has read nothing")
            assert await second.rest() == prefix(COUNT)[1:]


class Item:
    """Something that can be watched."""


@pytest.mark.parametrize("how", ["closed", "dropped"])
async def test_a_branch_of_a_tee_that_was_left_keeps_buffering(lab: Lab, how: str) -> None:
    """A branch that has been left keeps nothing and paces nobody; theirs keep every item until all branches go."""
    made: list[weakref.ref[Item]] = []

    def make() -> Any:
        for _ in range(COUNT):
            item = Item()
            made.append(weakref.ref(item))
            yield parts.custom(item)

    async with lab.open(Lazy(make, waits=False), transformers=[lab.api.CustomTransformer]) as run:
        first, second = lab.tee(run.custom, 2)
        await second.next()
        if how == "closed":
            await second.close()
        del second
        gc.collect()
        read = 0
        while read < COUNT:
            await first.next()
            read += 1
        gc.collect()
        alive = sum(reference() is not None for reference in made)
        if lab.ours:
            assert alive <= 2  # what the generators here hold
        else:
            still(alive >= COUNT - 2, "a branch that was left keeps every item")


async def test_finished_subgraphs_are_never_released(lab: Lab) -> None:
    """A handle that nobody keeps goes when its subgraph has ended; theirs are kept as long as the run."""
    handles: list[weakref.ref[Any]] = []
    async with lab.open(Lazy(lambda: in_turn(50), waits=False)) as run:
        subgraphs = lab.reader(run.subgraphs)
        for n in range(50):
            handle = await subgraphs.next()
            assert handle.path == (f"child:t{n}",)
            handles.append(weakref.ref(handle))
            del handle
        await lab.output(run)
        gc.collect()
        alive = sum(reference() is not None for reference in handles)
        if lab.ours:
            assert alive == 0
        else:
            still(alive == 50, "handles of finished subgraphs are kept")


@on(SYNC)
async def test_ending_a_subgraph_scans_all_open_ones(lab: Lab) -> None:
    """The work of ending a subgraph does not depend on how many others are open; theirs look at each of them."""

    def ending(count: int) -> float:
        mux = lab.api.StreamMux(factories=[lab.api.LifecycleTransformer])
        script = [event(part["type"], part["data"], part["ns"]) for part in siblings(count)]
        for each in script[: 2 * count]:
            mux.push(each)
        return work(lambda: [mux.push(each) for each in script[2 * count :]]) / count

    few, many = ending(20), ending(200)
    if lab.ours:
        assert many < 1.5 * few
    else:
        still(many > 4 * few, "ending a subgraph costs as much as there are open ones")
