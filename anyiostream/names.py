"""Names of what is shown in one JSON object: no two are the same, whatever the keys were that they stand for.

A key that is no text is shown as one, and may then look like another key. Half a character (a lone surrogate) has no
UTF-8; a question mark is shown for it. A name that is taken gets a number: `same`, `same (2)`. Keys that are their own
names always keep them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Container, Iterable, Mapping
from contextlib import suppress
from typing import Any, Final, final

__all__ = ["Name", "distinct", "whole"]

HALF: Final = re.compile("[\ud800-\udfff]")


@final
class Name:
    """A text that stands for a key. Two of them are two, even with one text."""

    __slots__ = ("text",)

    def __init__(self, text: str) -> None:
        self.text = text


def distinct(shown: Mapping[str | Name, Any]) -> dict[str, Any]:
    """`shown`, with a text of its own for each name."""
    made = {key if type(key) is str else key.text: item for key, item in shown.items()}  # type: ignore[union-attr]
    if len(made) == len(shown):
        return made
    taken = {key for key in shown if type(key) is str}
    numbers: dict[str, int] = {}
    made = {}
    for key, item in shown.items():
        text = key if isinstance(key, str) else _free(key.text, taken, numbers)
        taken.add(text)
        made[text] = item
    return made


def whole(text: str, write: Callable[[Any], str]) -> str:
    """JSON, as it can be written in UTF-8. `write` makes JSON of what `json.loads` returns."""
    if text.isascii() or HALF.search(text) is None:
        return text
    with suppress(ValueError, RecursionError):  # what is so deep may have names that are the same
        text = write(json.loads(text, object_pairs_hook=_named))
    return HALF.sub("?", text)


def _named(pairs: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    shown: dict[str | Name, Any] = {}
    for key, item in pairs:
        name = HALF.sub("?", key)
        shown[key if name == key and key not in shown else Name(name)] = item
    return distinct(shown)


def _free(text: str, taken: Container[str], numbers: dict[str, int]) -> str:
    """`text`, or the first one with a number, that is not taken; `numbers` has those that were found last."""
    number = numbers.get(text, 1)
    free = text if number == 1 else f"{text} ({number})"
    while free in taken:
        number += 1
        free = f"{text} ({number})"
    numbers[text] = number
    return free
