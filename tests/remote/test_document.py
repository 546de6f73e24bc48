"""The programs of docs/remote.md run as they are written."""

from __future__ import annotations

import re
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

import anyiostream
from anyiostream.remote import app

from .serving import serving

ROOT = Path(anyiostream.__file__).parent.parent
FENCE = re.compile(r"^```python\n(.*?)^```$", re.DOTALL | re.MULTILINE)
GRAPH, APPLICATION, OFFICIAL, OURS, HOOK = FENCE.findall((ROOT / "docs" / "remote.md").read_text(encoding="utf-8"))


def as_program(block: str) -> str:
    """A block that awaits, as a program."""
    return f"import anyio\n\nasync def main():\n{textwrap.indent(block, '    ')}\nanyio.run(main)"


@pytest.mark.parametrize(
    ("block", "shown"),
    [(OFFICIAL, "{'greeted': 'Ada'}\n"), (OURS, "Good morning, Ada!{'greeted': 'Ada'}\n")],
    ids=["official", "ours"],
)
def test_the_clients(block: str, shown: str) -> None:
    """Both read what the graph of the document says."""
    names: dict[str, object] = {}
    exec(GRAPH, names)
    exec(APPLICATION, names)
    with serving("uvicorn", names["application"]) as url:
        program = as_program(block).replace("http://127.0.0.1:2024", url)
        command = [sys.executable, "-c", program]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=50, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, shown, "")


def test_the_hook() -> None:
    """It is one."""
    names: dict[str, object] = {}
    exec(HOOK, names)
    app({}, authorize=names["authorize"])  # type: ignore[arg-type]
