"""The official Python client, unmodified, on both transports and both kinds of server."""

# ruff: noqa: SLF001 -- the client tells nowhere else which streams it has open, and sends no answers together

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import aclosing, asynccontextmanager
from typing import Any

import anyio
import httpx
import pytest
from langgraph.pregel.remote import RemoteGraph
from langgraph.types import Command
from langgraph_sdk import get_client, get_sync_client
from langgraph_sdk.stream.subscription import filter_covers

from ...waiting import PATIENCE, until
from ..graphs import release
from .cutting import proxied
from .raw import root_event
from .serving import ALL_SERVERS

pytestmark = [
    pytest.mark.anyio,
    # The client leaves sockets to the garbage collector when it closes a stream that it has replaced.
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning", "ignore::ResourceWarning"),
]


Opening = Callable[..., Any]


@pytest.fixture(params=ALL_SERVERS)
def server(request: pytest.FixtureRequest, servers: dict[str, str]) -> str:
    """The address of a server of each kind: what official clients do is tried with all of them."""
    return servers[request.param]


@pytest.fixture
def anyio_backend() -> str:
    """The client is for asyncio only."""
    return "asyncio"


@pytest.fixture
def opening(server: str, transport: Any) -> Opening:
    """Opens a thread of the given assistant."""

    @asynccontextmanager
    async def opened(assistant: str, thread_id: str | None = None) -> AsyncIterator[Any]:
        client = get_client(url=server, api_key=None)
        try:
            async with client.threads.stream(thread_id, assistant_id=assistant, transport=transport) as thread:
                yield thread
        finally:
            await client.aclose()

    return opened


@pytest.fixture
def sync_opening(server: str, transport: Any) -> Iterator[Opening]:
    """Opens a thread with the synchronous client."""
    with get_sync_client(url=server, api_key=None) as client:
        yield lambda assistant: client.threads.stream(assistant_id=assistant, transport=transport)


async def collect(projection: Any) -> list[Any]:
    """Everything a projection shows."""
    return [item async for item in projection]


async def read(thread: Any, *projections: Any, **start: Any) -> list[list[Any]]:
    """Everything that projections show of one run, which is started when all of them are subscribed.

    One after the other: the client waits forever for a stream that it replaces before it is open.
    """
    readers = []
    for projection in projections:
        readers.append(asyncio.create_task(collect(projection)))
        await until(lambda: len(thread._subscriptions) == len(readers) and covered(thread))
    await thread.run.start(**start)
    return await asyncio.gather(*readers)


def covered(thread: Any) -> bool:
    """Whether the stream that is open has everything that is subscribed to."""
    stream, has = thread._shared_stream, thread._shared_stream_filter
    return (
        stream is not None
        and stream.ready.done()
        and all(filter_covers(has, dict(each.params)) for each in thread._subscriptions.values())
    )


async def test_values_extensions_and_output(opening: Opening) -> None:
    """Snapshots in order, a transformer's named channel, and the final state."""
    async with opening("everything") as thread:
        values, progress = await read(thread, thread.values, thread.extensions["progress"], input={"q": 1})
        assert values[-2:] == [{"step": 1}, {"step": 2, "given": {"q": 1}}]
        assert [event["payload"] for event in progress] == [{"done": 1}, {"done": 2}]
        assert await thread.output == {"step": 2, "given": {"q": 1}}


async def test_messages_and_tool_calls(opening: Opening) -> None:
    """Text in its pieces, the tool call that the model asked for, and the call of the tool."""
    async with opening("everything") as thread:
        messages, calls = await read(thread, thread.messages, thread.tool_calls, input=None)
        (message,) = messages
        assert [piece async for piece in message.text] == ["Good ", "morning", "!"]
        assert message.node == "model"
        output = await message.output
        assert [(call["name"], call["args"]) for call in output.tool_calls] == [("search", {"q": "x"})]
        (call,) = calls
        assert (call.name, call.input, await call.output) == ("search", {"q": "x"}, "found")
        assert [delta async for delta in call.deltas] == ["half"]


async def test_subgraphs_three_deep(opening: Opening) -> None:
    """Each is found inside the one before it, with its messages, its tool calls and its end."""
    async with opening("everything") as thread:
        (found,) = await read(thread, thread.subgraphs, input=None)
        handles = []
        while found:
            (handle,) = found
            handles.append(handle)
            found = await collect(handle.subgraphs)
        assert [handle.graph_name for handle in handles] == ["outer", "middle", "inner"]
        assert [handle.status for handle in handles] == ["completed"] * 3
        (message,) = await collect(handles[-1].messages)
        assert await message.text == "deep"
        (call,) = await collect(handles[-1].tool_calls)
        assert (call.name, await call.output) == ("look", "seen")


async def test_the_raw_events(opening: Opening) -> None:
    """All channels, numbered without a hole, ids unique, the run's end last."""
    async with opening("everything") as thread:
        events = []
        await thread.run.start(input=None)
        async for event in thread.events:
            if "method" not in event:
                continue  # over WebSocket, the answer to the subscription comes the same way
            events.append(event)
            if root_event(event) == "completed":
                break
        assert [event["seq"] for event in events] == list(range(events[0]["seq"], events[0]["seq"] + len(events)))
        assert len({event["event_id"] for event in events}) == len(events)
        methods = {event["method"] for event in events}
        assert methods == {"lifecycle", "values", "updates", "custom", "messages", "tools", "tasks"}
        started = [
            event["params"]["namespace"]
            for event in events
            if event["method"] == "lifecycle" and event["params"]["data"]["event"] == "started"
        ]
        assert [len(namespace) for namespace in started] == [1, 2, 3]


async def test_a_langgraph_graph(opening: Opening) -> None:
    """Its subgraph, the model call in it, custom data and checkpoints; also where the server runs on trio."""
    async with opening("chat") as thread:
        subgraphs, notes, checkpoints = await read(
            thread,
            thread.subgraphs,
            thread.extensions["note"],
            thread.subscribe(["checkpoints"], namespaces=[[]], depth=0),
            input={},
        )
        (handle,) = subgraphs
        (message,) = await collect(handle.messages)
        assert await message.text == "hello there"
        assert message.node == "call"
        assert notes == [{"name": "note", "payload": "calling"}]
        references = [event["params"]["data"] for event in checkpoints]
        assert references[-1]["parent_id"] == references[-2]["id"]
        output = await thread.output
        assert output["messages"][0]["content"] == [{"type": "text", "text": "hello there", "index": 0}]


async def test_two_turns_of_one_thread(opening: Opening) -> None:
    """The second run goes on where the first one ended; its events are its own."""
    async with opening("chat") as thread:
        (first,) = await read(thread, thread.values, input={})
        (second,) = await read(thread, thread.values, input={})
        assert len(first[-1]["messages"]) == 1
        assert len(second[-1]["messages"]) == 2


@pytest.mark.parametrize("assistant", ["ask", "ask inside", "question"])
async def test_an_interrupt_is_answered(opening: Opening, assistant: str) -> None:
    """The run waits for its user, at whatever depth, and goes on with the answer."""
    async with opening(assistant) as thread:
        await read(thread, thread.values, input={})
        assert thread.interrupted
        (asked,) = thread.interrupts
        assert asked["value"] == ("who?" if assistant == "question" else asked["value"])
        assert asked["namespace"] == [] or assistant == "ask inside"
        await thread.run.respond("Ada")
        output = await thread.output
        assert (
            output
            == {
                "ask": {"answers": ["a=Ada"], "messages": []},
                "ask inside": {"answers": ["inner=Ada"], "messages": []},
                "question": {"answer": "Ada", "before": {"asked": True}},
            }[assistant]
        )


async def test_interrupts_are_answered_together(opening: Opening, server: str) -> None:
    """Several at once, in one command; the run goes on when all have their answer."""
    async with opening("ask two") as thread:
        await thread.run.start(input={})
        await until(lambda: len(thread.interrupts) == 2)
        answers = [
            {"interrupt_id": each["interrupt_id"], "namespace": each["namespace"], "response": each["value"]["ask"] * 2}
            for each in thread.interrupts
        ]
        assert "run_id" in await thread._send_command("input.respond", {"responses": answers})
        assert sorted((await thread.output)["answers"]) == ["a=aa", "b=bb"]


async def test_interrupts_are_answered_one_by_one(opening: Opening) -> None:
    """What was not answered is asked again."""
    async with opening("ask two") as thread:
        await thread.run.start(input={})
        await until(lambda: len(thread.interrupts) == 2)
        first, second = (each["interrupt_id"] for each in thread.interrupts)
        await thread.run.respond("x", interrupt_id=first)
        await until(lambda: len(thread.interrupts) == 3)
        assert thread.interrupts[2]["interrupt_id"] == second
        await thread.run.respond("y", interrupt_id=second)
        assert sorted((await thread.output)["answers"]) in (["a=x", "b=y"], ["a=y", "b=x"])


async def test_a_wrong_answer_is_refused(opening: Opening) -> None:
    """To a question that was never asked, and to a thread that never ran."""
    async with opening("question") as thread:
        params = {"interrupt_id": "nope", "namespace": [], "response": 1}
        with pytest.raises(RuntimeError, match="no_such_run"):
            await thread._send_command("input.respond", params)
        await read(thread, thread.values, input=None)
        with pytest.raises(RuntimeError, match="no_such_interrupt"):
            await thread._send_command("input.respond", params)


async def test_a_failing_run(opening: Opening) -> None:
    """What came before is shown; the output raises with the error's text, which has no path."""
    async with opening("failing") as thread:
        (values,) = await read(thread, thread.values, input=None)
        assert values[-1] == {"step": 1}
        with pytest.raises(RuntimeError, match="cannot read <path>"):
            await thread.output


async def test_an_unknown_assistant_is_refused(opening: Opening) -> None:
    """By the command that names it."""
    async with opening("nobody") as thread:
        with pytest.raises(RuntimeError, match="no such assistant"):
            await thread.run.start(input=None)


async def test_a_late_subscriber(opening: Opening) -> None:
    """Who comes when the run is over, or half over, sees all of it."""
    thread_id = str(uuid.uuid4())
    async with opening("gated", thread_id) as thread:
        await thread.run.start(input=None)
        async with opening("gated", thread_id) as other:
            reader = asyncio.create_task(collect(other.messages))
            await until(lambda: other._subscriptions and covered(other))
            release(thread_id)
            (message,) = await reader
            assert await message.text == "one two"
        assert await thread.output == {"given": None}
    async with opening("gated", thread_id) as late:
        (message,) = await collect(late.messages)
        assert await message.text == "one two"
        assert await late.output == {"given": None}


async def test_eight_clients_at_once(opening: Opening) -> None:
    """Everyone sees every event of the same run, in the same order."""
    thread_id = str(uuid.uuid4())
    ready = anyio.Semaphore(0)
    seen: list[list[Any]] = []

    async def view() -> None:
        async with opening("counting", thread_id) as thread:
            reader = asyncio.create_task(collect(thread.extensions["count"]))
            await until(lambda: thread._subscriptions and covered(thread))
            ready.release()
            seen.append([event["payload"] for event in await reader])

    async with anyio.create_task_group() as tasks:
        for _ in range(8):
            tasks.start_soon(view)
        for _ in range(8):
            await ready.acquire()
        async with opening("counting", thread_id) as thread:
            await thread.run.start(input={"to": 200})
    assert seen == [list(range(200))] * 8


async def test_a_cut_connection_loses_nothing(server: str, transport: Any) -> None:
    """The client connects again from where it was: every event once, in order, over three cuts before the end."""
    with proxied(server) as proxy:
        client = get_client(url=proxy.url, api_key=None)
        thread_id = str(uuid.uuid4())
        async with client:
            async with client.threads.stream(thread_id, assistant_id="counting", transport=transport) as thread:
                seen: list[int] = []

                async def count() -> None:
                    async for event in thread.extensions["count"]:
                        seen.append(event["payload"])
                        if len(seen) in {20, 60, 100}:
                            proxy.cut()
                        if len(seen) == 120:
                            release(thread_id)

                reader = asyncio.create_task(count())
                await until(lambda: thread._subscriptions and covered(thread))
                async with httpx.AsyncClient(base_url=server, timeout=PATIENCE) as http:
                    params = {"assistant_id": "counting", "input": {"to": 150, "held": 120}}
                    command = {"id": 1, "method": "run.start", "params": params}
                    await http.post(f"/threads/{thread_id}/commands", json=command)
                await reader
                assert seen == list(range(150))
                assert await thread.output == {"counted": 150}
        assert proxy.accepted > 3


async def test_a_run_is_cancelled(opening: Opening, server: str) -> None:
    """By its id; who waits for its output is told."""
    async with opening("endless") as thread, httpx.AsyncClient(base_url=server, timeout=PATIENCE) as http:
        run_id = (await thread.run.start(input=None))["run_id"]
        path = f"/threads/{thread.thread_id}/runs/{run_id}/cancel"
        assert (await http.post(path, params={"wait": "1", "action": "interrupt"})).status_code == 200
        with pytest.raises(RuntimeError, match="aborted"):
            await thread.output
        assert (await http.post(path, params={"wait": "0", "action": "interrupt"})).status_code == 404


async def test_the_graph_is_drawn(opening: Opening) -> None:
    """Nodes and edges; the module and class of a node are not told."""
    async with opening("chat") as thread:
        drawing = await thread.agent.get_tree(xray=True)
        assert {"agent:call", "__start__"} <= {node["id"] for node in drawing["nodes"]}
        assert drawing["edges"]
        assert "langgraph" not in str(drawing)
    async with opening("everything") as thread:
        assert [node["id"] for node in (await thread.agent.get_tree())["nodes"]] == ["everything"]


async def test_remote_graph(server: str) -> None:
    """LangGraph's own class over the same client: a snapshot, an interrupt, and its resumption.

    The snapshots are not read to their end: they have none if the question comes before the client subscribes to them.
    """
    client = get_client(url=server, api_key=None)
    remote = RemoteGraph("ask", client=client)
    config: Any = {"configurable": {"thread_id": str(uuid.uuid4())}}
    async with client:
        async with await remote.astream_events({}, config, version="v3") as run:
            async with aclosing(aiter(run.values)) as snapshots:
                await anext(snapshots)  # the state, if there is one by now
            await until(lambda: run._sdk.interrupted)
            assert await run.interrupted()
        async with await remote.astream_events(Command(resume="Ada"), config, version="v3") as run:
            assert await run.output() == {"answers": ["a=Ada"], "messages": []}


def test_the_synchronous_client(sync_opening: Opening) -> None:
    """Several projections in the order of arrival, messages, subgraphs, and the output."""
    with sync_opening("everything") as thread:
        thread.run.start(input={"q": 1})
        shown: list[tuple[str, Any]] = list(
            thread.interleave_projections(["values", "messages", "tool_calls", "subgraphs", "progress"])
        )
        names = [name for name, _ in shown]
        assert names.count("values") == names.count("progress") == 2
        message = next(item for name, item in shown if name == "messages")
        assert "".join(message.text) == "Good morning!"
        call = next(item for name, item in shown if name == "tool_calls")
        assert call.output == "found"
        handle = next(item for name, item in shown if name == "subgraphs")
        assert (handle.graph_name, handle.status) == ("outer", "completed")
        assert thread.output == {"step": 2, "given": {"q": 1}}


def test_the_synchronous_client_is_asked_and_told(sync_opening: Opening) -> None:
    """An interrupt and its answer; a failing run."""
    with sync_opening("ask") as thread:
        thread.run.start(input={})
        while not thread.interrupts:
            pass
        thread.run.respond("Ada")
        assert thread.output == {"answers": ["a=Ada"], "messages": []}
    with sync_opening("failing") as thread:
        thread.run.start(input=None)
        with pytest.raises(RuntimeError, match="cannot read <path>"):
            _ = thread.output
