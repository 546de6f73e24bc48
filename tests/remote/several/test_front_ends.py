"""A page may ask any server of a deployment, whichever runs what it asks for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import anyio
import pytest

from anyiostream.remote.responding import Responder
from anyiostream.remote.service import Service

from ...browsing import Browser
from ...waiting import until
from ..chatting import Chat, answers, chatting
from ..store.saver import FileSaver
from ..store.test_survival import World
from ..store.valkey import Valkey
from .deployment import Deployment
from .test_stops import Member

pytestmark = pytest.mark.anyio


class Chats(Deployment):
    """Servers with a graph that answers, when its gate is open."""

    def assistants(self) -> dict[str, Any]:
        return {"chat": chatting(FileSaver(self.folder / "checkpoints"), self.gate)}


class ChatsInAFile(World):
    """A server after another over a file."""

    def assistants(self) -> dict[str, Any]:
        return {"chat": chatting(FileSaver(self.folder / "checkpoints"), self.gate)}


@pytest.fixture
def chats(store_server: Valkey, tmp_path: Path) -> Chats:
    """None of the servers runs yet."""
    return Chats(store_server.url, tmp_path)


def at(service: Service) -> Chat:
    """The same chat, at a server."""
    return Chat(Responder(service))


def shown(browser: Browser) -> list[Any]:
    """What a client folds the response to: the chunks, with the pieces of each text together."""
    found: list[Any] = []
    for chunk in browser.events:
        if chunk["type"] == "text-delta" and found[-1]["type"] == "text-delta":
            found[-1]["delta"] += chunk["delta"]
        else:
            found.append(dict(chunk))
    return found


async def test_a_turn_is_resumed_at_another_server(chats: Chats) -> None:
    """From its start to its end, as the server that runs it shows it; then there is nothing to resume, anywhere."""
    async with chats.member() as one, chats.member() as other:
        await at(one).ask("one")
        chats.shut.add("two")
        asking, resuming = Browser(), Browser()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(at(one).ask, "two", asking)
            await until(lambda: "two" in chats.waiting)
            assert await at(other).history() == ["one", "1: one", "two"]
            tasks.start_soon(at(other).resume, resuming)
            await until(lambda: "start" in resuming.body)
            chats.shut.clear()
        assert answers(asking) == "2: one, 1: one, two"
        assert shown(resuming) == shown(asking)
        for service in (one, other):
            late = await at(service).resume()
            assert (late.status, late.body) == (204, "")
            assert await at(service).history() == ["one", "1: one", "two", "2: one, 1: one, two"]


async def test_a_question_is_answered_at_another_server(chats: Chats) -> None:
    """In the message that the page has; the history of the first server has the answer."""
    async with chats.member() as one, chats.member() as other:
        asked = await at(one).ask("ask")
        again = await at(other).answer(asked, "yes")
        assert answers(again) == "1: ask (yes)"
        assert again.events[0]["messageId"] == asked.events[0]["messageId"]
        assert await at(one).history() == ["ask", "1: ask (yes)"]


async def test_an_answer_is_stopped_at_another_server(chats: Chats) -> None:
    """Who watches it anywhere is told; and the next question is answered, by whichever."""
    async with chats.member() as one, chats.member() as other:
        chats.shut.add("one")
        asking, resuming = Browser(), Browser()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(at(one).ask, "one", asking)
            await until(lambda: "one" in chats.waiting)
            tasks.start_soon(at(other).resume, resuming)
            await until(lambda: "start" in resuming.body)
            assert (await at(other).stop()).status == 204
        for browser in (asking, resuming):
            assert browser.events[-1] == {"type": "abort"}
            assert browser.whole
        assert (await at(one).stop()).status == 204
        chats.shut.clear()
        assert answers(await at(other).ask("two")) == "1: one, two"


async def test_an_answer_that_ends_while_it_is_stopped_is_no_error(chats: Chats) -> None:
    """The button is pressed at its end: it is looked for, and has ended by then."""
    async with chats.member() as one, chats.member() as other:
        chats.shut.add("one")
        find, asking = other.known_thread, Browser()

        async def found_late(*args: Any) -> Any:
            found = await find(*args)
            chats.shut.clear()
            await until(lambda: not list(one.runner.jobs))
            return found

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(at(one).ask, "one", asking)
            await until(lambda: "one" in chats.waiting)
            other.known_thread = found_late  # type: ignore[method-assign]
            assert (await at(other).stop()).status == 204
        assert answers(asking) == "1: one"


async def test_an_answer_is_written_anew_at_another_server(chats: Chats) -> None:
    """Also while one is being written: when that is done, it is dropped."""
    async with chats.member() as one, chats.member() as other:
        await at(one).ask("one")
        await at(one).ask("two")
        assert answers(await at(other).regenerate("two")).endswith(": one, 1: one, two")
        chats.shut.add("two")
        first, then = Browser(), Browser()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(at(one).regenerate, "two", first)
            await until(lambda: "two" in chats.waiting)
            tasks.start_soon(at(other).regenerate, "two", then)
            await until(lambda: then.messages)
            chats.shut.clear()
        assert answers(first).endswith(": one, 1: one, two")
        assert answers(then).endswith(": one, 1: one, two")
        assert await at(one).history() == ["one", "1: one", "two", answers(then)]


async def test_an_answer_goes_on_at_another_server(chats: Chats) -> None:
    """If the first one is stopped, who has resumed at the second sees the end; an answer that is new stays one."""
    async with chats.member() as other:
        await at(other).ask("one")
        await at(other).ask("two")
        for ask in ("regenerate", "ask"):
            chats.shut.add("two" if ask == "regenerate" else "three")
            text = next(iter(chats.shut))
            resuming = Browser()
            async with anyio.create_task_group() as tasks:
                one = Member(chats)
                await tasks.start(one.run)
                left = Browser(lambda self: "start" in self.body)
                tasks.start_soon(getattr(at(one.service), ask), text, left)
                await until(lambda text=text: text in chats.waiting)
                tasks.start_soon(at(other).resume, resuming)
                await until(lambda resuming=resuming: "start" in resuming.body)
                one.stopping.set()
                await one.stopped.wait()
                chats.shut.clear()
            assert resuming.events[-1]["finishReason"] == "stop"
            assert "data-restarted" in {each["type"] for each in resuming.events}
        history = await at(other).history()
        assert history[:3] == ["one", "1: one", "two"]
        assert history[4] == "three"
        assert history[3].endswith(": one, 1: one, two")
        assert history[5].endswith(f"two, {history[3]}, three")


async def test_a_page_comes_back_to_the_next_server_over_a_file(tmp_path: Path) -> None:
    """A server dies in the middle of an answer: the next one has the history, and goes on with the answer."""
    before = ChatsInAFile(tmp_path)
    async with before.served() as one:
        await at(one).ask("one")
        await at(one).ask("two")
        for text in ("two", "three"):
            before.shut.add(text)
            left = Browser(lambda self: "start" in self.body)
            ask = at(one).regenerate if text == "two" else at(one).ask
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(ask, text, left)
                await until(lambda text=text: text in before.waiting)
            if text == "two":
                before.shut.clear()
                await until(lambda: not list(one.runner.jobs))
        after = type(before)(tmp_path / "after")
        left_behind = before.died()
        assert left_behind.folder == after.folder
        after.shut.add("three")
        async with after.served() as other:
            assert await at(other).history() == ["one", "1: one", "two", "3: one, 1: one, two", "three"]
            resuming = Browser()
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(at(other).resume, resuming)
                await until(lambda: "start" in resuming.body and "three" in after.waiting)
                after.shut.clear()
            assert answers(resuming).endswith("two, 3: one, 1: one, two, three")
            assert answers(await at(other).regenerate("two")).endswith(": one, 1: one, two")
            assert len(await at(other).history()) == 4
            assert (await at(other).stop()).status == 204
        before.shut.clear()
