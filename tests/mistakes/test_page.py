"""Everyday mistakes, and what each gets: the page is the list, and its programs are run."""

from __future__ import annotations

from typing import Any

import pytest

from .programs import Mistake, matches, mistakes, outcomes, plain, titles

MISTAKES = mistakes()


def test_the_page_is_read_whole() -> None:
    """Each of its headings has a program and its outcome, and no heading comes twice."""
    assert [mistake.title for mistake in MISTAKES] == titles()
    assert len(set(titles())) == len(titles()) > 20


@pytest.mark.parametrize(
    ("mistake", "backend"),
    [
        pytest.param(mistake, backend, id=f"{mistake.title} {backend if mistake.is_async else 'no loop'}")
        for mistake in MISTAKES
        for backend in (("asyncio", "trio") if mistake.is_async else ("asyncio",))
    ],
)
def test_a_mistake_gets_the_message_that_the_page_shows(mistake: Mistake, backend: str, caplog: Any) -> None:
    """All of it, and nothing else is said."""
    said, shown = outcomes(mistake, backend, caplog), [plain(each) for each in mistake.said.split("\n\n")]
    if len(said) != len(shown) or not all(map(matches, said, shown)):
        assert said == shown


@pytest.mark.parametrize("mistake", MISTAKES, ids=lambda mistake: mistake.title)
def test_a_message_says_what_happened_and_what_to_do(mistake: Mistake) -> None:
    """Not one is a bare error of Python's, except those that are marked as such."""
    kind, _, text = plain(mistake.said).partition(": ")
    if mistake.title not in PYTHONS_OWN:
        assert kind not in {"TypeError", "AttributeError", "KeyError", "RuntimeError", "AssertionError"}
        assert len(text.split()) >= 8


PYTHONS_OWN = {"Writing without `await`", "`with` in place of `async with` for a message"}
"""Where Python's own message names the call, or where there is no object of ours to speak."""
