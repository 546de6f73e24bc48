"""A front end's request that comes twice is run once, on whichever store and server."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from itertools import cycle
from pathlib import Path
from typing import Any, final
from uuid import uuid4

import anyio
import pytest
from langgraph.checkpoint.memory import InMemorySaver
from starlette.requests import Request

from anyiostream.remote import Limits, app
from anyiostream.remote.official.threads import at_rest
from anyiostream.remote.repeats import MOST_AGAIN
from anyiostream.remote.responding import Responder
from anyiostream.sinks import parse

from ...browsing import Browser
from ...waiting import turns, until
from ..chatting import Chat, answers, chatting, message
from ..store.saver import FileSaver
from ..store.test_survival import World
from ..store.valkey import Valkey

pytestmark = pytest.mark.anyio


@final
class Doubled:
    """Servers of one deployment, each request at the next one of them, and all that their graphs were asked."""

    def __init__(self, world: World, servers: list[Responder]) -> None:
        self.world = world
        self.servers = servers
        self._turn = cycle(servers)

    @property
    def chat(self) -> Chat:
        """The page, at the next server."""
        return Chat(next(self._turn))

    @property
    def asked(self) -> list[str]:
        """Every question that a graph was run for, in order."""
        return self.world.calls

    async def post(self, protocol: Any, body: Any, browser: Browser | None = None, **options: Any) -> Browser:
        """Any page's request, and the response."""
        browser = Browser() if browser is None else browser
        asked = parse(protocol, body)
        response = await next(self._turn).respond(Request(browser.scope), "chat", asked, protocol=protocol, **options)
        return await browser.open(response)

    async def twice(self, text: str, *posts: Any) -> list[Browser]:
        """Two requests, the second one when the graph is at work; both to their ends."""
        found = [Browser(), Browser()]
        self.world.shut.add(text)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(posts[0], found[0])
            await until(lambda: text in self.world.waiting)
            tasks.start_soon(posts[1], found[1])
            await until(lambda: "delta" in found[1].body or "start" in found[1].body.lower())
            self.world.shut.clear()
        return found


@pytest.fixture(params=["memory", "sqlite", "valkey"])
async def doubled(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Doubled]:
    """A server over each store; over Valkey, two that take turns."""
    count, store = 1, f"sqlite:{tmp_path / 'threads'}"
    if request.param == "valkey":
        server: Valkey = request.getfixturevalue("store_server")
        count, store = 2, f"{server.url}?prefix={uuid4()}&lease=60"
    elif request.param == "memory":
        store = "memory"
    world = World(tmp_path)
    limits = Limits(**getattr(request.function, "limits", {}))
    async with AsyncExitStack() as stack:
        servers: list[Responder] = []
        for _ in range(count):
            saver = InMemorySaver() if store == "memory" else FileSaver(tmp_path / "checkpoints")
            made = app({"chat": chatting(saver, world.gate)}, store=store, limits=limits)
            await stack.enter_async_context(made.router.lifespan_context(made))
            fleet = made.state.service.runner.fleet
            await until(lambda fleet=fleet: fleet is None or bool(fleet.holder))
            servers.append(made)
        yield Doubled(world, servers)
        world.shut.clear()


def ag_ui(text: str, run_id: str = "r", message_id: str = "u1") -> dict[str, Any]:
    """What a page of AG-UI posts."""
    return {"threadId": "chat", "runId": run_id, "messages": [{"id": message_id, "role": "user", "content": text}]}


async def test_a_message_that_is_sent_twice_is_answered_once(doubled: Doubled) -> None:
    """Both requests are shown the one run, from its start to its end, as one message."""
    one, other = await doubled.twice(
        "hi", lambda browser: doubled.chat.ask("hi", browser), lambda browser: doubled.chat.ask("hi", browser)
    )
    assert doubled.asked == ["hi"]
    assert answers(one) == answers(other) == "1: hi"
    assert one.events == other.events
    late = await doubled.chat.ask("hi")
    assert (late.events, doubled.asked) == (one.events, ["hi"])
    assert await doubled.chat.history() == ["hi", "1: hi"]


async def test_a_run_of_ag_ui_that_is_sent_twice_is_run_once(doubled: Doubled) -> None:
    """Its id says which run it is."""

    async def post(browser: Browser) -> None:
        await doubled.post("ag-ui", ag_ui("hi"), browser)

    one, other = await doubled.twice("hi", post, post)
    assert doubled.asked == ["hi"]
    assert one.events == other.events
    assert [one.events[0]["type"], one.events[-1]["type"]] == ["RUN_STARTED", "RUN_FINISHED"]
    late = await doubled.post("ag-ui", ag_ui("hi"))
    assert (late.events, doubled.asked) == (one.events, ["hi"])


async def test_a_run_of_ag_ui_with_another_id_is_another_run(doubled: Doubled) -> None:
    """Pages ask like that for another answer to the same messages."""
    for n, run_id in enumerate(("a", "b", "c"), 1):
        done = await doubled.post("ag-ui", ag_ui("hi", run_id))
        assert done.events[0]["runId"] == run_id
        assert doubled.asked == ["hi"] * n


async def test_many_at_once_are_one(doubled: Doubled) -> None:
    """Before any of them is under way."""
    found = [Browser() for _ in range(8)]
    async with anyio.create_task_group() as tasks:
        for browser in found:
            tasks.start_soon(doubled.chat.ask, "hi", browser)
    assert doubled.asked == ["hi"]
    for browser in found:
        assert (browser.status, browser.body) == (found[0].status, found[0].body)


async def test_an_earlier_message_is_found_behind_others(doubled: Doubled) -> None:
    """A proxy may hold a request up for long."""
    first = await doubled.chat.ask("one")
    for text in ("two", "three"):
        await doubled.chat.ask(text)
    again = await doubled.chat.ask("one")
    assert again.events == first.events
    assert doubled.asked == ["one", "two", "three"]


async def test_one_that_waits_for_its_turn_is_shown_its_own_run(doubled: Doubled) -> None:
    """And not the one that is under way."""
    doubled.world.shut.add("one")
    found = [Browser() for _ in range(3)]
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(doubled.chat.ask, "one", found[0])
        await until(lambda: "one" in doubled.world.waiting)
        async with anyio.create_task_group() as asking:
            for browser in found[1:]:
                asking.start_soon(doubled.chat.ask, "two", browser)
            await turns(10)
            doubled.world.shut.clear()
    assert doubled.asked == ["one", "two"]
    assert answers(found[1]).endswith("two")
    assert found[1].events == found[2].events != found[0].events


async def test_a_message_whose_run_has_failed_is_tried_again(doubled: Doubled) -> None:
    """Once for each time that its user asks, however often that comes."""
    for n in range(1, 4):
        failed = await doubled.chat.ask("fail")
        assert failed.events[-1]["finishReason"] == "error"
        assert doubled.asked == ["fail"] * n
    one, other = await doubled.twice(
        "fail", lambda browser: doubled.chat.ask("fail", browser), lambda browser: doubled.chat.ask("fail", browser)
    )
    assert doubled.asked == ["fail"] * 4
    assert one.events == other.events


async def test_a_message_whose_run_was_stopped_is_tried_again(doubled: Doubled) -> None:
    """Its user has changed their mind."""
    doubled.world.shut.add("hi")
    stopped = Browser()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(doubled.chat.ask, "hi", stopped)
        await until(lambda: "hi" in doubled.world.waiting)
        await doubled.chat.stop()
    assert stopped.events[-1] == {"type": "abort"}
    doubled.world.shut.clear()
    assert answers(await doubled.chat.ask("hi")).endswith("hi")
    assert doubled.asked == ["hi", "hi"]


async def test_an_answer_is_written_anew_as_often_as_its_user_asks(doubled: Doubled) -> None:
    """In the same words each time, unless the answer is under way: then it is shown."""
    await doubled.chat.ask("hi")
    for n in (2, 3):
        await doubled.chat.regenerate("hi")
        assert doubled.asked == ["hi"] * n
    one, other = await doubled.twice(
        "hi",
        lambda browser: doubled.chat.regenerate("hi", browser),
        lambda browser: doubled.chat.regenerate("hi", browser),
    )
    assert doubled.asked == ["hi"] * 4
    assert one.events == other.events


async def test_an_answer_to_a_question_counts_once(doubled: Doubled) -> None:
    """Sent again, it is shown what has become of it, and not told that nobody asks."""
    waits = await doubled.chat.ask("ask")
    told = await doubled.chat.answer(waits, "yes")
    again = await doubled.chat.answer(waits, "yes")
    assert answers(told).endswith("ask (yes)")
    assert (again.status, again.events) == (told.status, told.events)
    other = await doubled.chat.answer(waits, "no")
    assert other.status == 400


async def test_messages_without_ids_are_others_each_time(doubled: Doubled) -> None:
    """Somebody may say the same once more; a client's own key tells."""
    said = {"role": "user", "parts": [{"type": "text", "text": "yes"}]}
    for _ in range(2):
        await doubled.post("ai-sdk", {"id": "chat", "messages": [said]})
    assert doubled.asked == ["yes"] * 2
    found = [
        await doubled.post("text", {"input": "yes", "thread": "chat"}, Browser(headers={"idempotency-key": "k"}))
        for _ in range(2)
    ]
    assert doubled.asked == ["yes"] * 3
    assert found[0].body == found[1].body != ""
    await doubled.post("text", {"input": "yes", "thread": "chat"}, Browser(headers={"idempotency-key": "l"}))
    assert doubled.asked == ["yes"] * 4


async def test_a_changed_message_is_another_one(doubled: Doubled) -> None:
    """Under the id that it has had."""
    await doubled.chat.ask("one")
    await doubled.chat.edit("one", "two")
    await doubled.post("ai-sdk", {"id": "chat", "messages": [message("three", "one")]})
    assert doubled.asked[:2] == ["one", "two"]
    assert len(doubled.asked) == 3


async def test_other_threads_have_messages_of_their_own(doubled: Doubled) -> None:
    """Of the same id."""
    for thread in ("a", "b", "a"):
        await Chat(doubled.servers[0], thread).ask("hi")
    assert doubled.asked == ["hi", "hi"]


async def test_later_it_is_another_request(doubled: Doubled) -> None:
    """After `Limits.repeat`."""
    await doubled.chat.ask("hi")
    await anyio.sleep(0.05)
    await doubled.chat.ask("hi")
    assert len(doubled.asked) == 2


async def test_what_the_log_has_forgotten_is_not_run_again(doubled: Doubled) -> None:
    """Nor waited for: there is nothing left to show."""
    await doubled.chat.ask("one")
    assert (await doubled.chat.ask("one")).status == 410
    await doubled.chat.ask("two")  # its own response may be left behind as well
    service = doubled.servers[0].state.service  # type: ignore[attr-defined]
    while len(doubled.asked) < 2 or (await service.known_thread("chat", "")).busy:
        await anyio.sleep(0.01)
    assert (await doubled.chat.ask("one")).status == 410
    assert doubled.asked == ["one", "two"]


async def test_a_full_queue_does_not_hide_what_was_accepted(doubled: Doubled) -> None:
    """Others are refused, and not the one that has its place already."""
    doubled.world.shut.update({"one", "two"})
    found = [Browser() for _ in range(4)]
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(doubled.chat.ask, "one", found[0])
        await until(lambda: "one" in doubled.world.waiting)
        tasks.start_soon(doubled.chat.ask, "two", found[1])
        service = doubled.servers[0].state.service  # type: ignore[attr-defined]
        while len((await service.known_thread("chat", "")).jobs) < 2:
            await turns()
        assert (await doubled.chat.ask("three")).status == 429
        tasks.start_soon(doubled.chat.ask, "two", found[2])
        tasks.start_soon(doubled.chat.ask, "one", found[3])
        await turns(10)
        doubled.world.shut.clear()
    assert [doubled.asked.count(each) for each in ("one", "two")] == [1, 1]
    assert found[1].events == found[2].events
    assert answers(found[0]) == answers(found[3])


async def test_a_thread_that_is_made_anew_knows_nothing(doubled: Doubled) -> None:
    """Of what was sent to the one of that name before."""
    await doubled.chat.ask("hi")
    service = doubled.servers[0].state.service  # type: ignore[attr-defined]
    thread = await service.known_thread("chat", "")
    await at_rest(thread)
    await service.erase(thread)
    await doubled.chat.ask("hi")
    assert len(doubled.asked) == 2


async def test_whoever_asks_very_often_is_answered(doubled: Doubled) -> None:
    """What has failed so often is no repeat any more."""
    for n in range(1, MOST_AGAIN + 4):
        assert (await doubled.chat.ask("fail")).events[-1]["finishReason"] == "error"
        assert len(doubled.asked) == n


async def test_other_graphs_and_protocols_are_asked_something_else(doubled: Doubled) -> None:
    """With the same key, too."""
    for protocol, body in (("text", {"input": "hi", "thread": "chat"}), ("ag-ui", ag_ui("hi"))):
        for _ in range(2):
            await doubled.post(protocol, body, Browser(headers={"idempotency-key": "k" * 100_000}))
    assert len(doubled.asked) == 2


test_later_it_is_another_request.limits = {"repeat": 0.01}  # type: ignore[attr-defined]
test_what_the_log_has_forgotten_is_not_run_again.limits = {"events": 2}  # type: ignore[attr-defined]
test_a_full_queue_does_not_hide_what_was_accepted.limits = {"queued": 1}  # type: ignore[attr-defined]
