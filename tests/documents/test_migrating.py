"""The guide to migrating begins with the original's own way, which works, and does what ours does."""

from __future__ import annotations

import asyncio
import re
import textwrap
from pathlib import Path
from typing import Any

import pytest

GUIDE = (Path(__file__).resolve().parents[2] / "docs" / "guides" / "migrating.md").read_text(encoding="utf-8")


def test_before_and_after_say_the_same(capsys: pytest.CaptureFixture[str]) -> None:
    """Two programs of one graph, one answer."""
    (before,) = re.findall(r"^```py\n(.*?)^```$", GUIDE, re.DOTALL | re.MULTILINE)
    after = re.findall(r"^```python\n(.*?)^```$", GUIDE, re.DOTALL | re.MULTILINE)[0]
    names: dict[str, Any] = {}
    exec(after, names)
    shown = capsys.readouterr().out
    names["model"] = type(names["model"])("Good morning")  # its script has come to its end
    exec(f"async def before():\n{textwrap.indent(before, '    ')}", names)
    asyncio.run(names["before"]())
    assert capsys.readouterr().out == shown == "Good morning"
