"""The reference has every public name, once."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import anyiostream

REFERENCE = Path(__file__).resolve().parents[2] / "docs" / "reference"
SHOWN = [
    name
    for page in sorted(REFERENCE.glob("*.md"))
    for name in re.findall(r"^::: (\S+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
]
WHOLE_MODULES = {"anyiostream.errors": anyiostream.errors.__all__, "anyiostream.parts": ["parts"]}
MODULES_OF_THEIR_OWN = {
    "anyiostream.remote",
    "anyiostream.testing",
    "anyiostream.testing.langchain",
    "anyiostream.tooling",
}


def test_every_public_name_is_in_the_reference() -> None:
    """By itself, or with the module that it comes from."""
    listed = {name.removeprefix("anyiostream.") for name in SHOWN}
    for module, names in WHOLE_MODULES.items():
        assert module in SHOWN
        listed.update(names)
    assert set(anyiostream.__all__) - listed == set()
    assert set(SHOWN) >= MODULES_OF_THEIR_OWN


def test_no_name_is_shown_twice() -> None:
    """Links would not know which one is meant."""
    assert [name for name, times in Counter(SHOWN).items() if times > 1] == []
