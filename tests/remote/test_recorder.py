"""What is stored together, what a run waits for, and what becomes of it if the store fails."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import anyio
import anyio.lowlevel
import pytest
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.config import get_stream_writer
from langgraph.graph import START, MessagesState, StateGraph

from anyiostream.remote import Assistant, Limits
from anyiostream.remote.audience import Audience
from anyiostream.remote.commands import RunStart
from anyiostream.remote.jobs import Job
from anyiostream.remote.ledger import Ledger
from anyiostream.remote.performing import perform
from anyiostream.remote.recorder import MOST_BYTES, MOST_EVENTS, Recorder
from anyiostream.remote.store import NOTHING, Changes, SqliteStore, StoredLog, StoreFailed
from anyiostream.remote.store.handle import both
from anyiostream.remote.store.protocol import Claim, Record
from anyiostream.remote.store.window import Window
from anyiostream.remote.thread import Thread
from anyiostream.wire.drafts import Draft, Entry

pytestmark = pytest.mark.anyio

LIMITS = Limits()


class SlowStore:
    """A store that takes an append when it is let."""

    survives = True

    def __init__(self) -> None:
        self.appends: list[tuple[int, list[int], Changes]] = []
        self.let = anyio.Event()
        self.fails = False

    async def append(
        self, key: str, epoch: int, after: int, entries: Sequence[Entry], changes: Changes = NOTHING
    ) -> None:
        """Note an append, and wait."""
        self.appends.append((after, [entry.seq for entry in entries], changes))
        await self.let.wait()
        if self.fails:
            raise StoreFailed("it is full")

    @property
    def places(self) -> list[list[int]]:
        """The places of the events of each append."""
        return [places for _, places, _ in self.appends]


class Scene:
    """A run that is recorded."""

    def __init__(self, limits: Limits = LIMITS, *, lead: int | None = None) -> None:
        self.store = SlowStore()
        claim = Claim(record=Record(key="k", owner="", thread_id="t", generation=1), next=1)
        store: Any = self.store
        self.log = StoredLog(store, claim, Window(256, 2**20), limits)
        self.recorder = Recorder(self.log, Ledger(self.log), Audience(lead))
        self.job = Job("a", None, RunStart("a", None, {}, {}), place=7)

    async def record(self, method: str = "custom", data: Any = "token") -> None:
        """Record an event."""
        await self.recorder.record(self.job, Draft(method, (), data, 0))

    async def end(self) -> None:
        """Record the run's end."""
        await self.record("lifecycle", {"event": "completed"})


async def test_tokens_are_stored_together_while_the_graph_goes_on() -> None:
    """Those that come while an append is under way; in order, each append after the one before."""
    scene = Scene()
    async with scene.recorder.beside():
        await scene.record()
        await anyio.wait_all_tasks_blocked()
        for method in ("messages", "tools", "custom"):
            await scene.record(method)
        await anyio.wait_all_tasks_blocked()
        assert scene.store.places == [[1]]
        scene.store.let.set()
        await anyio.wait_all_tasks_blocked()
    assert [(after, places) for after, places, _ in scene.store.appends] == [(0, [1]), (1, [2, 3, 4])]


@pytest.mark.parametrize("method", ["values", "updates", "checkpoints", "tasks", "input.requested", "lifecycle"])
async def test_a_run_does_not_go_on_past_anything_else(method: str) -> None:
    """Before it is stored, with all that came before it."""
    scene = Scene()
    passed = False

    async def go_on() -> None:
        nonlocal passed
        await scene.record(method, {})
        passed = True

    async with scene.recorder.beside(), anyio.create_task_group() as tasks:
        await scene.record()
        await anyio.wait_all_tasks_blocked()
        await scene.record()
        tasks.start_soon(go_on)
        await anyio.wait_all_tasks_blocked()
        assert not passed
        assert scene.store.places == [[1]]  # one at a time
        scene.store.let.set()
        await anyio.wait_all_tasks_blocked()
        assert passed
    assert scene.store.places == [[1], [2, 3]]


async def test_what_changes_is_stored_with_its_event() -> None:
    """A run's end takes its command out of the inbox, and no other append does."""
    scene = Scene()
    scene.store.let.set()
    async with scene.recorder.beside():
        await scene.record()
        await scene.end()
        assert scene.job.ended
    assert scene.store.places[-1][-1] == 2
    done: list[Collection[int]] = [changes.done for _, _, changes in scene.store.appends]
    assert (sum(map(len, done)), list(done[-1])) == (1, [7])


async def test_the_fold_is_that_of_the_last_event() -> None:
    """Of all that are stored with it, wherever it has become due."""
    scene = Scene(Limits(events=6))
    scene.store.let.set()
    for n in range(5):
        scene.log.place(Draft("custom", (), n, 0), fold=lambda: b"%d" % (scene.log.next - 1))
    await scene.log.write()
    await scene.log.change(Changes(label=b"x"))
    await scene.log.change(fold=lambda: b"later")
    assert [(places, changes.fold) for _, places, changes in scene.store.appends] == [
        ([1, 2, 3, 4, 5], b"5"),
        ([], None),
        ([], b"later"),
    ]


async def test_a_change_goes_with_what_has_been_placed() -> None:
    """A viewer's, for example; the run waits until that is stored, and it is in order."""
    scene = Scene()
    order: list[str] = []

    async def view() -> None:
        await scene.log.change(fold=lambda: b"%d" % (scene.log.next - 1))
        order.append("viewer")

    async def go_on() -> None:
        await scene.record("values", {})
        order.append("run")

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(scene.log.append, Draft("custom", (), 0, 0))
        await anyio.wait_all_tasks_blocked()
        tasks.start_soon(view)
        await anyio.wait_all_tasks_blocked()
        scene.log.place(Draft("custom", (), 1, 0))
        tasks.start_soon(go_on)
        await anyio.wait_all_tasks_blocked()
        assert (scene.store.places, order) == ([[1]], [])
        scene.store.let.set()
    assert [(places, changes.fold) for _, places, changes in scene.store.appends] == [([1], None), ([2, 3], b"3")]
    assert sorted(order) == ["run", "viewer"]


@pytest.mark.parametrize(("size", "most"), [(1, MOST_EVENTS), (MOST_BYTES // 4, 4)])
async def test_a_run_is_not_far_ahead_of_its_store(size: int, most: int) -> None:
    """It waits when so many events, or so much of them, have not been stored."""
    scene = Scene()
    recorded = 0

    async def go_on() -> None:
        nonlocal recorded
        for _ in range(MOST_EVENTS + 10):
            await scene.record("custom", "x" * size)
            recorded += 1

    async with scene.recorder.beside(), anyio.create_task_group() as tasks:
        await scene.record()
        await anyio.wait_all_tasks_blocked()
        tasks.start_soon(go_on)
        await anyio.wait_all_tasks_blocked()
        assert recorded == most - 1
        scene.store.let.set()
    assert sorted(place for places in scene.store.places for place in places) == list(range(1, MOST_EVENTS + 12))


async def test_a_run_that_waits_for_its_viewers_waits_for_the_store() -> None:
    """It is ahead of them by no more than was asked for, whatever places its events have."""
    scene = Scene(lead=1)
    async with scene.recorder.beside(), anyio.create_task_group() as tasks:
        tasks.start_soon(scene.record)
        await anyio.wait_all_tasks_blocked()
        assert scene.log.next == 2
        tasks.start_soon(scene.record)
        await anyio.wait_all_tasks_blocked()
        assert scene.store.places == [[1]]
        scene.store.let.set()
    assert scene.store.places == [[1], [2]]


async def test_nothing_is_recorded_once_the_store_has_failed() -> None:
    """Not even the end, with which the run would seem to have ended here."""
    scene = Scene()
    scene.store.fails = True
    scene.store.let.set()
    async with scene.recorder.beside():
        await scene.record()
        await anyio.wait_all_tasks_blocked()
        for _ in range(2):
            with pytest.raises(StoreFailed, match="it is full"):
                await scene.end()
        with pytest.raises(StoreFailed):
            await scene.recorder.settle()
    assert scene.store.places == [[1]]
    assert not scene.job.ended


async def test_what_was_recorded_is_stored_although_the_run_is_left() -> None:
    """With the next change of the thread: its events have their places."""
    scene = Scene()
    with anyio.CancelScope() as scope:
        async with scene.recorder.beside():
            await scene.record()
            await anyio.wait_all_tasks_blocked()
            await scene.record()
            scope.cancel()
            await anyio.sleep_forever()
    assert scope.cancelled_caught
    scene.store.let.set()
    await scene.log.change(Changes(attempts=(7, 1)))
    assert [(after, places) for after, places, _ in scene.store.appends] == [(0, [1]), (1, [2])]


async def test_what_the_block_raises_is_raised_as_it_is() -> None:
    """And not in a group."""
    scene = Scene()
    with pytest.raises(KeyError, match="mine"):
        async with scene.recorder.beside():
            raise KeyError("mine")


def test_changes_come_together_in_order() -> None:
    """The later one counts, and commands that are done stay done."""
    first = Changes(done=[1], fold=b"old", label=b"label")
    assert both(first, NOTHING) is both(NOTHING, first) is first
    later = Changes(done=[2], fold=b"new", pending=())
    assert both(first, later) == Changes(done=(1, 2), fold=b"new", label=b"label", pending=())


async def test_no_checkpoint_is_saved_before_what_came_first_is_stored(tmp_path: Path, monkeypatch: Any) -> None:
    """Another process goes on from it: what a message said before it would be missing, without a gap."""
    held, reached = anyio.Event(), anyio.Event()
    saver = InMemorySaver()
    stored: list[str] = []
    append = SqliteStore.append

    async def hold(store: Any, key: str, epoch: int, after: int, entries: Sequence[Entry], *changes: Any) -> None:
        if any(entry.method == "custom" for entry in entries) and not held.is_set():
            reached.set()
            await held.wait()
        await append(store, key, epoch, after, entries, *changes)
        stored.extend(entry.method for entry in entries)

    monkeypatch.setattr(SqliteStore, "append", hold)

    async def speak(state: MessagesState) -> Any:
        for n in range(3):
            get_stream_writer()(n)
        return {}

    builder = StateGraph(MessagesState).add_node("speak", speak).add_edge(START, "speak")
    assistant = Assistant(graph=builder.compile(checkpointer=saver))
    store = SqliteStore(tmp_path / "runs")
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(store.open(LIMITS))
        claim = await store.claim("", "t", holder="me", nonce="1")
        thread = Thread("t", "", store.log(claim), LIMITS, perform)
        await thread.start(RunStart("a", {"messages": []}, {}, {}), assistant)
        async with anyio.create_task_group() as tasks:
            async with thread.recorder.beside():
                tasks.start_soon(thread.work)
                await reached.wait()
                await anyio.wait_all_tasks_blocked()
                steps = [found.metadata["step"] for found in saver.list({"configurable": {"thread_id": "t"}})]
                assert max(steps) == 0  # that of the superstep in which it speaks has not been saved
                assert "custom" not in stored
                held.set()
                while thread.busy:
                    await anyio.lowlevel.checkpoint()
    assert stored.count("custom") == 3
