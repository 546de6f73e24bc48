"""Odd values in place of those that a program expects: for whatever reads what others have written."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

__all__ = ["ODD", "ODD_TEXTS", "deep", "with_odd_values"]


def deep(levels: int) -> Any:
    """A list in a list, and so on."""
    value: Any = []
    for _ in range(levels):
        value = [value]
    return value


ODD: Final[tuple[Any, ...]] = (
    None, True, False, 0, -1, 1, 1.5, 10**30, "", "²", "a\nb", [], [[]], [None], {}, {"a": []}, [{"a": []}], deep(50),
)  # fmt: skip
"""Values of every type of JSON's, and at the ends of what they may be."""

ODD_TEXTS: Final = ("", "²", "-1", "+1", "1_0", "1.5", "abc", "null", "[", "[[]]", "[1]", "{}", "9" * 5000, "[" * 5000)
"""Texts that are taken for a number, or for JSON, by whoever does not look."""


def with_odd_values(value: Any, odd: tuple[Any, ...] = ODD) -> Iterator[Any]:
    """`value` with an odd one in place of it, or of one of the values inside it, at any depth: one at a time."""
    yield from odd
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from ({**value, name: each} for each in with_odd_values(inner, odd))
    elif isinstance(value, list):
        for place, inner in enumerate(value):
            yield from ([*value[:place], each, *value[place + 1 :]] for each in with_odd_values(inner, odd))
