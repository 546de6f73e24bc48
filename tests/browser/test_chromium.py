"""The browser that these tests have."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote

import pytest

from . import chromium

PAGE = b"<!doctype html><title>t</title><script src='/script.js'></script><h1>Here</h1>"


@pytest.fixture(scope="module")
def site() -> Iterator[str]:
    """The address of a server with one page, whose script is what the address asks for."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            script = self.headers.get("referer", "").partition("?")[2]
            body, kind = (unquote(script).encode(), "text/javascript") if "script" in self.path else (PAGE, "text/html")
            self.send_response(200 if self.path != "/favicon.ico" else 204)
            self.send_header("content-type", kind)
            self.send_header("content-length", str(len(body)))
            self.send_header("referrer-policy", "unsafe-url")
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_page_is_shown(tab: Any, site: str) -> None:
    """By role and name."""
    tab.goto(site)
    tab.get_by_role("heading", name="Here").wait_for()


@pytest.mark.parametrize(
    ("script", "kind"),
    [
        ("no.such", "errors"),
        ('console.error("x")', "errors"),
        ("alert(1)", "dialogs"),
        ('fetch("http://127.0.0.1:1/").catch(()=>0)', "strangers"),
    ],
)
def test_what_pages_may_not_do_is_seen(context: Any, site: str, script: str, kind: str) -> None:
    """Errors, dialogs, and requests to others."""
    tab = context.new_page()
    tab.goto(f"{site}/?{script}")
    watched = context.watched
    assert getattr(watched, kind)
    with pytest.raises(AssertionError):
        watched.check()
    for each in (watched.errors, watched.strangers, watched.dialogs):
        each.clear()


def test_ci_does_not_go_without(monkeypatch: pytest.MonkeyPatch) -> None:
    """Elsewhere the tests are skipped, with what to install."""
    monkeypatch.setattr(chromium, "NAMES", ("no-such-browser",))
    monkeypatch.setenv("CI", "true")
    with pytest.raises(pytest.fail.Exception, match="CI does not skip"), chromium.launched():
        pass
    monkeypatch.delenv("CI")
    with pytest.raises(pytest.skip.Exception, match="apt-get install"), chromium.launched():
        pass
