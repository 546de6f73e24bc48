"""What a run says is text, wherever it is shown; the page is let in as any client is; nothing comes from elsewhere."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path
from typing import Any, Final

import httpx
import pytest

import anyiostream.page
from anyiostream.page.assets import POLICY
from anyiostream.remote import Access, app

from ..remote.servers.serving import serving
from ..waiting import PATIENCE
from .graphs import ASSISTANTS
from .serving import LOOPS, Site, served

STATIC = Path(anyiostream.page.__file__).with_name("static")

VENDORED: Final = {
    "htm-LICENSE": "740725f7252e750af735d0028cc534970772f513331e9f68150fede8fb3ce00f",
    "htm.mjs": "ab33dd3f38059b9be4d5f5350128eefb2356639c4e0bbe9d9e8b3ba75847e9e4",
    "preact-LICENSE": "1fe6958409c8c257a70c587a18b6f7f412b179b456630790d30b2ec9a8e4b7d4",
    "preact.mjs": "bdcbd9abdf2c77c5c45326eab42191e949222d479d0d5f69467387a77040cb55",
}
"""Files of preact 11.2.0 (MIT) and htm 3.1.1 (Apache-2.0), byte for byte as their packages have them."""

MARK: Final = "window.struck = true"

PAYLOADS: Final = (
    f"<script>{MARK}</script>",
    f"<img src=x onerror='{MARK}'>",
    f"<svg onload='{MARK}'>",
    f"<svg><script>{MARK}</script></svg>",
    f"<iframe srcdoc='<script>parent.{MARK}</script>'></iframe>",
    f"<a href='javascript:{MARK}'>click</a>",
    f"javascript:{MARK}",
    f"<details open ontoggle='{MARK}'>",
    f"<input autofocus onfocus='{MARK}'>",
    f"<style>@import 'http://127.0.0.1:1/x.css';</style><body onload='{MARK}'>",
    f"<math><mtext></form><form><mglyph><style></math><img src onerror='{MARK}'>",
    f"<template><script>{MARK}</script></template>",
    f"<object data='javascript:{MARK}'></object>",
    f"<embed src='javascript:{MARK}'>",
    "<base href='http://127.0.0.1:1/'><script src=x></script>",
    f"<meta http-equiv='refresh' content='0;url=javascript:{MARK}'>",
    "<link rel=stylesheet href=http://127.0.0.1:1/x.css>",
    "<img src=http://127.0.0.1:1/x.png>",
    "<form action=http://127.0.0.1:1/><button>x</button></form>",
    f'"><script>{MARK}</script>',
    f"'-{MARK}-'",
    f"${{{MARK}}}",
    f"{{{{constructor.constructor('{MARK}')()}}}}",
    f"[link](javascript:{MARK})",
    "![x](http://127.0.0.1:1/x.png)",
    f"data:text/html,<script>{MARK}</script>",
    f"http://127.0.0.1:1/\"onmouseover='{MARK}'",
    f"https://example.org/<script>{MARK}</script>",
    "__proto__",
    "constructor",
    "toString",
    "\x1b[31m\x07\x9b0m \x00 \x7f",
    "\u202eright to left\u202c \u2066isolated\u2069",
    "\u2028line\u2029paragraph\r\nnext\rlast",
    "\ud800 half \udfff",
    "\U000e0041\U000e0042 tags \ufeff",
    "long " * 200_000,
    "w" * 1_000_000,
    "\n" * 10_000,
    "a\u0301" * 20_000 + "🦆" * 1000,
    "%3Cscript%3E &lt;script&gt; \\u003cscript\\u003e",
    "",
)
"""What tries to be more than text."""


def test_there_are_forty() -> None:
    """Payloads, none of them twice."""
    assert len(set(PAYLOADS)) == len(PAYLOADS) >= 40


def check_all_views(site: Site) -> None:
    """Look at everything that the page shows of a thread."""
    tab = site.tab
    for bar in tab.locator(".bar").all()[:4]:
        bar.dispatch_event("click")  # wherever it has moved to meanwhile
        tab.get_by_role("region", name="Details").wait_for()
        tab.get_by_role("region", name="Details").get_by_role("button", name="Close").click()
    for name in ("State", "Events", "Graph", "Back-pressure", "Chat"):
        tab.get_by_role("tab", name=name).click()
        tab.get_by_role("tabpanel", name=name).wait_for()
    assert tab.evaluate("window.struck") is None
    assert tab.evaluate("Object.prototype.polluted") is None
    strays = "document.body.querySelectorAll('script, iframe, object, embed, base, img').length"
    assert tab.evaluate(strays) == 0
    hrefs = tab.evaluate("[...document.links].map(a => a.protocol)")
    assert set(hrefs) <= {"http:", "https:"}


@pytest.mark.parametrize("number", range(0, len(PAYLOADS), 6))
def test_hostile_text_is_text(site: Site, number: int) -> None:
    """In every field that a graph can set: no dialog, no request elsewhere, no error, and no script runs."""
    for text in PAYLOADS[number : number + 6]:
        with Site(site.url, site.tab) as one:
            one.client.command("run.start", {"assistant_id": "hostile", "input": {"text": text}})
            # The log of the longest texts does not keep all of their run: a page that looks meanwhile loses its place.
            while one.client.http.get(f"/live/{one.thread}").json()["state"] != "waiting":
                one.tab.wait_for_timeout(10)
            one.look()
            one.see("waiting for you")
            one.tab.get_by_role("form", name="Question").wait_for()
            check_all_views(one)


def test_hostile_text_in_the_list(site: Site) -> None:
    """What a run is doing, and what it failed with."""
    text = PAYLOADS[1] + PAYLOADS[32]
    site.client.command("run.start", {"assistant_id": "hostile", "input": {"text": text, "fails": True}})
    site.look()
    site.tab.get_by_role("alert").get_by_text("<img src=x onerror=").wait_for()
    assert "\u202e" not in site.tab.locator("main").inner_text()
    site.tab.goto(site.url)
    site.tab.get_by_role("link", name=site.thread).wait_for()
    assert site.tab.evaluate("window.struck") is None


def test_directions_and_controls_are_shown(site: Site) -> None:
    """Text reads as what it is."""
    site.client.command("run.start", {"assistant_id": "hostile", "input": {"text": "\u202etxet\x1b[31m"}})
    site.look()
    site.tab.get_by_role("list", name="Conversation").get_by_text("\ufffdtxet\u241b[31m").first.wait_for()


def test_an_inline_script_does_not_run(site: Site, context: Any) -> None:
    """The policy is in force: neither markup from text nor scripts of others."""
    context.watched.expected += ["Content Security Policy", "TrustedHTML", "trusted", "Trusted"]
    site.tab.goto(site.url)
    outcome = site.tab.evaluate(
        """() => {
            try { document.body.innerHTML = "<b>x</b>"; return "made"; } catch (error) { return error.name; }
        }"""
    )
    assert outcome == "TypeError"
    site.tab.evaluate(
        """() => {
            const script = document.createElement("script");
            try { script.text = "window.struck = true"; document.head.append(script); } catch { /* so it should be */ }
        }"""
    )
    assert site.tab.evaluate("window.struck") is None


@pytest.mark.parametrize("loop", LOOPS)
def test_what_browsers_are_told(addresses: dict[str, str], loop: str) -> None:
    """The policy, the kind, and whether a file has changed."""
    with httpx.Client(base_url=addresses[loop], timeout=PATIENCE) as client:
        page = client.get("/")
        assert page.headers["content-security-policy"] == POLICY
        assert "require-trusted-types-for 'script'" in POLICY
        assert page.headers["x-content-type-options"] == "nosniff"
        assert client.get("/", headers={"if-none-match": page.headers["etag"]}).status_code == 304
        for name in re.findall(r'(?:src|href)="(/[^"]+)"', page.text):
            assert client.get(name).status_code == 200
        assert client.get("/page/app.js").headers["content-type"].startswith("text/javascript")
        assert client.get("/page/../endpoints.py").status_code == 404
        assert client.get("/page/%2e%2e/endpoints.py").status_code == 404
        assert client.get("/", headers={"host": "evil.example"}).status_code == 421
        assert client.post("/live", headers={"origin": "http://evil.example"}).status_code == 403


@pytest.mark.parametrize(
    ("accepted", "packed"),
    [("gzip, br", True), ("br;q=1.0, gzip;q=0.5", True), ("gzip;q=0", False), ("identity", False)],
)
def test_files_are_compressed_for_whoever_takes_it(addresses: dict[str, str], accepted: str, packed: bool) -> None:
    """The same text under another tag, and caches are told so."""
    with httpx.Client(base_url=addresses["trio"], timeout=PATIENCE) as client:
        plain = client.get("/page/fold.js", headers={"accept-encoding": "identity"})
        found = client.get("/page/fold.js", headers={"accept-encoding": accepted})
        assert ("content-encoding" in found.headers) is packed
        assert found.text == plain.text
        assert found.headers["vary"] == "accept-encoding"
        assert (found.headers["etag"] != plain.headers["etag"]) is packed
        again = {"accept-encoding": accepted, "if-none-match": found.headers["etag"]}
        assert client.get("/page/fold.js", headers=again).status_code == 304


def test_scripts_are_sixty_kilobytes_at_most(addresses: dict[str, str]) -> None:
    """As browsers load them: ours, and what they are built on."""
    with httpx.Client(base_url=addresses["trio"], timeout=PATIENCE) as client:
        scripts = [path for path in STATIC.rglob("*") if path.suffix in {".js", ".mjs"}]
        answers = [client.get(f"/page/{path.relative_to(STATIC).as_posix()}") for path in scripts]
        assert sum(int(each.headers["content-length"]) for each in answers) < 60_000


def test_without_the_page() -> None:
    """An application has none unless it is asked for."""
    with serving("uvicorn", app(ASSISTANTS)) as url:
        assert httpx.get(url, timeout=PATIENCE).status_code == 404
        assert httpx.post(f"{url}/live", timeout=PATIENCE).status_code == 404


def known(access: Access) -> str | None:
    """Two users."""
    return {"Bearer alice": "alice", "Bearer bob": "bob"}.get(access.headers.get("authorization", ""))


@pytest.mark.parametrize("loop", LOOPS)
def test_the_page_asks_who_looks(loop: str, context: Any) -> None:
    """It sends the header's value, and shows this owner's threads only."""
    context.watched.expected += ["401"]
    with served(loop, authorize=known) as url, Site(url, context.new_page()) as site:
        site.client.http.headers["authorization"] = "Bearer bob"
        site.start("fails")
        site.tab.goto(url)
        form = site.tab.get_by_role("form", name="Credentials")
        form.get_by_label("Authorization").fill("Bearer \u201calice\u201d")  # which no header can be
        form.get_by_role("button", name="Continue").click()
        assert "such characters" in form.get_by_label("Authorization").evaluate("field => field.validationMessage")
        form.get_by_label("Authorization").fill("Bearer alice")
        form.get_by_role("button", name="Continue").click()
        site.see("No thread has run yet.")
        with Site(url, context.new_page()) as other:
            other.tab.goto(f"{url}/#/t/{site.thread}")
            form = other.tab.get_by_role("form", name="Credentials")
            form.get_by_label("Authorization").fill("Bearer bob")
            form.get_by_role("button", name="Continue").click()
            other.see("it broke")


def test_files_of_others_are_as_they_came() -> None:
    """Byte for byte; with their licences."""
    vendor = STATIC / "vendor"
    assert {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in vendor.iterdir()} == VENDORED
    assert "MIT" in (vendor / "preact-LICENSE").read_text()
    assert "Apache License" in (vendor / "htm-LICENSE").read_text()


@pytest.mark.parametrize("path", sorted(STATIC.glob("*.js")), ids=lambda path: path.name)
def test_no_script_makes_markup(path: Path) -> None:
    """Nor code of text; nor does one load anything from elsewhere."""
    text = path.read_text(encoding="utf-8")
    assert not re.search(r"innerHTML|outerHTML|insertAdjacent|document\.write|\beval\b|new Function|dangerously", text)
    assert all(name.startswith("./") for name in re.findall(r'from "([^"]+)"', text))
    assert len(text.splitlines()) <= 400


def test_the_files_are_few() -> None:
    """Their own code fits what a person reads in an afternoon."""
    assert sum(len(path.read_bytes()) for path in STATIC.glob("*.js")) < 100_000
