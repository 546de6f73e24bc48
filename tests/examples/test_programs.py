"""The examples are complete programs, and do on every loop what they say."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from ..preloaded import Preloaded

ROOT = Path(__file__).resolve().parent.parent.parent
LOOPS = ("asyncio", "trio")


Program = Callable[..., list[str]]


def run(name: str, *arguments: str, given: str = "") -> subprocess.CompletedProcess[str]:
    """Run a module in a Python of its own, with warnings as errors in it."""
    return subprocess.run(
        [sys.executable, "-W", "error:::__main__", "-m", name, *arguments],
        cwd=ROOT,
        input=given,
        capture_output=True,
        text=True,
        check=False,
    )


def shown(done: Any) -> list[str]:
    """What a program has shown; it said nothing on standard error, and succeeded."""
    assert (done.returncode, done.stderr) == (0, "")
    lines: list[str] = done.stdout.splitlines()
    return lines


@pytest.fixture(scope="module")
def program() -> Iterator[Program]:
    """Runs a program, sooner where processes can be forked; what it has shown."""
    if not hasattr(os, "fork"):
        yield lambda name, *arguments, **options: shown(run(f"examples.{name}", *arguments, **options))
        return
    with Preloaded("anyio._backends._trio") as python:
        yield lambda name, *arguments, **options: shown(python.run_module(f"examples.{name}", *arguments, **options))


@pytest.mark.parametrize("loop", LOOPS)
def test_chat(loop: str, program: Program) -> None:
    """Tools are called and their results are told; the next question is another run."""
    lines = program("chat", "--backend", loop, given="What is 2 and 40, and how late is it in Tokyo?\nHello?\n\n")
    assert lines == [
        "you:   (clock: It is 21 o'clock in Tokyo.)",
        "  (add: 2 + 40 = 42.)",
        "It is 21 o'clock in Tokyo. 2 + 40 = 42.",
        "you: I have no tool for 'Hello?'.",
        "you: ",
    ]


@pytest.mark.parametrize("loop", LOOPS)
def test_chat_ends_with_its_input(loop: str, program: Program) -> None:
    """Without an empty line, too."""
    assert program("chat", "--backend", loop) == ["you: "]


@pytest.mark.parametrize("loop", LOOPS)
def test_researchers(loop: str, program: Program) -> None:
    """Each says its facts in order; the summary comes after them; they work side by side."""
    lines = program("researchers", "--backend", loop, "tides", "dunes")
    for name, facts in (
        ("tides", ["The moon pulls the sea. ", "Twice a day it is high water. ", "2"]),
        ("dunes", ["Wind piles up sand. ", "Grass holds it in place. ", "Without grass a dune wanders. ", "3"]),
    ):
        *said, end = [line.partition("] ")[2] for line in lines if line.startswith(f"[researcher of {name}]")]
        assert [*said, end.split()[2]] == facts
    # Those who show a researcher's end and the summary are different tasks.
    shown = [line for line in lines if " completed with " not in line]
    assert shown[-1] == "[summary] 5 facts about tides, dunes."
    first = [line.partition("]")[0] for line in lines[:2]]
    assert len(set(first)) == 2


@pytest.mark.parametrize("loop", [*LOOPS, "sync"])
def test_redaction(loop: str, program: Program) -> None:
    """Nothing private is shown, although it comes in pieces; all else is."""
    assert program("redaction", "--backend", loop) == [
        "custom: {'asked by': '[redacted]', 'question': 'How do I reach Ada?'}",
        "message: Write to [redacted] or call [redacted], she is in.",
        "state: {'answer': 'Write to [redacted] or call [redacted], she is in.'}",
    ]


@pytest.mark.parametrize("loop", LOOPS)
def test_moderation(loop: str) -> None:
    """Every message is shown and scored, and no score waits for another."""
    lines = shown(run("examples.moderation", "--backend", loop))
    assert [line for line in lines if line.startswith("message")] == [
        "message: Certainly, with pleasure.",
        "message: What a stupid question!",
        "message: It depends on the weather.",
    ]
    assert sorted(line for line in lines if not line.startswith("message")) == [
        "BLOCK 0.9: What a stupid question!",
        "ok    0.0: Certainly, with pleasure.",
        "ok    0.1: It depends on the weather.",
    ]


def test_trio_host(program: Program) -> None:
    """The node sees the caller's context, is cancelled with it, and the program's other tasks go on."""
    lines = program("trio_host")
    assert lines[:5] == [
        "An order:",
        "  fetch the kettle for Ada",
        "  wrap the kettle for Ada",
        "  label the kettle for Ada",
        "  packed: True",
    ]
    assert lines[5:] == [
        "An order that takes too long:",
        "  fetch the piano for Ada",
        "  the node was cancelled",
        "  given up",
        "The program went on beside it: True",
    ]


def test_service(program: Program) -> None:
    """A client that leaves stops the run in its response, and not the one in the server."""
    assert program("service") == [
        "A client that leaves its answer:",
        "  the agent was stopped: first",
        "A client that leaves a chat, and comes back:",
        "  the agent has finished: second",
        "  it was told every word: True",
        "A run that is stopped:",
        "  the agent was stopped: third",
    ]
