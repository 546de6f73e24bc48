"""The pages of the examples in Chromium: `EventSource`, `fetch`, and a chat with `useChat`."""

from __future__ import annotations

import math
import shutil
import subprocess
import time
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


PACKAGES = {"ai-6": Path(__file__).parent / "ai6", "ai-7": FOLDER}
"""Version of the AI SDK -> the folder that has its packages."""


@pytest.fixture(scope="module", params=PACKAGES)
def bundled(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the chat, bundled with a version of the AI SDK by the command of the example."""
    packages = PACKAGES[request.param]
    installed(packages)
    folder = tmp_path_factory.mktemp("pages")
    (folder / "node_modules").symlink_to(packages / "node_modules")
    for name in ("chat.jsx", "chat.html", "package.json"):
        shutil.copy(FOLDER / name, folder / name)
    done = subprocess.run(["npm", "run", "build"], cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return folder


class Held:
    """Holds the scripted model back, so that something happens in the middle of an answer, however slow the page is."""

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


def test_fetch_reads_the_words(tab: Any, served: str, held: Held) -> None:
    """And stops the run, if its user says so."""
    held.words = math.inf
    asked(tab, f"{served}/fetch.html")
    tab.locator("#status", has_text="completed").wait_for()
    assert tab.locator("#answer").inner_text() == ANSWER
    held.words = 3
    tab.get_by_role("button", name="Ask").click()
    tab.locator("#answer", has_text="asked").wait_for()
    tab.get_by_role("button", name="Stop").click()
    tab.locator("#status", has_text="stopped").wait_for()


@pytest.fixture
def chat(bundled: Path, tab: Any, served: str, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The chat, in which something is wanted."""
    monkeypatch.setattr(service, "FOLDER", bundled)
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


def reload_until_it_is_over(chat: Any, held: Held) -> None:
    """Load the page anew. What is under way ends when the old page has gone, and before the new one asks for it."""
    (runs,) = (each for each in service.chats.state.service.listing.remembered("") if each.running)

    def answer(route: Any) -> None:
        held.words = math.inf
        while runs.running:
            time.sleep(0.001)
        route.continue_()

    chat.route("**/stream", answer, times=1)
    chat.reload()


def test_a_turn_that_ends_while_the_page_is_loaded_anew(held: Held, chat: Any) -> None:
    """With a question, or with an answer: the page has it all the same, and once."""
    chat.locator(".text", has_text="Let me").wait_for()
    reload_until_it_is_over(chat, held)
    chat.get_by_role("button", name="Allow").wait_for()
    assert texts(chat) == ["Let me see what that costs."]
    held.words = 3
    chat.get_by_role("button", name="Allow").click()
    chat.locator(".text", has_text="Bought").wait_for()
    reload_until_it_is_over(chat, held)
    chat.locator(".text", has_text="say about it.").wait_for()
    chat.locator("footer[data-status=ready]").wait_for()
    assert texts(chat) == ["Let me see what that costs.", "Bought: a lamp and that is all there is to say about it."]
    assert [each.strip() for each in texts(chat, ".tool")] == ['pay({"amount":3}) = "paid"']
    chat.reload()
    chat.locator("footer[data-status=ready]").wait_for()
    assert len(texts(chat)) == 2
    assert chat.get_by_role("button", name="Allow").count() == 0


def test_a_chat_that_is_stopped(held: Held, chat: Any) -> None:
    """The server stops the run, and the chat is ready for the next message."""
    chat.locator(".text", has_text="Let me").wait_for()
    chat.get_by_role("button", name="Stop").click()
    chat.locator("footer[data-status=ready]").wait_for()
    assert "Pay" not in chat.locator("main").inner_text()
