"""Nothing is taken before it is accepted, and nothing is kept that is not counted."""

from __future__ import annotations

import gc
import json
from collections.abc import Awaitable
from typing import Any
from uuid import uuid4

import anyio
import anyio.lowlevel
import pytest
from langgraph.checkpoint.memory import InMemorySaver

from anyiostream import GraphWriter
from anyiostream.remote import Assistant, Limits, MemoryLog, MemoryStore
from anyiostream.remote.commands import Answer, InputRespond, RunStart
from anyiostream.remote.identity import ThreadKey
from anyiostream.remote.jobs import Begun, Job
from anyiostream.remote.performing import perform
from anyiostream.remote.refusals import Refusal
from anyiostream.remote.subscriptions import Selection, Subscription
from anyiostream.remote.thread import Thread
from anyiostream.remote.threads import Threads
from anyiostream.remote.viewer import Viewer

from ..waiting import until
from .graphs import asking_graph

pytestmark = pytest.mark.anyio

EVENTS = Subscription(Selection(frozenset({"lifecycle", "input"})), since=0)
LATE = Subscription(Selection(frozenset({"lifecycle", "input", "values"})))


async def asking(given: Any, writer: GraphWriter) -> Any:
    """Asks; refuses one answer before it does anything, and another one afterwards; waits with a third."""
    answers = getattr(given, "answers", None)
    if answers is None:
        await writer.values({"asked": True})
        await writer.interrupt("who?", interrupt_id="i1")
        return None
    (answer,) = answers.values()
    if answer == "refused":
        raise ValueError("not this one")
    if answer == "held":
        await anyio.sleep_forever()
    await writer.values({"said": answer, "before": given.values})
    if answer == "late":
        raise ValueError("it broke")
    return {"said": answer}


ASKING = Assistant(graph=asking)


def thread_of(limits: Limits | None = None, thread_id: str = "t") -> Thread:
    """A new thread."""
    limits = limits or Limits()
    return Thread(thread_id, "", MemoryLog(thread_id, limits), limits, perform)


async def asked(assistant: Assistant = ASKING, assistant_id: str = "asking") -> Thread:
    """A thread that waits for its user."""
    thread = thread_of()
    await thread.start(RunStart(assistant_id, {"answers": []}, {}, {}), assistant)
    await thread.work()
    assert thread.waits
    return thread


async def job_of(thread: Thread, accepting: Awaitable[Begun]) -> Job:
    """The run that is being accepted."""
    job = thread.find((await accepting).run_id)
    assert job is not None
    return job


def answering(answer: Any, interrupt_id: str = "i1") -> InputRespond:
    """An answer."""
    return InputRespond((Answer(interrupt_id, (), answer),), None, None, {}, {})


async def shown(thread: Thread, subscription: Subscription) -> list[str]:
    """What a new viewer is sent at once."""
    viewer = Viewer(thread)
    await viewer.add("s", subscription)
    seen = []
    while entries := await viewer.batch():
        seen += [entry.root_event or entry.method for entry in entries]
    return seen


QUESTION = ["input.requested", "interrupted"]


async def test_an_answer_that_the_graph_refuses_leaves_the_question() -> None:
    """It failed before it did anything: the thread waits as before, and can be answered again."""
    thread = await asked()
    before = thread.state()
    await thread.respond(answering("refused"))
    assert "input.requested" not in await shown(thread, LATE)
    await thread.work()
    assert thread.state() == before
    assert [each for each in await shown(thread, LATE) if each != "values"][:3] == ["running", *QUESTION]
    assert (await shown(thread, EVENTS))[-1] == "failed"
    await thread.respond(answering("Ada"))
    await thread.work()
    assert thread.state()["values"] == {"said": "Ada"}
    assert "input.requested" not in await shown(thread, LATE)


@pytest.mark.parametrize("cancelled", [False, True])
async def test_a_quick_answer_hides_the_question_too(*, cancelled: bool) -> None:
    """One that comes while the run that asks is not quite over; cancelled, it shows the question again."""
    thread = thread_of()
    asks = await job_of(thread, thread.start(RunStart("asking", None, {}, {}), ASKING))
    quick: list[Job] = []

    async def performing(of: Thread, job: Any) -> None:
        await perform(of, job)
        if job is asks:
            quick.append(await job_of(of, of.respond(answering("Ada"))))
            assert "input.requested" not in await shown(of, LATE)
            with pytest.raises(Refusal):
                await of.respond(answering("second"))
            if cancelled:
                await of.abort(quick[0])
                assert [each for each in await shown(of, LATE) if each != "values"] == ["running", *QUESTION]

    thread._perform = performing  # noqa: SLF001 -- in place of a race
    await thread.work()
    assert thread.waits is cancelled
    assert ("input.requested" in await shown(thread, LATE)) is cancelled
    if cancelled:
        await thread.respond(answering("Ada"))
        await thread.work()
    assert thread.state()["values"] == {"said": "Ada"}


async def test_an_answer_that_was_used_is_used_up() -> None:
    """A graph that fails after it has begun to work with it does not ask again."""
    thread = await asked()
    await thread.respond(answering("late"))
    await thread.work()
    assert not thread.waits
    with pytest.raises(Refusal) as caught:
        await thread.respond(answering("Ada"))
    assert caught.value.code == "no_such_interrupt"


@pytest.mark.parametrize("scalar", [True, False])
async def test_langgraphs_refusal_leaves_the_questions(*, scalar: bool) -> None:
    """One answer for two questions; and one that is cancelled before it begins."""
    graph = asking_graph("a", "b")
    graph.checkpointer = InMemorySaver()
    thread = await asked(Assistant(graph=graph))
    questions = dict(thread.snapshot.interrupts)
    job = await job_of(thread, thread.start(RunStart("asking", "yes", {}, {}), Assistant(graph=graph)))
    if not scalar:
        await thread.abort(job)
    await thread.work()
    assert thread.snapshot.interrupts == questions
    answers = tuple(Answer(each, (), each[:4]) for each in questions)
    await thread.respond(InputRespond(answers, None, None, {}, {}))
    await thread.work()
    assert len(thread.state()["values"]["answers"]) == 2
    assert not thread.waits


async def test_an_answer_that_is_cancelled_is_given_back() -> None:
    """Before it is begun, and while its graph has done nothing with it; the log says so."""
    thread = await asked()
    before = thread.state()
    for answer in ("never begun", "held"):
        job = await job_of(thread, thread.respond(answering(answer)))
        with pytest.raises(Refusal):
            await thread.respond(answering("second"))
        assert not thread.state()["tasks"][0]["interrupts"]
        async with anyio.create_task_group() as tasks:
            if answer == "held":
                tasks.start_soon(thread.work)
                await until(lambda job=job: job.run is not None)
                await anyio.lowlevel.checkpoint()
            await thread.abort(job)
        await thread.work()
        assert thread.state() == before
        entry = (await thread.log.read(thread.log.last - 1))[0]
        assert (entry.root_event, json.loads(entry.body)["params"]["data"]["run_id"]) == ("failed", job.run_id)
    await thread.respond(answering("Ada"))
    await thread.work()
    assert thread.state()["values"] == {"said": "Ada"}


async def test_a_cancelled_run_is_told_of_in_its_turn() -> None:
    """Not while another one is read, whose end viewers would take it for; and it does not make room in the queue."""
    thread = thread_of(Limits(queued=2))
    jobs = []
    for n in range(2):
        starting = thread.start(RunStart("asking", n, {}, {}), Assistant(graph=counting))
        jobs.append(await job_of(thread, starting))
    await thread.abort(jobs[1])
    with pytest.raises(Refusal):
        await thread.start(RunStart("asking", 2, {}, {}), Assistant(graph=counting))
    assert thread.jobs == jobs[:1]
    await thread.work()
    assert await shown(thread, EVENTS) == ["running", "completed", "failed"]
    assert thread.state()["values"] == {"counted": 0}


async def counting(given: Any, _: GraphWriter) -> Any:
    """Says what it was given."""
    return {"counted": given}


async def test_only_the_assistant_that_asks_is_answered() -> None:
    """Another one would get an answer to what it has not asked, or take the question away."""
    thread = await asked()
    for given in ("an answer", None):
        with pytest.raises(Refusal) as caught:
            await thread.start(RunStart("other", given, {}, {}), Assistant(graph=counting))
        assert caught.value.code == "invalid_argument"
    await thread.start(RunStart("asking", "Ada", {}, {}), ASKING)
    await thread.work()
    await thread.start(RunStart("other", 1, {}, {}), Assistant(graph=counting))
    await thread.work()
    assert thread.state()["values"] == {"counted": 1}


class Tracked(list[Any]):
    """A value that shows whether it is still there."""


async def test_a_run_leaves_its_input_behind() -> None:
    """Neither what it was given nor what it made is kept but as bytes; those are counted."""
    thread = thread_of()

    async def echo(given: Any, writer: GraphWriter) -> Any:
        await writer.values({"given": given, "made": Tracked(range(1000))})
        return {"given": given, "made": Tracked(range(1000))}

    await thread.start(RunStart("echo", Tracked(range(1000)), {}, {"m": Tracked()}), Assistant(graph=echo))
    await thread.work()
    gc.collect()
    assert not [each for each in gc.get_objects() if isinstance(each, Tracked)]
    assert len(thread.state()["values"]["given"]) == 1000
    log = thread.log
    assert isinstance(log, MemoryLog)
    assert thread.size >= log.size + len(json.dumps(thread.state()["values"], separators=(",", ":")))


async def test_what_is_asked_for_is_kept_until_it_is_answered() -> None:
    """A function is resumed with what it had, and then that is not kept any more."""
    thread = await asked()
    before = thread.size
    await thread.respond(answering("Ada"))
    await thread.work()
    assert b'"before":{"asked":true}' in b"".join(entry.body for entry in await thread.log.read(0))
    assert before > 0


async def test_idle_threads_are_bounded_in_bytes() -> None:
    """Those idle for longest are forgotten; one that waits is not: where only such are left there are no new ones."""
    limits = Limits(kept=20_000)
    store = MemoryStore(limits=limits)

    async def load(key: ThreadKey) -> Thread:
        claim = store.claim_now(key.owner, key.thread_id, holder="", nonce=str(uuid4()))
        return Thread(key.thread_id, key.owner, store.log(claim), limits, perform)

    threads = Threads(store, limits, owned=False)

    async def used(name: str, assistant: Assistant, given: Any) -> Thread:
        thread = await threads.get(ThreadKey("", name), load)
        await thread.start(RunStart("a", given, {}, {}), assistant)
        await thread.work()
        threads.settle(thread)
        return thread

    async def asks(given: Any, writer: GraphWriter) -> Any:
        await writer.values({"blob": given})
        await writer.interrupt("who?")

    for n in range(5):
        await used(str(n), Assistant(graph=counting), "x" * 1000)
    assert threads.held.threads == 5
    assert 10_000 < threads.held.size <= 20_000
    for n in range(5, 30):
        await used(str(n), Assistant(graph=counting), "x" * 1000)
    assert threads.held.size <= 20_000
    assert await threads.find(ThreadKey("", "0"), load) is None
    assert await threads.find(ThreadKey("", "29"), load) is not None
    waiting = await used("waiting", Assistant(graph=asks), "x" * 10_000)
    assert threads.held.threads == 1
    assert await threads.find(waiting.key, load) is waiting
    with pytest.raises(Refusal) as caught:
        await threads.get(ThreadKey("", "new"), load)
    assert caught.value.status == 429
