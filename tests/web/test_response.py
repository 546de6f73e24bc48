"""`RunResponse` by itself: what it sends, and what becomes of the run."""

from __future__ import annotations

import json
import logging
import math
from itertools import pairwise
from typing import Any

import anyio
import pytest
import trio.testing
from starlette.background import BackgroundTask

from anyiostream import GraphWriter, open_run, parts
from anyiostream.errors import InvalidBound, NotAGraph, RunReentered
from anyiostream.sinks import PROTOCOLS, Request, UnknownInclude, UnknownProtocol, open_sink
from anyiostream.sinks.client import Client
from anyiostream.web import RunResponse, UnknownOnDisconnect
from anyiostream.wire import Draft, NotPrepared, Placed

from ..browsing import Browser
from ..waiting import turns

pytestmark = pytest.mark.anyio


async def talking(question: Any, writer: GraphWriter) -> dict[str, Any]:
    """A graph that says something."""
    async with writer.message() as message:
        for word in ("Good ", "morning, ", str(question)):
            await message.text(word)
    await writer.values({"secret": "s3cret"})
    return {"answer": question}


async def failing(_: Any, writer: GraphWriter) -> None:
    """A graph that says something, and fails."""
    async with writer.message() as message:
        await message.text("Good ")
        raise ValueError("cannot read /srv/secret/key.pem")


async def broken(_: Any, writer: GraphWriter) -> None:
    """A graph that fails at once."""
    raise ValueError("cannot read /srv/secret/key.pem")


async def test_a_run_is_shown_from_its_start_to_its_end() -> None:
    """An id first, then the events, and the run's end as the last one."""
    browser = await Browser().open(RunResponse(open_run(talking, "Ada"), run_id="r"))
    assert browser.status == 200
    assert browser.messages[1]["body"] == b"id: r-0\n\n"
    assert [each["seq"] for each in browser.events][-1] >= 6
    assert browser.events[0]["params"]["data"] == {"event": "running"}
    assert browser.events[-1]["params"]["data"] == {"event": "completed"}
    assert browser.whole


async def test_the_headers_keep_proxies_from_holding_it_back() -> None:
    """And from packing it; further ones are the program's."""
    response = RunResponse(open_run(talking, "Ada"), headers={"x-mine": "1"}, protocol="ai-sdk")
    browser = await Browser().open(response)
    wanted = {
        "content-type": "text/event-stream; charset=utf-8",
        "cache-control": "no-store, no-transform",
        "x-accel-buffering": "no",
        "x-content-type-options": "nosniff",
        "x-vercel-ai-ui-message-stream": "v1",
        "x-mine": "1",
    }
    assert browser.headers == wanted


@pytest.mark.parametrize("name", ["Cache-Control", "cache-control", "CACHE-CONTROL"])
async def test_a_header_is_sent_once_and_the_programs_stands(name: str) -> None:
    """In whatever case it is written."""
    given = {name: "private", "X-Vercel-AI-UI-Message-Stream": "v2"}
    browser = await Browser().open(RunResponse(open_run(talking, "Ada"), headers=given, protocol="ai-sdk"))
    sent = browser.messages[0]["headers"]
    assert len(sent) == len(browser.headers)
    assert (b"cache-control", b"private") in sent
    assert (b"x-vercel-ai-ui-message-stream", b"v2") in sent


@pytest.mark.parametrize("protocol", PROTOCOLS)
async def test_no_state_goes_out_unless_it_is_asked_for(protocol: Any) -> None:
    """State may hold secrets."""
    browser = await Browser().open(RunResponse(open_run(talking, "Ada"), protocol=protocol))
    assert "morning" in browser.body
    assert "s3cret" not in browser.body
    if protocol in {"langgraph", "ai-sdk", "ag-ui"}:
        asked = await Browser().open(RunResponse(open_run(talking, "Ada"), protocol=protocol, include=["values"]))
        assert "s3cret" in asked.body


async def test_what_is_wrong_with_a_graph_is_raised_before_anything_is_sent() -> None:
    """So that the application gives it a status."""
    browser = Browser()
    with pytest.raises(NotAGraph):
        await browser.open(RunResponse(open_run(object(), "Ada")))
    assert browser.messages == []


@pytest.mark.parametrize("protocol", ["langgraph", "ai-sdk", "ag-ui", "openai"])
async def test_a_failure_is_told_in_the_protocol(protocol: Any, caplog: pytest.LogCaptureFixture) -> None:
    """Without a path and without a traceback, which the log has."""
    with caplog.at_level(logging.WARNING, "anyiostream.web"):
        browser = await Browser().open(RunResponse(open_run(failing, "Ada"), protocol=protocol))
    assert browser.status == 200
    assert "cannot read <path>" in browser.body
    assert "Traceback" not in browser.body
    assert browser.whole
    assert caplog.records[0].exc_info is not None


@pytest.mark.parametrize("protocol", ["openai", "text"])
async def test_a_failure_before_the_first_word_has_a_status(protocol: Any) -> None:
    """Where the response need not begin before there is something to say."""
    response = RunResponse(open_run(broken, "Ada"), protocol=protocol, headers={"access-control-allow-origin": "*"})
    response.set_cookie("a", "b")
    browser = await Browser().open(response)
    assert browser.status == 500
    assert browser.headers["content-type"].startswith("application/json" if protocol == "openai" else "text/plain")
    assert browser.headers["access-control-allow-origin"] == "*"
    assert browser.headers["set-cookie"].startswith("a=b")
    assert len(browser.headers) == len(browser.messages[0]["headers"])
    assert "cannot read <path>" in browser.body
    assert browser.whole
    if protocol == "openai":
        assert browser.events == []
        assert json.loads(browser.body)["error"]["type"] == "server_error"


@pytest.mark.parametrize("end", [("failed", "aborted"), ("failed", "drained"), ("interrupted", "drained")])
@pytest.mark.parametrize(("protocol", "stream"), [("openai", True), ("openai", False), ("text", True)])
async def test_a_run_that_is_stopped_before_the_first_word_has_an_empty_answer(
    protocol: str, end: tuple[str, str], *, stream: bool
) -> None:
    """Which is whole: to be stopped is no failure."""
    browser = Browser()
    sink = open_sink(protocol, run_id="r", request=Request(stream=stream, assistant="m"))
    client = Client(browser.send, sink, "r")
    data = {"event": end[0], "reason": end[1], "error": "it was aborted."}
    await client.show(Placed(1, "r-1", Draft("lifecycle", (), data, 1)))
    await client.close()
    await client.end()
    assert browser.status == 200
    assert browser.whole
    assert "aborted" not in browser.body
    if protocol == "openai":
        shown = browser.events[-1] if stream else json.loads(browser.body)
        assert shown["choices"][0]["finish_reason"] == "stop"
    else:
        assert browser.body == ""


@pytest.mark.parametrize(("protocol", "stream"), [("openai", True), ("openai", False), ("text", True)])
async def test_an_answer_that_is_cut_before_the_first_word_has_a_status(protocol: str, *, stream: bool) -> None:
    """It is neither a completion nor an empty text."""
    browser = Browser()
    sink = open_sink(protocol, run_id="r", request=Request(stream=stream, assistant="m"))
    client = Client(browser.send, sink, "r")
    await client.show(Placed(1, "r-1", Draft("lifecycle", (), {"event": "running"}, 1)))
    await client.close("gap: events are no longer kept")
    await client.end()
    assert browser.status == 500
    assert "no longer kept" in browser.body
    assert not client.broken


async def test_half_a_text_is_not_taken_for_the_whole() -> None:
    """Text has no word for a failure, so the connection breaks."""
    browser = Browser()
    response = RunResponse(open_run(failing, "Ada"), protocol="text")
    with pytest.raises(ValueError, match="cannot read"):
        await browser.open(response)
    assert browser.body == "Good "
    assert not browser.whole


async def test_a_whole_answer_is_one_object() -> None:
    """OpenAI's `stream: false`."""
    request = Request(stream=False, assistant="m")
    browser = await Browser().open(RunResponse(open_run(talking, "Ada"), protocol="openai", request=request))
    assert browser.headers["content-type"] == "application/json"
    assert json.loads(browser.body)["choices"][0]["message"]["content"] == "Good morning, Ada"
    failed = await Browser().open(RunResponse(open_run(failing, "Ada"), protocol="openai", request=request))
    assert failed.status == 500
    assert json.loads(failed.body)["error"]["message"] == "cannot read <path>"


class Endless:
    """A graph that goes on until it is stopped or let go on, and knows how it has ended."""

    def __init__(self) -> None:
        self.ended = ""
        self.go_on = anyio.Event()

    async def __call__(self, _: Any, writer: GraphWriter) -> None:
        self.ended = "stopped"
        async with writer.message() as message:
            await message.text("one")
            await self.go_on.wait()
            await turns()
            await message.text("two")
        self.ended = "finished"


async def test_leaving_stops_the_run() -> None:
    """When the request is over, nothing of it is alive."""
    graph = Endless()

    async def run(given: Any, writer: GraphWriter) -> None:
        await graph(given, writer)

    browser = await Browser(lambda self: "one" in self.body).open(RunResponse(open_run(run)))
    assert graph.ended == "stopped"
    assert "two" not in browser.body


async def test_leaving_may_let_the_run_finish() -> None:
    """In the request's own task, also if something around it cancels that."""
    graph = Endless()

    async def run(given: Any, writer: GraphWriter) -> None:
        await graph(given, writer)

    def leaves(browser: Browser) -> bool:
        if "one" in browser.body:
            graph.go_on.set()
            scope.cancel()
        return "one" in browser.body

    with anyio.CancelScope() as scope:
        await Browser(leaves).open(RunResponse(open_run(run), on_disconnect="finish"))
    assert graph.ended == "finished"


async def test_a_broken_connection_is_a_client_that_left() -> None:
    """Some servers say so when something is sent."""
    graph = Endless()
    graph.go_on.set()

    async def run(given: Any, writer: GraphWriter) -> None:
        await graph(given, writer)
        await anyio.sleep_forever()

    class Breaking(Browser):
        async def send(self, message: dict[str, Any]) -> None:
            await super().send(message)
            if "one" in self.body:
                raise OSError("gone")

    await Breaking().open(RunResponse(open_run(run)))
    assert graph.ended


@pytest.mark.parametrize("protocol", PROTOCOLS)
async def test_a_browser_that_connects_again_starts_nothing(protocol: Any) -> None:
    """`EventSource` does not know that a run is over: 204 tells it so."""
    called: list[Any] = []

    async def graph(given: Any, _: GraphWriter) -> None:
        called.append(given)

    browser = Browser(headers={"last-event-id": "r-7"})
    await browser.open(RunResponse(open_run(graph), protocol=protocol))
    assert (browser.status, browser.body, called) == (204, "", [])


@pytest.mark.parametrize("protocol", PROTOCOLS)
async def test_who_asks_for_the_head_only_starts_nothing(protocol: Any) -> None:
    """Starlette's routes take `HEAD` where they take `GET`; there are previews and monitors that send it."""
    called: list[Any] = []

    async def graph(given: Any, _: GraphWriter) -> None:
        called.append(given)

    browser, later = Browser(), BackgroundTask(called.append, "later")
    response = RunResponse(open_run(graph), protocol=protocol, headers={"x-mine": "1"}, background=later)
    await response({**browser.scope, "method": "HEAD"}, browser.receive, browser.send)
    assert (browser.status, browser.body, called) == (200, "", ["later"])
    answered = await Browser().open(RunResponse(open_run(graph), protocol=protocol, headers={"x-mine": "1"}))
    assert browser.headers == answered.headers


def test_silence_is_filled_with_heartbeats() -> None:
    """While the graph says nothing; not otherwise, and not in protocols that have none."""

    async def slow(_: Any, writer: GraphWriter) -> None:
        await trio.sleep(17)
        async with writer.message() as message:
            await message.text("late")

    async def main() -> None:
        for protocol, beats in (("langgraph", 3), ("openai", 3), ("text", 0)):
            browser = await Browser().open(RunResponse(open_run(slow), protocol=protocol))  # type: ignore[arg-type]
            assert browser.body.count(": heartbeat\n\n") == beats
            assert "late" in browser.body

    trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0))


def test_no_silence_is_longer_than_a_heartbeats_time() -> None:
    """Whenever the graph has said something last."""
    times: list[float] = []

    async def slow(_: Any, writer: GraphWriter) -> None:
        async with writer.message() as message:
            for pause in (0.1, 9.8, 6.3, 13.9):
                await trio.sleep(pause)
                await message.text("word ")

    class Noting(Browser):
        async def send(self, message: Any) -> None:
            times.append(trio.current_time())
            await super().send(message)

    async def main() -> None:
        await Noting().open(RunResponse(open_run(slow), protocol="langgraph"))

    trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0))
    assert max(after - before for before, after in pairwise(times)) < 5.01


async def test_mistakes_are_told_where_they_are_made() -> None:
    """When the response is made, not when it is sent."""
    run = open_run([parts.values(1)])
    with pytest.raises(UnknownProtocol):
        RunResponse(run, protocol="soap")  # type: ignore[arg-type]
    for protocol in PROTOCOLS:
        with pytest.raises(UnknownInclude, match="'secrets'"):
            RunResponse(run, protocol=protocol, include=["secrets"])  # type: ignore[arg-type]
    for heartbeat in (0, -1, math.nan, True, "x", None):
        with pytest.raises(InvalidBound, match="heartbeat must be a positive number"):
            RunResponse(run, heartbeat=heartbeat)  # type: ignore[arg-type]
    RunResponse(open_run(talking, "Ada"), heartbeat=math.inf)
    with pytest.raises(UnknownOnDisconnect):
        RunResponse(run, on_disconnect="ignore")  # type: ignore[arg-type]
    async with run as entered:
        with pytest.raises(NotPrepared, match="without `async with`"):
            RunResponse(entered)  # type: ignore[arg-type]
        with pytest.raises(RunReentered):
            RunResponse(run)
