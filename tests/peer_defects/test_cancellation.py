"""A reader's cancellation that reaches the graph or other readers, and cancellations that are swallowed or invented.

In `langgraph.stream` whoever reads pulls the graph itself, so that cancelling a reader cancels the pull; and `abort()`
cannot tell its own cancellation from its caller's.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from typing import Any, TypedDict

import anyio
import pytest
from langgraph.graph import END, START, StateGraph

from anyiostream import SourceStopped

from ..conformance.adapter import ASYNC, Lab, Script, on
from ..waiting import until
from .defects import Victim, outcome_of, prefix, snapshots, still, turns, without_trio


class Gated(Script):
    """A graph that waits before some of its parts.

    Attributes:
        stopped: Whether it was cancelled or closed before its end.
    """

    def __init__(self, parts: list[Any], gates: dict[int, Callable[[], Any]]) -> None:
        super().__init__(parts, waits=False)
        self._gates = gates
        self.stopped = False

    async def parts(self) -> AsyncIterator[Any]:
        """The parts."""
        try:
            for number, part in enumerate(self._parts):
                if number in self._gates:
                    await self._gates[number]()
                yield part
        except BaseException:
            self.stopped = True
            raise


@on(ASYNC)
async def test_one_readers_timeout_truncates_the_run(lab: Lab) -> None:
    """A reader that gives up leaves alone, and the run completes; theirs ends, as if complete, with a partial state."""
    release = anyio.Event()
    script = Gated(snapshots(20), {3: release.wait})
    async with lab.open(script) as run, anyio.create_task_group() as tasks:
        reader = lab.reader(run.values)
        impatient = Victim(tasks, reader.rest)
        await anyio.wait_all_tasks_blocked()
        impatient.cancel()
        assert await impatient.ended() == "cancelled"
        release.set()
        output = await lab.output(run)
    if lab.ours:
        assert output == {"v": 19}
        assert not script.stopped
    else:
        still(output == {"v": 2} and script.stopped, "a reader's timeout makes output() a partial state")


class Count(TypedDict):
    """The state of the counting graph."""

    n: int


@on(ASYNC)
async def test_one_readers_timeout_truncates_a_real_graph(lab: Lab) -> None:
    """As above, with a compiled graph whose node is at work when the reader gives up."""
    go_on, at_work = threading.Event(), threading.Event()

    async def step(state: Count) -> Count:
        if state["n"] == 2:
            at_work.set()
            await until(go_on.is_set)
        return {"n": state["n"] + 1}

    builder = StateGraph(Count)
    builder.add_node("step", step)
    builder.add_edge(START, "step")
    builder.add_conditional_edges("step", lambda state: "step" if state["n"] < 10 else END)
    seen: list[Any] = []

    async def read(run: Any) -> None:
        async for snapshot in run.values:
            seen.append(snapshot)

    async with lab.open_graph(builder.compile(), {"n": 0}) as run, anyio.create_task_group() as tasks:
        impatient = Victim(tasks, lambda: read(run))
        await until(lambda: at_work.is_set() and {"n": 2} in seen)
        impatient.cancel()
        assert await impatient.ended() == "cancelled"
        go_on.set()
        output = await lab.output(run)
    if lab.ours:
        assert output == {"n": 10}
    else:
        still(output == {"n": 2}, "a reader's timeout makes a real graph's output() a partial state")


@on(ASYNC)
async def test_an_event_is_lost_when_its_reader_is_cancelled_in_the_same_turn(lab: Lab) -> None:
    """Whenever the reader that moves the run is cancelled, another one gets every item; theirs lose some."""
    lost: dict[int, list[Any]] = {}
    for tick in range(9):
        gates = [anyio.Event() for _ in range(5)]
        script = Gated(snapshots(5), dict(enumerate(gate.wait for gate in gates)))
        got: list[Any] = []

        async def read_values(run: Any, got: list[Any] = got) -> None:
            async for snapshot in run.values:
                got.append(snapshot)

        async with lab.open(script) as run, anyio.create_task_group() as tasks:
            moving = Victim(tasks, lab.reader(run).rest)
            await turns(3)
            tasks.start_soon(read_values, run)
            await turns(5)
            gates[0].set()
            await turns(tick)
            moving.cancel()
            for gate in gates[1:]:
                await turns(8)
                gate.set()
            assert await moving.ended() == "cancelled"
        if got != prefix(5):
            lost[tick] = got
    if lab.ours:
        assert lost == {}
    else:
        still(lost, "an event is lost with the reader that was about to take it")


@on(ASYNC)
async def test_an_event_is_torn_when_a_reader_is_cancelled_during_a_hook(lab: Lab) -> None:
    """A hook that waits is not cancelled with the reader: later transformers see the event, too; theirs do not."""
    hook, waiting = anyio.Event(), anyio.Event()
    first: list[int] = []
    last: list[int] = []

    class Watcher(lab.api.StreamTransformer):  # type: ignore[name-defined,misc]
        seen = first

        def init(self) -> dict[str, Any]:
            return {}

        def process(self, event: Any) -> bool:
            self.seen.append(event["params"]["data"]["v"])
            return True

    class Slow(Watcher):
        async def aprocess(self, event: Any) -> bool:
            if event["params"]["data"]["v"] == 2:
                waiting.set()
                await hook.wait()
            return True

    class Last(Watcher):
        seen = last

    async with (
        lab.open(snapshots(6), transformers=[Watcher, Slow, Last]) as run,
        anyio.create_task_group() as tasks,
    ):
        reader = Victim(tasks, lab.reader(run).rest)
        await waiting.wait()
        reader.cancel()
        assert await reader.ended() == "cancelled"
        hook.set()
        output = await lab.output(run)
    assert first == list(range(6))
    assert output == {"v": 5}
    if lab.ours:
        assert last == first
    else:
        still(last == [0, 1, 3, 4, 5], "an event passes some transformers only, and the run completes")


@on(ASYNC)
async def test_cancelling_one_branch_of_a_tee_ends_the_others(lab: Lab) -> None:
    """A cancelled branch takes nothing from its sibling, and may go on itself; theirs end as if complete."""
    release = anyio.Event()
    async with lab.open(Gated(snapshots(5), {0: release.wait})) as run, anyio.create_task_group() as tasks:
        first, second = lab.tee(run.values, 2)
        victim = Victim(tasks, first.next)
        await anyio.wait_all_tasks_blocked()
        victim.cancel()
        assert await victim.ended() == "cancelled"
        release.set()
        items, error = await second.outcome()
        if lab.ours:
            assert (items, error) == (prefix(5), None)
            assert await first.rest() == prefix(5)
        else:
            still((items, error) == ([], None), "a sibling of a cancelled branch ends early without an error")


def stubborn(entered: anyio.Event, cleaned: anyio.Event) -> Gated:
    """A graph whose clean-up takes until `cleaned` is set."""

    async def wait() -> None:
        entered.set()
        try:
            await anyio.sleep_forever()
        finally:
            with anyio.CancelScope(shield=True):
                await cleaned.wait()

    return Gated(snapshots(2), {1: wait})


@on(ASYNC)
async def test_abort_swallows_its_callers_cancellation(lab: Lab) -> None:
    """A task that is cancelled while it aborts is cancelled; theirs goes on behind `abort()`."""
    entered, cleaned = anyio.Event(), anyio.Event()
    async with lab.open(stubborn(entered, cleaned)) as run, anyio.create_task_group() as tasks:
        tasks.start_soon(outcome_of, lab.reader(run).rest())
        await entered.wait()
        aborter = Victim(tasks, lambda: lab.abort(run))
        await turns(5)
        aborter.cancel()
        await turns(5)
        cleaned.set()
        outcome = await aborter.ended()
    if lab.ours:
        assert outcome == "cancelled"
        assert run.status == "aborted"
    else:
        still(outcome == ("returned", None), "abort() returns although its caller was cancelled")


@on(ASYNC)
async def test_a_reader_cancelled_during_an_abort_goes_on(lab: Lab) -> None:
    """A reader that is cancelled while another task aborts is cancelled; theirs leaves its loop as if at the end."""
    ran_on: list[str] = []
    entered = anyio.Event()

    async def wait() -> None:
        entered.set()
        await anyio.sleep_forever()

    async def read(run: Any) -> None:
        async for _ in run:
            pass
        ran_on.append("after the loop")

    async with lab.open(Gated(snapshots(2), {1: wait})) as run, anyio.create_task_group() as tasks:
        reader = Victim(tasks, lambda: read(run))
        await entered.wait()
        await turns(3)
        aborter = Victim(tasks, lambda: lab.abort(run))
        await turns(1)
        reader.cancel()
        outcome = await reader.ended()
        await aborter.ended()
    if lab.ours:
        assert outcome == "cancelled"
        # On trio the run's end came first, and the cancellation at the next checkpoint.
        assert ran_on == [] or lab.lane == "trio"
    else:
        still(outcome != "cancelled" and ran_on, "a cancelled reader goes on after its loop")


@on(without_trio)
async def test_a_cancellation_in_the_graph_is_taken_for_the_readers_own(lab: Lab) -> None:
    """A graph that raises `CancelledError` of itself fails the run; theirs cancel the reader, and then succeed."""

    async def abandon() -> None:
        raise asyncio.CancelledError

    async with lab.open(Gated(snapshots(5), {2: abandon})) as run, anyio.create_task_group() as tasks:
        reader = Victim(tasks, lab.reader(run.values).rest)
        outcome = await reader.ended()
        output = await outcome_of(lab.output(run))
    if lab.ours:
        assert isinstance(outcome, SourceStopped)
        assert output is outcome
    else:
        still(outcome == "cancelled" and output == {"v": 1}, "a cancellation is invented, and success reported")


@on(ASYNC)
@pytest.mark.parametrize("on_error", ["log", "raise"])
async def test_output_is_asked_while_scheduled_work_is_drained(lab: Lab, on_error: str) -> None:
    """Whoever comes while the run ends waits for its end; theirs hand out a success that is none yet."""
    ending, release = anyio.Event(), anyio.Event()

    class Late(lab.api.StreamTransformer):  # type: ignore[name-defined,misc]
        requires_async = True
        begun = False

        def init(self) -> dict[str, Any]:
            self.late = lab.api.StreamChannel()
            return {"late": self.late}

        def process(self, event: Any) -> bool:
            if not self.begun:
                self.begun = True
                self.schedule(self.work(), on_error=on_error)
            return True

        async def work(self) -> None:
            ending.set()
            await release.wait()
            self.late.push("result")
            if on_error == "raise":
                raise LookupError("late")

    async with lab.open(Script(snapshots(3), waits=False), transformers=[Late]) as run:
        late = lab.reader(run.extensions["late"])
        async with anyio.create_task_group() as tasks:
            first = Victim(tasks, lambda: lab.output(run))
            await ending.wait()
            await anyio.wait_all_tasks_blocked()
            second = Victim(tasks, lambda: lab.output(run))
            third = Victim(tasks, late.rest)
            await anyio.wait_all_tasks_blocked()
            early = second.outcome, third.outcome
            release.set()
            outcomes = [await each.ended() for each in (first, second, third)]
        await outcome_of(lab.output(run))
    if lab.ours:
        assert early == (None, None)
        if on_error == "log":
            assert outcomes == [("returned", {"v": 2})] * 2 + [("returned", ["result"])]
        else:
            assert all(isinstance(outcome, LookupError) for outcome in outcomes)
    else:
        still(
            early == (("returned", {"v": 2}), ("returned", [])),
            "during the end, output() succeeds and a reader loses what is still to come",
        )
