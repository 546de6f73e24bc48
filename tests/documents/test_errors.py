"""The guide to errors is complete, and right about what each is."""

from __future__ import annotations

import builtins
import re
from pathlib import Path

import pytest

import anyiostream
from anyiostream import AnyioStreamError, errors
from anyiostream.errors import ProgrammingError

GUIDE = (Path(__file__).resolve().parents[2] / "docs" / "guides" / "errors.md").read_text(encoding="utf-8")
ROWS = re.findall(r"^\| `(\w+)` \| (.*?) \| (.+) \| (.+) \|$", GUIDE.replace("| | ", "|  | "), re.MULTILINE)


def builtin_bases(kind: type[BaseException]) -> set[str]:
    """The built-in exceptions that `kind` names as its bases, itself or by another one of ours, but for `Exception`."""
    named = {base for each in kind.__mro__ if each.__module__ == errors.__name__ for base in each.__bases__}
    return {base.__name__ for base in named if base.__module__ == builtins.__name__ and base is not Exception}


def test_every_exception_is_in_the_guide() -> None:
    """Once, and no other but the roots of the tree, which have sentences of their own."""
    names = [name for name, *_ in ROWS]
    assert sorted(names) == sorted(set(errors.__all__) - {AnyioStreamError.__name__, ProgrammingError.__name__})
    assert "`AnyioStreamError`" in GUIDE
    assert "`ProgrammingError`" in GUIDE


def test_the_guide_lists_what_programs_catch() -> None:
    """The exceptions at the top level, in one list."""
    listed = re.search(r"names of\s`anyiostream` itself:(.*?)\n\n", GUIDE, re.DOTALL)
    assert listed is not None
    exported = {name for name in anyiostream.__all__ if name in errors.__all__}
    assert set(re.findall(r"`(\w+)`", listed.group(1))) == exported - {AnyioStreamError.__name__}


@pytest.mark.parametrize(("name", "also"), [row[:2] for row in ROWS])
def test_the_guide_says_which_built_in_catches_it(name: str, also: str) -> None:
    """As the class says."""
    assert set(re.findall(r"`(\w+)`", also)) == builtin_bases(getattr(errors, name))


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0])
def test_the_guide_says_when_and_what_to_do(row: tuple[str, ...]) -> None:
    """In so many words."""
    assert all(len(cell.split()) >= 1 and cell.strip() for cell in row[2:])
