"""JSON that clients send is refused unless it is strictly JSON."""

from __future__ import annotations

import pytest

from anyiostream.remote.decoding import decode
from anyiostream.remote.refusals import Refusal


def refusal(raw: bytes | str, *, most: int = 1000, depth: int = 10) -> Refusal:
    """How `raw` is refused."""
    with pytest.raises(Refusal) as caught:
        decode(raw, most=most, depth=depth)
    return caught.value


def test_json_is_decoded() -> None:
    """What is JSON, small enough and flat enough comes through."""
    assert decode(b'{"a": [1, 2.5, null, "\xc3\xa4"]}', most=100, depth=3) == {"a": [1, 2.5, None, "ä"]}


@pytest.mark.parametrize(
    ("raw", "status"),
    [
        (b'"' + b"x" * 1000 + b'"', 413),
        (b'{"a": "\xff"}', 400),
        (b'{"a": NaN}', 400),
        (b'{"a": -Infinity}', 400),
        (b'{"a": 1e999}', 400),
        (b'{"a": 1, "a": 2}', 400),
        (b'{"id": 1, "params": {"x": 1, "x": 1}}', 400),
        (b"[" * 11 + b"]" * 11, 400),
        (b"", 400),
        (b"{", 400),
        ('{"a": "\ud800"}', 400),
    ],
)
def test_what_is_no_strict_json_is_refused(raw: bytes | str, status: int) -> None:
    """Too large, not UTF-8, no number, a key twice, too deep, nothing, or cut off."""
    assert refusal(raw).status == status


def test_nesting_that_would_exhaust_the_parser_is_refused() -> None:
    """A hundred thousand brackets are too deep, and no crash."""
    assert "nested" in refusal(b"[" * 100_000, most=10**6).text


def test_nesting_is_counted_exactly() -> None:
    """As deep as allowed comes through; one level more does not."""
    assert decode("[[[1]]]", most=100, depth=3) == [[[1]]]
    assert "nested" in refusal("[[[[1]]]]", depth=3).text
