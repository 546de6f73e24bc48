"""Our own client: a remote run has the projections of a local one, and survives its connections."""

from __future__ import annotations

import random
import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import anyio
import pytest

from anyiostream import CustomTransformer, RunAborted, RunDrained, ToolCallTransformer, UpdatesTransformer, open_run
from anyiostream.remote import (
    Limits,
    Reconnection,
    RemoteClient,
    RemoteGap,
    RemoteRefused,
    RemoteRunFailed,
    RemoteUnreachable,
    app,
    connect,
)
from anyiostream.remote.receiving import EventDecoder

from ...waiting import impatience
from ..graphs import ASSISTANTS, Progress, release
from .cutting import proxied
from .scripted import event, scripted
from .serving import serving

pytestmark = pytest.mark.anyio


@pytest.fixture(params=[pytest.param(("asyncio", {}), id="asyncio"), pytest.param(("trio", {}), id="trio")])
def anyio_backend(request: pytest.FixtureRequest) -> object:
    """The client runs on both loops, whichever the server runs on."""
    return request.param


@asynccontextmanager
async def connected(url: str, **options: Any) -> AsyncIterator[RemoteClient]:
    """A client."""
    async with connect(url, **options) as client:
        yield client


async def shown(run: Any) -> dict[str, Any]:
    """What a run shows in each of its projections, read side by side, each from the start."""
    seen: dict[str, Any] = {}
    cursors = {
        name: aiter(run.extensions[name]) for name in ("values", "messages", "tool_calls", "lifecycle", "subgraphs")
    }
    interleaved = run.interleave("updates", "custom", "progress")

    async def values() -> None:
        seen["values"] = [item async for item in cursors["values"]]

    async def messages() -> None:
        seen["messages"] = []
        async for message in cursors["messages"]:
            pieces = [piece async for piece in message.text]
            seen["messages"].append((message.node, pieces, await message.tool_calls))

    async def tool_calls() -> None:
        seen["tool_calls"] = []
        async for call in cursors["tool_calls"]:
            deltas = [delta async for delta in call.output_deltas]
            seen["tool_calls"].append((call.tool_name, call.input, deltas, await call))

    async def others() -> None:
        seen["others"] = sorted([(name, str(item)) async for name, item in interleaved])

    async def lifecycle() -> None:
        seen["lifecycle"] = [(item["event"], len(item["namespace"])) async for item in cursors["lifecycle"]]

    async def subgraphs() -> None:
        seen["subgraphs"] = []
        async for handle in cursors["subgraphs"]:
            seen["subgraphs"].append(handle.graph_name)
            async for inner in handle.subgraphs:
                async for innermost in inner.subgraphs:
                    deep = [await message.text async for message in innermost.messages]
                    seen["subgraphs"].append((inner.graph_name, innermost.graph_name, deep))

    async with anyio.create_task_group() as tasks:
        for reader in (values, messages, tool_calls, others, lifecycle, subgraphs):
            tasks.start_soon(reader)
    seen["output"] = await run.output()
    seen["status"] = run.status
    return seen


TRANSFORMERS = [UpdatesTransformer, CustomTransformer, ToolCallTransformer]


async def test_a_remote_run_is_like_a_local_one(server: str) -> None:
    """Every projection shows the same, from values to the messages of a subgraph three levels down."""
    async with open_run(ASSISTANTS["everything"], {"q": 1}, transformers=[*TRANSFORMERS, Progress]) as run:
        local = await shown(run)
    async with connected(server) as client:
        thread = client.thread("everything")
        async with thread.run({"q": 1}, transformers=TRANSFORMERS, extensions=["progress"]) as run:
            remote = await shown(run)
    assert remote == local
    assert remote["values"] == [{"step": 1}, {"step": 2, "given": {"q": 1}}]


async def test_a_langgraph_graph(server: str) -> None:
    """Two turns of one thread."""
    async with connected(server) as client:
        thread = client.thread("chat")
        for turn in (1, 2):
            async with thread.run({}) as run:
                texts = [
                    (handle.graph_name, await message.text)
                    async for handle in run.subgraphs
                    async for message in handle.messages
                ]
                assert texts == [("agent", "hello there")]
                assert len((await run.output())["messages"]) == turn


async def test_interrupts_are_answered(server: str) -> None:
    """By their ids, all at once; or by an input."""
    async with connected(server) as client:
        thread = client.thread("ask two")
        async with thread.run({}) as run:
            interrupts = await run.interrupts()
            assert run.status == "interrupted"
        assert sorted(each.value["ask"] for each in interrupts) == ["a", "b"]
        assert len((await thread.state())["tasks"]) == 2
        async with thread.respond({each.id: each.value["ask"] * 2 for each in interrupts}) as run:
            assert sorted((await run.output())["answers"]) == ["a=aa", "b=bb"]
        other = client.thread("question")
        async with other.run("x") as run:
            assert await run.interrupted()
        async with other.run("Ada") as run:
            assert await run.output() == {"answer": "Ada", "before": {"asked": True}}


async def test_a_failing_graph(server: str) -> None:
    """Its readers get what came before, and then the failure, with what the server says of it."""
    async with connected(server) as client:
        async with client.thread("failing").run() as run:
            with pytest.raises(RemoteRunFailed, match="cannot read <path>"):
                await run.output()
        assert run.status == "failed"


async def test_what_the_server_refuses(server: str) -> None:
    """An assistant, an answer, a thread, a run that there is not."""
    async with connected(server) as client:
        thread = client.thread("nobody")
        with pytest.raises(RemoteRefused, match="no such assistant"):
            async with thread.run():
                pass
        with pytest.raises(RemoteRefused, match="no_such_run"):
            async with thread.respond({"i": 1}):
                pass
        with pytest.raises(RemoteRefused) as caught:
            await thread.state()
        assert caught.value.status == 404
        with pytest.raises(RemoteRefused):
            await thread.cancel()


async def test_names_that_begin_with_an_underscore(server: str) -> None:
    """Are no extensions; nor does anything that the server sends become an attribute."""
    async with connected(server) as client:
        thread = client.thread("everything")
        with pytest.raises(RemoteRefused, match="not the name of an extension"):
            async with thread.run(extensions=["_mux"]):
                pass
        async with thread.run(extensions=["progress"]) as run:
            assert not hasattr(run, "progress")
            assert not hasattr(run, "_progress")
            assert [item async for item in run.extensions["progress"]] == [{"done": 1}, {"done": 2}]


async def test_leaving_does_not_stop_the_run(server: str) -> None:
    """It goes on without readers, and whoever attaches to its thread reads it from its start."""
    thread_id = str(uuid.uuid4())
    async with connected(server) as client:
        async with client.thread("gated", thread_id).run("x") as run:
            async for message in run.messages:
                async for _ in message.text:
                    break
                break
        with pytest.raises(RunAborted):
            await run.output()
        async with client.thread("gated", thread_id).attach() as run:
            release(thread_id)
            assert [await message.text async for message in run.messages] == ["one two"]
            assert await run.output() == {"given": "x"}


async def test_a_run_is_stopped(server: str) -> None:
    """By `cancel`; its readers are told."""
    async with connected(server) as client:
        thread = client.thread("endless")
        async with thread.run() as run:
            values = aiter(run.values)
            assert await anext(values) == {"step": 1}
            await thread.cancel()
            with pytest.raises(RemoteRunFailed, match="aborted"):
                await anext(values)
            with pytest.raises(RemoteRunFailed, match="aborted"):
                await run.output()


async def test_a_run_stops_after_its_step(server: str) -> None:
    """By `cancel(drain=True)`; it ends as a local run does."""
    thread_id = str(uuid.uuid4())
    async with connected(server) as client:
        thread = client.thread("counting", thread_id)
        async with thread.run({"to": 5, "held": 1}, extensions=["count"]) as run:
            counts = aiter(run.extensions["count"])
            assert await anext(counts) == 0
            await thread.cancel(drain=True)
            release(thread_id)
            assert [each async for each in counts] == [1]
            with pytest.raises(RunDrained):
                await run.output()
            assert run.status == "drained"
        with pytest.raises(RemoteRefused):
            await thread.cancel(drain=True)


async def test_cancelling_a_reader_takes_nothing(server: str) -> None:
    """It reads on where it was."""
    async with connected(server) as client:
        thread_id = str(uuid.uuid4())
        async with client.thread("gated", thread_id).run() as run:
            messages = aiter(run.messages)
            text = aiter((await anext(messages)).text)
            assert await anext(text) == "one "
            async with impatience() as scope:
                await anext(text)
            assert scope.cancelled_caught
            release(thread_id)
            assert await anext(text) == "two"


async def test_a_cut_connection_loses_nothing(server: str) -> None:
    """However often, wherever: every event arrives once, in order."""
    draw = random.Random(3)
    with proxied(server) as proxy:
        proxy.cuts = [draw.randrange(1, 6000) for _ in range(40)]
        async with connected(server) as direct, connected(proxy.url) as client:
            thread_id = str(uuid.uuid4())
            async with direct.thread("counting", thread_id).run({"to": 400}) as run:
                await run.output()
            async with client.thread("counting", thread_id).attach(extensions=["count"]) as run:
                assert [n async for n in run.extensions["count"]] == list(range(400))
        assert proxy.accepted > 20


async def test_a_server_that_does_not_come_back() -> None:
    """After some attempts its readers are told; what had arrived is there."""
    with serving("uvicorn", app(ASSISTANTS)) as url, proxied(url) as proxy:
        async with connected(proxy.url, reconnection=Reconnection(attempts=3, first=0.001)) as client:
            async with client.thread("endless").run() as run:
                values = aiter(run.values)
                assert await anext(values) == {"step": 1}
                proxy.close()
                with pytest.raises(RemoteUnreachable):
                    await anext(values)


async def test_a_viewer_that_is_outrun() -> None:
    """Is told of the gap."""
    with serving("uvicorn", app(ASSISTANTS, limits=Limits(events=10))) as url:
        async with connected(url) as client, client.thread("counting", "t").run({"to": 1000}) as run:
            with pytest.raises(RemoteGap):
                await run.output()


async def test_a_server_that_has_forgotten() -> None:
    """Events that it no longer has are a gap and no silence."""
    with serving("uvicorn", app(ASSISTANTS, limits=Limits(events=10))) as url:
        async with connected(url) as client:
            thread = client.thread("counting", "t")
            async with thread.run({"to": 1000}):
                pass
            while (await thread.state())["next"]:
                pass
            async with thread.attach() as run:
                with pytest.raises(RemoteGap, match="no longer kept"):
                    await run.output()


async def test_credentials_are_sent() -> None:
    """With every request."""
    with serving("uvicorn", app(ASSISTANTS, authorize=lambda access: access.headers.get("authorization"))) as url:
        async with connected(url, headers={"authorization": "x"}) as client:
            async with client.thread("everything").run() as run:
                await run.output()
        async with connected(url) as client:
            with pytest.raises(RemoteRefused) as caught:
                await client.thread("everything").state()
            assert caught.value.status == 401


BEGUN = event(1, {"event": "running", "run_id": "r"}, "lifecycle")
END = event(9, {"event": "completed", "run_id": "r"}, "lifecycle")


async def test_what_comes_twice_is_read_once() -> None:
    """A server may send again what the client has; and the end of another run is not this one's."""
    other = event(2, {"event": "completed", "run_id": "other"}, "lifecycle")
    first = [event(1, {"event": "running", "run_id": "other"}, "lifecycle"), other]
    second = [event(3, {"event": "running", "run_id": "r"}, "lifecycle"), event(4, "a"), event(5, "b")]
    with scripted([*first, *second], [*first, *second, event(6, "c")], [event(6, "c"), END]) as (url, resumed):
        async with connected(url) as client, client.thread("x").run() as run:
            assert [value async for value in run.values] == ["a", "b", "c"]
            assert run.status == "completed"
    assert resumed == [None, "log-5", "log-6"]


async def test_a_thread_that_was_begun_anew_is_a_gap() -> None:
    """Its numbers look like those of before, but they are of another log."""
    with scripted([BEGUN, event(2, "a")], [event(3, "b", log="new")]) as (url, _):
        async with connected(url) as client, client.thread("x").run() as run:
            values = aiter(run.values)
            assert await anext(values) == "a"
            with pytest.raises(RemoteGap, match="restarted the thread"):
                await anext(values)


def spoken(seq: int, said: str, **metadata: Any) -> list[Any]:
    """The events of a message, the first of them at this place."""
    told = [
        {"event": "message-start", "role": "ai", "id": said, "run_id": said, "metadata": metadata},
        {"event": "content-block-delta", "index": 0, "run_id": said, "delta": {"type": "text-delta", "text": said}},
        {"event": "message-finish", "run_id": said},
    ]
    return [event(seq + n, each, "messages") for n, each in enumerate(told)]


def taken_up(seq: int, **written: Any) -> dict[str, Any]:
    """What a log says where another server goes on with a run."""
    payload = {"run_id": "r", "attempt": 2, "checkpoint_id": None, "after": 1}
    told = event(seq, {"name": "run.restarted", "payload": payload}, "custom")
    told["params"].update(written)
    return told


async def test_messages_of_a_later_attempt_say_so() -> None:
    """Those of the first one do not; whoever wants to know of the crash itself reads it as a channel."""
    first = [BEGUN, *spoken(2, "lost", model="m")]
    again = [taken_up(5), *spoken(6, "said", model="m"), taken_up(9), *spoken(10, "once more")]
    ended = event(13, {"event": "completed", "run_id": "r"}, "lifecycle")
    with scripted(first, [*again, ended]) as (url, resumed):
        async with connected(url) as client:
            thread = client.thread("x")
            async with thread.run(extensions=["run.restarted"]) as run:
                crashes = aiter(run.extensions["run.restarted"])
                told = [(await message).metadata async for message in run.messages]
                assert told == [{"model": "m"}, {"model": "m", "attempt": 2}, {"attempt": 3}]
                assert [crash["run_id"] async for crash in crashes] == ["r", "r"]
            assert thread.attempt == 3
    assert resumed == [None, "log-4"]


async def test_attempts_are_of_one_run() -> None:
    """Another run of the thread begins with its first one; and a graph may write what looks like a crash."""
    ended = event(3, {"event": "completed", "run_id": "other"}, "lifecycle")
    mine = event(4, {"event": "running", "run_id": "r"}, "lifecycle")
    other = [event(1, {"event": "running", "run_id": "other"}, "lifecycle"), taken_up(2), ended]
    with scripted([*other, mine, taken_up(5, written=True), *spoken(6, "said"), END]) as (url, _):
        async with connected(url) as client:
            thread = client.thread("x")
            async with thread.run() as run:
                assert [(await message).metadata async for message in run.messages] == [{}]
            assert thread.attempt == 1


async def test_a_stream_that_is_refused_for_good() -> None:
    """Is not asked for again."""
    with scripted([BEGUN, event(2, "a")]) as (url, resumed):
        async with connected(url) as client, client.thread("x").run() as run:
            with pytest.raises(RemoteRefused, match="404"):
                await run.output()
    assert len(resumed) == 2


def pieces_of(data: bytes, size: int) -> Iterator[bytes]:
    """`data`, cut."""
    return (data[start : start + size] for start in range(0, len(data), size))


@pytest.mark.parametrize("size", [1, 2, 3, 7, 1000])
@pytest.mark.parametrize("end", [b"\n", b"\r\n"])
def test_events_are_decoded_however_they_arrive(size: int, end: bytes) -> None:
    """Byte by byte or all at once; comments and other fields are passed over."""
    lines = [
        b": heartbeat",
        b"",
        b"event: values",
        b'data: {"a": "\xc3\xa4"}',
        b"id: 1",
        b"",
        b'data:{"b":',
        b"data: 2}",
        b"",
        b"",
    ]
    decoder = EventDecoder(1000)
    feed = (event for piece in pieces_of(end.join(lines), size) for event in decoder.feed(piece))
    assert list(feed) == [{"a": "ä"}, {"b": 2}]


def test_an_event_that_is_too_large_or_none() -> None:
    """Is refused, before it fills the memory."""
    decoder = EventDecoder(1000)
    with pytest.raises(RemoteRefused, match="1000 bytes"):
        for _ in range(3):
            list(decoder.feed(b"data: " + b"x" * 400 + b"\n"))
    with pytest.raises(RemoteRefused, match="not JSON"):
        list(EventDecoder(1000).feed(b"data: {\n\n"))


async def test_two_readers_may_ask_for_the_same(server: str) -> None:
    """Each starts a run of its own, although their commands are the same to the byte."""
    async with connect(server) as client:
        thread_id, runs = str(uuid.uuid4()), set()
        for _ in range(2):
            thread = client.thread("everything", thread_id)
            async with thread.run({"q": 1}) as run:
                await run.output()
            runs.add(thread.run_id)
        assert len(runs) == 2
