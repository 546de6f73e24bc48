"""The page says what has happened to the server, the network and the log, and ends with the truth."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import attrs
import httpx
import pytest

from anyiostream.remote import Limits

from ..ports import free_port
from ..waiting import PATIENCE
from .graphs import reached
from .serving import LOOPS, Site, served

ROOT = Path(__file__).parents[2]

MOVED_ON = "status of 410"
"""What a browser says when a log has moved on between the two questions of a page that looks for its place in it."""


@attrs.define
class Mortal:
    """A server that may be killed, and begun anew at the same address."""

    port: int
    folder: Path
    process: Any = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def begin(self, store: str = "store") -> None:
        """Serve; returns when it answers."""
        arguments = [str(self.port), str(self.folder / store), str(self.folder / "gate")]
        self.process = subprocess.Popen([sys.executable, "-m", "tests.browser.restarting", *arguments], cwd=ROOT)
        pause = threading.Event()
        with httpx.Client(base_url=self.url, timeout=PATIENCE) as client:
            while True:
                try:
                    if client.get("/ready").status_code == 200:
                        return
                except httpx.TransportError:
                    assert self.process.poll() is None
                pause.wait(0.02)

    def kill(self) -> None:
        """Let it die without a word."""
        self.process.kill()
        self.process.wait(PATIENCE)

    def release(self) -> None:
        """Let its graph go on."""
        (self.folder / "gate").touch()


@pytest.fixture
def mortal(tmp_path: Path) -> Iterator[Mortal]:
    """Such a server, at a port that was free."""
    server = Mortal(free_port(), tmp_path)
    server.begin()
    yield server
    server.kill()


def test_a_server_that_dies_and_comes_back(mortal: Mortal, context: Any) -> None:
    """The page connects again; what was begun before is superseded, and the run ends as it ends."""
    context.watched.expected += ["ERR_CONNECTION", "ERR_INCOMPLETE", "ERR_EMPTY", "Failed to load"]
    with Site(mortal.url, context.new_page()) as site:
        site.start("slow")
        site.look()
        chat = site.tab.get_by_role("list", name="Conversation")
        chat.get_by_text("Working on it.").wait_for()
        mortal.kill()
        site.see("reconnecting")
        mortal.begin()
        bands = site.tab.get_by_role("list", name="What happened to the log")
        bands.get_by_text("the connection was lost here").wait_for()
        bands.get_by_text(
            "attempt 2: the server that ran it has died, and the run goes on; 1 step superseded"
        ).wait_for()
        site.tab.get_by_role("button", name="message think failed superseded").wait_for()
        mortal.release()
        chat.get_by_text("Working on it. Done.").wait_for()
        site.see("completed")
        site.see("attempt 2")
        assert chat.get_by_role("listitem").count() == 1


def test_a_run_that_is_lost_with_its_server(mortal: Mortal, context: Any) -> None:
    """The page says so, and why."""
    context.watched.expected += ["ERR_CONNECTION", "ERR_INCOMPLETE", "ERR_EMPTY", "Failed to load"]
    with Site(mortal.url, context.new_page()) as site:
        site.start("fragile")
        site.look()
        site.see("Working on it.")
        mortal.kill()
        site.see("reconnecting")
        mortal.begin()
        site.see("failed")
        site.tab.get_by_role("alert").get_by_text("the run cannot go on").wait_for()


def test_a_server_that_has_forgotten(mortal: Mortal, context: Any) -> None:
    """A thread that has been begun anew is another one: what was there before is shown, and said to be gone."""
    context.watched.expected += ["ERR_CONNECTION", "ERR_INCOMPLETE", "ERR_EMPTY", "Failed to load", "404"]
    with Site(mortal.url, context.new_page()) as site:
        site.start("slow")
        site.look()
        site.see("Working on it.")
        mortal.kill()
        mortal.begin("another store")
        site.see("there is no such thread")
        mortal.release()
        site.client.commands += 1
        site.start("slow")
        site.see("the server has begun this thread anew: what came before is not there any more")
        site.see("completed")


def test_offline(site: Site, context: Any) -> None:
    """What came meanwhile comes when the network is back, once."""
    context.watched.expected += ["ERR_INTERNET_DISCONNECTED", "ERR_NETWORK"]
    site.start("counts", {"to": 30, "gates": [10]})
    site.look()
    site.see("running")
    context.set_offline(True)
    site.see("reconnecting")
    site.release()
    context.set_offline(False)
    site.see("completed")
    site.tab.get_by_role("tab", name="Events").click()
    panel = site.tab.get_by_role("tabpanel")
    panel.get_by_label("Channel").select_option("custom")
    panel.get_by_text("30 events").wait_for()


@pytest.mark.parametrize("loop", LOOPS)
def test_what_is_no_longer_kept(loop: str, context: Any) -> None:
    """A page that comes late, and one that was away, say what is missing."""
    context.watched.expected += [MOVED_ON]
    tab = context.new_page()
    with served(loop, limits=Limits(events=50)) as url, Site(url, tab) as site:
        site.start("counts", {"to": 430, "gates": [200, 400]})
        site.held(1, written=200)
        site.look()
        site.see("running")
        hide(tab, hidden=True)
        site.see("paused")
        site.release()
        site.held(2, written=400)
        hide(tab, hidden=False)
        site.see("events came and went before the page could read them")
        site.release()  # for fewer events than are kept: a page that reads late misses none
        site.see("completed")
        tab.reload()
        site.see("earlier events are no longer kept")
        site.see("completed")


@pytest.mark.parametrize("loop", LOOPS)
def test_a_log_that_moves_on_while_a_page_looks_for_its_place(loop: str, context: Any) -> None:
    """The page is told that its place is gone, and looks for it again."""
    context.watched.expected += [MOVED_ON]
    tab = context.new_page()
    with served(loop, limits=Limits(events=50)) as url, Site(url, tab) as site:
        site.start("counts", {"to": 400, "gates": [200, 300]})
        site.held(1, written=200)

        def move_on(route: Any) -> None:
            if reached[site.thread] == 1:
                site.release()
                site.held(2, written=300)
            route.continue_()

        statuses: list[int] = []
        tab.on("response", lambda response: "/stream/" in response.url and statuses.append(response.status))
        tab.route("**/stream/events", move_on)
        site.look()
        site.see("earlier events are no longer kept")
        site.see("running")
        tab.get_by_role("tab", name="Events").click()
        panel = tab.get_by_role("tabpanel")
        panel.get_by_label("Channel").select_option("custom")
        panel.get_by_text("50 events").wait_for()
        assert statuses == [410, 200]


def settled(site: Site, condition: Callable[[], bool]) -> None:
    """Wait for what happens in the server."""
    while not condition():
        site.tab.wait_for_timeout(10)


def hide(tab: Any, *, hidden: bool) -> None:
    """Make a tab believe that nobody looks at it, or that somebody does."""
    tab.evaluate(
        """hidden => {
            const state = hidden ? "hidden" : "visible";
            Object.defineProperty(document, "visibilityState", { value: state, configurable: true });
            document.dispatchEvent(new Event("visibilitychange"));
        }""",
        hidden,
    )


def test_a_hidden_tab_has_no_stream(site: Site) -> None:
    """It reads nothing, and goes on where it was."""
    site.start("counts", {"to": 20, "gates": [10]})
    site.look()
    site.see("1 viewer")
    hide(site.tab, hidden=True)
    site.see("paused")
    settled(site, lambda: site.client.http.get(f"/live/{site.thread}").json()["viewers"] == 0)
    site.release()
    hide(site.tab, hidden=False)
    site.see("completed")


def test_eight_tabs_at_once(site: Site, context: Any) -> None:
    """A browser has six connections for a server: all of them see the end all the same."""
    site.start("counts", {"to": 20, "gates": [10]})
    tabs = [context.new_page() for _ in range(8)]
    for tab in tabs:
        tab.goto(f"{site.url}/#/t/{site.thread}")
    for tab in tabs:
        tab.get_by_text("live", exact=False).first.wait_for()
        tab.locator("main").get_by_text("running", exact=True).first.wait_for()
    while not any("taking turns" in tab.locator("main").inner_text() for tab in tabs):
        tabs[0].wait_for_timeout(20)
    site.release()
    for tab in tabs:
        tab.locator("main").get_by_text("completed", exact=True).first.wait_for()


def test_eight_tabs_of_a_run_that_never_pauses(site: Site, context: Any) -> None:
    """Those without a place of their own take turns all the same: none is left out."""
    site.start("babbles")
    tabs = [context.new_page() for _ in range(8)]
    for tab in tabs:
        tab.goto(f"{site.url}/#/t/{site.thread}")
    for tab in tabs:
        tab.locator("main").get_by_text("running", exact=True).first.wait_for()
    tabs[-1].get_by_role("button", name="Stop").click()
    tabs[-1].get_by_role("button", name="Really stop").click()
    for tab in tabs:
        tab.locator("main").get_by_text("it was aborted").first.wait_for()
