"""Viewers that follow the same events from the same place share what they are sent, and nobody notices."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from anyiostream.remote import Assistant, Draft, Limits, MemoryLog
from anyiostream.remote.batches import SHARED
from anyiostream.remote.commands import RunStart
from anyiostream.remote.performing import perform
from anyiostream.remote.pulse import Pulse
from anyiostream.remote.subscriptions import WATCHED, Selection, Subscription
from anyiostream.remote.thread import Thread
from anyiostream.remote.viewer import Viewer
from anyiostream.wire.drafts import Entry

from .test_viewer import drafts, subscriptions

pytestmark = pytest.mark.anyio

VALUES = Subscription(Selection(frozenset({"values"})), since=0)


async def nothing(given: Any) -> None:
    """A graph."""


def bodies(entries: Iterable[Entry]) -> list[bytes]:
    """Written as simply as can be."""
    return [entry.body for entry in entries]


async def busy_thread() -> Thread:
    """A thread with a run that has not begun."""
    limits = Limits()
    thread = Thread("t", "", MemoryLog("t", limits), limits, perform)
    await thread.start(RunStart("nothing", None, {}, {}), Assistant(graph=nothing))
    return thread


async def viewer_of(thread: Thread, *subscriptions: Subscription) -> Viewer:
    """A new viewer."""
    viewer = Viewer(thread)
    for n, each in enumerate(subscriptions):
        await viewer.add(f"s{n}", each)
    return viewer


def draft(method: str = "values", data: Any = None) -> Draft:
    """An event."""
    return Draft(method, (), data, 0)


async def test_those_who_follow_the_same_share_what_is_written() -> None:
    """The batch, and its frames; until the log has more."""
    thread = await busy_thread()
    await thread.log.append(draft())
    first, second = await viewer_of(thread, VALUES), await viewer_of(thread, VALUES)
    other = await viewer_of(thread, Subscription(Selection(frozenset({"values", "tasks"})), since=0))
    batch = await first.batch()
    assert await second.batch() is batch
    assert batch.written(bodies) is batch.written(bodies)
    assert await other.batch() is not batch
    await thread.log.append(draft())
    late = await viewer_of(thread, VALUES)
    assert [len(each) for each in (await first.batch(), await second.batch(), await late.batch())] == [1, 1, 2]


async def test_those_with_several_subscriptions_share_as_well() -> None:
    """Where all of them have come to the same place."""
    thread = await busy_thread()
    place = (await thread.log.append(draft())).seq
    await thread.log.append(draft("tasks"))
    both = VALUES, Subscription(Selection(frozenset({"tasks"})), since=0)
    first, second = await viewer_of(thread, *both), await viewer_of(thread, *both)
    apart = await viewer_of(thread, VALUES.resumed(place), both[1])
    batch = await first.batch()
    assert await second.batch() is batch
    assert [entry.method for entry in batch] == ["values", "tasks"]
    assert [entry.method for entry in await apart.batch()] == ["tasks"]


async def test_a_thread_that_is_silent_keeps_nothing() -> None:
    """A server that only shows it does not hear that its run has ended."""
    thread = await busy_thread()
    await thread.log.append(draft())
    pulse = Pulse(0.01)
    viewer = Viewer(thread, pulse)
    await viewer.add("s", VALUES)
    await viewer.batch()
    assert len(thread.batches) == 1
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(pulse.run, lambda: [viewer])
        assert not await viewer.wait()
        tasks.cancel_scope.cancel()
    assert len(thread.batches) == 0


async def test_a_thread_that_is_silent_keeps_nothing_for_sockets() -> None:
    """They have no heartbeats of this kind."""
    thread = await busy_thread()
    await thread.log.append(draft())
    viewer = await viewer_of(thread, VALUES)
    await viewer.batch()
    viewer.tick()
    assert len(thread.batches) == 1
    viewer.tick()
    assert len(thread.batches) == 0


async def test_what_is_kept_is_bounded_and_an_idle_thread_keeps_nothing() -> None:
    """Wherever its viewers are."""
    thread = await busy_thread()
    places = [(await thread.log.append(draft())).seq for _ in range(3 * SHARED)]
    viewers = [await viewer_of(thread, VALUES.resumed(place)) for place in (0, *places[:-1])]
    assert [len(await each.batch()) for each in viewers] == list(range(3 * SHARED, 0, -1))
    assert len(thread.batches) == SHARED
    await thread.work()
    assert not thread.busy
    assert len(thread.batches) == 0
    await (await viewer_of(thread, VALUES)).batch()
    assert len(thread.batches) == 0


async def test_each_watcher_that_shares_a_runs_end_is_told() -> None:
    """And who does not watch the root is not taken for one who does."""
    thread = await busy_thread()
    end = await thread.log.append(draft("lifecycle", {"event": "completed"}))
    elsewhere = await viewer_of(thread, Subscription(Selection(WATCHED, (("a",),)), since=0))
    await elsewhere.add("all", Subscription(Selection(frozenset({"lifecycle"})), since=0))
    assert len(await elsewhere.batch()) == 1
    assert thread.fold.watched == 0
    for _ in range(2):
        thread.fold.watched = 0
        assert await (await viewer_of(thread, Subscription(Selection(WATCHED), since=0))).batch()
        assert thread.fold.watched == end.seq


@given(st.lists(st.tuples(st.just(-1), drafts) | st.tuples(st.integers(0, 3), st.none()), max_size=40), st.data())
def test_sharing_changes_nothing(schedule: list[tuple[int, Any]], data: st.DataObject) -> None:
    """Four viewers of a busy thread, each as fast as it likes: each is sent what it asked for, once and in order."""

    async def run() -> None:
        thread = await busy_thread()
        asked = [data.draw(st.lists(subscriptions, min_size=1, max_size=3)) for _ in range(2)] * 2
        viewers = [await viewer_of(thread, *each) for each in asked]
        seen: list[list[int]] = [[] for _ in viewers]
        for who, what in [*schedule, (0, None), (1, None), (2, None), (3, None)]:
            if who < 0:
                await thread.log.append(what)
                continue
            while viewers[who].cursor < thread.log.last:
                seen[who] += [entry.seq for entry in await viewers[who].batch()]
        entries = await thread.log.read(0, 1000)
        for chosen, each in zip(asked, seen, strict=True):
            assert each == [e.seq for e in entries if any(s.selection.matches(e.channel, e.namespace) for s in chosen)]

    anyio.run(run)
