"""The live view in a real terminal emulator, at two sizes."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ..waiting import PATIENCE
from .running import ENVIRONMENT, ROOT, command


class Pane:
    """A pane of a tmux server of its own."""

    def __init__(self, socket: Path, columns: int, rows: int) -> None:
        self.socket = socket
        self.columns, self.rows = columns, rows

    def tmux(self, *arguments: str) -> str:
        """Tell tmux something."""
        done = subprocess.run(
            ["tmux", "-S", str(self.socket), "-f", "/dev/null", *arguments],
            capture_output=True,
            text=True,
            check=True,
            env=ENVIRONMENT,
            cwd=ROOT,
        )
        return done.stdout

    def run(self, arguments: list[str]) -> None:
        """Run a command in it."""
        size = ("-x", str(self.columns), "-y", str(self.rows))
        # The pane is kept when the command has ended.
        self.tmux("new-session", "-d", *size, "cat", ";", "set-option", "-g", "remain-on-exit", "on")
        self.tmux("respawn-pane", "-k", "--", *arguments)

    def until(self, *texts: str) -> list[str]:
        """Its lines, once all of these texts are shown. A frame may be half drawn."""
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            shown = self.tmux("capture-pane", "-p").rstrip().splitlines()
            if all(any(text in line for line in shown) for text in texts):
                return shown
            time.sleep(0.05)
        raise AssertionError(f"{texts} were never shown: {shown}")


@pytest.fixture(params=[(120, 40), (80, 24)], ids=["120x40", "80x24"])
def pane(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Any]:
    """A terminal of either size."""
    if shutil.which("tmux") is None:
        assert not os.environ.get("CI"), "CI needs tmux"
        pytest.skip("needs tmux")
    made = Pane(tmp_path / "tmux", *request.param)
    yield made
    made.tmux("kill-server")


def test_parallel_workers(pane: Pane) -> None:
    """Those that run are told apart, those that have ended are one line, words are whole, and buffers are told of."""
    pane.run(command("workers"))
    running = ('{"topic": 3} running', '{"topic": 4} running')
    shown = pane.until("3 worker completed", *running, "buffered", "waits for the graph")
    broken = [line for line in shown if line.split() and line.split()[-1] in {"sen", "lon", "enou", "brok", "betwee"}]
    assert broken == []
    assert len(shown) <= pane.rows
    pane.tmux("send-keys", "C-c")
    pane.until("aborted")


def test_an_agent_that_asks(pane: Pane) -> None:
    """Its question, the answer, and its last word, in one terminal."""
    pytest.importorskip("anyiostream.testing")
    pane.run(command("supervised", "--message", "Bergen?"))
    pane.until("answer to")
    pane.tmux("send-keys", "-l", '{"decisions": [{"type": "approve"}]}')
    pane.tmux("send-keys", "Enter")
    shown = pane.until("completed")
    assert any("Take a jacket." in line for line in shown)
