"""The guide to figures and log messages is complete."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import attrs
import pytest

import anyiostream
from anyiostream import ChannelStatistics, RunStatistics

PACKAGE = Path(anyiostream.__file__).parent
GUIDE = (PACKAGE.parent / "docs" / "guides" / "observability.md").read_text(encoding="utf-8")
LEVELS = {
    "debug": "DEBUG", "info": "INFO", "warning": "WARNING", "error": "ERROR", "exception": "ERROR"
}  # fmt: skip
"""Method of a logger -> the level that it logs at. `log` has no fixed level, and would fail the test."""

METHODS = LEVELS.keys() | {"log"}
PLACEHOLDER = re.compile(r"%[-+0-9.]*[sdgr]")


def logged() -> set[tuple[str, str]]:
    """The messages that the package logs, each with its level, and with `...` for what is filled in."""
    messages: set[tuple[str, str]] = set()
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in METHODS):
                continue
            if isinstance(node.func.value, ast.Name) and node.func.value.id == "logger":
                text = ast.literal_eval(node.args[0])
                messages.add((LEVELS[node.func.attr], PLACEHOLDER.sub("...", text)))
    return messages


def test_every_message_is_in_the_guide() -> None:
    """With its level; and the guide lists no other."""
    listed = set(re.findall(r"^\| (DEBUG|INFO|WARNING|ERROR) \| `(.+?)` \|", GUIDE, re.MULTILINE))
    assert logged() == listed
    assert len(listed) >= 9


@pytest.mark.parametrize("figures", [RunStatistics, ChannelStatistics])
def test_every_figure_is_in_the_guide_and_in_its_docstring(figures: type) -> None:
    """By its name."""
    for field in attrs.fields(figures):
        assert re.search(rf"^\| .*`{field.name}`", GUIDE, re.MULTILINE), field.name
        assert f"{field.name}:" in (figures.__doc__ or "")
