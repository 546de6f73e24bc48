"""Comparisons that say what went wrong, and where."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anyiostream.testing import assert_items, compare_items

WANTED = ["a", "b", "c", "d"]


@pytest.mark.parametrize(
    ("got", "kind", "index"),
    [
        (["a", "c", "d"], "lost", 1),
        (["a", "b", "b", "c", "d"], "doubled", 2),
        (["a", "b", "x", "c", "d"], "unexpected", 2),
        (["a", "c", "b", "d"], "reordered", 1),
        (["a", "b", "x", "d"], "changed", 2),
        (["a", "b"], "ended early", 2),
        ([], "ended early", 0),
        (["a", "b", "c", "d", "e"], "went on", 4),
    ],
)
def test_what_happened_is_named(got: list[str], kind: str, index: int) -> None:
    """With the index of the first item that differs."""
    difference = compare_items(got, WANTED)
    assert difference is not None
    assert (difference.kind, difference.index) == (kind, index)
    assert f"index {index}" in str(difference)


def test_the_items_are_shown() -> None:
    """What was lost and what was too many, and a few lines round the difference."""
    with pytest.raises(AssertionError) as caught:
        assert_items([0, 1, 2, 2, 4, 5, 6, 7], [0, 1, 2, 3, 4, 5, 6, 7], "values")
    assert str(caught.value).split("\n") == [
        (
            "values: 1 expected did not come, and 1 came that were not expected; "
            "8 read, 8 expected, the first difference is at index 3"
        ),
        "  lost: 3",
        "  extra: 2",
        "  index   read | expected",
        "  = 1     1 | 1",
        "  = 2     2 | 2",
        "  > 3     2 | 3",
        "  = 4     4 | 4",
        "  = 5     5 | 5",
    ]


def test_items_need_no_hash_and_long_ones_are_cut() -> None:
    """Events are dicts, and may be megabytes."""
    difference = compare_items([{"a": "x" * 1000}], [{"a": "y"}, {"b": 1}])
    assert difference is not None
    assert difference.lost == ({"a": "y"}, {"b": 1})
    assert max(map(len, str(difference).split("\n"))) < 300


@given(st.lists(st.integers(0, 3), max_size=6), st.lists(st.integers(0, 3), max_size=6))
def test_equal_and_nothing_else_is_no_difference(got: list[int], wanted: list[int]) -> None:
    """What is lost and extra accounts for the lengths."""
    difference = compare_items(got, wanted)
    assert (difference is None) == (got == wanted)
    if difference is not None:
        assert len(got) - len(difference.extra) == len(wanted) - len(difference.lost)
        assert got[: difference.index] == wanted[: difference.index]
        assert (difference.kind == "reordered") == (sorted(got) == sorted(wanted))
