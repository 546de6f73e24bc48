"""Readers, small screens, light and dark: axe-core finds nothing serious on any screen."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ..npm import installed
from ..waiting import PATIENCE
from .serving import Site

FOLDER = Path(__file__).with_name("axe")

LOOKS = [(scheme, width) for scheme in ("light", "dark") for width in (1440, 390)]


@pytest.fixture(scope="session")
def axe() -> str:
    """The rules, as a script."""
    installed(FOLDER)
    script = FOLDER / "node_modules" / "axe-core" / "axe.min.js"
    return script.read_text(encoding="utf-8")


def check(tab: Any, axe: str, screen: str) -> None:
    """Nothing serious, and nothing wider than the screen."""
    tab.evaluate(axe)
    found = tab.evaluate("async () => (await axe.run(document, { resultTypes: ['violations'] })).violations")
    serious = [
        (screen, each["id"], [node["html"][:200] for node in each["nodes"][:3]], each["nodes"][0].get("failureSummary"))
        for each in found
        if each["impact"] in {"serious", "critical"}
    ]
    assert not serious, serious
    assert tab.evaluate("document.documentElement.scrollWidth <= innerWidth"), f"{screen} is wider than the screen"


@pytest.mark.parametrize(("scheme", "width"), LOOKS)
def test_every_screen(browser: Any, addresses: dict[str, str], axe: str, scheme: str, width: int) -> None:
    """The list, a run under way, its details, every view, a question, a failure."""
    made = browser.new_context(color_scheme=scheme, viewport={"width": width, "height": 900}, has_touch=width < 500)
    made.set_default_timeout(PATIENCE * 1000 / 4)
    try:
        with Site(addresses["asyncio"], made.new_page()) as site:
            tab = site.tab
            site.start("team", {"topics": ["tides", "dunes"]}, gates=1)
            tab.goto(site.url)
            tab.get_by_role("link", name=site.thread, exact=True).wait_for()
            check(tab, axe, "list")
            site.look()
            tab.get_by_role("button", name="message think").first.dispatch_event("click")
            tab.get_by_role("region", name="Details").wait_for()
            for name in ("Chat", "State", "Events", "Graph", "Back-pressure"):
                tab.get_by_role("tab", name=name).click()
                tab.get_by_role("tabpanel", name=name).wait_for()
                check(tab, axe, name)
            site.release(2)
            with Site(site.url, tab) as other:
                other.start("asks", {})
                other.look()
                tab.get_by_role("form", name="Question").wait_for()
                check(tab, axe, "question")
            with Site(site.url, tab) as other:
                other.start("fails")
                other.look()
                tab.get_by_role("alert").wait_for()
                check(tab, axe, "failure")
    finally:
        made.close()
