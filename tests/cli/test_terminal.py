"""`python -m anyiostream run` in a terminal: the live view, its end, and what it keeps from the terminal.

Python starts anew for graphs that need few imports; where LangGraph's would take a second and more, a process that has
them is forked.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator

import pytest

from ..preloaded import Preloaded
from .running import ENVIRONMENT, command, in_terminal, resize, type_keys

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="there are no pseudo-terminals")

BACKENDS = ("asyncio", "trio", "sync")

OURS = re.compile(r"\x1b\[(?:\?2026[hl]|[0-9;]*m|[0-9]+A|0J)")
"""The escape sequences that the view writes itself."""

UNDER_WAY = "buffered"
"""What is shown once the run has been entered, and is read; before that, it is said to be running."""


def shown(out: str) -> str:
    """What was written, without the view's own sequences; nothing else may be left of such."""
    text = OURS.sub("", out).replace("\r\n", "\n").replace("\r", "")
    assert "\x1b" not in text
    assert "\x07" not in text
    assert "\x9b" not in text
    return text


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_run_is_shown(backend: str) -> None:
    """Messages, tool calls, custom data and subgraphs in the log, and the final state at the end."""
    done = in_terminal(command("greet", "--backend", backend, "--input", "1"))
    text = shown(done.out)
    assert done.code == 0
    assert "Hello [bold]no markup[/bold] ␛]0;title␇" in text
    assert '⚙ search(q=x) = {"1": ["a set"]}' in text
    assert "→ search(q=x)" in text
    assert 'inner / custom {"by": "inner"}' in text
    assert "from inside" in text
    assert "completed" in text
    assert text.rstrip().endswith('output {"given": 1}')


@pytest.fixture(scope="module")
def python() -> Iterator[Preloaded]:
    """A process to fork."""
    with Preloaded("anyio._backends._trio", "anyiostream.cli.main", environment=ENVIRONMENT) as preloaded:
        yield preloaded


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_langgraph_graph_is_shown(backend: str, python: Preloaded) -> None:
    """Its message, and its state."""
    given = command("compiled", "--backend", backend, "--input", '{"messages": [["user", "hi"]]}')
    done = in_terminal(given, python=python)
    assert done.code == 0
    assert "Good morning from LangGraph" in shown(done.out)


@pytest.mark.parametrize("backend", BACKENDS)
def test_an_agent_is_shown(backend: str, python: Preloaded) -> None:
    """What it asks its tool, what that answers, and what it says."""
    pytest.importorskip("anyiostream.testing")
    given = command("agent", "--backend", backend, "--input", '{"messages": [["user", "Bergen?"]]}')
    done = in_terminal(given, python=python)
    text = shown(done.out)
    assert done.code == 0
    assert "weather(city=Bergen)" in text
    assert "rain in Bergen" in text
    assert "Take a jacket." in text


@pytest.mark.parametrize(("backend", "graph"), [("asyncio", "endless"), ("trio", "endless"), ("sync", "endless_parts")])
def test_ctrl_c_in_the_terminal(backend: str, graph: str) -> None:
    """The run is stopped, the view says so, and the exit code is 130."""
    done = in_terminal(command(graph, "--backend", backend), [(UNDER_WAY, type_keys("\x03"))])
    assert done.code == 130
    assert "aborted" in shown(done.out)
    assert "Traceback" not in done.out


def test_a_failure_is_shown() -> None:
    """What the graph failed with; nothing of it is let through."""
    done = in_terminal(command("fails"))
    assert done.code == 1
    assert "it broke ␛[31m" in shown(done.out)


def test_a_question_is_asked() -> None:
    """On a terminal; whoever does not answer ends the program, and the graph waits."""
    done = in_terminal(command("asks"), [("answer to Shall I?> ", type_keys("\x04"))])
    assert done.code == 3


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_a_question_is_answered(backend: str) -> None:
    """The graph goes on with the answer, which may be JSON."""
    typed = type_keys('{"yes": [1]}\n')
    done = in_terminal(command("asks", "--backend", backend), [("answer to Shall I?> ", typed)])
    assert done.code == 0
    assert 'output {"answered": {"yes": [1]}}' in shown(done.out)


def test_a_terminal_that_changes_its_size() -> None:
    """The region is drawn for the new size: no line of it is wider."""
    # Only in the new size something has to be cut; frames of the old one may still be on their way.
    steps = [(UNDER_WAY, resize(12, 40)), ("…", type_keys("\x03"))]
    done = in_terminal(command("endless", "--backend", "asyncio"), steps, columns=120)
    assert done.code == 130
    frames = done.out.split("\x1b[?2026h")
    last = next(frame for frame in reversed(frames) if UNDER_WAY in frame)
    region = shown(last).replace("^C", "").rsplit("endless", 1)[-1].splitlines()  # the terminal echoes the key
    assert [line for line in region if len(line) > 40] == []
    assert len(region) <= 12


def test_a_flood_does_not_hold_up_the_run() -> None:
    """What goes by too fast to be shown is counted, and long text is cut, with a hint at --json."""
    done = in_terminal(command("flood"))
    text = shown(done.out)
    assert done.code == 0
    assert 'output {"n": 4999}' in text
    assert "more characters, which --json shows" in text


def test_what_the_graph_prints_goes_to_the_log() -> None:
    """It does not tear the region, and is made fit for the terminal."""
    done = in_terminal(command("talks"))
    assert "printed by ␛[31mthe graph" in shown(done.out)


def test_lines_of_json_on_demand() -> None:
    """`--json` writes the same to a terminal as to a pipe."""
    done = in_terminal(command("talks", "--json"))
    assert '"type": "result"' in done.out
    assert "\x1b[?2026h" not in done.out
