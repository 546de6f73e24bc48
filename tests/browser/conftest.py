"""A browser for each module of tests, and a context of its own for each test."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from ..waiting import PATIENCE
from .chromium import Watched, launched
from .serving import LOOPS, Site, served


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """The browser. It ends with its module: while it runs, this thread can run no other event loop."""
    with launched() as started:
        yield started


@pytest.fixture
def context(browser: Any) -> Iterator[Any]:
    """A fresh profile; its pages may not have errors, open dialogs or ask other servers for anything.

    What a test expects of that, it adds to `context.watched.expected`.
    """
    made = browser.new_context(viewport={"width": 1440, "height": 900}, locale="en-GB", timezone_id="UTC")
    made.set_default_timeout(PATIENCE * 1000 / 4)
    made.watched = Watched(made)
    try:
        yield made
        made.watched.check()
    finally:
        made.close()


@pytest.fixture
def tab(context: Any) -> Any:
    """A page in it that has not been anywhere yet."""
    return context.new_page()


@pytest.fixture(scope="module")
def addresses() -> Iterator[dict[str, str]]:
    """The addresses of the page on both loops, for all tests of a module."""
    with ExitStack() as stack:
        yield {loop: stack.enter_context(served(loop)) for loop in LOOPS}


@pytest.fixture(params=LOOPS)
def site(request: pytest.FixtureRequest, addresses: dict[str, str], tab: Any) -> Iterator[Site]:
    """The page on asyncio, and on trio."""
    with Site(addresses[request.param], tab) as made:
        yield made
