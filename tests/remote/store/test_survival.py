"""What a server over a file finds when it is started after another one has died: at any chosen moment.

A death is a copy of the file at that moment: what a process that is killed leaves behind is what it had committed.
"""

from __future__ import annotations

import json
import operator
import shutil
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Annotated, Any, TypedDict

import anyio
import pytest
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.config import get_stream_writer
from langgraph.graph import END, START, StateGraph
from langgraph.types import interrupt

from anyiostream import GraphWriter
from anyiostream.remote import Assistant, Limits, LogGap, app, recovery
from anyiostream.remote.access import Caller
from anyiostream.remote.commands import Answer, InputRespond, RunStart
from anyiostream.remote.recorder import Recorder
from anyiostream.remote.refusals import Refusal
from anyiostream.remote.service import Service
from anyiostream.remote.store import NOTHING, SqliteStore, StoredLog, StoreFailed, back_up, thread_key
from anyiostream.remote.subscriptions import Selection, Subscription
from anyiostream.remote.viewer import Viewer

from ...waiting import turns, until
from ..said import ends, restarts
from .saver import FileSaver

pytestmark = pytest.mark.anyio

CALLER = Caller({}, None)

KEY = thread_key("", "t")

ALL = Subscription(Selection(frozenset({"values", "lifecycle", "input", "custom", "messages", "tools", "checkpoints"})))


class State(TypedDict, total=False):
    trail: Annotated[list[str], operator.add]


class World:
    """A folder with a store and checkpoints, the graphs that use them, and gates in their nodes.

    Attributes:
        calls: Which nodes have been called, in order.
        shut: Gates that nodes wait at.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.calls: list[str] = []
        self.shut: set[str] = set()
        self.waiting: set[str] = set()

    async def gate(self, name: str) -> None:
        """Wait here while the gate is shut."""
        self.calls.append(name)
        self.waiting.add(name)
        await until(lambda: name not in self.shut)
        self.waiting.discard(name)

    def step(self, name: str) -> Callable[[State], Any]:
        """A node that goes through the gate of its name."""

        async def node(_: State) -> State:
            get_stream_writer()({"name": "step", "payload": name})
            await self.gate(name)
            return {"trail": [name]}

        return node

    def ask(self, name: str) -> Callable[[State], Any]:
        """A node that asks two questions, one after the other, and then goes through its gate."""

        async def node(_: State) -> State:
            first = interrupt(f"{name} 1")
            second = interrupt(f"{name} 2")
            await self.gate(name)
            return {"trail": [f"{name}={first}{second}"]}

        return node

    def assistants(self) -> dict[str, Any]:
        """The graphs."""
        return {
            "steps": self.chain(FileSaver(self.folder / "checkpoints"), a=self.step, b=self.step, c=self.step),
            "ask": self.chain(FileSaver(self.folder / "checkpoints"), ask=self.ask, end=self.step),
            "memory": self.chain(InMemorySaver(), ask=self.ask, a=self.step, b=self.step),
            "forgetful": self.chain(None, a=self.step, b=self.step),
            "function": self.function,
            "again": Assistant(graph=self.function, on_crash="restart"),
            "question": self.question,
        }

    async def function(self, given: Any, writer: GraphWriter) -> Any:
        """A function graph that dies in the middle of a message, a call and a subgraph."""
        async with writer.subgraph("inner") as inner, writer.message() as message:
            await message.text("one ")
            async with inner.tool_call("search", tool_call_id="t1") as call:
                await self.gate("function")
                call.output = "found"
        return {"given": given}

    async def question(self, given: Any, writer: GraphWriter) -> Any:
        """A function graph that asks."""
        if hasattr(given, "answers"):
            return {"answer": given.answer, "before": given.values}
        await writer.values({"asked": given})
        await writer.interrupt("who?", interrupt_id="i1")
        return None

    @staticmethod
    def chain(saver: Any, **nodes: Callable[[str], Any]) -> Any:
        """A LangGraph graph of these nodes, one after the other."""
        builder, before = StateGraph(State), START
        for name, make in nodes.items():
            builder.add_node(name, make(name)).add_edge(before, name)
            before = name
        return builder.add_edge(before, END).compile(checkpointer=saver)

    @asynccontextmanager
    async def served(self, **limits: Any) -> AsyncIterator[Service]:
        """A server over what is in the folder."""
        limits = {"drain": 0.01, **limits}
        application = app(self.assistants(), store=f"sqlite:{self.folder / 'f'}", limits=Limits(**limits))
        service: Service = application.state.service
        async with service.running():
            yield service

    def died(self) -> World:
        """What is left of it now."""
        after = World(self.folder / "after")
        after.folder.mkdir()
        back_up(self.folder / "f", after.folder / "f")
        saved = self.folder / "checkpoints"
        for suffix in ("", "-wal"):
            if saved.with_name(saved.name + suffix).exists():
                shutil.copy(saved.with_name(saved.name + suffix), after.folder / f"checkpoints{suffix}")
        return after


@pytest.fixture
def world(tmp_path: Path) -> World:
    """An empty one."""
    return World(tmp_path)


async def start(service: Service, assistant: str, given: Any = None, once: str | None = None) -> str:
    """Start a run on the thread; its id."""
    result = await service.execute(CALLER, "t", RunStart(assistant, given, {}, {}), once)
    return str(result["run_id"])


async def answer(service: Service, response: Any, once: str | None = None) -> str:
    """Answer what is asked; the id of the run that goes on."""
    thread = await service.thread("t", "")
    answers = tuple(Answer(each, (), response) for each in thread.snapshot.interrupts)
    assert answers
    return str((await service.execute(CALLER, "t", InputRespond(answers, None, None, {}, {}), once))["run_id"])


async def settled(service: Service) -> Any:
    """The thread, when nothing of it runs."""
    thread = await service.known_thread("t", "")
    assert thread is not None
    await until(lambda: not thread.busy)
    return thread


async def log_of(service: Service) -> list[Any]:
    """Every event of the thread."""
    thread = await service.known_thread("t", "")
    assert thread is not None
    return [json.loads(entry.body) for entry in await thread.log.read(0, 1000)]


async def test_a_thread_is_there_again(world: World) -> None:
    """Its state, its tree, its events with their places and ids, and what a new viewer is shown."""
    async with world.served() as service:
        await start(service, "steps", {"trail": ["x"]})
        before = await settled(service)
        events, state, tree = await log_of(service), before.state(), before.tree.shown()
        shown = before.replay(ALL)
    async with world.served() as service:
        after = await settled(service)
        assert (await log_of(service), after.state(), after.tree.shown()) == (events, state, tree)
        assert after.replay(ALL) == shown
        assert state["values"] == {"trail": ["x", "a", "b", "c"]}
        await start(service, "steps", {"trail": ["y"]})
        await settled(service)
        both = await log_of(service)
        assert both[: len(events)] == events
        assert both[len(events)]["seq"] > events[-1]["seq"]
        assert (await service.thread("t", "")).state()["values"]["trail"][-4:] == ["y", "a", "b", "c"]


@pytest.mark.parametrize("node", ["a", "b", "c"])
async def test_a_run_goes_on_from_its_checkpoint(world: World, node: str) -> None:
    """Wherever it was: with its input, once; the step that was interrupted is done again, and viewers are told."""
    world.shut.add(node)
    async with world.served() as service:
        run_id = await start(service, "steps", {"trail": ["x"]})
        await until(lambda: node in world.waiting)
        after = world.died()
        world.shut.clear()
        seen = await log_of(service)
    async with after.served() as service:
        thread = await settled(service)
        assert thread.state() == {"values": {"trail": ["x", "a", "b", "c"]}, "next": [], "tasks": []}
        events = await log_of(service)
        assert events[: len(seen)] == seen
        assert ends(events) == [("running", run_id), ("completed", run_id)]
        (told,) = restarts(events)
        assert (told["run_id"], told["attempt"]) == (run_id, 2)
        if told["checkpoint_id"] is not None:
            (shown,) = [
                each["seq"]
                for each in events
                if each["params"]["data"]
                and each["method"] == "checkpoints"
                and each["params"]["data"].get("id") == told["checkpoint_id"]
            ][:1]
            assert told["after"] == shown
    assert after.calls == ["a", "b", "c"]["abc".index(node) :]


async def test_an_answer_is_not_lost(world: World) -> None:
    """One whose run had begun, and had not saved that it took it; nor is it taken for the answer to what comes next."""
    world.shut.add("ask")
    async with world.served() as service:
        await start(service, "ask", {"trail": []})
        await settled(service)
        await answer(service, "A")
        await settled(service)
        second = await answer(service, "B")
        await until(lambda: "ask" in world.waiting)
        after = world.died()
        world.shut.clear()
    async with after.served() as service:
        thread = await settled(service)
        assert thread.state()["values"] == {"trail": ["ask=AB", "end"]}
        assert ends(await log_of(service))[-1] == ("completed", second)


async def test_an_answer_is_not_lost_before_its_graph_is_called(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """The answers that the graph has had are not its own: its server died before it had counted them."""
    counted, gate = recovery._newest, anyio.Event()  # noqa: SLF001 -- the moment between begin and call
    shut = False

    async def newest(*args: Any) -> Any:
        if shut:
            world.waiting.add("count")
            await gate.wait()
        return await counted(*args)

    monkeypatch.setattr(recovery, "_newest", newest)
    async with world.served() as service:
        await start(service, "ask", {"trail": []})
        await settled(service)
        await answer(service, "A")
        await settled(service)
        shut = True
        second = await answer(service, "B")
        await until(lambda: "count" in world.waiting)
        after, shut = world.died(), False
        gate.set()
    async with after.served() as service:
        thread = await settled(service)
        assert thread.state()["values"] == {"trail": ["ask=AB", "end"]}
        assert ends(await log_of(service))[-1] == ("completed", second)


async def test_an_answer_is_not_lost_because_the_store_fails_once(world: World) -> None:
    """Before its graph is called: the run has not failed for that, and is taken up again."""
    async with world.served() as service:
        await start(service, "ask", {"trail": []})
        await settled(service)
        await answer(service, "A")
        await settled(service)
        store: Any = service.store
        append, failed = store.append, []

        async def fail_once(key: str, epoch: int, after: int, entries: Any, changes: Any = NOTHING) -> None:
            if not failed and not entries and changes.attempts is None:
                failed.append(changes)
                raise StoreFailed("it is away")
            await append(key, epoch, after, entries, changes)

        store.append = fail_once
        second = await answer(service, "B")
        await until(lambda: failed)
        await until(lambda: not service.runner.workload.tasks or service.runner.workload.running(KEY) is None)
        await until(lambda: (kept := service.listing.remembered("")) and not kept[0].busy)
        thread = await settled(service)
        assert thread.state()["values"] == {"trail": ["ask=AB", "end"]}
        assert ends(await log_of(service))[-1] == ("completed", second)


async def test_what_comes_when_a_threads_work_is_over_is_run(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """A user may answer as soon as the question is shown, while what stores the run's events along is being left."""
    beside, answers = Recorder.beside, list[str]()

    @asynccontextmanager
    async def late(self: Recorder) -> AsyncIterator[None]:
        async with beside(self):
            yield
        if not answers:
            answers.append(await answer(service, "A"))

    async with world.served() as service:
        monkeypatch.setattr(Recorder, "beside", late)
        await start(service, "ask", {"trail": []})
        await until(lambda: answers)
        await until(lambda: service.runner.workload.running(KEY) is None)
        thread = await settled(service)
        assert ends(await log_of(service))[-1] == ("interrupted", answers[0])  # it asks for more
        assert not thread.busy


async def test_a_queue_is_there_again(world: World) -> None:
    """Runs that wait are run in order, after the one that was under way; answers and inputs are what they were."""
    world.shut.add("a")
    async with world.served() as service:
        runs = [await start(service, "steps", {"trail": [str(n)]}) for n in range(3)]
        await until(lambda: "a" in world.waiting)
        after = world.died()
        world.shut.clear()
    async with after.served() as service:
        thread = await settled(service)
        assert thread.state()["values"]["trail"] == [each for n in range(3) for each in (str(n), "a", "b", "c")]
        assert ends(await log_of(service)) == [(event, run) for run in runs for event in ("running", "completed")]


async def test_an_answer_that_waits_is_there_again(world: World) -> None:
    """Accepted, and not begun when the server died: the question is not asked again, nor answered twice."""
    async with world.served() as service:
        await start(service, "question", "x")
        thread = await settled(service)
        thread.work = wait_for_ever  # type: ignore[method-assign]
        await answer(service, "Ada")
        after = world.died()
    async with after.served() as service:
        thread = await settled(service)
        assert thread.state()["values"] == {"answer": "Ada", "before": {"asked": "x"}}
        with pytest.raises(Refusal, match="waiting at this interrupt"):
            await service.execute(CALLER, "t", InputRespond((Answer("i1", (), "Bob"),), None, None, {}, {}))


async def wait_for_ever() -> None:
    """A thread's work that does not come to it."""
    await anyio.sleep_forever()


@pytest.mark.parametrize("assistant", ["question", "ask"])
async def test_a_question_is_there_again(world: World, assistant: str) -> None:
    """It can be answered as if nothing had happened, by an input or by an answer."""
    async with world.served() as service:
        await start(service, assistant, {"trail": []})
        before = (await settled(service)).state()
    async with world.served() as service:
        assert (await settled(service)).state() == before
        await answer(service, "A")
        thread = await settled(service)
        if assistant == "ask":
            await start(service, assistant, "B")
            await settled(service)
            assert thread.state()["values"] == {"trail": ["ask=AB", "end"]}
        else:
            assert thread.state()["values"]["answer"] == "A"


@pytest.mark.parametrize("attempts", [1, 3])
async def test_a_question_whose_asking_was_cut_short_is_void(
    world: World, monkeypatch: pytest.MonkeyPatch, attempts: int
) -> None:
    """The server dies between the event that asks and the end of its run: the run asks anew, or has failed."""
    copies: list[World] = []
    append = SqliteStore.append

    async def append_and_die(store: Any, key: str, epoch: int, after: int, entries: Any, *changes: Any) -> None:
        await append(store, key, epoch, after, entries, *changes)
        if any(entry.method == "input.requested" for entry in entries) and not copies:
            copies.append(world.died())

    monkeypatch.setattr(SqliteStore, "append", append_and_die)
    async with world.served(attempts=attempts) as service:
        await start(service, "ask", {"trail": []})
        await settled(service)
    async with copies[0].served(attempts=attempts) as service:
        thread = await settled(service)
        shown = [event["params"]["data"]["interrupt_id"] for event in await shown_to_a_new_viewer(service)]
        assert shown == list(thread.snapshot.interrupts)
        assert len(shown) == (0 if attempts == 1 else 1)
        # Whatever became of the run: an input is taken, for the answer or for the beginning of the next one.
        await start(service, "ask", {"trail": []} if attempts == 1 else "A")
        await settled(service)
        await answer(service, "B")
        assert (await settled(service)).waits == (attempts == 1)


async def shown_to_a_new_viewer(service: Service) -> list[Any]:
    """The questions that it is shown."""
    viewer = Viewer(await service.thread("t", ""))
    await viewer.add("s", Subscription(Selection(frozenset({"input"}))))
    return [json.loads(entry.body) for entry in await viewer.batch()]


@pytest.mark.parametrize(
    ("assistant", "node", "why"),
    [
        ("function", "function", "a function, which keeps no checkpoints"),
        ("forgetful", "b", "keeps no checkpoints that outlive the server"),
        ("memory", "a", "InMemorySaver"),
    ],
)
async def test_what_cannot_go_on_has_failed(world: World, assistant: str, node: str, why: str) -> None:
    """It is not done twice, does not hang, and says why; the thread takes new runs."""
    world.shut.add(node)
    async with world.served() as service:
        run_id = await start(service, assistant, {"trail": []})
        if assistant == "memory":
            for response in "AB":
                await settled(service)
                run_id = await answer(service, response)
        await until(lambda: node in world.waiting)
        after = world.died()
        world.shut.clear()
    async with after.served() as service:
        thread = await settled(service)
        events = await log_of(service)
        assert ends(events)[-1] == ("failed", run_id)
        assert why in events[-1]["params"]["data"]["error"]
        assert restarts(events) == []
        assert after.calls == []
        assert thread.state()["next"] == []
        await start(service, "steps", {"trail": []})
        assert (await settled(service)).state()["values"]["trail"][-3:] == ["a", "b", "c"]


async def test_what_had_begun_is_ended_in_the_log(world: World) -> None:
    """Messages, calls and subgraphs, in this order, before the run's end: nobody waits for their rest."""
    world.shut.add("function")
    async with world.served() as service:
        await start(service, "function")
        await until(lambda: "function" in world.waiting)
        while not (seen := await log_of(service)) or seen[-1]["method"] != "tools":
            await turns()
        after = world.died()
        world.shut.clear()
    async with after.served() as service:
        await settled(service)
        added = (await log_of(service))[len(seen) :]
    found = [(event["method"], event["params"]["namespace"], event["params"]["data"]["event"]) for event in added]
    inner = found[1][1]
    assert found == [
        ("messages", [], "error"),
        ("tools", inner, "tool-error"),
        ("lifecycle", inner, "failed"),
        ("lifecycle", [], "failed"),
    ]
    assert inner
    assert inner[0].startswith("inner")
    (begun,) = [each["params"]["data"] for each in seen if each["params"]["data"].get("event") == "message-start"]
    assert added[0]["params"]["data"]["id"] == begun["id"]
    assert added[1]["params"]["data"]["tool_call_id"] == "t1"


async def test_a_function_may_be_called_again(world: World) -> None:
    """If its operator says so; viewers are told, and what had begun is ended."""
    world.shut.add("function")
    async with world.served() as service:
        run_id = await start(service, "again", {"x": 1})
        await until(lambda: "function" in world.waiting)
        after = world.died()
        world.shut.clear()
    async with after.served() as service:
        thread = await settled(service)
        events = await log_of(service)
        assert thread.state()["values"] == {"given": {"x": 1}}
        assert ends(events) == [("running", run_id), ("completed", run_id)]
        (told,) = restarts(events)
        assert told == {"run_id": run_id, "attempt": 2, "checkpoint_id": None, "after": events[0]["seq"]}
    assert after.calls == ["function"]


@pytest.mark.parametrize(("assistant", "why"), [("memory", "InMemorySaver"), ("ask", "no longer there. Start")])
async def test_a_question_whose_checkpoint_is_gone_has_failed(
    world: World, assistant: str, why: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Its answer would begin the graph anew, without a word. Nobody is asked any more; the thread takes new runs."""
    async with world.served() as service:
        await start(service, assistant, {"trail": []})
        await settled(service)
    for file in world.folder.glob("checkpoints*"):
        file.unlink()
    async with world.served() as service:
        await answer(service, "A")
        thread = await settled(service)
        assert why in (await log_of(service))[-1]["params"]["data"]["error"]
        assert not thread.waits
        assert await shown_to_a_new_viewer(service) == []
    assert world.calls == []
    (logged,) = [each for each in caplog.records if why in each.getMessage()]
    assert logged.exc_info is None  # where it was found out is of no use
    async with world.served() as service:
        thread = await settled(service)
        assert not thread.waits
        await start(service, assistant, {"trail": []})
        await settled(service)
        assert thread.waits
        for response in "AB":
            await answer(service, response)
            await settled(service)
        assert ends(await log_of(service))[-1][0] == "completed"


async def test_a_run_that_kills_its_server_is_given_up(world: World) -> None:
    """Not begun again and again; one that gets further in between is."""
    world.shut.add("a")
    worlds = [world]
    for n in range(3):
        async with worlds[-1].served() as service:
            if not n:
                await start(service, "steps", {"trail": []})
            await until(lambda: "a" in worlds[-1].waiting)
            worlds.append(worlds[-1].died())
            worlds[-1].shut.add("a")
            worlds[-2].shut.clear()
    async with worlds[-1].served() as service:
        await settled(service)
        assert "3 times in a row" in (await log_of(service))[-1]["params"]["data"]["error"]
    assert worlds[-1].calls == []


async def test_attempts_count_anew_when_a_run_gets_somewhere(world: World) -> None:
    """Its server dies three times, in three steps."""
    worlds = [world]
    for node in "abc":
        worlds[-1].shut.add(node)
        async with worlds[-1].served(attempts=2) as service:
            if node == "a":
                await start(service, "steps", {"trail": []})
            await until(lambda: node in worlds[-1].waiting)  # noqa: B023 -- awaited here
            worlds.append(worlds[-1].died())
            worlds[-2].shut.clear()
    async with worlds[-1].served(attempts=2) as service:
        thread = await settled(service)
        assert thread.state()["values"] == {"trail": ["a", "b", "c"]}
        assert [each["attempt"] for each in restarts(await log_of(service))] == [2, 2, 2]


async def test_a_run_that_was_to_be_stopped_is_not_gone_on_with(world: World) -> None:
    """The server has said so, and died before it was done."""
    world.shut.add("b")
    async with world.served() as service:
        run_id = await start(service, "steps", {"trail": []})
        await until(lambda: "b" in world.waiting)
        thread = await service.thread("t", "")
        job = thread.find(run_id)
        assert job is not None
        await thread.log.cancel(job.place)
        after = world.died()
        world.shut.clear()
    async with after.served() as service:
        await settled(service)
        events = await log_of(service)
        assert ends(events)[-1] == ("failed", run_id)
        assert "aborted" in events[-1]["params"]["data"]["error"]
    assert after.calls == []


@pytest.mark.parametrize("wait", [False, True])
@pytest.mark.parametrize("queued", [False, True])
async def test_a_stop_that_was_answered_is_kept(
    world: World, queued: bool, wait: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The store knows of it before the client is told: a server that dies then leaves no run that goes on."""
    note, may_note, answered = StoredLog.cancel, anyio.Event(), anyio.Event()

    async def cancel(log: StoredLog, place: int, **options: Any) -> None:
        await may_note.wait()
        await note(log, place, **options)

    async def stop(service: Service, run_id: str) -> None:
        await service.cancel(CALLER, "t", run_id, wait=wait)
        answered.set()

    monkeypatch.setattr(StoredLog, "cancel", cancel)
    world.shut.add("a")
    async with world.served() as service, anyio.create_task_group() as tasks:
        run_id = await start(service, "steps", {"trail": []})
        await until(lambda: "a" in world.waiting)
        if queued:
            run_id = await start(service, "steps", {"trail": []})
        tasks.start_soon(stop, service, run_id)
        await turns(50)
        assert not answered.is_set()
        may_note.set()
        await answered.wait()
        after = world.died()
        world.shut.clear()
    async with after.served() as service:
        await settled(service)
        assert ends(await log_of(service))[-1] == ("failed", run_id)
    assert after.calls == (["a", "b", "c"] if queued else [])


@pytest.mark.parametrize("queued", [False, True])
async def test_a_stop_that_the_store_does_not_note(world: World, queued: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever asks is told, each time, and may ask again; it is stopped here."""

    async def cancel(log: StoredLog, place: int, **options: Any) -> None:
        raise StoreFailed(f"it is full, {log}, {place}, {options}")

    world.shut.add("a")
    async with world.served() as service:
        run_id = await start(service, "steps", {"trail": []})
        await until(lambda: "a" in world.waiting)
        if queued:
            run_id = await start(service, "steps", {"trail": []})
        with monkeypatch.context() as patch:
            patch.setattr(StoredLog, "cancel", cancel)
            for _ in range(2):
                with pytest.raises(StoreFailed, match="it is full"):
                    await service.cancel(CALLER, "t", run_id, wait=False)
                await turns()
                if not queued:
                    break  # nothing of it is left that could be stopped
        world.shut.clear()
        while ("failed", run_id) not in ends(await log_of(service)):
            await turns()
    assert world.calls == (["a", "b", "c"] if queued else ["a"])


async def test_all_of_a_thread_are_stopped_at_once(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """None begins while the store takes its time to note that the one before it is to be stopped."""
    note, may_note = StoredLog.cancel, anyio.Event()

    async def cancel(log: StoredLog, place: int, **options: Any) -> None:
        await may_note.wait()
        await note(log, place, **options)

    monkeypatch.setattr(StoredLog, "cancel", cancel)
    world.shut.add("a")
    async with world.served() as service, anyio.create_task_group() as tasks:
        run_ids = [await start(service, "steps", {"trail": []})]
        await until(lambda: "a" in world.waiting)
        run_ids += [await start(service, "steps", {"trail": []}) for _ in range(3)]
        thread = await service.thread("t", "")
        tasks.start_soon(partial(service.stop, thread, thread.jobs, drain=False))
        await turns()
        world.shut.clear()
        while ends(await log_of(service))[-1][0] == "running":
            await turns()  # the run under way ends by itself meanwhile
        await turns(1000)
        may_note.set()
        while {("failed", run_id) for run_id in run_ids[1:]} - {*ends(await log_of(service))}:
            await turns()
    assert world.calls.count("a") == 1


async def test_a_graph_that_is_served_no_more(world: World) -> None:
    """Its runs fail and say so, those that wait as well as the one under way."""
    world.shut.add("a")
    async with world.served() as service:
        for _ in range(2):
            await start(service, "steps", {"trail": []})
        await until(lambda: "a" in world.waiting)
        after = world.died()
        world.shut.clear()
    application = app({}, store=f"sqlite:{after.folder / 'f'}")
    service = application.state.service
    async with service.running():
        await settled(service)
        events = await log_of(service)
        assert [event for event, _ in ends(events)] == ["running", "failed", "failed"]
        assert "no longer served" in events[-1]["params"]["data"]["error"]


async def test_a_server_that_is_stopped_hands_over(world: World) -> None:
    """A run that can go on is not aborted, however often: the next server goes on, and so it does with the queue."""
    for n in range(4):
        world.shut.add("b")
        async with world.served() as service:
            if not n:
                await start(service, "steps", {"trail": []})
                await start(service, "steps", {"trail": ["x"]})
            await until(lambda: "b" in world.waiting)
            world.waiting.clear()
    world.shut.clear()
    async with world.served() as service:
        thread = await settled(service)
        assert thread.state()["values"] == {"trail": ["a", "b", "c", "x", "a", "b", "c"]}


async def test_a_function_that_is_stopped_has_failed(world: World) -> None:
    """Now, not when the server is there again."""
    world.shut.add("function")
    async with world.served() as service:
        await start(service, "function")
        await until(lambda: "function" in world.waiting)
    async with world.served() as service:
        events = await log_of(service)
        assert "aborted" in events[-1]["params"]["data"]["error"]
        assert len(world.calls) == 1


@pytest.mark.parametrize("store", ["memory", "sqlite"])
async def test_a_command_that_is_repeated_starts_one_run(world: World, store: str) -> None:
    """Its answer was cut: the same one comes again, also when the run is over or the server another one."""
    application = app(world.assistants(), store="memory" if store == "memory" else f"sqlite:{world.folder / 'f'}")
    service = application.state.service
    async with service.running():
        first = await start(service, "question", "x", once="k")
        assert await start(service, "question", "x", once="k") == first
        await settled(service)
        assert await start(service, "question", "x", once="k") == first
        second = await answer(service, "Ada", once="l")
        command = InputRespond((Answer("i1", (), "Ada"),), None, None, {}, {})
        assert (await service.execute(CALLER, "t", command, "l"))["run_id"] == second
        await settled(service)
        assert (await service.execute(CALLER, "t", command, "l"))["run_id"] == second
        assert len(ends(await log_of(service))) == 4
    if store == "sqlite":
        async with world.served() as service:
            assert (await service.execute(CALLER, "t", command, "l"))["run_id"] == second
            assert len(ends(await log_of(service))) == 4


async def test_the_state_survives_what_the_log_forgets(world: World) -> None:
    """The fold is saved before its events are forgotten: state, tree and questions are there, the gap is said."""
    limits = {"events": 4}
    world.shut.add("c")
    async with world.served(**limits) as service:
        run_id = await start(service, "steps", {"trail": ["x"]})
        await until(lambda: "c" in world.waiting)
        thread = await service.thread("t", "")
        state, tree, first = thread.state(), thread.tree.shown(), thread.log.first
        after = world.died()
        world.shut.clear()
    async with after.served(**limits) as service:
        thread = await service.thread("t", "")
        assert thread.log.first >= first
        assert thread.state()["values"] == state["values"] == {"trail": ["x", "a", "b"]}
        await settled(service)
        assert thread.state()["values"] == {"trail": ["x", "a", "b", "c"]}
        assert thread.tree.shown()["graph_name"] == tree["graph_name"]
        assert ends(await events_from(thread))[-1] == ("completed", run_id)
        with pytest.raises(LogGap):
            await Viewer(thread).add("s", Subscription(Selection(frozenset({"values"})), since=first - 2))


async def events_from(thread: Any) -> list[Any]:
    """The events that are kept."""
    return [json.loads(entry.body) for entry in await thread.log.read(thread.log.first - 1, 1000)]


async def test_runs_keep_their_order_when_the_store_fails_while_one_is_accepted(world: World) -> None:
    """The thread as it was here runs nothing more: what it was given last would be run first, and once more."""
    async with world.served() as service:
        store: Any = service.store
        accept, append, began, given = store.accept, store.append, anyio.Event(), anyio.Event()
        lost: list[Any] = []

        async def fail_once(key: str, epoch: int, after: int, entries: Any, changes: Any = NOTHING) -> None:
            if not lost:
                lost.extend(service.listing.remembered(""))
                began.set()
                await given.wait()
                raise StoreFailed("it is away")
            await append(key, epoch, after, entries, changes)

        async def late(*args: Any, **options: Any) -> Any:
            accepted = await accept(*args, **options)
            given.set()
            await until(lambda: lost[0] not in service.listing.remembered(""))
            return accepted

        store.append = fail_once
        first = await start(service, "steps", {"trail": ["x"]})
        await began.wait()
        store.accept = late
        second = await start(service, "steps", {"trail": ["y"]})
        await until(lambda: (kept := service.listing.remembered("")) and not kept[0].busy)
        events = await log_of(service)
        assert ends(events) == [(how, run_id) for run_id in (first, second) for how in ("running", "completed")]
        assert restarts(events) == []
        with pytest.raises(Refusal, match="try again"):
            await lost[0].start(RunStart("steps", {}, {}, {}), service.assistant("steps"))


async def test_a_command_that_is_accepted_when_its_server_ends_is_run_by_the_next_one(world: World) -> None:
    """Its client is told that it is accepted, as it is."""
    told: list[str] = []
    async with anyio.create_task_group() as tasks:
        async with world.served() as service:
            store: Any = service.store
            accept, accepted, ended = store.accept, anyio.Event(), anyio.Event()

            async def late(*args: Any, **options: Any) -> Any:
                found = await accept(*args, **options)
                accepted.set()
                await ended.wait()
                return found

            async def send() -> None:
                told.append(await start(service, "steps", {"trail": ["x"]}))

            store.accept = late
            tasks.start_soon(send)
            await accepted.wait()
        ended.set()
    async with world.served() as service:
        thread = await settled(service)
        assert thread.state()["values"] == {"trail": ["x", "a", "b", "c"]}
        assert ends(await log_of(service)) == [("running", told[0]), ("completed", told[0])]


async def test_a_watcher_is_told_of_an_end_once(world: World) -> None:
    """Also if the server dies between the end and the next watcher."""
    watcher = Subscription(Selection(frozenset({"lifecycle", "input"})))
    async with world.served() as service:
        await start(service, "question", "x")
        await settled(service)
        await answer(service, "Ada")
        viewer = Viewer(await settled(service))
        await viewer.add("s", watcher)
        while await viewer.batch():
            pass
    async with world.served() as service:
        thread = await settled(service)
        assert thread.replay(watcher).after == thread.log.last


async def test_a_store_that_fails_fails_its_runs_and_recovers(world: World) -> None:
    """The disk is full in the middle of a run: the server lives, and goes on when there is room."""
    async with world.served() as service:
        await start(service, "steps", {"trail": []})
        await settled(service)
        store: Any = service.store
        assert isinstance(store, SqliteStore)

        async def pages(most: int) -> None:
            await store._call(lambda tables: tables._db.execute(f"PRAGMA max_page_count = {most}").fetchall())  # noqa: SLF001

        world.shut.add("b")
        run_id = await start(service, "steps", {"trail": ["x" * 1000]})
        await until(lambda: "b" in world.waiting)
        await pages(1)
        world.shut.clear()
        await until(lambda: is_gone(service))
        await pages(10**6)
        await until(lambda: not is_gone(service))
        await settled(service)
        assert ends(await log_of(service))[-1] == ("completed", run_id)


def is_gone(service: Any) -> bool:
    """Whether the thread is not in memory."""
    return not service.runner.threads._threads  # noqa: SLF001 -- seen from nowhere else


async def test_a_function_goes_on_with_what_it_had_however_large(world: World) -> None:
    """The log has a part of it; the state, which is stored besides, has all."""
    async with world.served(event=2000) as service:
        await start(service, "question", "x" * 20_000)
        await settled(service)
        events = await log_of(service)
        assert any("abridged" in event["params"] for event in events)
        assert all(len(json.dumps(event)) < 2000 for event in events)
    async with world.served(event=2000) as service:
        assert (await settled(service)).state()["values"] == {"asked": "x" * 20_000}
        await answer(service, "Ada")
        values = (await settled(service)).state()["values"]
        assert values == {"answer": "Ada", "before": {"asked": "x" * 20_000}}


async def test_a_run_goes_on_whose_events_were_too_large(world: World) -> None:
    """From its checkpoint; what it shows then is whole."""
    world.shut.add("b")
    async with world.served(event=2000) as service:
        await start(service, "steps", {"trail": ["x" * 20_000]})
        await until(lambda: "b" in world.waiting)
        after = world.died()
        world.shut.clear()
    async with after.served(event=2000) as service:
        thread = await settled(service)
        assert thread.state()["values"] == {"trail": ["x" * 20_000, "a", "b", "c"]}
