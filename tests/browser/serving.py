"""Servers of the page, on asyncio and on trio, and what tests do with them besides looking."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Any, Final, Self
from urllib.parse import quote
from uuid import uuid4

import attrs

from anyiostream.page import add_page
from anyiostream.remote import app

from ..remote.servers.raw import Client
from ..remote.servers.serving import serving
from .graphs import ASSISTANTS, reached, release

__all__ = ["LOOPS", "Site", "served"]

LOOPS: Final = {"asyncio": "uvicorn", "trio": "hypercorn-trio"}


def served(loop: str, assistants: Any = None, **options: Any) -> AbstractContextManager[str]:
    """A block in which the page is served; its address."""
    return serving(LOOPS[loop], add_page(app(ASSISTANTS if assistants is None else assistants, **options)))


@attrs.define
class Site:
    """A page that is served, a tab to look at it, and a thread of one's own."""

    url: str
    tab: Any
    thread: str = attrs.field(factory=lambda: f"t{uuid4().hex[:10]}")
    client: Client = attrs.field(default=attrs.Factory(lambda self: Client(self.url, self.thread), takes_self=True))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.tab.goto("about:blank")
        self.client.http.close()

    def start(self, assistant: str, given: Any = None, *, gates: int = 0) -> str:
        """Start a run by that other client, and let it pass some gates."""
        release(self.thread, gates)
        run_id: str = self.client.start(assistant, given)
        return run_id

    def release(self, times: int = 1) -> None:
        """Let the run pass some gates."""
        release(self.thread, times)

    def held(self, gates: int, *, written: int) -> None:
        """Wait until the run has come to so many gates, and the log has all that it wrote besides its beginning."""
        while reached[self.thread] < gates or self.client.http.get(f"/live/{self.thread}").json()["events"] <= written:
            self.tab.wait_for_timeout(10)

    def look(self, query: str = "") -> Any:
        """Open the thread's page."""
        self.tab.goto(f"{self.url}/#/t/{quote(self.thread)}{query}")
        self.tab.get_by_role("heading", name=self.thread, level=1).wait_for()
        return self.tab

    def see(self, text: str, within: str = "main") -> None:
        """Wait for a text."""
        self.tab.locator(within).get_by_text(text).first.wait_for()

    def button(self, name: str, *, exact: bool = True) -> Any:
        """A button by its name."""
        return self.tab.get_by_role("button", name=name, exact=exact)
