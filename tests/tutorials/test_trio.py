"""The tutorial for trio; `tests/libraries/test_trio_tutorial.py` runs the program that needs an MCP server."""

from __future__ import annotations

import subprocess
import sys

from .steps import programs


def test_the_first_program_shows_what_is_below_it() -> None:
    """The others are run with every other program of the documents."""
    program, shown = programs("trio.md")[0]
    done = subprocess.run(
        [sys.executable, "-W", "error:::__main__", "-c", program], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr, done.stdout) == (0, "", shown)
