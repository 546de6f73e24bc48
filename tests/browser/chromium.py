"""The system's Chromium, driven by Playwright, and what no page of ours may do in it."""

from __future__ import annotations

import importlib.util
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final, final
from urllib.parse import urlsplit

import pytest

from ..waiting import PATIENCE

__all__ = ["Watched", "launched"]

NAMES: Final = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")

MISSING: Final = {
    "playwright": "needs Playwright: install the group `test` of pyproject.toml",
    "chromium": "needs Chromium on the PATH: `apt-get install --no-install-recommends chromium`",
}


def lacking(what: str) -> None:
    """Skip what needs a browser, but in CI: there it has to be."""
    if os.environ.get("CI"):
        pytest.fail(f"{MISSING[what]}; CI does not skip these tests")
    pytest.skip(MISSING[what])


@contextmanager
def launched() -> Iterator[Any]:
    """A block in which a browser runs: Playwright's `Browser`, of its synchronous interface.

    Playwright keeps an event loop running in the thread that it was started in, so no other loop can be run there
    inside the block: servers have threads of their own, and tests in here are synchronous.
    """
    if importlib.util.find_spec("playwright") is None:
        lacking("playwright")
    executable = next(filter(None, map(shutil.which, NAMES)), None)
    if executable is None:
        lacking("chromium")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        # Without a sandbox, because root has none; and what is shown is our own.
        browser = playwright.chromium.launch(executable_path=executable, args=["--no-sandbox"], timeout=PATIENCE * 1000)
        try:
            yield browser
        finally:
            browser.close()


@final
class Watched:
    """What the pages of a context have done that they may not do.

    Attributes:
        errors: Of scripts, of the console, and of the content policy.
        strangers: Requests to other servers than those that pages were loaded from.
        dialogs: Texts of `alert` and the like.
        expected: Parts of messages that a test expects, and that are not taken for errors.
    """

    def __init__(self, context: Any) -> None:
        self.errors: Final[list[str]] = []
        self.strangers: Final[list[str]] = []
        self.dialogs: Final[list[str]] = []
        self.expected: Final[list[str]] = []
        context.on("console", lambda message: message.type in {"error", "warning"} and self.error(message.text))
        context.on("weberror", lambda error: self.error(str(error.error)))
        context.on("dialog", self.dialog)
        context.on("request", self.request)

    def error(self, text: str) -> None:
        """A page has an error."""
        self.errors.append(text)

    def dialog(self, dialog: Any) -> None:
        """A page wants to be answered at once."""
        self.dialogs.append(dialog.message)
        dialog.dismiss()

    def request(self, request: Any) -> None:
        """A page asks for something."""
        if request.is_navigation_request() and request.frame.parent_frame is None:
            return
        wanted, page = urlsplit(request.url), urlsplit(request.frame.url)
        if wanted.scheme not in {"data", "blob"} and page.netloc and wanted.netloc != page.netloc:
            self.strangers.append(request.url)

    def check(self) -> None:
        """Nothing of the kind has happened."""
        told = [error for error in self.errors if not any(part in error for part in self.expected)]
        wrong = told + self.strangers + self.dialogs
        assert not wrong, wrong
