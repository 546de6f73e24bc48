"""Comparing what a reader got with what it should have got: which item differs, where, and in what way."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Literal, final

import attrs

__all__ = ["Difference", "assert_items", "compare_items"]

CONTEXT = 2
"""Items shown before and after the first that differs."""

SHOWN = 100
"""Characters shown of an item."""

Kind = Literal["lost", "doubled", "unexpected", "reordered", "changed", "ended early", "went on"]


@final
@attrs.frozen
class Difference:
    """How two sequences of items differ.

    ```python
    difference = compare_items([1, 3], [1, 2, 3])
    assert (difference.kind, difference.index, difference.lost) == ("lost", 1, (2,))
    ```

    Attributes:
        kind: What happened: items were `"lost"`, `"doubled"`, are `"unexpected"`, or were `"reordered"`; one was
            `"changed"`; or what was read `"ended early"`, or `"went on"` after the last expected item.
        index: Index of the first item that differs.
        lost: Expected items that did not come, in order.
        extra: Items that came and were not expected, or came too often, in order.
        text: The difference, for a reader: a sentence, then the items round it.
    """

    kind: Kind
    index: int
    lost: tuple[Any, ...]
    extra: tuple[Any, ...]
    text: str

    def __str__(self) -> str:
        return self.text


def compare_items(actual: Iterable[Any], expected: Iterable[Any], name: str = "items") -> Difference | None:
    """How `actual` differs from `expected`, or `None` if it does not. Items need `==` only, not a hash.

    Args:
        actual: What was read.
        expected: What should have been.
        name: What the items are called in the text.
    """
    got, wanted = list(actual), list(expected)
    if got == wanted:
        return None
    index = next(
        (n for n, (left, right) in enumerate(zip(got, wanted, strict=False)) if left != right),
        min(len(got), len(wanted)),
    )
    lost, extra = _without(wanted, got), _without(got, wanted)
    kind = _kind(got, wanted, index, lost, extra)
    return Difference(kind, index, tuple(lost), tuple(extra), _text(kind, name, got, wanted, index, lost, extra))


def assert_items(actual: Iterable[Any], expected: Iterable[Any], name: str = "items") -> None:
    """Check that nothing was lost, doubled or reordered.

    Args:
        actual: What was read.
        expected: What should have been.
        name: What the items are called in the message.

    Raises:
        AssertionError: They differ; the message says at which index, in what way, and shows the items there.
    """
    __tracebackhide__ = True
    difference = compare_items(actual, expected, name)
    if difference is not None:
        raise AssertionError(difference.text)


def _kind(got: list[Any], wanted: list[Any], index: int, lost: list[Any], extra: list[Any]) -> Kind:
    if not lost and not extra:
        return "reordered"
    if not extra:
        return "ended early" if index == len(got) else "lost"
    if not lost:
        if all(item in wanted for item in extra):
            return "doubled"
        return "went on" if index == len(wanted) else "unexpected"
    return "changed"


def _text(
    kind: Kind, name: str, got: list[Any], wanted: list[Any], index: int, lost: list[Any], extra: list[Any]
) -> str:
    sentence = {
        "lost": f"{len(lost)} lost",
        "doubled": f"{len(extra)} came more often than expected",
        "unexpected": f"{len(extra)} came that were not expected",
        "reordered": "they came in another order",
        "changed": f"{len(lost)} expected did not come, and {len(extra)} came that were not expected",
        "ended early": f"they end early, {len(lost)} are missing",
        "went on": f"they go on, with {len(extra)} too many",
    }[kind]
    lines = [f"{name}: {sentence}; {len(got)} read, {len(wanted)} expected, the first difference is at index {index}"]
    for what, items in (("lost", lost), ("extra", extra)):
        if items:
            shown = ", ".join(map(_shown, items[: CONTEXT + 1])) + (", ..." if len(items) > CONTEXT + 1 else "")
            lines.append(f"  {what}: {shown}")
    lines.append("  index   read | expected")
    for at in range(max(0, index - CONTEXT), min(max(len(got), len(wanted)), index + CONTEXT + 1)):
        mark = "=" if _at(got, at) == _at(wanted, at) else ">" if at == index else "!"
        lines.append(f"  {mark} {at:<5} {_at(got, at)} | {_at(wanted, at)}")
    return "\n".join(lines)


def _at(items: Sequence[Any], index: int) -> str:
    return _shown(items[index]) if index < len(items) else "(nothing)"


def _shown(item: Any) -> str:
    text = repr(item)
    return text if len(text) <= SHOWN else text[:SHOWN] + "..."


def _without(items: list[Any], others: list[Any]) -> list[Any]:
    """The items that `others` has not, or has less often."""
    rest = list(others)
    left: list[Any] = []
    for item in items:
        try:
            rest.remove(item)
        except ValueError:
            left.append(item)
    return left
