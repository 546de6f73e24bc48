"""`python -m anyiostream run` with pipes: lines of JSON, exit codes, and what it says of wrong arguments.

What is about pipes, signals or a process's beginning starts Python anew; the rest forks one that has all imports.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from ..preloaded import Preloaded
from .running import ENVIRONMENT, GRAPHS, ROOT, Ended, command, interruptible, run_process

BACKENDS = ("asyncio", "trio", "sync")

Run = Callable[..., Ended]


@pytest.fixture(scope="module")
def run() -> Iterator[Run]:
    """Runs the command to its end, half a second to two sooner where processes can be forked."""
    if not hasattr(os, "fork"):
        yield run_process
        return
    with Preloaded("anyio._backends._trio", "anyiostream.cli.main", environment=ENVIRONMENT) as python:

        def running(graph: str, *options: str, given: str = "") -> Ended:
            done = python.run_module("anyiostream", "run", f"{GRAPHS}:{graph}", *options, given=given)
            return Ended(done.returncode, done.stdout, done.stderr)

        yield running


@pytest.fixture
def started() -> Iterator[Callable[..., Any]]:
    """Starts the command with pipes; whatever comes of the test, it does not outlive it."""
    processes: list[subprocess.Popen[Any]] = []

    def start(graph: str, *options: str, text: bool = True) -> subprocess.Popen[Any]:
        pipes: Any = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": text}
        pipes["preexec_fn"] = interruptible
        processes.append(subprocess.Popen(command(graph, *options), cwd=ROOT, env=ENVIRONMENT, **pipes))
        return processes[-1]

    yield start
    for process in processes:
        process.kill()
        process.wait()
        for pipe in (process.stdout, process.stderr):
            pipe.close()


@pytest.mark.parametrize("backend", BACKENDS)
def test_each_event_is_a_line_and_the_outcome_is_the_last(backend: str) -> None:
    """The raw log in order of `seq`, with values that are no JSON as the nearest thing that is."""
    done = run_process("greet", "--backend", backend, "--input", '{"name": "Ada"}')
    assert (done.code, done.err) == (0, "")
    *events, result = done.lines
    assert [event["seq"] for event in events] == list(range(1, len(events) + 1))
    assert result == {
        "type": "result",
        "status": "completed",
        "output": {"given": {"name": "Ada"}},
        "interrupts": [],
        "error": None,
    }
    assert [data["event"] for data in done.events("lifecycle")] == ["running", "started", "completed", "completed"]
    assert done.events("tools")[-1]["output"] == {"1": ["a set"]}
    assert done.out.isascii()
    assert "\x1b" not in done.out


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_langgraph_graph_is_run(backend: str, run: Run) -> None:
    """Built by the function that is named, on every backend."""
    done = run("build", "--backend", backend, "--input", '{"messages": [["user", "hi"]]}')
    assert (done.code, done.err) == (0, "")
    deltas = [event["delta"]["text"] for event, _ in done.events("messages") if event["event"] == "content-block-delta"]
    assert "".join(deltas) == "Good morning from LangGraph"
    assert [message["type"] for message in done.result["output"]["messages"]] == ["human", "ai"]


@pytest.mark.parametrize("backend", BACKENDS)
def test_an_agent_is_run(backend: str, run: Run) -> None:
    """The commonest graph: its messages, and its tool calls, which are compiled in."""
    pytest.importorskip("anyiostream.testing")
    done = run("agent", "--backend", backend, "--input", '{"messages": [["user", "Bergen?"]]}')
    assert (done.code, done.err) == (0, "")
    deltas = [event.get("delta", {}).get("text", "") for event, _ in done.events("messages")]
    assert "".join(deltas) == "Take a jacket."
    assert [event["event"] for event in done.events("tools")] == ["tool-started", "tool-finished"]
    types = [message["type"] for message in done.result["output"]["messages"]]
    assert types == ["human", "ai", "tool", "ai"]


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_failed_run_is_told_by_its_exit_code(backend: str, run: Run) -> None:
    """1, with the error in the last line, and on standard error without what a terminal would act upon."""
    done = run("fails", "--backend", backend, "--input", '"!"')
    assert done.code == 1
    assert done.result["status"] == "failed"
    assert done.result["error"] == {"type": "ValueError", "message": "it broke \x1b[31m !"}
    assert done.err == "ValueError: it broke \ufffd[31m !\nWith --traceback it shows where.\n"
    assert "in fails" in run("fails", "--traceback", "--backend", backend).err


@pytest.mark.parametrize("backend", BACKENDS)
def test_an_interrupted_run_is_told_by_its_exit_code(backend: str, run: Run) -> None:
    """3, with what the graph waits for in the last line."""
    done = run("asks", "--backend", backend, "--input", "1")
    assert (done.code, done.err) == (3, "")
    assert done.result["status"] == "interrupted"
    assert done.result["output"] == {"draft": 1}
    assert [each["value"] for each in done.result["interrupts"]] == ["Shall I?"]


@pytest.mark.parametrize(("backend", "graph"), [("asyncio", "endless"), ("trio", "endless"), ("sync", "endless_parts")])
def test_ctrl_c_stops_the_run(backend: str, graph: str, started: Callable[..., Any]) -> None:
    """130, and the last line says that the run was aborted."""
    process = started(graph, "--backend", backend)
    assert process.stdout is not None
    assert json.loads(process.stdout.readline())["seq"] == 1
    process.send_signal(signal.SIGINT)
    out, err = process.communicate()
    assert (process.returncode, err) == (130, "")
    assert json.loads(out.splitlines()[-1])["status"] == "aborted"


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_a_second_ctrl_c_ends_the_program(backend: str, started: Callable[..., Any]) -> None:
    """Also where the graph does not let itself be stopped."""
    process = started("stubborn", "--backend", backend)
    assert process.stdout is not None
    assert process.stderr is not None
    while '"stubborn"' not in process.stdout.readline():
        pass
    process.send_signal(signal.SIGINT)
    assert process.stderr.readline() == "no\n"
    process.send_signal(signal.SIGINT)
    process.communicate()
    assert process.returncode == 130


@pytest.mark.parametrize(("backend", "graph"), [("asyncio", "endless"), ("trio", "endless"), ("sync", "endless_parts")])
def test_a_reader_that_leaves_ends_the_run_quietly(backend: str, graph: str, started: Callable[..., Any]) -> None:
    """As `| head -1` does: 141, and not a word."""
    process = started(graph, "--backend", backend, text=False)
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.readline()
    process.stdout.close()
    assert process.stderr.read() == b""
    process.stderr.close()
    assert process.wait() == 141


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_reader_that_is_slow_gets_everything(backend: str) -> None:
    """More than a pipe takes: the run waits, and no line is lost or torn."""
    done = run_process("flood", "--backend", backend)
    assert done.events("custom") == list(range(5000))
    assert done.result["output"] == {"n": 4999}


def test_transformers_and_further_parts_are_shown_on_demand(run: Run) -> None:
    """`--transformer` registers one, `--mode` shows what is not shown by default."""
    done = run("greet", "--transformer", f"{__file__.replace('test_command', 'graphs')}:Marking")
    assert done.events("custom") == [{"marked": {"by": "inner"}}]
    assert done.events("updates") == []
    done = run("build", "--mode", "updates", "--input", '{"messages": "hi"}')
    assert [list(update) for update in done.events("updates")] == [["think"]]


@pytest.mark.parametrize("backend", BACKENDS)
def test_options_of_runs_are_passed_on(backend: str, run: Run) -> None:
    """`--grace` and `--max-scheduled`; the sync lane has no use for them."""
    transformer = f"{__file__.replace('test_command', 'graphs')}:Lingering"
    options = ("--transformer", transformer, "--grace", "0.01", "--max-scheduled", "1")
    done = run("fails_in_parts", *options, "--backend", backend)
    assert done.code == 1
    assert ("Lingering.afail() did not end within 0.01 s" in done.err) is (backend != "sync")


def test_the_input_may_come_from_elsewhere(tmp_path: Path, run: Run) -> None:
    """`-` is standard input, `@path` a file, and neither is none."""
    assert run("greet", "--input", "-", given="[1]").result["output"] == {"given": [1]}
    file = tmp_path / "input.json"
    file.write_text('{"from": "a file"}', encoding="utf-8")
    assert run("greet", "--input", f"@{file}").result["output"] == {"given": {"from": "a file"}}
    assert run("greet").result["output"] == {"given": None}


def test_a_builder_gets_the_configuration(run: Run) -> None:
    """If it takes one; a graph that is none of LangGraph's refuses it all the same."""
    assert run("build_for").result["output"] == {"config": {}}
    done = run("build_for", "--config", '{"a": 1}')
    assert (done.code, done.out) == (2, "")
    assert "only those accept it" in done.err


@pytest.mark.parametrize(
    ("graph", "options", "said"),
    [
        ("gret", (), "did you mean 'greet'"),
        ("not_a_graph", (), "it is of type int"),
        ("unready", (), "has not been compiled"),
        ("neither", (), "it takes (one, other)"),
        ("greet", ("--input", "{a"), "is not JSON"),
        ("greet", ("--config", "[]"), "--config must be an object"),
        ("greet", ("--transformer", "nowhere:T"), "no module 'nowhere'"),
        ("greet", ("--grace", "0"), "grace must be a positive number"),
        ("greet", ("--grace", "soon"), "invalid float value"),
        ("greet", ("--max-scheduled", "0.5"), "max_scheduled must be a positive int"),
        ("endless_parts", ("--backend", "fibers"), "invalid choice"),
    ],
)
def test_arguments_that_cannot_be_used(graph: str, options: tuple[str, ...], said: str, run: Run) -> None:
    """2, nothing on standard output, and one line that says what is wrong, without a traceback."""
    done = run(graph, *options)
    assert (done.code, done.out) == (2, "")
    assert said in done.err
    assert "Traceback" not in done.err


def test_lines_are_written_as_they_happen(started: Callable[..., Any]) -> None:
    """Not when the run ends: a line is there while the graph still runs."""
    process = started("endless")
    assert process.stdout is not None
    seen = [json.loads(process.stdout.readline())["method"] for _ in range(10)]
    assert process.poll() is None
    process.send_signal(signal.SIGINT)
    process.communicate()
    assert "messages" in seen


def test_what_the_graph_prints_is_kept_from_the_lines() -> None:
    """It goes to standard error, so that every line of the output is JSON."""
    done = run_process("talks")
    assert done.events("custom") == ["and so on"]
    assert "the graph" in done.err


def test_the_parser_needs_no_extra() -> None:
    """`--help` and runs with pipes import neither rich nor LangGraph."""
    code = (
        "import sys; from anyiostream.cli.main import main\n"
        "try: main(['run', '--help'])\n"
        "except SystemExit: pass\n"
        "print(sorted({'rich', 'langgraph', 'opentelemetry'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.endswith("[]\n")
    assert "exit codes: 0 completed" in done.stdout
