"""Our client and servers that answer anything: within bounds, and with a clear exception."""

from __future__ import annotations

import gzip
import json
import time
import zlib
from collections.abc import Callable
from email.utils import formatdate
from functools import cache
from types import SimpleNamespace
from typing import Any, Final

import anyio
import anyio.lowlevel
import httpx
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from anyiostream import AnyioStreamError, CustomTransformer, open_run
from anyiostream.remote import (
    Reconnection,
    RemoteClient,
    RemoteGap,
    RemoteMalformed,
    RemoteRefused,
    RemoteUnreachable,
    app,
    connect,
)
from anyiostream.remote.receiving import EventDecoder, checked_event, part_of, root_end
from anyiostream.remote.transport import CHUNK, Inflater, retry_after

from ...waiting import PATIENCE
from ..graphs import ASSISTANTS
from .scripted import event
from .serving import SERVERS, serving

pytestmark = pytest.mark.anyio

STARTED = {"type": "success", "id": 1, "result": {"run_id": "r"}}
BEGUN = event(1, {"event": "running", "run_id": "r"}, "lifecycle")
END = event(3, {"event": "completed", "run_id": "r"}, "lifecycle")
SSE = {"content-type": "text/event-stream; charset=utf-8"}

Answer = Callable[[httpx.Request], httpx.Response]


def frames(*events: Any) -> bytes:
    """Events, as a stream has them."""
    return b"".join(b"data: " + json.dumps(each).encode() + b"\n\n" for each in events)


def client_of(
    *streams: Answer | bytes, start: Answer | None = None, state: Answer | None = None, **options: Any
) -> tuple[RemoteClient, list[httpx.Request]]:
    """A client of a server that answers so, stream after stream; and what it is asked. No sockets."""
    left, asked = list(streams), []

    def handle(request: httpx.Request) -> httpx.Response:
        asked.append(request)
        if request.url.path.endswith("/commands"):
            return (start or says(json.dumps(STARTED).encode()))(request)
        if request.url.path.endswith("/state") or "/runs/" in request.url.path:
            return (state or says(b'{"error": "x", "message": "y"}', 404))(request)
        answer = left.pop(0) if left else says(b"", 404)
        return (says(answer, **SSE) if isinstance(answer, bytes) else answer)(request)

    options.setdefault("reconnection", Reconnection(attempts=3, first=0.0001))
    client = connect("http://server", **options)
    client.http._transport = httpx.MockTransport(handle)  # noqa: SLF001 -- instead of sockets
    client.http._mounts = {}  # noqa: SLF001 -- likewise
    return client, asked


def says(content: bytes, status: int = 200, **headers: str) -> Answer:
    """An answer."""
    named = {name.replace("_", "-"): value.encode() for name, value in headers.items()}
    return lambda _: httpx.Response(status, headers=named, stream=httpx.ByteStream(content))


def breaks(_: httpx.Request) -> httpx.Response:
    """A connection that is lost in the middle of a chunk."""
    raise httpx.RemoteProtocolError("peer closed connection without sending complete message body")


DEEP = b"[" * 100_000


@cache
def bomb() -> bytes:
    """200 MB. Not made before a test wants it: every worker would."""
    return gzip.compress(b"[" + b" " * 200_000_000 + b"]", 1)


def says_bomb(**headers: str) -> Answer:
    """The bomb as an answer."""

    def answer(request: httpx.Request) -> httpx.Response:
        return says(bomb(), content_encoding="gzip", **headers)(request)

    return answer


BODIES: dict[str, tuple[Answer, type[Exception]]] = {
    "html": (says(b"<html>", content_type="text/html"), RemoteMalformed),
    "no json": (says(b"<html>"), RemoteMalformed),
    "empty": (says(b""), RemoteMalformed),
    "no utf-8": (says(b'{"type": "\xff"}'), RemoteMalformed),
    "NaN": (says(b'{"type": "success", "result": {"run_id": NaN}}'), RemoteMalformed),
    "deep": (says(DEEP), RemoteMalformed),
    "large": (says(b" " * 2_000_000), RemoteMalformed),
    "a bomb": (says_bomb(), RemoteMalformed),
    "not compressed": (says(b"{}", content_encoding="gzip"), RemoteMalformed),
    "cut off": (says(gzip.compress(json.dumps(STARTED).encode())[:-9], content_encoding="gzip"), RemoteMalformed),
    "odd encoding": (says(b"{}", content_encoding="br"), RemoteMalformed),
    "redirect": (says(b"", 307, location="http://elsewhere/"), RemoteMalformed),
    "nothing": (says(b"", 204), RemoteMalformed),
    "lost": (breaks, RemoteUnreachable),
    "refused": (says(b"no", 403), RemoteRefused),
    "refused oddly": (says(b'{"error": 1, "message": [2]}', 400), RemoteRefused),
    "refused deeply": (says(DEEP, 500), RemoteRefused),
    "refused at length": (says(b"x" * 10_000_000, 500), RemoteRefused),
    "gone": (says(b"", 410), RemoteGap),
}

VALUES: list[Any] = [None, 1, "x", [], [1], {}, {"type": "success"}, {"type": "event", "result": {}}]
VALUES += [
    {"type": "success", "result": x} for x in (None, 1, [], {"run_id": 1}, {"run_id": []}, {"run_id": "\ud800"}, {})
]


@pytest.mark.parametrize("name", BODIES)
async def test_answers_that_are_none(name: str) -> None:
    """To a command, a request for the state, and a cancellation."""
    answer, error = BODIES[name]
    client, _ = client_of(start=answer, state=answer, largest_event=1_000_000)
    async with client:
        thread = client.thread("x")
        with pytest.raises(error) as caught:
            async with thread.run():
                pass
        assert isinstance(caught.value, AnyioStreamError)
        assert len(str(caught.value)) < 3000
        for ask in (thread.state, thread.cancel):
            with pytest.raises(error):
                await ask()


@pytest.mark.parametrize("value", VALUES, ids=str)
async def test_answers_of_a_wrong_shape(value: Any) -> None:
    """Are told from each other no further: they are malformed."""
    client, _ = client_of(start=says(json.dumps(value).encode()), state=says(b"[1]"))
    async with client:
        with pytest.raises(RemoteMalformed, match="malformed"):
            async with client.thread("x").run():
                pass
        with pytest.raises(RemoteMalformed, match="not an object"):
            await client.thread("x").state()


async def test_a_place_that_is_none() -> None:
    """What a header has is sent back in a header, which takes less."""
    client, _ = client_of(start=says(json.dumps(STARTED).encode(), anyiostream_place="\u00e9-1"))
    async with client:
        with pytest.raises(RemoteMalformed):
            async with client.thread("x").run():
                pass


@pytest.mark.parametrize("compression", ["gzip", "deflate"])
async def test_compressed_answers_are_read(compression: str) -> None:
    """As far as they are not too large."""

    def packed(content: bytes, **headers: str) -> Answer:
        data = gzip.compress(content) if compression == "gzip" else zlib.compress(content)
        return says(data, content_encoding=compression, **headers)

    stream = packed(frames(BEGUN, event(2, "a"), END), **SSE)
    client, _ = client_of(stream, start=packed(json.dumps(STARTED).encode()))
    async with client, client.thread("x").run() as run:
        assert [value async for value in run.values] == ["a"]


STREAMS: dict[str, tuple[Answer | bytes, type[Exception]]] = {
    **{name: BODIES[name] for name in ("html", "redirect", "nothing", "refused", "gone", "odd encoding")},
    "a bomb": (says_bomb(**SSE), RemoteMalformed),
    "no json": (b"data: {\n\n", RemoteMalformed),
    "deep": (b"data: " + DEEP + b"\n\n", RemoteMalformed),
    "large": (b"data: " + b" " * 2_000_000, RemoteMalformed),
    "many lines": (b"data:\n" * 200_000, RemoteMalformed),
    "a long comment": (b":" * 2_000_000, RemoteMalformed),
    "an error": (frames({"type": "error", "message": "gap"}), RemoteGap),
    "an odd error": (frames({"type": "error", "message": ["x" * 100_000]}), RemoteGap),
    "an odd id": (frames({**BEGUN, "event_id": "\u00e9-1"}), RemoteMalformed),
    "another log": (frames(BEGUN, event(2, "a", log="other")), RemoteGap),
}


@pytest.mark.parametrize("name", STREAMS)
async def test_streams_that_are_none(name: str) -> None:
    """Are final for their readers, who are told what it is."""
    answer, error = STREAMS[name]
    client, asked = client_of(answer, largest_event=1_000_000)
    async with client, client.thread("x").run() as run:
        with anyio.fail_after(PATIENCE), pytest.raises(error) as caught:
            await run.output()
    assert isinstance(caught.value, AnyioStreamError)
    assert len(str(caught.value)) < 3000
    assert len(asked) == 2


NAMES = "type event_id seq method params namespace data interrupts id name value node run_id"
KEYS = st.sampled_from(NAMES.split())
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-1, 3) | st.sampled_from(["", "x", "log-1", "values", "running"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=6,
)
METHODS = st.sampled_from(
    ["values", "messages", "lifecycle", "tasks", "custom", "updates", "tools", "checkpoints", "x"]
)
DATA: dict[str, Any] = {
    "values": {"x": 1},
    "messages": {"event": "message-start", "run_id": "m", "id": "m"},
    "lifecycle": {"event": "running", "run_id": "r"},
    "tasks": {"id": "t", "name": "n", "input": {}, "triggers": [], "interrupts": []},
    "custom": {"name": "x", "payload": 1},
}


METHODS = st.sampled_from([*DATA, "updates", "tools", "checkpoints", "x"])


@st.composite
def odd_events(draw: st.DrawFn) -> Any:
    """Events of the wire, with some of it replaced by something else."""
    method = draw(METHODS)
    made = event(draw(st.integers(1, 5)), json.loads(json.dumps(DATA.get(method, {}))), method)
    for _ in range(draw(st.integers(0, 2))):
        place: Any = draw(st.sampled_from([made, made["params"], made["params"].get("data"), made.get("params")]))
        if not isinstance(place, dict):
            continue
        place[draw(KEYS)] = draw(JSON)
        if not isinstance(made.get("params"), dict):
            break
    return draw(JSON) if draw(st.integers(0, 9)) == 9 else made


@given(st.lists(odd_events(), max_size=5))
@example([{"type": "event", "event_id": "log-1", "seq": 1, "method": "values", "params": {"namespace": []}}])
def test_events_of_any_shape(odd: list[Any]) -> None:
    """Are read, or refused by an exception of the package's; the run itself meets nothing that it cannot read."""

    async def parts_of() -> Any:
        for each in odd:
            checked = checked_event(each)
            if checked.get("type") == "error":
                return
            root_end(checked)
            part = part_of(checked)
            if part is not None:
                yield part

    async def read() -> None:
        async with open_run(parts_of(), transformers=[CustomTransformer]) as run:
            async with anyio.create_task_group() as tasks:
                for cursor in (run.values, run.messages, run.subgraphs, run.custom, run.lifecycle):
                    tasks.start_soon(drain, cursor)
            await run.output()

    try:
        anyio.run(read)
    except* AnyioStreamError:
        pass


async def drain(cursor: Any) -> None:
    async for _ in cursor:
        pass


# --- linear ---


def pieces_read(size: int) -> int:
    """How many bytes are copied to read an event of a size that comes in small pieces."""
    copied = 0

    class Counting(bytes):
        def __add__(self, other: bytes) -> bytes:
            raise AssertionError("what has come before is copied for each piece")

    decoder = EventDecoder(10**9)
    list(decoder.feed(Counting(b'data: "')))
    for _ in range(size):
        assert list(decoder.feed(Counting(b"x" * 100))) == []
    (text,) = decoder.feed(Counting(b'"\n\n'))
    copied += len(text)
    return copied


def test_a_long_event_in_small_pieces_is_joined_once() -> None:
    """Its time is in proportion to its size."""
    assert pieces_read(2000) == 200_000
    started = time.process_time()
    pieces_read(200_000)  # 20 MB, which took minutes when each piece copied all before it
    assert time.process_time() - started < PATIENCE


def test_a_bomb_is_inflated_piece_by_piece() -> None:
    """None is larger than `CHUNK`; what is asked for no more is not made."""
    pieces = Inflater("gzip").feed(bomb())
    for _ in range(10):
        assert 0 < len(next(pieces)) <= CHUNK


async def test_a_bomb_of_nothing_does_not_hold_the_loop() -> None:
    """Blank lines have no size that could be exceeded; others go on meanwhile, and the reader can be stopped."""
    blank = gzip.compress(b"\n" * 20_000_000, 9)  # 20 kB, as one piece
    client, _ = client_of(says(blank, content_encoding="gzip", **SSE))
    turns = 0

    async def others() -> None:
        nonlocal turns
        while True:
            await anyio.lowlevel.checkpoint()
            turns += 1

    async with client, client.thread("x").run() as run, anyio.create_task_group() as tasks:
        tasks.start_soon(others)
        before = turns
        with pytest.raises(AnyioStreamError):
            await run.output()
        assert turns - before > 20_000_000 // CHUNK
        tasks.cancel_scope.cancel()


# --- again, and when ---


async def test_a_server_says_when_to_come_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is waited for so long, but no longer than one's patience; refused commands carry it along."""
    slept: list[float] = []

    async def noted(delay: float) -> None:
        slept.append(delay)
        await anyio.lowlevel.checkpoint()

    monkeypatch.setattr("anyiostream.remote.client.anyio", SimpleNamespace(sleep=noted))
    busy = [says(b"", 503, retry_after="7"), says(b"", 429, retry_after="1000"), says(b"", 503)]
    client, _ = client_of(
        *busy, frames(BEGUN, END), state=says(b"{}"), reconnection=Reconnection(attempts=9, first=0.5, patience=20)
    )
    async with client, client.thread("x").run() as run:
        await run.output()
    assert slept[:3] == [0.0, 7.0, 20.0]
    assert 1.0 <= slept[3] <= 2.0
    client, _ = client_of(start=says(b"", 429, retry_after="3"))
    async with client:
        with pytest.raises(RemoteRefused) as caught:
            async with client.thread("x").run():
                pass
    assert (caught.value.status, caught.value.retry_after) == (429, 3.0)


NOW: Final = 1_700_000_000
"""s since 1970."""


@pytest.mark.parametrize(
    ("said", "seconds"), [("5", 5), ("0", 0), (formatdate(NOW + 1000, usegmt=True), 1000), (formatdate(0), 0)]
)
def test_retry_after(said: str, seconds: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """A number of seconds, or a date."""
    monkeypatch.setattr(time, "time", lambda: NOW)
    assert retry_after({"retry-after": said}) == seconds


@pytest.mark.parametrize("said", ["", "-1", "1.5", "soon", "\u0661", "9" * 400, "Mon, 99 Foo 2026 00:00:00 GMT"])
def test_retry_after_that_is_none(said: str) -> None:
    """Is passed over."""
    assert retry_after({"retry-after": said}) is None


def test_delays_differ_and_are_bounded() -> None:
    """At least half of what they could be, also after very many attempts."""
    reconnection = Reconnection(first=1.0, longest=8.0)
    chosen = {reconnection.pause(4, 0.0) for _ in range(50)}
    assert len(chosen) > 10
    assert all(2.0 <= each <= 4.0 for each in chosen)
    assert 4.0 <= reconnection.pause(10**6, 0.0) <= 8.0


# --- forgotten ---


@pytest.mark.parametrize("name", SERVERS)
async def test_a_server_that_was_restarted_before_anything_was_read(name: str) -> None:
    """Knows nothing of the run: its reader is told, and does not wait for ever."""
    with serving(name, app(ASSISTANTS)) as first, serving(name, app(ASSISTANTS)) as second:
        async with connect(first) as client:

            async def move(request: httpx.Request) -> None:
                """The run is started on the one, and read from the other."""
                if request.url.path.endswith("/events"):
                    request.url = httpx.URL(second).join(request.url.raw_path.decode())

            client.http.event_hooks = {"request": [move]}
            async with client.thread("everything", "t").run({}) as run:
                with anyio.fail_after(PATIENCE), pytest.raises(RemoteGap):
                    await run.output()


async def test_a_server_that_forgets_and_does_not_say_where_runs_begin() -> None:
    """Is asked for the thread before a stream would make it anew."""
    client, asked = client_of(b"", b"")
    async with client, client.thread("x").run() as run:
        with pytest.raises(RemoteGap, match="no longer knows"):
            await run.output()
    assert [each.url.path.rpartition("/")[2] for each in asked] == ["commands", "events", "state"]
    client, asked = client_of(b"", frames(BEGUN, END), state=says(b'{"values": null}'))
    async with client, client.thread("x").run() as run:
        await run.output()
        assert run.status == "completed"


# --- custom payloads ---


@pytest.mark.parametrize("name", SERVERS)
async def test_a_payload_that_looks_like_a_named_channels(name: str) -> None:
    """Stays in `run.custom`, as in a local run; what a channel has pushed does not come there."""
    payloads = [{"name": "count", "payload": n} for n in range(3)]
    with serving(name, app({"counting": ASSISTANTS["counting"]})) as url:
        async with connect(url) as client:
            async with client.thread("counting").run({"to": 3}, transformers=[CustomTransformer]) as run:
                assert [each async for each in run.custom] == payloads
            async with client.thread("counting").run({"to": 3}, extensions=["count"]) as run:
                assert [each async for each in run.extensions["count"]] == [0, 1, 2]
    async with open_run(ASSISTANTS["counting"], {"to": 3}, transformers=[CustomTransformer]) as run:
        assert [each async for each in run.custom] == payloads
