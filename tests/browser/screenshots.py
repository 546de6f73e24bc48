"""Pictures of each screen of the page, for the documents and for review: `nox -s screenshots`.

`python -m tests.browser.screenshots FOLDER`: at 1440 and 390 px, light and dark.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from .chromium import launched
from .serving import Site, served

__all__ = ["main"]

WIDTHS: Final = (1440, 390)
SCHEMES: Final = ("light", "dark")


def listed(site: Site) -> None:
    """The list of threads: one that runs, one that waits, one that has failed."""
    site.tab.goto(site.url)
    site.tab.get_by_text("Looking at").first.wait_for()


def run(site: Site) -> None:
    """A run under way, with the details of a message."""
    site.look()
    site.tab.get_by_role("button", name="message think").first.dispatch_event("click")
    site.tab.get_by_role("region", name="Details").wait_for()


def question(site: Site) -> None:
    """A graph that waits for its user."""
    with Site(site.url, site.tab) as other:
        other.start("two questions", {})
        other.look()
        site.tab.get_by_role("form", name="Question").nth(1).wait_for()
        site.tab.screenshot(path=site.tab.target)


def view(name: str) -> Callable[[Site], None]:
    """One of the views beneath the waterfall."""

    def shown(site: Site) -> None:
        site.look()
        site.tab.get_by_role("tab", name=name).click()
        site.tab.get_by_role("tabpanel", name=name).wait_for()

    return shown


SCREENS: Final[dict[str, Callable[[Site], None]]] = {
    "list": listed,
    "run": run,
    "state": view("State"),
    "events": view("Events"),
    "graph": view("Graph"),
    "pressure": view("Back-pressure"),
    "question": question,
}


def main(folder: Path) -> None:
    """Make them."""
    folder.mkdir(parents=True, exist_ok=True)
    with served("asyncio") as url, launched() as browser:
        for width in WIDTHS:
            for scheme in SCHEMES:
                context = browser.new_context(color_scheme=scheme, viewport={"width": width, "height": 900})
                take(browser_tab=context.new_page(), url=url, folder=folder, suffix=f"{width}-{scheme}")
                context.close()


def take(*, browser_tab: Any, url: str, folder: Path, suffix: str) -> None:
    """All screens in one look."""
    with Site(url, browser_tab) as site, Site(url, browser_tab) as failing:
        failing.start("fails")
        site.start("team", {"topics": ["tides", "dunes"]}, gates=1)
        for name, show in SCREENS.items():
            browser_tab.target = folder / f"page-{name}-{suffix}.png"
            show(site)
            if show is not question:
                browser_tab.screenshot(path=browser_tab.target)
        site.release(2)


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "docs/images"))
