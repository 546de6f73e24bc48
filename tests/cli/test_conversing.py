"""What a user says to a graph: messages, answers, the next turn; and a file that has all of it."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from anyiostream.cli.main import main

from .running import GRAPHS, Ended, command, in_terminal, type_keys

Run = Callable[..., Ended]


@pytest.fixture
def run(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs the command in this process: to import LangGraph once is enough."""

    def running(graph: str, *options: str, given: str = "") -> Ended:
        monkeypatch.setattr(sys, "stdin", io.StringIO(given))
        code = main(["run", f"{GRAPHS}:{graph}", *options])
        out, err = capfd.readouterr()
        return Ended(code, out, err)

    return running


def said(done: Ended) -> list[str]:
    """The texts of the last state's messages."""
    contents = [message["content"] for message in done.result["output"]["messages"]]
    return ["".join(block.get("text", "") for block in each) if isinstance(each, list) else each for each in contents]


def test_a_message_is_the_input(run: Run) -> None:
    """Of a graph with `messages`; not beside another input."""
    done = run("compiled", "--message", "Hello?")
    assert done.code == 0
    assert said(done) == ["Hello?", "Good morning from LangGraph"]
    done = run("compiled", "--message", "Hello?", "--input", "{}")
    assert done.code == 2
    assert "--input and --message both give the input" in done.err


def test_a_chat_keeps_its_turns(run: Run) -> None:
    """Each line is a turn of one thread, which is made up; the end of the input ends it."""
    done = run("echo", "--chat", "--message", "one", given="two\nthree\n")
    assert done.code == 0
    assert said(done) == ["one", "you said one", "two", "you said two", "three", "you said three"]
    assert done.err.count("you> ") == 3
    assert said(run("echo", "--chat", given="one\n/quit\n")) == ["one", "you said one"]
    assert "needs a LangGraph graph" in run("greet", "--chat", given="x\n").err
    assert "got no message" in run("echo", "--chat", given="").err


def test_questions_are_answered_in_a_chat(run: Run) -> None:
    """One after the other, as JSON or as text; a graph without a checkpointer remembers where it stopped."""
    done = run("careful", "--chat", "--message", "go", given="true\n")
    assert 'answer to {"question": "Shall I?"}> ' in done.err
    assert said(done) == ["go", "the answer is True"]


def test_a_human_in_the_loop_of_an_agent(run: Run) -> None:
    """LangChain's agents ask before they call a tool."""
    pytest.importorskip("anyiostream.testing")
    answer = json.dumps({"decisions": [{"type": "approve"}]})
    done = run("supervised", "--chat", "--message", "Bergen?", given=f"{answer}\n")
    assert "rain in Bergen" in said(done)
    assert said(done)[-1] == "Take a jacket."


def test_a_checkpointer_gets_a_thread(run: Run) -> None:
    """Made up where none is given; one that is given stays."""
    done = run("remembering", "--message", "x")
    assert done.code == 0
    config = json.dumps({"configurable": {"thread_id": "mine"}})
    assert run("remembering", "--message", "x", "--config", config).code == 0


def test_a_run_is_recorded(run: Run, tmp_path: Path) -> None:
    """As servers send it, whatever is shown; the same lines are shown as without."""
    path = tmp_path / "log.jsonl"
    done = run("agent", "--message", "Bergen?", "--record", str(path))
    assert done.code == 0
    events = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    assert [event["seq"] for event in events] == list(range(1, len(events) + 1))
    methods = {event["method"] for event in events}
    assert {"lifecycle", "messages", "tasks", "updates", "tools", "values"} <= methods
    assert {line.get("method") for line in done.lines} & {"tasks", "updates"} == set()
    roots = [event for event in events if event["method"] == "lifecycle" and not event["params"]["namespace"]]
    assert roots[-1]["params"]["data"]["event"] == "completed"
    assert roots[-1]["params"]["data"]["run_id"] == roots[0]["params"]["data"]["run_id"]
    assert "cannot write" in run("agent", "--record", str(tmp_path)).err


def test_a_failure_is_recorded(run: Run, tmp_path: Path) -> None:
    """With its end."""
    path = tmp_path / "log.jsonl"
    assert run("fails", "--record", str(path)).code == 1
    last = json.loads(path.read_text(encoding="utf-8").splitlines()[-1])
    assert (last["method"], last["params"]["data"]["event"]) == ("lifecycle", "failed")


def test_a_chat_on_a_terminal() -> None:
    """The prompt comes after the run."""
    steps = [("you> ", type_keys("one\n")), ("you> ", type_keys("/quit\n"))]
    done = in_terminal(command("echo", "--chat"), steps)
    assert done.code == 0
    assert "you said one" in done.out
