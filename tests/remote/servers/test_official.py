"""The official clients' calls about threads, assistants and runs, as their own documentation makes them."""

from __future__ import annotations

import json
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
from langgraph.pregel.remote import RemoteGraph
from langgraph.types import Command
from langgraph_sdk import get_client
from langgraph_sdk.errors import BadRequestError, ConflictError, NotFoundError

from anyiostream.remote import app
from anyiostream.remote.thread import Thread

from ...waiting import PATIENCE
from ..graphs import ASSISTANTS, release
from .cutting import proxied
from .serving import ALL_SERVERS, serving

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning", "ignore::ResourceWarning"),
]


@pytest.fixture(params=ALL_SERVERS)
def server(request: pytest.FixtureRequest, servers: dict[str, str]) -> str:
    """The address of a server of each kind: what official clients do is tried with all of them."""
    return servers[request.param]


@pytest.fixture
def anyio_backend() -> str:
    """The clients are for asyncio only."""
    return "asyncio"


@asynccontextmanager
async def connected(server: str, **headers: str) -> AsyncIterator[Any]:
    """The Python client."""
    client = get_client(url=server, api_key=None, headers=headers)
    try:
        yield client
    finally:
        await client.aclose()


async def test_threads_are_made_found_and_deleted(server: str) -> None:
    """`threads.create`, `get`, `search`, `delete`; what is deleted is gone, and its name is free again."""
    async with connected(server) as client:
        thread = await client.threads.create()
        thread_id = thread["thread_id"]
        assert (await client.threads.get(thread_id))["status"] == "idle"
        again = await client.threads.create(thread_id=thread_id, if_exists="do_nothing")
        assert again["thread_id"] == thread_id
        with pytest.raises(ConflictError):
            await client.threads.create(thread_id=thread_id)
        await client.runs.wait(thread_id, "everything", input={"a": 1})
        found = await client.threads.search(metadata={"graph_id": "everything"}, limit=1000)
        (mine,) = [each for each in found if each["thread_id"] == thread_id]
        assert mine["values"]["step"] == 2
        await client.threads.delete(thread_id)
        with pytest.raises(NotFoundError):
            await client.threads.get(thread_id)
        with pytest.raises(NotFoundError):
            await client.threads.delete(thread_id)


async def test_a_search_decodes_what_it_shows(server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not every thread that there is: each may have large values."""
    decoded: list[str] = []
    encoded_values = Thread.encoded_values

    def counted(thread: Thread) -> Any:
        decoded.append(thread.thread_id)
        return encoded_values(thread)

    monkeypatch.setattr(Thread, "encoded_values", counted)
    async with connected(server) as client:
        for _ in range(5):
            await client.threads.create()
        decoded.clear()
        found = await client.threads.search(status="idle", limit=2, offset=1)
        assert [each["thread_id"] for each in found] == decoded
        assert len(found) == 2


async def test_a_deleted_thread_has_no_checkpoints(server: str) -> None:
    """A LangGraph thread of that name begins anew, with nothing of the old one's history."""
    async with connected(server) as client:
        thread_id = str(uuid.uuid4())
        for expected in (2, 2):
            await client.runs.wait(thread_id, "chat", input={"messages": [{"role": "user", "content": "hi"}]})
            state = await client.threads.get_state(thread_id)
            assert len(state["values"]["messages"]) == expected
            history = await client.threads.get_history(thread_id, limit=2)
            assert [len(each["values"].get("messages", [])) for each in history] == [2, 1]
            assert history[0]["parent_checkpoint"]["checkpoint_id"] == history[1]["checkpoint"]["checkpoint_id"]
            await client.threads.delete(thread_id)


async def test_assistants_are_found(server: str) -> None:
    """`assistants.search` and `get`; ids are names."""
    async with connected(server) as client:
        names = [each["assistant_id"] for each in await client.assistants.search(limit=100)]
        assert names == sorted(ASSISTANTS)
        (one,) = await client.assistants.search(graph_id="chat")
        assert one == await client.assistants.get("chat")
        with pytest.raises(NotFoundError):
            await client.assistants.get("nobody")


async def test_a_run_is_streamed(server: str) -> None:
    """`runs.stream` with several modes; the messages join to what the model said."""
    async with connected(server) as client:
        thread = await client.threads.create()
        modes = ["values", "updates", "custom", "messages-tuple"]
        events = [
            (part.event, part.data)
            async for part in client.runs.stream(thread["thread_id"], "everything", input={}, stream_mode=modes)
        ]
        assert events[0][0] == "metadata"
        assert [data["step"] for event, data in events if event == "values"] == [1, 2]
        assert ("updates", {"node": {"step": 1}}) in events
        assert ("custom", {"note": "x"}) in events
        texts = [data[0]["content"] for event, data in events if event == "messages"]
        assert "".join(text for text in texts if isinstance(text, str)) != ""
        (run,) = await client.runs.list(thread["thread_id"])
        assert run == await client.runs.get(thread["thread_id"], run["run_id"])
        assert (run["run_id"], run["status"]) == (events[0][1]["run_id"], "success")
        assert (await client.runs.join(thread["thread_id"], run["run_id"]))["step"] == 2


async def test_a_run_without_a_thread_leaves_none(server: str) -> None:
    """`runs.wait(None, ...)`, and a stream."""
    async with connected(server) as client:
        before = len(await client.threads.search(limit=1000))
        assert (await client.runs.wait(None, "everything", input={}))["step"] == 2
        events = [part.event async for part in client.runs.stream(None, "everything", input={})]
        assert events == ["metadata", "values", "values"]
        assert len(await client.threads.search(limit=1000)) == before


async def test_a_failing_run_says_so(server: str) -> None:
    """A stream has an error event; `wait` raises."""
    async with connected(server) as client:
        events = [part.event async for part in client.runs.stream(None, "failing", input={})]
        assert events[-1] == "error"
        with pytest.raises(Exception, match="RunFailed"):
            await client.runs.wait(None, "failing", input={})


@pytest.mark.parametrize("assistant", ["question", "ask"])
async def test_an_interrupt_is_answered(server: str, assistant: str) -> None:
    """`__interrupt__` in the values; `command={"resume": ...}` goes on."""
    async with connected(server) as client:
        thread = await client.threads.create()
        asked = await client.runs.wait(thread["thread_id"], assistant, input={})
        assert len(asked["__interrupt__"]) == 1
        assert (await client.threads.get(thread["thread_id"]))["status"] == "interrupted"
        told = await client.runs.wait(thread["thread_id"], assistant, command={"resume": "yes"})
        assert "yes" in str(told)
        with pytest.raises((BadRequestError, httpx.HTTPStatusError)) as refused:
            await client.runs.wait(thread["thread_id"], assistant, command={"resume": "yes"})
        assert refused.value.response.status_code == 400


async def test_a_run_is_cancelled(server: str) -> None:
    """`runs.create`, then `cancel`."""
    async with connected(server) as client:
        thread = await client.threads.create()
        run = await client.runs.create(thread["thread_id"], "endless", input={})
        assert (await client.runs.list(thread["thread_id"]))[0]["status"] in {"pending", "running"}
        with pytest.raises(ConflictError):
            await client.threads.delete(thread["thread_id"])
        await client.runs.cancel(thread["thread_id"], run["run_id"], wait=True)
        await client.runs.join(thread["thread_id"], run["run_id"])
        await client.threads.delete(thread["thread_id"])


async def test_a_run_is_joined(server: str) -> None:
    """`runs.join_stream`, while it is under way and after its end; from its start, or from the last event that came."""
    async with connected(server) as client:
        thread_id = (await client.threads.create())["thread_id"]
        run = await client.runs.create(thread_id, "counting", input={"to": 4, "held": 2})

        async def joined(**options: Any) -> list[Any]:
            stream = client.runs.join_stream(thread_id, run["run_id"], stream_mode=["custom"], **options)
            found = []
            async for part in stream:
                if part.event == "custom" and isinstance(part.data, int):
                    found.append(part)
                    if part.data == 1:
                        release(thread_id)
            return found

        seen = await joined()
        assert [part.data for part in seen] == [0, 1, 2, 3]
        for last_event_id, expected in ((None, [0, 1, 2, 3]), ("-1", [0, 1, 2, 3]), (seen[1].id, [2, 3])):
            assert [part.data for part in await joined(last_event_id=last_event_id)] == expected
        events = [part async for part in client.runs.join_stream(thread_id, run["run_id"])]
        assert events[-1].event == "values"
        assert [part.event for part in await joined(last_event_id=events[-1].id)] == []
        with pytest.raises((BadRequestError, httpx.HTTPStatusError)):
            await joined(last_event_id="x")
        with pytest.raises((NotFoundError, httpx.HTTPStatusError)):
            async for _ in client.runs.join_stream(thread_id, str(uuid.uuid4())):
                pass


async def test_a_client_is_told_which_run_it_has_begun(server: str) -> None:
    """`on_run_created` of `stream`, `wait` and `create`; of `wait` before the run has ended."""
    async with connected(server) as client:
        thread_id = (await client.threads.create())["thread_id"]
        told: list[Any] = []

        async def runs() -> list[str]:
            return [each["run_id"] for each in await client.runs.list(thread_id)]

        run = await client.runs.create(thread_id, "everything", input={}, on_run_created=told.append)
        await client.runs.join(thread_id, run["run_id"])
        async for _ in client.runs.stream(thread_id, "everything", input={}, on_run_created=told.append):
            pass
        (last,) = await runs()
        given = {"to": 2, "held": 0}

        def created(about: Any) -> None:
            told.append(about)
            release(thread_id)

        await client.runs.wait(thread_id, "counting", input=given, on_run_created=created)
        assert [each["run_id"] for each in told] == [run["run_id"], last, *(await runs())]
        assert {each["thread_id"] for each in told} == {thread_id}
        await client.runs.wait(None, "everything", input={}, on_run_created=told.append)
        assert told[-1]["thread_id"] != thread_id


async def test_a_stream_that_breaks_off_is_taken_up_again(server: str) -> None:
    """By the client itself: each event once, in the modes that were asked for, to the run's end."""
    with proxied(server) as proxy:
        proxy.cuts = [2500, 3000]
        async with connected(proxy.url) as client:
            thread_id = (await client.threads.create())["thread_id"]
            stream = client.runs.stream(
                thread_id, "counting", input={"to": 100, "held": 101}, stream_mode=["custom"], stream_subgraphs=True
            )
            parts = [part async for part in stream]
        assert proxy.cuts == []
    assert [part.data for part in parts if isinstance(part.data, int)] == list(range(100))
    assert {part.event for part in parts} == {"metadata", "custom"}


async def test_the_rest_of_a_run_is_where_it_is_said_to_be(server: str) -> None:
    """Of a stream with the same modes; of one value by `join`, whose head is there while the run goes on."""
    async with connected(server) as client, httpx.AsyncClient(base_url=server, timeout=PATIENCE) as http:
        thread_id = (await client.threads.create())["thread_id"]
        body = {"assistant_id": "counting", "input": {"to": 2, "held": 1}, "stream_mode": ["custom", "values"]}
        async with http.stream("POST", f"/threads/{thread_id}/runs/stream", json=body) as response:
            run = response.headers["content-location"]
            assert run.startswith(f"/threads/{thread_id}/runs/")
            assert response.headers["location"] == f"{run}/stream?stream_mode=custom&stream_mode=values"
        async with http.stream("GET", f"{run}/join") as joined:
            assert joined.headers["location"] == f"{run}/join"
            release(thread_id)
            values = json.loads(await joined.aread())
        async with http.stream("GET", f"{run}/stream?stream_mode=custom&stream_subgraphs=1") as again:
            assert again.headers["location"] == f"{run}/stream?stream_mode=custom&stream_subgraphs=1"
        assert values == (await http.get(f"{run}/join")).json() == (await client.threads.get_state(thread_id))["values"]


@pytest.mark.parametrize("on_disconnect", ["cancel", "continue"])
async def test_a_viewer_that_leaves_stops_its_run(server: str, on_disconnect: Any) -> None:
    """If it has said so, and only then."""
    async with connected(server) as client:
        thread_id = (await client.threads.create())["thread_id"]
        stream = client.runs.stream(thread_id, "endless", input={}, on_disconnect=on_disconnect)
        async for part in stream:
            if part.event == "values":
                break
        await stream.aclose()
        (run,) = await client.runs.list(thread_id)
        if on_disconnect == "continue":
            await client.runs.cancel(thread_id, run["run_id"], wait=True)
        await client.runs.join(thread_id, run["run_id"])
        assert (await client.runs.get(thread_id, run["run_id"]))["status"] == "error"


async def test_remote_graph(server: str) -> None:
    """`RemoteGraph.astream`, `ainvoke` and `aget_state`; interrupts are in the output, and are answered."""
    graph = RemoteGraph("chat", url=server)
    config: Any = {"configurable": {"thread_id": str(uuid.uuid4())}}
    given = {"messages": [{"role": "user", "content": "hi"}]}
    chunks = [each async for each in graph.astream(given, config, stream_mode=["values", "updates"])]
    assert {chunk[0] for chunk in chunks} == {"values", "updates"}
    assert len((await graph.ainvoke(given, config))["messages"]) == 4
    assert len((await graph.aget_state(config)).values["messages"]) == 4
    history = [each async for each in graph.aget_state_history(config, limit=1)]
    assert len(history[0].values["messages"]) == 4
    asking = RemoteGraph("ask", url=server)
    thread: Any = {"configurable": {"thread_id": str(uuid.uuid4())}}
    (asked,) = (await asking.ainvoke({}, thread))["__interrupt__"]
    assert [each.id for each in (await asking.aget_state(thread)).interrupts] == [asked["id"]]
    assert (await asking.ainvoke(Command(resume="yes"), thread))["answers"] == ["a=yes"]


async def test_remote_graph_of_a_function(server: str) -> None:
    """It keeps no checkpoints: its history is where it stands."""
    graph = RemoteGraph("question", url=server)
    config: Any = {"configurable": {"thread_id": str(uuid.uuid4())}}
    await graph.ainvoke({}, config)
    state = await graph.aget_state(config)
    assert len(state.tasks[0].interrupts) == 1
    assert [each.values async for each in graph.aget_state_history(config)] == [state.values]
    assert "yes" in str(await graph.ainvoke(Command(resume="yes"), config))


async def test_what_is_not_served_says_what_is(server: str) -> None:
    """404 and JSON, whatever the path or the method; options that change nothing here are refused, not ignored."""
    async with httpx.AsyncClient(base_url=server, timeout=PATIENCE) as http:
        for method, path in (("GET", "/crons"), ("POST", "/store/items"), ("PATCH", "/threads/1")):
            response = await http.request(method, path)
            assert response.status_code == 404
            assert "POST /threads/{id}/runs/stream" in response.json()["served"]
        refused = [
            ("/threads", {"metadata": {"user": "ann"}}),
            ("/runs/wait", {"assistant_id": "everything", "webhook": "http://localhost"}),
            ("/runs/wait", {"assistant_id": "everything", "stream_mode": "events"}),
            ("/threads/search", {"limit": -1}),
        ]
        for path, body in refused:
            assert (await http.post(path, json=body)).status_code == 400, path


async def test_event_source(server: str) -> None:
    """A browser's `EventSource` sends a GET, and `Last-Event-ID` when it comes back."""
    async with httpx.AsyncClient(base_url=server, timeout=PATIENCE) as http:
        await http.post("/threads/es/runs/wait", json={"assistant_id": "everything", "input": {}})

        async def first(**headers: str) -> dict[str, str]:
            async with http.stream(
                "GET", "/threads/es/stream/events", params={"channels": "values,lifecycle"}, headers=headers
            ) as stream:
                fields: dict[str, str] = {}
                async for line in stream.aiter_lines():
                    if line and not line.startswith(":"):
                        name, _, value = line.partition(": ")
                        fields[name] = value
                    elif fields:
                        return fields
            raise AssertionError

        began = await first()
        assert began["event"] == "lifecycle"
        assert (await first(**{"last-event-id": began["id"]}))["event"] == "values"
        assert (await http.get("/threads/es/stream/events", params={"channels": "nothing"})).status_code == 400


async def test_threads_are_their_owners() -> None:
    """Another owner's threads are not found, not listed and not deleted."""

    def authorize(access: Any) -> str:
        return str(access.headers.get("x-user"))

    with serving("uvicorn", app(ASSISTANTS, authorize=authorize)) as server:
        async with connected(server, **{"x-user": "ann"}) as ann, connected(server, **{"x-user": "bob"}) as bob:
            thread = await ann.threads.create()
            await ann.runs.wait(thread["thread_id"], "everything", input={})
            assert await bob.threads.search() == []
            for call in (bob.threads.get, bob.threads.delete, bob.threads.get_history):
                with pytest.raises(NotFoundError):
                    await call(thread["thread_id"])
            assert [each["thread_id"] for each in await ann.threads.search()] == [thread["thread_id"]]
