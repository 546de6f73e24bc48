"""The list of threads, and starting a run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ..remote.store.valkey import valkey
from .graphs import ASSISTANTS
from .serving import LOOPS, Site, served


def row(site: Site) -> Any:
    """The thread's line in the list."""
    return site.tab.get_by_role("listitem").filter(has=site.tab.get_by_role("link", name=site.thread, exact=True))


def test_a_thread_as_it_lives(site: Site) -> None:
    """It comes, says what it is doing, and how it has ended, without a reload."""
    site.tab.goto(site.url)
    site.tab.get_by_text("live", exact=True).wait_for()
    site.start("team", {"topics": ["tides"]})
    here = row(site)
    here.get_by_text("running", exact=True).wait_for()
    here.get_by_text("Looking at tides.").wait_for()
    here.get_by_text("team", exact=True).wait_for()
    site.release()
    here.get_by_text("idle", exact=True).wait_for()
    here.get_by_text("ago").wait_for()
    here.get_by_text("events").wait_for()


@pytest.mark.parametrize("loop", LOOPS)
def test_which_server_runs_a_thread(loop: str, tab: Any, tmp_path: Path) -> None:
    """Where servers share a store: as long as the run is under way, by the name that the server says it has."""
    with (
        valkey(tmp_path) as store,
        served(loop, {"counts": ASSISTANTS["counts"]}, store=store.url) as url,
        Site(url, tab) as site,
    ):
        site.start("counts", {"to": 1, "gates": [0]})
        tab.goto(url)
        row(site).get_by_text(f"on {site.client.http.get('/info').json()['instance']}", exact=True).wait_for()
        site.release()
        row(site).get_by_text("idle", exact=True).wait_for()
        assert row(site).get_by_text("on ").count() == 0


@pytest.mark.parametrize(("assistant", "stands"), [("fails", "failed"), ("asks", "waiting for you")])
def test_how_a_thread_stands(site: Site, assistant: str, stands: str) -> None:
    """One that has failed, one that waits for its user."""
    site.start(assistant, {})
    site.tab.goto(site.url)
    row(site).get_by_text(stands, exact=True).wait_for()


def test_threads_are_filtered(site: Site) -> None:
    """By id, by state and by assistant."""
    site.start("fails")
    site.tab.goto(site.url)
    row(site).wait_for()
    filters = site.tab.get_by_role("region", name="Threads")
    filters.get_by_label("Thread", exact=True).fill("no such thread")
    site.see("No thread is like that.")
    filters.get_by_label("Thread", exact=True).fill(site.thread)
    site.see("1 thread")
    filters.get_by_label("State").select_option("idle")
    site.see("No thread is like that.")
    filters.get_by_label("State").select_option("failed")
    filters.get_by_label("Assistant").select_option("fails")
    row(site).get_by_text("failed", exact=True).wait_for()


def test_a_run_is_started(site: Site) -> None:
    """With its input as JSON; what is no JSON is refused in words, and the page of the thread is shown."""
    site.tab.goto(site.url)
    form = site.tab.get_by_role("form", name="Start a run")
    form.get_by_label("Assistant").select_option("counts")
    form.get_by_label("Input as JSON").fill("{to: 3}")
    form.get_by_role("button", name="Start").click()
    form.get_by_role("alert").filter(has_text="not JSON").wait_for()
    form.get_by_label("Input as JSON").fill('{"to": 3}')
    form.get_by_role("button", name="Start").click()
    site.see("completed")
    site.tab.get_by_role("tab", name="State").click()
    site.tab.get_by_role("region", name="State").get_by_text('"counted": 3').wait_for()


def test_a_run_is_started_with_a_line(site: Site) -> None:
    """A graph that has `messages` is talked to; its thread goes on in the same way."""
    site.tab.goto(site.url)
    form = site.tab.get_by_role("form", name="Start a run")
    form.get_by_label("Assistant").select_option("chat")
    form.get_by_label("Message, or input as JSON").fill("Good morning")
    form.get_by_role("button", name="Start").click()
    chat = site.tab.get_by_role("list", name="Conversation")
    chat.get_by_text("Good morning").wait_for()
    chat.get_by_text("hello there").wait_for()
    form.get_by_label("Message, or input as JSON").fill("Good evening")
    form.get_by_role("button", name="Start").click()
    chat.get_by_text("Good evening").wait_for()


def test_what_the_server_refuses_is_said(site: Site) -> None:
    """An assistant of this name may run elsewhere only."""
    site.start("asks", {})
    site.look()
    site.see("waiting for you")
    site.client.command("input.respond", {"interrupt_id": "none", "response": 1})
    site.button("Yes").wait_for()
