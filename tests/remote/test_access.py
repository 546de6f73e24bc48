"""Hosts, origins, thread ids, and the hook: who gets in."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from anyiostream.remote import app
from anyiostream.remote.access import LOOPBACK, Access, authorized, check_host, check_origin, check_thread_id
from anyiostream.remote.refusals import Refusal
from anyiostream.remote.store import MemoryStore, StoreFailed
from anyiostream.remote.viewer import Viewer

from ..browsing import Browser

MALFORMED = [
    "",
    "http://[::1",
    "http://a:b",
    "http://a:99999",
    "localhost",
    "http://",
    "http:///x",
    "http://a/b",
    "http://a?b",
    "http://a@b",
    "http://a b",
    "http://a, http://b",
    "http://ä",
    "1://a",
]


def status(call: Callable[[], Any]) -> int:
    """The status with which a call refuses; 200 if it does not."""
    try:
        call()
    except Refusal as refusal:
        return refusal.status
    return 200


@pytest.mark.parametrize(
    ("host", "allowed", "expected"),
    [
        ("localhost:8000", LOOPBACK, 200),
        ("LOCALHOST", LOOPBACK, 200),
        ("127.0.0.1:1", LOOPBACK, 200),
        ("[::1]:80", LOOPBACK, 200),
        ("[::1]", LOOPBACK, 200),
        ("evil.example", LOOPBACK, 421),
        ("localhost.evil.example:80", LOOPBACK, 421),
        ("", LOOPBACK, 421),
        (None, LOOPBACK, 421),
        ("evil.example", ("*",), 200),
        ("api.example:443", ("api.example",), 200),
    ],
)
def test_hosts(host: str | None, allowed: Any, expected: int) -> None:
    """Only those named are served, whatever the port; by default those that only this machine reaches."""
    assert status(lambda: check_host(host, allowed)) == expected


@pytest.mark.parametrize(
    ("origin", "allowed", "expected"),
    [
        (None, (), 200),
        ("http://localhost:8000", (), 200),
        ("http://localhost:9000", (), 403),
        ("http://evil.example", (), 403),
        ("null", (), 403),
        ("http://evil.example", ("http://good.example",), 403),
        ("http://good.example", ("http://good.example",), 200),
        ("http://evil.example", ("*",), 200),
        *[(origin, ("*",), 400) for origin in MALFORMED],
        *[(origin, (), 400) for origin in MALFORMED],
    ],
)
def test_origins(origin: str | None, allowed: Any, expected: int) -> None:
    """Pages of the server's own origin and of those named; programs send none."""
    assert status(lambda: check_origin(origin, "localhost:8000", allowed)) == expected


@pytest.mark.parametrize(
    ("thread_id", "expected"),
    [("1b4e28ba-2fa1", 200), ("user@example.org:3", 200), ("", 400), ("a b", 400), ("a\n", 400), ("x" * 201, 400)],
)
def test_thread_ids(thread_id: str, expected: int) -> None:
    """They are short, and name no path."""
    assert status(lambda: check_thread_id(thread_id)) == expected


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("identity", "expected"), [("ada", 200), ("", 200), (None, 401), (True, None), (b"ada", None), (0, None)]
)
async def test_the_hook_decides(identity: Any, expected: int | None) -> None:
    """Sync or async, it says for whom a request is made, with a string; whatever else it says lets nobody in."""

    async def hook(_: Access) -> Any:
        return identity

    access = Access("read", "t", None, {}, None)
    for each in (hook, lambda _: identity):
        if expected == 200:
            assert await authorized(each, access) == identity
        elif expected is None:
            with pytest.raises(TypeError, match="must return an owner's name or None"):
                await authorized(each, access)
        else:
            with pytest.raises(Refusal) as caught:
                await authorized(each, access)
            assert caught.value.status == expected


@pytest.mark.anyio
async def test_without_a_hook_everybody_is_the_same() -> None:
    """Whoever can reach the server may use it: the default serves this machine only."""
    assert await authorized(None, Access("start", "t", None, {}, None)) == ""


@pytest.mark.anyio
async def test_pages_from_elsewhere_may_read_which_run_it_is() -> None:
    """And where the rest of it is, and when to try again: browsers hide what is not named."""
    browser = Browser(headers={"origin": "https://page.example", "host": "localhost"})
    scope = {**browser.scope, "path": "/ok", "root_path": "", "query_string": b""}
    await app({}, origins=["https://page.example"])(scope, browser.receive, browser.send)
    shown = browser.headers["access-control-expose-headers"].split(", ")
    assert (browser.status, shown) == (200, ["content-location", "location", "retry-after"])


@pytest.mark.anyio
@pytest.mark.parametrize("extensions", [{}, {"extensions": None}], ids=["none", "null"])
async def test_a_server_may_have_no_extensions(extensions: Any) -> None:
    """Then a malformed origin closes the socket before it is open."""
    browser = Browser(lambda _: True, headers={"origin": "x", "host": "localhost"})
    scope = {**browser.scope, "type": "websocket", **extensions}

    async def receive() -> Any:
        return {"type": "websocket.connect"}

    await app({})(scope, receive, browser.send)
    assert [each["type"] for each in browser.messages] == ["websocket.close"]


@pytest.mark.anyio
@pytest.mark.parametrize("call", [(MemoryStore, "claim"), (Viewer, "batch")], ids=["claim", "batch"])
async def test_a_socket_is_closed_while_the_store_fails(call: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the code that asks its client to connect again later."""

    async def fails(*_: Any, **__: Any) -> Any:
        raise StoreFailed("it is away")

    application, browser, sent = app({}), Browser(headers={"host": "localhost"}), [{"type": "websocket.connect"}]
    path = "/threads/t/stream/events"
    scope = {**browser.scope, "type": "websocket", "path": path, "root_path": "", "query_string": b""}

    async def receive() -> Any:
        return sent.pop() if sent else await browser.receive()

    async with application.router.lifespan_context(application):
        monkeypatch.setattr(*call, fails)
        await application(scope, receive, browser.send)
    assert [(each["type"], each.get("code")) for each in browser.messages] == [
        ("websocket.accept", None),
        ("websocket.close", 1013),
    ]
