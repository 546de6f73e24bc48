"""Names of modules, classes and functions that the documents mention exist."""

from __future__ import annotations

import importlib
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
DOCUMENTS = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]
PACKAGES = ("anyio", "anyiostream", "asyncio", "langchain", "langchain_core", "langgraph", "trio")
NAME = re.compile(rf"`((?:{'|'.join(PACKAGES)})(?:\.[A-Za-z_]\w*)+)(?:\(.*?\))?`")

OTHERS = {
    "anyiostream.first_token", "anyiostream.namespace", "anyiostream.status", "anyiostream.remote.abridged",
    "anyiostream.remote.margin",
}  # fmt: skip
"""Attributes of spans, and a metric, which are called like that."""

FILES = (".json", ".py")


def mentioned() -> set[str]:
    """Dotted names in backticks, of packages that the tests have."""
    found = {name for path in DOCUMENTS for name in NAME.findall(path.read_text(encoding="utf-8"))}
    return {name for name in found - OTHERS if not name.endswith(FILES)}


def exists(name: str) -> bool:
    """Whether it is a module, or an attribute of one, to any depth."""
    parts = name.split(".")
    for length in range(len(parts), 0, -1):
        try:
            found = importlib.import_module(".".join(parts[:length]))
        except ModuleNotFoundError:
            continue
        for part in parts[length:]:
            if not hasattr(found, part):
                return part in getattr(found, "__annotations__", {})
            found = getattr(found, part)
        return True
    return False


@pytest.mark.parametrize("name", sorted(mentioned()))
def test_a_name_exists(name: str) -> None:
    """Where the documents say that it is."""
    assert exists(name)
