"""The examples in the documents run as they are written."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from .preloaded import Preloaded

ROOT = Path(__file__).resolve().parent.parent
FENCE = re.compile(r"^```python\n(.*?)^```$", re.DOTALL | re.MULTILINE)
BLOCKS = [
    pytest.param(block, id=f"{document.name} {n}")
    for document in sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
    for n, block in enumerate(FENCE.findall(document.read_text(encoding="utf-8")), 1)
]


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run Python in the project's folder, with warnings as errors in its main module."""
    return subprocess.run(
        [sys.executable, "-W", "error:::__main__", *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )


def test_there_are_examples() -> None:
    """The README shows at least one program."""
    assert any("README" in str(block.id) for block in BLOCKS)


@pytest.fixture(scope="module")
def python() -> Iterator[Any]:
    """Runs programs, in a second less where processes can be forked."""
    if not hasattr(os, "fork"):
        yield lambda program: run("-c", program)
        return
    with Preloaded() as preloaded:
        yield preloaded.run


@pytest.mark.parametrize("block", BLOCKS)
def test_an_example_is_a_program(block: str, python: Any) -> None:
    """It runs to its end without a word on standard error."""
    done = python(block)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_program_that_goes_wrong_is_told(python: Any) -> None:
    """By its exit code, and by what Python writes: errors, warnings in it, and what is left at its end."""
    assert python("print('well')").stdout == "well\n"
    assert python("import sys; sys.exit(3)").returncode == 3
    assert python("1 / 0").returncode == 1
    assert "ZeroDivisionError" in python("1 / 0").stderr
    assert "SyntaxWarning" in python("'' is ''").stderr
    assert "never awaited" in python("async def f(): ...\nleft = f()").stderr
    assert python("import sys; assert __name__ == '__main__'; assert 'pytest' not in sys.modules").stderr == ""


def test_the_readmes_example_shows_what_it_says(python: Any) -> None:
    """What is printed below it, on either loop."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    program, shown = re.search(r"^```python\n(.*?)^```\n\n```text\n(.*?)^```$", text, re.DOTALL | re.MULTILINE).groups()
    for each in (program, program.replace("anyio.run(main)", 'anyio.run(main, backend="trio")')):
        assert python(each).stdout == shown


def test_the_demo_succeeds() -> None:
    """It compares its lanes, and its exit code says whether they agree."""
    done = run("-m", "examples.demo")
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr
