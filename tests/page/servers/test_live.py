"""What the page reads besides what every client reads: the list of threads as it changes, and one of them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import anyio
import httpx
import pytest

from anyiostream import GraphWriter
from anyiostream.page import add_page
from anyiostream.remote import Access, Limits, SqliteStore, app

from ...remote.servers.raw import Client
from ...remote.servers.serving import SERVERS, serving
from ...remote.store.codecs import Toy
from ...waiting import PATIENCE


async def speaks(_: Any, writer: GraphWriter) -> Any:
    """Says something, and tells of tokens."""
    async with writer.message(node="think") as message:
        await message.text("Good morning")
    await writer.interrupt("who?")


def known(access: Access) -> str | None:
    """Two users."""
    return {"Bearer alice": "alice", "Bearer bob": "bob"}.get(access.headers.get("authorization", ""))


@contextmanager
def live(url: str, **headers: str) -> Iterator[Iterator[Any]]:
    """What comes over the stream of the list."""
    with httpx.stream("POST", f"{url}/live", headers=headers, timeout=PATIENCE) as response:
        assert response.status_code == 200
        assert response.headers["content-type"].startswith("text/event-stream")
        yield (json.loads(line[6:]) for line in response.iter_lines() if line.startswith("data: "))


@pytest.mark.parametrize("server", SERVERS)
def test_the_list_of_ones_own(server: str) -> None:
    """All of them first, with the assistants; then what changes. Another owner's are not there."""
    with serving(server, add_page(app({"speaks": speaks}, authorize=known))) as url:
        with live(url, authorization="Bearer alice") as news, Client(url, "t", authorization="Bearer alice") as alice:
            first = next(news)
            assert (first["threads"], first["gone"]) == ([], [])
            assert first["assistants"] == [{"assistant_id": "speaks", "chat": False, "input": None}]
            alice.start("speaks")
            while (changed := next(news)["threads"])[0]["state"] != "waiting":
                pass
            (digest,) = changed
            assert (digest["thread_id"], digest["assistant_id"], digest["attempt"]) == ("t", "speaks", 1)
            with live(url, authorization="Bearer bob") as others:
                assert next(others)["threads"] == []
            with Client(url, authorization="Bearer bob") as bob:
                assert bob.http.get("/live/t").status_code == 404
            one = alice.http.get("/live/t").json()
            assert (one["state"], one["statistics"], one["behind"]) == ("waiting", None, [])
        with Client(url) as stranger:
            assert stranger.http.post("/live").status_code == 401


def test_a_thread_that_cannot_be_decoded_is_left_out(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The log says so, once for each who looks; the others are shown. A search, which promises all, is refused."""

    def codec(*keys: bytes) -> SqliteStore:
        return SqliteStore(tmp_path / "f", codec=Toy(*keys))

    async def rotate() -> None:
        async with codec(b"new", b"old").open(Limits()):
            pass

    with serving("uvicorn", app({"speaks": speaks}, store=codec(b"old"))) as url, Client(url, "lost") as client:
        client.start("speaks")
        client.ended()
    anyio.run(rotate)
    served = add_page(app({"speaks": speaks}, store=codec(b"new")))
    with serving("uvicorn", served) as url, live(url) as news, Client(url, "own") as client:
        client.start("speaks")
        shown: dict[str, Any] = {}
        while shown.get("own") != "waiting":
            shown.update((each["thread_id"], each["state"]) for each in next(news)["threads"])
        assert shown == {"own": "waiting"}
        assert client.http.post("/threads/search", json={}).status_code == 500
        assert client.http.get("/threads/lost/state").status_code == 500
        assert client.state().status_code == 200
    said = [each for each in caplog.records if each.getMessage().startswith("thread lost is not on the page's list: ")]
    assert len(said) == 1


@pytest.mark.parametrize("server", SERVERS)
def test_a_list_is_a_stream_like_others(server: str) -> None:
    """It counts among the connections that there may be."""
    application = add_page(app({"speaks": speaks}, limits=Limits(connections=1)))
    with serving(server, application) as url, live(url) as news, Client(url) as client:
        next(news)
        assert client.http.post("/live").status_code == 429
