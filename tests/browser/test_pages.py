"""The pages of the examples in Chromium: `EventSource`, `fetch`, and a chat with `useChat`."""

from __future__ import annotations

import math
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import examples.pages.service as service

from ..npm import installed
from ..serving import uvicorn_server
from ..waiting import until

FOLDER = Path(service.__file__).parent

ANSWER = "You asked: Why? And that is a good question."


@pytest.fixture(scope="module")
def served() -> Iterator[str]:
    """The example's service."""
    with uvicorn_server(service.app) as url:
        yield url


@pytest.fixture(scope="module")
def _bundled() -> None:
    """The chat's bundle."""
    installed(FOLDER)
    done = subprocess.run(["npm", "run", "build"], cwd=FOLDER, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def asked(tab: Any, url: str) -> list[int]:
    """Ask the question of a page; the statuses of the requests for runs."""
    statuses: list[int] = []
    tab.on("response", lambda response: "/answer" in response.url and statuses.append(response.status))
    tab.goto(url)
    tab.get_by_role("button", name="Ask").click()
    return statuses


def test_event_source_sees_one_run(tab: Any, served: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """It connects again when the run is over, and is told that there is no more: the graph runs once."""
    ran: list[str] = []

    async def counted(question: str, writer: Any) -> None:
        ran.append(question)
        await original(question, writer)

    original = service.answerer
    monkeypatch.setattr(service, "answerer", counted)
    statuses = asked(tab, f"{served}/event_source.html")
    tab.locator("#status", has_text="completed").wait_for()
    tab.wait_for_function(
        "() => performance.getEntriesByType('resource').filter(e => e.name.includes('/answer')).length > 1"
    )
    assert tab.locator("#answer").inner_text() == ANSWER
    assert ran == ["Why?"]
    assert statuses == [200, 204]


def test_fetch_reads_the_words(tab: Any, served: str) -> None:
    """And stops the run, if its user says so."""
    asked(tab, f"{served}/fetch.html")
    tab.locator("#status", has_text="completed").wait_for()
    assert tab.locator("#answer").inner_text() == ANSWER
    tab.get_by_role("button", name="Ask").click()
    tab.locator("#answer", has_text="asked").wait_for()
    tab.get_by_role("button", name="Stop").click()
    tab.locator("#status", has_text="stopped").wait_for()


class Held:
    """Holds the scripted model back, so that the page is loaded anew in the middle of an answer, however slow it is."""

    def __init__(self) -> None:
        self.words: float = math.inf

    async def think(self) -> None:
        """Before a word."""
        await until(lambda: self.words > 0)
        self.words -= 1


@pytest.fixture
def held(monkeypatch: pytest.MonkeyPatch) -> Held:
    """What holds it back after three words."""
    made = Held()
    made.words = 3
    monkeypatch.setattr(service, "think", made.think)
    return made


@pytest.fixture
def chat(_bundled: None, tab: Any, served: str) -> Any:
    """The chat, in which something is wanted."""
    tab.goto(f"{served}/chat.html")
    tab.get_by_label("Message").fill("a lamp")
    tab.get_by_role("button", name="Send").click()
    return tab


def texts(tab: Any, what: str = ".text") -> list[str]:
    """What is shown."""
    return [each.strip() for each in tab.locator(f".assistant {what}").all_inner_texts()]


def test_a_chat_with_consent_and_a_reload_in_the_middle(held: Held, chat: Any) -> None:
    """The answer is shown once, whole, wherever the page was loaded anew."""
    chat.locator(".text", has_text="Let me").wait_for()
    chat.reload()
    chat.locator(".text", has_text="Let me").wait_for()
    held.words = math.inf
    chat.get_by_role("button", name="Allow").wait_for()
    chat.locator("footer[data-status=ready]").wait_for()
    assert texts(chat) == ["Let me see what that costs."]
    assert texts(chat, ".inner") == ["It costs 3."]
    assert texts(chat, ".subgraph") == ["prices: completed"]
    chat.reload()
    held.words = 3
    chat.get_by_role("button", name="Allow").click()
    chat.locator(".text", has_text="Bought").wait_for()
    chat.reload()
    chat.locator(".text", has_text="Bought").wait_for()
    held.words = math.inf
    chat.locator(".text", has_text="say about it.").wait_for()
    chat.locator("footer[data-status=ready]").wait_for()
    assert texts(chat) == ["Let me see what that costs.", "Bought: a lamp and that is all there is to say about it."]
    assert [each.strip() for each in texts(chat, ".tool")] == ['pay({"amount":3}) = "paid"']


def test_a_chat_that_is_stopped(held: Held, chat: Any) -> None:
    """The server stops the run, and the chat is ready for the next message."""
    chat.locator(".text", has_text="Let me").wait_for()
    chat.get_by_role("button", name="Stop").click()
    chat.locator("footer[data-status=ready]").wait_for()
    assert "Pay" not in chat.locator("main").inner_text()
