"""Requests at the same time: limits hold for all of them together, and none loses what another one has begun."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import pytest
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import START, StateGraph

from anyiostream.remote import Limits, app
from anyiostream.remote.access import Caller
from anyiostream.remote.commands import RunStart
from anyiostream.remote.intake import Intake
from anyiostream.remote.metrics import statistics
from anyiostream.remote.official.threads import forget
from anyiostream.remote.refusals import Refusal
from anyiostream.remote.service import Service
from anyiostream.remote.turns import TurnResponse
from anyiostream.sinks import open_sink

from ..waiting import until
from .graphs import State

pytestmark = pytest.mark.anyio


async def endless(_: Any) -> AsyncIterator[Any]:
    """A run that is under way."""
    await anyio.sleep_forever()
    yield


async def brief(_: Any) -> AsyncIterator[Any]:
    """A run that is over."""
    for each in ():
        yield each


@pytest.fixture(params=["memory", "sqlite"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A store in which accepting takes no time, and one in which it does."""
    return "memory" if request.param == "memory" else f"sqlite:{tmp_path / 'runs.sqlite'}"


@asynccontextmanager
async def serving(graphs: Any, **options: Any) -> AsyncIterator[Service]:
    """A server without a network."""
    application = app(graphs, **options)
    async with application.router.lifespan_context(application):
        yield application.state.service


async def at_once(*calls: Callable[[], Any]) -> list[Any]:
    """What the calls return, or are refused with, that are made at the same time."""
    told: list[Any] = [None] * len(calls)

    async def ask(place: int) -> None:
        try:
            told[place] = await calls[place]()
        except Refusal as refusal:
            told[place] = refusal.status

    async with anyio.create_task_group() as asking:
        for place in range(len(calls)):
            asking.start_soon(ask, place)
    return told


def owner(access: Any) -> Any:
    """Everybody is who they say they are."""
    return access.headers.get("x-who")


async def test_an_owner_who_asks_for_all_at_once_gets_no_more(store: str) -> None:
    """Runs that are being accepted count, so the others are served."""
    limits = Limits(owner_runs=2, runs=4)
    async with serving({"endless": endless}, authorize=owner, limits=limits, store=store) as service:

        def start(who: str, thread: int) -> Callable[[], Any]:
            command = RunStart("endless", None, {}, {})
            return lambda: service.execute(Caller({"x-who": who}, None), f"t{thread}", command)

        told = await at_once(*(start("bob", n) for n in range(8)))
        assert told.count(429) == 6
        told = await at_once(start("ada", 0), start("ada", 1), start("eve", 0))
        assert told.count(429) == 1
        assert statistics(service.runner, service.streams, service.intake)["runs"] == 4


async def test_pages_that_are_shown_at_once_count(tmp_path: Path) -> None:
    """Those that look for their place in a file do as well: so many are shown, and no more."""
    store = f"sqlite:{tmp_path / 'runs.sqlite'}"
    async with serving({"brief": brief}, store=store) as service:
        await service.execute(Caller({}, None), "t", RunStart("brief", None, {}, {}))
        thread = await service.thread("t", "")
        await until(lambda: not thread.busy)
    async with serving({"brief": brief}, limits=Limits(connections=2), store=store) as service:
        statuses: list[int] = []

        async def view() -> None:
            thread = await service.thread("t", "")
            response = TurnResponse(service, thread, open_sink("ai-sdk", run_id="r"), "a later one", 0)

            async def send(message: Any) -> None:
                if message["type"] == "http.response.start":
                    statuses.append(message["status"])

            await response({"type": "http", "method": "GET"}, anyio.sleep_forever, send)

        async with anyio.create_task_group() as tasks:
            for _ in range(6):
                tasks.start_soon(view)
            await until(lambda: len(statuses) == 6)
            assert statuses.count(429) == 4
            assert len(service.streams) == 2
            tasks.cancel_scope.cancel()


async def test_threads_that_are_being_made_count(store: str) -> None:
    """However many are asked for at once; one that cannot be made counts no more."""
    limits = Limits(owner_threads=3, threads=5)
    failing = True

    def named(who: str, thread_id: str) -> str:
        if failing:
            raise ValueError("mend it")
        return who + thread_id

    async with serving(
        {"brief": brief}, authorize=owner, limits=limits, store=store, checkpoint_thread=named
    ) as service:

        def read(who: str, thread: int) -> Callable[[], Any]:
            return lambda: service.thread(f"t{thread}", who)

        assert set(await at_once(*(read("bob", n) for n in range(3)))) == {500}
        assert statistics(service.runner, service.streams, service.intake)["threads"] == 0
        failing = False
        await at_once(*(read("bob", n) for n in range(8)))
        assert statistics(service.runner, service.streams, service.intake)["threads"] == 3
        await at_once(*(read("ada", n) for n in range(8)))
        assert statistics(service.runner, service.streams, service.intake)["threads"] == 5


class Slow(InMemorySaver):
    """Deletes when it is told to, in whichever loop it is called."""

    def __init__(self, *, fails: bool) -> None:
        super().__init__()
        self.deleting = threading.Event()
        self.go_on = threading.Event()
        self.fails = fails

    async def adelete_thread(self, thread_id: str) -> None:
        self.deleting.set()
        while not self.go_on.is_set():
            await asyncio.sleep(0.001)
        if self.fails:
            raise OSError("no disk")
        await super().adelete_thread(thread_id)


@pytest.mark.parametrize("fails", [False, True], ids=["deleted", "failed"])
async def test_a_thread_that_is_being_deleted_begins_no_run(*, fails: bool) -> None:
    """It would be gone with the thread, and its clients would wait for it. What was not deleted is as it was."""
    saver = Slow(fails=fails)
    graph = StateGraph(State).add_node("a", lambda _: {"answers": ["a"]}).add_edge(START, "a")
    async with serving({"graph": graph.compile(checkpointer=saver)}) as service:
        begin = partial(service.execute, Caller({}, None), "t", RunStart("graph", {"answers": []}, {}, {}))
        deleted: list[Any] = []

        async def delete() -> None:
            try:
                deleted.append(await forget(service, thread))
            except OSError as exc:
                deleted.append(str(exc))

        await begin()
        thread = await service.thread("t", "")
        assert not await thread.close()
        await until(lambda: not thread.busy)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(delete)
            await until(saver.deleting.is_set)
            with pytest.raises(Refusal) as refused:
                await begin()
            assert refused.value.status == 503
            with pytest.raises(Refusal):
                await forget(service, thread)
            saver.go_on.set()
        assert deleted == ["no disk" if fails else True]
        assert (await service.known_thread("t", "") is thread) is fails
        await begin()


async def test_frames_of_sockets_count_like_bodies() -> None:
    """Large ones together, of one owner and of all, for as long as they are being decoded; small ones do not."""
    large, small = json.dumps("x" * 200_000).encode(), b"1"
    intake = Intake(Limits(bodies=1_000_000), owned=True)
    told = await at_once(*(partial(intake.frame, large, "bob") for _ in range(3)), partial(intake.frame, small, "bob"))
    assert (told.count(429), told[3]) == (2, 1)
    told = await at_once(*(partial(intake.frame, large, str(who)) for who in range(6)))
    assert told.count(429) == 2
    with pytest.raises(Refusal):
        await intake.frame(b"[" * 100_000, "bob")
    assert await intake.frame(large, "bob") == "x" * 200_000


async def test_a_thread_at_a_breakpoint_is_kept_as_long_as_one_with_a_question(store: str) -> None:
    """Both wait for their user. When it goes on, it is an idle one."""
    graph = StateGraph(State).add_node("a", lambda _: {"answers": ["a"]}).add_edge(START, "a")
    stopped = graph.compile(checkpointer=InMemorySaver(), interrupt_before=["a"])
    async with serving({"graph": stopped}, store=store) as service:
        begin = partial(service.execute, Caller({}, None), "t")
        await begin(RunStart("graph", {"answers": []}, {}, {}))
        thread = await service.thread("t", "")
        await until(lambda: not thread.busy)
        assert thread.waits
        assert not await service.store.expire(0, 3600)
        await begin(RunStart("graph", None, {}, {}))
        await until(lambda: not thread.busy)
        assert not thread.waits
        assert await service.store.expire(0, 3600)
