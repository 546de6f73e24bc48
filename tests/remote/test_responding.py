"""Threads answered to requests of a program's own routes, in the protocols of front ends."""

from __future__ import annotations

import json
import math
from collections.abc import AsyncIterator, Awaitable
from functools import partial
from typing import Any

import anyio
import attrs
import pytest
from starlette.background import BackgroundTask
from starlette.requests import Request
from starlette.responses import Response

from anyiostream import GraphWriter, parts
from anyiostream.errors import InvalidBound
from anyiostream.remote import Access, Limits, ServerApplication, app
from anyiostream.remote.access import Caller
from anyiostream.remote.commands import RunStart
from anyiostream.remote.turns import HalfAnswer
from anyiostream.sinks import PROTOCOLS, UnknownProtocol, parse

from ..browsing import Browser
from ..waiting import until

pytestmark = pytest.mark.anyio

NOBODY = Caller({}, None)


class Held:
    """A graph that says one thing, is held, and says another."""

    def __init__(self) -> None:
        self.said = anyio.Event()
        self.go_on = anyio.Event()
        self.state: dict[str, Any] = {}

    async def __call__(self, given: Any, writer: GraphWriter) -> Any:
        async with writer.message() as message:
            await message.text("one ")
            await message.text("and ")
            self.said.set()
            await self.go_on.wait()
            await message.text("two")
        writer.drain_if_requested()
        return {"given": given, **self.state}


async def asking(given: Any, writer: GraphWriter) -> Any:
    """A graph that asks whether it may call a tool, and calls it; it says how far it is."""
    await writer.custom({"asked": hasattr(given, "answers")})
    if not hasattr(given, "answers"):
        async with writer.message() as message:
            await message.tool_call("pay", {"sum": 3}, tool_call_id="c1")
        await writer.values({"asked": True})
        await writer.interrupt({"tool_call_id": "c1", "text": "Pay 3?"}, interrupt_id="i1")
        return None
    async with writer.tool_call("pay", {"sum": 3}, tool_call_id="c1") as call:
        call.output = given.answer
    async with writer.message() as message:
        await message.text("done")
    return {"answer": given.answer}


async def insisting(given: Any, writer: GraphWriter) -> Any:
    """A graph that asks once more, for another call, until its user consents."""
    asked = 0 if not hasattr(given, "answers") else int(given.values["asked"])
    if asked and given.answers[f"i{asked}"]["approved"]:
        return {"paid": asked}
    async with writer.message() as message:
        await message.tool_call("pay", {"sum": asked + 1}, tool_call_id=f"c{asked + 1}")
    await writer.values({"asked": asked + 1})
    await writer.interrupt({"tool_call_id": f"c{asked + 1}"}, interrupt_id=f"i{asked + 1}")
    return None


async def broken(_: Any, writer: GraphWriter) -> None:
    """A graph that fails at once."""
    raise ValueError("cannot read /srv/secret")


async def failing(_: Any, writer: GraphWriter) -> None:
    """A graph that says something, and fails."""
    async with writer.message() as message:
        await message.text("half ")
        raise ValueError("no")


def owner(access: Access) -> str | None:
    """Everybody is who they say they are; nobody else is let in."""
    return access.headers.get("x-user")


@pytest.fixture
async def held() -> Held:
    return Held()


@pytest.fixture
async def service(held: Held) -> AsyncIterator[ServerApplication]:
    """A server whose routes are the tests' own."""

    async def holding(given: Any, writer: GraphWriter) -> Any:
        return await held(given, writer)

    async def stubborn(_: Any) -> AsyncIterator[Any]:
        """A graph without steps, which takes its time to stop."""
        try:
            held.said.set()
            yield parts.values({})
            await anyio.sleep_forever()
        finally:
            with anyio.CancelScope(shield=True):
                await held.go_on.wait()

    async def silent(_: Any, __: GraphWriter) -> None:
        held.said.set()
        await anyio.sleep_forever()

    graphs = {"held": holding, "asking": asking, "broken": broken, "stubborn": stubborn, "silent": silent}
    application = app({**graphs, "insisting": insisting, "failing": failing})
    async with application.router.lifespan_context(application):
        yield application
        held.go_on.set()


def request(browser: Browser) -> Request:
    """Its request, as a route has it."""
    return Request(browser.scope)


async def opened(browser: Browser, response: Awaitable[Response]) -> Browser:
    """A client that is answered."""
    return await browser.open(await response)


@pytest.mark.parametrize("protocol", PROTOCOLS)
async def test_a_turn_is_shown_to_its_end(service: ServerApplication, held: Held, protocol: Any) -> None:
    """And the response ends with it."""
    held.go_on.set()
    browser = Browser()
    await opened(browser, service.respond(request(browser), "held", {"q": 1}, thread="t", protocol=protocol))
    assert browser.status == 200
    assert "two" in browser.body
    assert browser.whole
    again = Browser()
    await opened(again, service.respond(request(again), "held", {"q": 2}, thread="t", protocol=protocol))
    assert again.body.count("one ") == browser.body.count("one ")


async def test_leaving_does_not_stop_the_run(service: ServerApplication, held: Held) -> None:
    """Who comes back is shown the turn from its start, in few events, and to its end."""
    browser = Browser(lambda self: "and " in self.body)
    await opened(browser, service.respond(request(browser), "held", {}, thread="t"))
    assert not browser.whole

    def goes_on(self: Browser) -> bool:
        if "one and " in self.body:
            held.go_on.set()
        return False

    back = Browser(goes_on)
    await opened(back, service.resume(request(back), thread="t"))
    assert [each.get("delta") for each in back.events if each["type"] == "text-delta"] == ["one and ", "two"]
    assert back.events[0] == browser.events[0]
    assert back.whole
    late = Browser()
    await opened(late, service.resume(request(late), thread="t"))
    assert (late.status, late.body) == (204, "")
    missed = Browser()
    await opened(missed, service.resume(request(missed), thread="t", ended=True))
    assert [each.get("delta") for each in missed.events if each["type"] == "text-delta"] == ["one and two"]
    assert (missed.events[0], missed.whole) == (browser.events[0], True)
    never = Browser()
    await opened(never, service.resume(request(never), thread="another", ended=True))
    assert never.status == 204


async def test_a_run_that_waits_for_its_turn_shows_its_own(service: ServerApplication, held: Held) -> None:
    """And nothing of the run before it."""
    first, second = Browser(), Browser()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(opened, first, service.respond(request(first), "held", {"n": 1}, thread="t"))
        await held.said.wait()
        response = await service.respond(request(second), "held", {"n": 2}, thread="t")
        held.go_on.set()
        await second.open(response)
    for browser in (first, second):
        assert [each["delta"] for each in browser.events if each["type"] == "text-delta"] == ["one ", "and ", "two"]
    assert first.events[0] != second.events[0]


async def test_a_run_is_stopped(service: ServerApplication, held: Held) -> None:
    """Who watches it is told."""
    browser = Browser()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(opened, browser, service.respond(request(browser), "held", {}, thread="t"))
        await held.said.wait()
        stopping = Browser()
        await opened(stopping, service.stop(request(stopping), thread="t"))
        assert stopping.status == 204
    assert browser.events[-1] == {"type": "abort"}
    assert browser.whole


async def test_a_run_stops_after_its_step(service: ServerApplication, held: Held) -> None:
    """Who watches it has all that this step says, and is told why nothing follows."""
    browser = Browser()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(opened, browser, service.respond(request(browser), "held", {}, thread="t"))
        await held.said.wait()
        stopping = Browser()
        await opened(stopping, service.stop(request(stopping), thread="t", drain=True))
        assert stopping.status == 204
        held.go_on.set()
    assert "".join(each.get("delta", "") for each in browser.events) == "one and two"
    assert browser.events[-1]["type"] == "finish"
    assert browser.events[-1]["finishReason"] == "other"
    assert browser.whole


async def test_a_run_that_stops_already_need_not_be_able_to_stop_after_its_step(
    service: ServerApplication, held: Held
) -> None:
    """Others have stopped it, or it has ended: who asks then is told nothing else than whoever comes later."""
    inner = service.state.service
    run_id = str((await inner.execute(NOBODY, "t", RunStart("stubborn", {}, {}, {})))["run_id"])
    await held.said.wait()

    async def drained() -> int:
        return (await service.stop(request(Browser()), thread="t", drain=True)).status_code

    assert await drained() == 400
    await inner.cancel(NOBODY, "t", run_id, wait=False)
    thread = await inner.known_thread("t", "")
    await until(lambda: thread.jobs[0].aborted)
    assert thread.running
    assert await drained() == 204
    thread.jobs[0].aborted, thread.jobs[0].end = False, "completed"  # as it is until the graph has been left
    assert await drained() == 204
    held.go_on.set()
    await until(lambda: not thread.busy)
    assert await drained() == 204


async def test_all_of_a_threads_runs_stop_after_their_step_or_none(service: ServerApplication, held: Held) -> None:
    """A request that is refused has stopped nothing."""
    inner = service.state.service
    for name in ("stubborn", "held"):
        await inner.execute(NOBODY, "t", RunStart(name, {}, {}, {}))
    await held.said.wait()
    response = await service.stop(request(Browser()), thread="t", drain=True)
    assert (response.status_code, b"has no steps" in response.body) == (400, True)
    thread = await inner.known_thread("t", "")
    assert [job.drained for job in thread.jobs] == [False, False]
    held.go_on.set()
    assert (await service.stop(request(Browser()), thread="t")).status_code == 204
    await until(lambda: not thread.busy)


async def test_a_consent_goes_on_with_the_run(service: ServerApplication) -> None:
    """In the message that the front end has, with the call that it has."""
    user = {"id": "u1", "role": "user", "parts": [{"type": "text", "text": "pay"}]}
    browser = Browser()
    asked = parse("ai-sdk", {"id": "chat", "messages": [user], "trigger": "submit-message"})
    await opened(browser, service.respond(request(browser), "asking", asked))
    chunks = {each["type"]: each for each in browser.events}
    assert chunks["tool-approval-request"] == {
        "type": "tool-approval-request", "approvalId": "i1", "toolCallId": "c1",
    }  # fmt: skip
    assert chunks["finish"]["finishReason"] == "other"
    message_id, progress = chunks["start"]["messageId"], chunks["data-custom"]
    part = {"type": "dynamic-tool", "toolName": "pay", "toolCallId": "c1", "state": "approval-responded"}
    consent = {**part, "approval": {"id": "i1", "approved": True}}
    question = {"type": "data-interrupt", "id": "i1", "data": chunks["data-interrupt"]["data"]}
    assistant = {"id": message_id, "role": "assistant", "parts": [consent, question]}
    answer = parse("ai-sdk", {"id": "chat", "messages": [user, assistant], "trigger": "submit-message"})
    again = Browser()
    await opened(again, service.respond(request(again), "asking", answer))
    chunks = {each["type"]: each for each in again.events}
    assert chunks["start"]["messageId"] == message_id
    # What the graph has told before is not replaced; who comes back is told the same.
    assert chunks["data-custom"]["id"] != progress["id"]
    back = Browser()
    await opened(back, service.resume(request(back), thread="chat", ended=True))
    assert [each for each in back.events if each["type"] == "data-custom"] == [progress, chunks["data-custom"]]
    assert chunks["tool-output-available"]["output"] == {"approved": True}
    assert "tool-input-start" not in chunks
    assert chunks["text-delta"]["delta"] == "done"
    assert chunks["finish"]["finishReason"] == "stop"


async def test_a_consent_comes_after_a_refusal_in_the_same_message(service: ServerApplication) -> None:
    """The page sends what its user has refused before along with it."""
    user = {"id": "u1", "role": "user", "parts": [{"type": "text", "text": "pay"}]}
    parts: list[Any] = []

    def sent(message_id: str | None) -> Any:
        messages = [user, *([{"id": message_id, "role": "assistant", "parts": parts}] if message_id else ())]
        return parse("ai-sdk", {"id": "chat", "messages": messages, "trigger": "submit-message"})

    message_id = None
    for approved in (False, True, None):
        browser = Browser()
        await opened(browser, service.respond(request(browser), "insisting", sent(message_id)))
        assert browser.status == 200, browser.body
        message_id = browser.events[0]["messageId"]
        for each in browser.events:
            if each["type"] == "tool-approval-request":
                part = {"type": "dynamic-tool", "toolName": "pay", "toolCallId": each["toolCallId"]}
                approval = {"id": each["approvalId"], "approved": approved}
                parts.append({**part, "state": "approval-responded", "approval": approval})
            elif each["type"] == "data-interrupt":
                parts.append(each)
        if approved is None:
            assert browser.events[-1]["finishReason"] == "stop"
    assert len(parts) == 4
    again = Browser()
    await opened(again, service.respond(request(again), "insisting", attrs.evolve(sent(message_id), once=None)))
    assert again.status == 400


async def test_the_history_of_a_thread(service: ServerApplication, held: Held) -> None:
    """What was said in finished turns; of one that is under way, what its user has said."""
    nothing = Browser()
    await opened(nothing, service.history(request(nothing), thread="t"))
    assert nothing.body == "[]"
    said = [{"type": "human", "content": "Hi", "id": "1"}, {"type": "ai", "content": "Hello", "id": "2"}]
    held.go_on.set()
    held.state = {"messages": said}
    await opened(Browser(), service.respond(request(Browser()), "held", {}, thread="t"))
    over = Browser()
    await opened(over, service.history(request(over), thread="t"))
    assert [each["role"] for each in json.loads(over.body)] == ["user", "assistant"]


async def test_what_fails_before_the_first_word_has_a_status(service: ServerApplication) -> None:
    """In protocols that begin with a word."""
    browser = Browser()
    await opened(browser, service.respond(request(browser), "broken", {}, thread="t", protocol="openai"))
    assert (browser.status, "<path>" in browser.body) == (500, True)


async def test_half_a_text_is_not_taken_for_the_whole(service: ServerApplication, held: Held) -> None:
    """Text has no word for a failure, or for a server that stops: the connection breaks, behind middleware too."""
    failed, cut = Browser(), Browser()
    with pytest.raises(HalfAnswer):
        await opened(failed, service.respond(request(failed), "failing", {}, thread="t", protocol="text"))
    assert failed.body == "half "
    assert not failed.whole
    with pytest.RaisesGroup(HalfAnswer):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(opened, cut, service.respond(request(cut), "held", {}, thread="u", protocol="text"))
            await held.said.wait()
            await until(lambda: cut.body == "one and ")
            service.state.service.close_streams()
    assert not cut.whole


async def test_who_asks_for_the_head_only_starts_nothing(service: ServerApplication, held: Held) -> None:
    """Nor is what is under way sent: the answer has no body."""
    head = Request({**Browser().scope, "method": "HEAD"})
    for protocol in PROTOCOLS:
        browser = Browser()
        await opened(browser, service.respond(head, "held", {}, thread="t", protocol=protocol))  # type: ignore[arg-type]
        assert (browser.status, browser.body, held.said.is_set()) == (200, "", False)
    leaving, resumed = Browser(lambda self: "and " in self.body), Browser()
    await opened(leaving, service.respond(request(leaving), "held", {}, thread="t"))
    response = await service.resume(head, thread="t")
    await response(head.scope, resumed.receive, resumed.send)
    assert (resumed.headers, resumed.body) == (leaving.headers, "")


async def test_what_is_to_be_done_after_the_response_is_done(service: ServerApplication, held: Held) -> None:
    """FastAPI gives a route's background tasks to whatever response it returns; also if the client leaves."""
    done: list[str] = []
    held.go_on.set()
    for browser in (Browser(), Browser(lambda self: "one" in self.body)):
        response = await service.respond(request(browser), "held", {}, thread="t")
        response.background = BackgroundTask(done.append, "done")
        await browser.open(response)
    assert done == ["done"] * 2


async def test_a_refusal_is_told_as_the_protocol_has_errors(service: ServerApplication) -> None:
    """Where it has some of its own: the client of OpenAI shows its user the error's message."""

    async def refused(protocol: Any) -> Response:
        return await service.respond(request(Browser()), "nobody", {}, thread="t", protocol=protocol)

    for protocol in PROTOCOLS:
        response = await refused(protocol)
        assert response.status_code == 400
        told = bytes(response.body).decode()
        if protocol == "openai":
            assert json.loads(told)["error"]["message"] == "there is no such assistant."
        elif protocol == "text":
            assert (told, response.media_type) == ("there is no such assistant.", "text/plain")
        else:
            assert json.loads(told)["error"] == "invalid_argument"


async def test_what_is_stopped_before_the_first_word_is_an_empty_answer(service: ServerApplication, held: Held) -> None:
    """To be stopped is no failure."""
    browser = Browser()
    async with anyio.create_task_group() as tasks:
        answer = service.respond(request(browser), "silent", {}, thread="t", protocol="openai")
        tasks.start_soon(opened, browser, answer)
        await held.said.wait()
        await service.stop(request(Browser()), thread="t")
    assert browser.status == 200
    assert browser.events[-1]["choices"][0]["finish_reason"] == "stop"


def test_a_heartbeat_is_a_number_above_zero() -> None:
    """It is refused where the server is made."""
    for heartbeat in (0, math.nan, True):
        with pytest.raises(InvalidBound, match="heartbeat"):
            app({}, heartbeat=heartbeat)
    app({}, heartbeat=math.inf)


async def test_what_is_wrong_has_a_status(service: ServerApplication) -> None:
    """Of the client's; a mistake in the program is raised."""
    for ask in (
        partial(service.respond, assistant="nobody", input={}, thread="t"),
        partial(service.respond, assistant="held", input=parse_regenerate(), thread="t"),
        partial(service.resume, thread="../x"),
    ):
        assert (await ask(request(Browser()))).status_code == 400
    with pytest.raises(UnknownProtocol):
        await service.respond(request(Browser()), "held", {}, protocol="soap")  # type: ignore[arg-type]


def parse_regenerate() -> Any:
    """A request to write an answer anew."""
    user = {"id": "u1", "role": "user", "parts": [{"type": "text", "text": "pay"}]}
    return parse("ai-sdk", {"id": "t", "messages": [user], "trigger": "regenerate-message", "messageId": "m"})


async def test_others_threads_are_not_there() -> None:
    """`authorize` says who somebody is, on the program's own routes too."""

    async def endless(_: Any, writer: GraphWriter) -> None:
        async with writer.message() as message:
            await message.text("mine")
            await anyio.sleep_forever()

    service = app({"endless": endless}, authorize=owner)
    async with service.router.lifespan_context(service):
        ada = Browser(lambda self: "mine" in self.body, headers={"x-user": "ada"})
        await opened(ada, service.respond(request(ada), "endless", {}, thread="t"))
        assert "mine" in ada.body
        bob = Browser(headers={"x-user": "bob"})
        await opened(bob, service.resume(request(bob), thread="t"))
        assert (bob.status, bob.body) == (204, "")
        nobody = Browser()
        assert (await service.resume(request(nobody), thread="t")).status_code == 401
        assert (await service.respond(request(nobody), "endless", {}, thread="t")).status_code == 401


async def test_a_server_that_stops_breaks_the_connection(service: ServerApplication, held: Held) -> None:
    """So the client knows that this is not the end."""
    browser = Browser()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(opened, browser, service.respond(request(browser), "held", {}, thread="t"))
        await held.said.wait()
        service.state.service.close_streams()
    assert not browser.whole
    assert "finish" not in {each["type"] for each in browser.events}


async def test_what_cannot_be_shown_is_not_begun() -> None:
    """Who is asked to come back later, or may not read, asks for the run once more; nothing of it is there."""
    application = app({"asking": asking}, limits=Limits(connections=1), authorize=may_start)
    async with application.router.lifespan_context(application):
        server = application.state.service
        asked = partial(application.respond, assistant="asking", input={}, thread="t")
        with server.streams.to_owner(""):
            for protocol in PROTOCOLS:
                refused = Browser(headers={"x-may": "start read"})
                await opened(refused, asked(request(refused), protocol=protocol))
                assert (refused.status, refused.headers["retry-after"]) == (429, "1")
        stranger = Browser(headers={"x-may": "start"})
        await opened(stranger, asked(request(stranger)))
        assert stranger.status == 401
        assert await server.known_thread("t", "") is None
        again = Browser(headers={"x-may": "start read"})
        await opened(again, asked(request(again)))
        assert again.whole


def may_start(access: Access) -> str | None:
    """Who says that they may, may."""
    return "" if access.action in access.headers["x-may"].split() else None
