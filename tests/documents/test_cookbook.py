"""The recipe for notebooks runs as a cell does: with `await` at its top."""

from __future__ import annotations

import ast
import inspect
import re
from pathlib import Path
from types import CodeType
from typing import Any

import anyio
import pytest

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "cookbook.md").read_text(encoding="utf-8")


def cell() -> CodeType:
    """The recipe's cell, compiled as IPython does it; what it shows at its end is printed."""
    (block,) = re.findall(r"^```py\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)
    module = ast.parse(block)
    last = module.body[-1]
    assert isinstance(last, ast.Expr)
    module.body[-1] = ast.parse(f"print({ast.unparse(last)})").body[0]
    return compile(module, "cell", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)


def test_the_cell_of_a_notebook(capsys: pytest.CaptureFixture[str]) -> None:
    """It prints the words, and then the output, which outlives the block."""

    async def main() -> None:
        names: dict[str, Any] = {}
        running = eval(cell(), names)
        assert inspect.iscoroutine(running)
        await running

    anyio.run(main)
    assert capsys.readouterr().out == "It depends.done\n"


def test_there_are_eight_recipes() -> None:
    """Each with a program."""
    recipes = PAGE.split("\n## ")[1:]
    assert len(recipes) == 8
    assert all("```py" in recipe for recipe in recipes)
