"""What `nox -s docs` checks of the site that it has built: `python tests/site.py FOLDER`. Standard library only."""

from __future__ import annotations

import json
import re
import sys
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

WANTED = {
    "EventSource": "faq.html",
    "useStream": "tutorials/agent-to-browser.html",
    "React": "tutorials/agent-to-browser.html",
    "FastAPI": "tutorials/agent-to-browser.html",
    "interrupt": "guides/interrupts.html",
    "RunResponse": "guides/web.html",
    "PydanticAgent": "guides/frameworks.html",
    "MCP": "tutorials/trio.html",
    "timeout": "cookbook.html",
    "open_run": "reference/open-run.html",
    "BackpressureDeadlock": "guides/backpressure.html",
    "MissingExtra": "faq.html",
}
"""What people search for, and a page that the search must have for it."""

EXTERNAL = re.compile(r"(?:https?:)?//")


class Fetched(HTMLParser):
    """What a page has its reader fetch, and the pictures that it shows."""

    def __init__(self) -> None:
        super().__init__()
        self.addresses: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if tag == "link" and given.get("rel") in {"canonical", "prev", "next"}:
            return
        address = given.get({"link": "href", "script": "src", "img": "src", "iframe": "src"}.get(tag, ""))
        if address:
            self.addresses.append(address)


def words(item: dict[str, Any]) -> set[str]:
    """What the search splits a section into, roughly as its own separator does."""
    return {word.lower() for word in re.split(r"[^\w]+", f"{item['title']} {item['text']}")}


def check_search(site: Path) -> None:
    """Each word that people search for finds its page."""
    items = json.loads((site / "search.json").read_text(encoding="utf-8"))["items"]
    for wanted, page in WANTED.items():
        found = {item["location"].partition("#")[0] for item in items if wanted.lower() in words(item)}
        assert page in found, f"the search for {wanted} does not find {page}, but {sorted(found)}"


def check_fetched(site: Path) -> None:
    """Nothing comes from elsewhere, and what comes from here is here."""
    for page in sorted(site.rglob("*.html")):
        fetched = Fetched()
        fetched.feed(page.read_text(encoding="utf-8"))
        for address in fetched.addresses:
            assert not EXTERNAL.match(address), f"{page} fetches {address}"
            if not address.startswith("data:") and page.name != "404.html":
                there = page.parent / address.partition("?")[0].partition("#")[0]
                assert there.exists(), f"{page} shows {address}, which is not there"


if __name__ == "__main__":
    check_search(Path(sys.argv[1]))
    check_fetched(Path(sys.argv[1]))
