"""Turns, replay, the state that clients ask for, and the queue of runs."""

from __future__ import annotations

import json
from typing import Any

import anyio
import attrs
import pytest

from anyiostream import GraphWriter
from anyiostream.remote import Assistant, Limits, LogGap, MemoryLog
from anyiostream.remote.commands import Answer, InputRespond, RunStart
from anyiostream.remote.performing import perform
from anyiostream.remote.refusals import Refusal
from anyiostream.remote.store import StoreFailed
from anyiostream.remote.subscriptions import Selection, Subscription
from anyiostream.remote.thread import Thread
from anyiostream.remote.viewer import Viewer

from ..waiting import PATIENCE, turns

pytestmark = pytest.mark.anyio

ALL = Subscription(Selection(frozenset({"values", "lifecycle", "input", "custom"})))
WATCHER = Subscription(Selection(frozenset({"lifecycle", "input"})))


async def graph(given: Any, writer: GraphWriter) -> Any:
    """Asks if it is told to, fails if it is told to, and otherwise says what it was given."""
    if given == "ask":
        await writer.values({"asked": True})
        await writer.interrupt("who?", interrupt_id="i1")
    if given == "fail":
        raise ValueError("it broke")
    answer = getattr(given, "answers", given)
    return {"said": answer}


def thread_of(limits: Limits | None = None) -> Thread:
    """A new thread."""
    limits = limits or Limits()
    return Thread("t", "", MemoryLog("t", limits), limits, perform)


async def run(thread: Thread, given: Any) -> None:
    """Run the graph once."""
    await thread.start(RunStart("demo", given, {}, {}), Assistant(graph=graph))
    await thread.work()


def answer(interrupt_id: str = "i1") -> InputRespond:
    """An answer to the graph's question."""
    return InputRespond((Answer(interrupt_id, (), "Ada"),), None, None, {}, {})


async def shown(thread: Thread, subscription: Subscription) -> list[str]:
    """What a new viewer is sent at once."""
    viewer = Viewer(thread)
    await viewer.add("s", subscription)
    seen = []
    while entries := await viewer.batch():
        seen += [entry.root_event or entry.method for entry in entries]
    return seen


async def test_a_late_viewer_sees_the_turn_from_its_start() -> None:
    """Not the turns before it."""
    thread = thread_of()
    await run(thread, 1)
    await run(thread, 2)
    assert await shown(thread, ALL) == ["running", "values", "completed"]
    assert thread.state() == {"values": {"said": 2}, "next": [], "tasks": []}


async def test_a_viewer_that_says_where_it_was_misses_nothing() -> None:
    """Over turns, and whatever has been superseded since."""
    thread = thread_of()
    await run(thread, "ask")
    await thread.respond(answer())
    await thread.work()
    await run(thread, 3)
    (first, *_) = await thread.log.read(0)
    seen = await shown(thread, attrs.evolve(ALL, since=first.seq))
    assert seen == [
        "values",
        "values",
        "input.requested",
        "interrupted",
        "running",
        "values",
        "completed",
        "running",
        "values",
        "completed",
    ]


async def test_answered_questions_are_not_asked_again() -> None:
    """A late viewer of a resumed turn sees it from its start, without the interrupt that is over."""
    thread = thread_of()
    await run(thread, "ask")
    assert await shown(thread, ALL) == ["running", "values", "values", "input.requested", "interrupted"]
    await thread.respond(answer())
    await thread.work()
    assert await shown(thread, ALL) == ["running", "values", "values", "running", "values", "completed"]


async def test_an_end_is_told_to_watchers_once() -> None:
    """A watcher that begins anew would take it for the end of the next run; other viewers are shown it."""
    thread = thread_of()
    await run(thread, 1)
    assert await shown(thread, WATCHER) == ["running", "completed"]
    assert await shown(thread, WATCHER) == []
    assert await shown(thread, ALL) == ["running", "values", "completed"]
    await run(thread, 2)
    assert await shown(thread, WATCHER) == ["running", "completed"]


async def test_a_new_turn_begins_when_it_is_accepted() -> None:
    """A watcher that comes before its first event is not shown the turn before it."""
    thread = thread_of()
    await run(thread, 1)
    await thread.start(RunStart("demo", 2, {}, {}), Assistant(graph=graph))
    assert await shown(thread, WATCHER) == []
    assert thread.state()["next"] == ["__start__"]
    await thread.work()


async def test_the_state_tells_what_is_asked() -> None:
    """While the graph waits, the thread has tasks, and clients do not take it for ended."""
    thread = thread_of()
    await run(thread, "ask")
    state = thread.state()
    assert state["values"] == {"asked": True}
    assert state["tasks"][0]["interrupts"] == [{"id": "i1", "value": "who?"}]
    assert state["next"] != []


async def test_a_function_graph_is_resumed_with_the_answers() -> None:
    """By the answer to an interrupt, or by an input while one is pending."""
    thread = thread_of()
    await run(thread, "ask")
    await thread.respond(answer())
    await thread.work()
    assert thread.state()["values"] == {"said": {"i1": "Ada"}}
    await run(thread, "ask")
    await run(thread, "Grace")
    assert thread.state()["values"] == {"said": {"i1": "Grace"}}


async def test_no_input_begins_anew() -> None:
    """Without one, a run is a fresh one although the graph waits."""
    thread = thread_of()
    await run(thread, "ask")
    await run(thread, None)
    assert await shown(thread, ALL) == ["running", "values", "completed"]


@pytest.mark.parametrize(
    ("given", "respond", "code"),
    [(None, "i1", "no_such_run"), ("ask", "other", "no_such_interrupt"), (1, "i1", "no_such_interrupt")],
)
async def test_an_answer_needs_its_question(given: Any, respond: str, code: str) -> None:
    """A run, and an interrupt of that id that is still pending."""
    thread = thread_of()
    if given is not None:
        await run(thread, given)
    with pytest.raises(Refusal) as caught:
        await thread.respond(answer(respond))
    assert caught.value.code == code


async def test_a_question_is_answered_once() -> None:
    """The second answer comes too late, also before the first one has been worked at."""
    thread = thread_of()
    await run(thread, "ask")
    await thread.respond(answer())
    with pytest.raises(Refusal) as caught:
        await thread.respond(answer())
    assert caught.value.code == "no_such_interrupt"


async def test_a_function_cannot_be_sent_elsewhere() -> None:
    """`update` and `goto` are LangGraph's."""
    thread = thread_of()
    await run(thread, "ask")
    with pytest.raises(Refusal) as caught:
        await thread.respond(attrs.evolve(answer(), goto="node"))
    assert caught.value.code == "not_supported"


async def test_runs_wait_in_order_and_not_without_limit() -> None:
    """One at a time; what is too many is refused."""
    thread = thread_of(Limits(queued=3))
    for n in range(3):
        await thread.start(RunStart("demo", n, {}, {}), Assistant(graph=graph))
    with pytest.raises(Refusal) as caught:
        await thread.start(RunStart("demo", 3, {}, {}), Assistant(graph=graph))
    assert caught.value.status == 429
    await thread.work()
    seen = await shown(thread, attrs.evolve(ALL, since=0))
    assert seen == ["running", "values", "completed"] * 3
    assert thread.state()["values"] == {"said": 2}


async def test_a_run_that_waits_can_be_taken_back() -> None:
    """It is not run at all."""
    thread = thread_of()
    for n in range(2):
        run_id = (await thread.start(RunStart("demo", n, {}, {}), Assistant(graph=graph))).run_id
    job = thread.find(run_id)
    assert job is not None
    await thread.abort(job)
    await thread.work()
    assert thread.state()["values"] == {"said": 0}


async def test_a_question_that_came_while_a_run_waited_is_asked_again_if_that_comes_to_nothing() -> None:
    """On behalf of the graph that has asked it: the other one has not begun."""
    thread = thread_of()
    await thread.start(RunStart("demo", "ask", {}, {}), Assistant(graph=graph))
    await thread.start(RunStart("other", 1, {}, {}), Assistant(graph=3))
    await thread.work()
    assert list(thread.snapshot.interrupts) == ["i1"]
    await thread.respond(answer())
    await thread.work()
    assert thread.state()["values"] == {"said": {"i1": "Ada"}}


async def test_a_command_is_run_once() -> None:
    """Whoever looks at the inbox may find it there when its run is over, and the end is still being written."""
    thread = thread_of()
    for n in range(2):
        run_id = (await thread.start(RunStart("demo", n, {}, {}), Assistant(graph=graph))).run_id
    job = thread.find(run_id)
    assert job is not None
    await thread.abort(job)
    append, found = thread.log.append, [attrs.evolve(job)]

    async def found_meanwhile(draft: Any, *args: Any, **options: Any) -> Any:
        if draft.root_event == "failed" and found:
            thread.receive(found.pop())
        return await append(draft, *args, **options)

    thread.log.append = found_meanwhile  # type: ignore[method-assign]
    await thread.work()
    assert await shown(thread, WATCHER) == ["running", "completed", "failed"]


async def test_a_run_is_stopped_although_the_store_cannot_note_it() -> None:
    """It is known here that it is to be stopped."""
    thread, sleeping = thread_of(), anyio.Event()

    async def sleeps(given: Any, writer: GraphWriter) -> Any:
        sleeping.set()
        await anyio.sleep_forever()

    async def fails(place: int) -> None:
        raise StoreFailed("it is away")

    run_id = (await thread.start(RunStart("demo", 1, {}, {}), Assistant(graph=sleeps))).run_id
    thread.log.cancel = fails  # type: ignore[method-assign]
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(thread.work)
        await sleeping.wait()
        job = thread.find(run_id)
        assert job is not None
        with pytest.raises(StoreFailed):
            await thread.abort(job)
        with anyio.fail_after(PATIENCE):
            await job.done.wait()
    assert (await shown(thread, WATCHER))[-1] == "failed"


async def test_a_run_that_is_stopped_as_it_begins_has_an_end() -> None:
    """Before its graph has said anything: whoever waits for its end would wait for ever."""
    thread, beginning, go_on = thread_of(), anyio.Event(), anyio.Event()
    change = thread.log.change

    async def late(*args: Any, **options: Any) -> None:
        await change(*args, **options)
        if not beginning.is_set():
            beginning.set()
            await go_on.wait()

    thread.log.change = late  # type: ignore[method-assign]
    run_id = (await thread.start(RunStart("demo", 1, {}, {}), Assistant(graph=graph))).run_id
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(thread.work)
        await beginning.wait()
        job = thread.find(run_id)
        assert job is not None
        tasks.start_soon(thread.abort, job)
        await turns()
        go_on.set()
    assert await shown(thread, WATCHER) == ["failed"]
    entries = await thread.log.read(0)
    assert json.loads(entries[-1].body)["params"]["data"]["reason"] == "aborted"
    assert not thread.running


async def test_a_thread_is_not_forgotten_while_a_command_is_accepted() -> None:
    """Its run would be one of a thread that is no longer there."""
    thread = thread_of()
    accept = thread.log.accept
    idle: list[bool] = []

    async def look(*args: Any, **options: Any) -> Any:
        idle.append(thread.idle)
        return await accept(*args, **options)

    thread.log.accept = look  # type: ignore[method-assign]
    assert thread.idle
    await run(thread, 1)
    assert idle == [False]
    assert thread.idle


async def test_a_failing_graph_is_an_event() -> None:
    """Nothing is raised; the thread goes on."""
    thread = thread_of()
    await run(thread, "fail")
    (entry,) = [entry for entry in await thread.log.read(0) if entry.root_event == "failed"]
    assert b"it broke" in entry.body
    await run(thread, 1)
    assert thread.state()["values"] == {"said": 1}


async def test_a_graph_that_is_none_has_failed() -> None:
    """A viewer learns of it, in the place where it waits for the run's end."""
    thread = thread_of()
    await thread.start(RunStart("demo", 1, {}, {}), Assistant(graph=3))
    await thread.work()
    assert await shown(thread, WATCHER) == ["failed"]


async def test_the_future_and_the_past_are_refused() -> None:
    """`since` beyond the log, and `since` before what it still has."""
    limits = Limits(events=2)
    thread = thread_of(limits)
    await run(thread, 1)
    with pytest.raises(LogGap):
        thread.replay(attrs.evolve(ALL, since=thread.log.last + 1))
    with pytest.raises(LogGap):
        await Viewer(thread).add("s", attrs.evolve(ALL, since=0))
    assert thread.replay(ALL).gap == 0


async def test_a_viewer_that_stays_behind_learns_of_the_gap() -> None:
    """Its queue is the log: what that has forgotten is not skipped in silence."""
    thread = thread_of(Limits(events=5))
    viewer = Viewer(thread)
    await viewer.add("s", ALL)
    await run(thread, 1)
    assert len(await viewer.batch()) == 3
    await run(thread, 2)
    await run(thread, 3)
    with pytest.raises(LogGap) as caught:
        await viewer.batch()
    places = [each.seq for each in await thread.log.read(thread.log.first - 1)]
    assert (caught.value.after, caught.value.first) == (places[0] - 2, places[0])


async def test_subscriptions_of_one_viewer_share_events() -> None:
    """An event that two of them want is sent once; one that is new is replayed to; one that is gone takes nothing."""
    thread = thread_of()
    await run(thread, 1)
    viewer = Viewer(thread)
    await viewer.add("a", Subscription(Selection(frozenset({"values"}))))
    await viewer.add("b", ALL)
    assert await viewer.count("b") == 3
    places = [each.seq for each in await thread.log.read(0)]
    assert [entry.seq for entry in await viewer.batch()] == places
    await viewer.add("c", Subscription(Selection(frozenset({"values"}))))
    assert [entry.seq for entry in await viewer.batch()] == [places[1]]
    assert viewer.remove("b")
    assert not viewer.remove("b")
    await run(thread, 2)
    assert [entry.method for entry in await viewer.batch()] == ["values"]
