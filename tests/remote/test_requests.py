"""By what a command is known that is sent again, and when it is to be sent again."""

from __future__ import annotations

import pytest
from starlette.requests import HTTPConnection

from anyiostream.remote.refusals import Refusal
from anyiostream.remote.repeats import known_as
from anyiostream.remote.requests import LONGEST_KEY, key_of, refused, sent_once
from anyiostream.sinks import Request

from ..browsing import Browser

LONG = "k" * LONGEST_KEY


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ((b"{}", "a"), (b"{}", "b")),
        ((b"{}", LONG + "-A"), (b"{}", LONG + "-B")),
        ((b"{}", LONG), (b"{}", LONG + "k")),
        ((b"{}", "k" * 100_000), (b"{}", "k" * 99_999)),
        ((b"1", None), (b"2", None)),
        ((b"1", ""), (b"2", "")),
        ((b"{}", "body"), (b"{}", None)),
        ((b"{}", sent_once(b"", LONG + "-A")), (b"{}", LONG + "-A")),
    ],
)
def test_two_commands_are_two(one: tuple[bytes, str | None], other: tuple[bytes, str | None]) -> None:
    """However late their keys differ; an empty key is none."""
    assert sent_once(*one) != sent_once(*other)


@pytest.mark.parametrize("key", ["a", LONG, LONG + "-A", "\xff" * 1000, "k" * 100_000])
def test_one_key_is_one_command(key: str) -> None:
    """Whatever its length; what a store keeps of it is short."""
    assert sent_once(b"1", key) == sent_once(b"2", key)
    assert len(sent_once(b"1", key)) <= LONGEST_KEY + len("key ")


def test_an_empty_key_is_none() -> None:
    """In no protocol: two requests without a name of their own are two, and one that has a name goes by it."""
    key = key_of(HTTPConnection(Browser(headers={"idempotency-key": ""}).scope))
    assert key is None
    asked = Request(input="hi", thread="t", once="body")
    assert known_as(asked, "text", "chat", key) == known_as(asked, "text", "chat", None)


@pytest.mark.parametrize(("status", "pause"), [(200, None), (400, None), (410, None), (429, "1"), (503, "1")])
def test_who_is_asked_to_try_again_is_told_when(status: int, pause: str | None) -> None:
    """As our own client reads it, and others: one that waits longer each time goes on to do that."""
    assert refused(Refusal("unknown_error", "later", status=status)).headers.get("retry-after") == pause
