"""The trio tutorial's program with an MCP server does what it says."""

from __future__ import annotations

import subprocess
import sys

from ..tutorials.steps import programs


def test_the_program_with_an_mcp_server_prints_what_is_below_it() -> None:
    """Three agents in one nursery; it leaves neither the server nor a word on standard error."""
    program, shown = programs("trio.md")[-1]
    done = subprocess.run(
        [sys.executable, "-W", "error:::__main__", "-c", program], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    *calls, first, second, third = done.stdout.splitlines()
    assert sorted(calls) == ["Bergen: forecast", "Lima: forecast", "Oslo: forecast"]
    assert "".join(f"{line}\n" for line in (first, second, third)) == shown
