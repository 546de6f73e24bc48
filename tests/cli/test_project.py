"""What `serve` is told by `langgraph.json`, and what it says of requests."""

from __future__ import annotations

import json
import logging
import os
import sys
from pathlib import Path
from typing import Any

import anyio
import pytest

from anyiostream.cli.loading import UsageError
from anyiostream.cli.project import graphs_of_project


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Writes a project's file."""
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.setattr(os, "environ", {**os.environ, "TAKEN": "already"})

    def write(content: Any) -> Path:
        path = tmp_path / "langgraph.json"
        path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
        return path

    return write


def test_graphs_and_environment(project: Any, tmp_path: Path) -> None:
    """Files are looked for beside it, modules on the path; the environment does not replace what is there."""
    lines = ["# a comment", "PLAIN=1 # one", 'export QUOTED="a b # c"', "TAKEN=no", "", "not a variable"]
    (tmp_path / "the.env").write_text("\n".join(lines), encoding="utf-8")
    graphs = {"agent": "./src/agent.py:graph", "other": {"path": "package.module:build"}}
    path = project({"dependencies": ["./src", "langchain"], "graphs": graphs, "env": "the.env"})
    assert graphs_of_project(path) == {"agent": f"{tmp_path}/src/agent.py:graph", "other": "package.module:build"}
    assert (os.environ["PLAIN"], os.environ["QUOTED"], os.environ["TAKEN"]) == ("1", "a b # c", "already")
    assert str(tmp_path / "src") in sys.path
    graphs_of_project(project({"graphs": {"a": "m:g"}, "env": {"INLINE": 3}}))
    assert os.environ["INLINE"] == "3"


@pytest.mark.parametrize(
    ("line", "value"),
    [
        ('V="x" # comment', "x"),
        ("V='#' # comment", "#"),
        ("V = spaced", "spaced"),
        ("export\tV=1", "1"),
        ("V=", ""),
        ("V=a#b", "a#b"),
        ("V=a=b", "a=b"),
        (r'V="one\ntwo \"\\ \d"', 'one\ntwo "\\ \\d'),
        (r"V='one\ntwo \''", r"one\ntwo '"),
        ('V="it\'s"', "it's"),
        ('V="half', '"half'),
        ("\ufeffV=first", "first"),
        ("=nothing\nV=1", "1"),
    ],
)
def test_a_line_of_the_environment(project: Any, tmp_path: Path, line: str, value: str) -> None:
    """Is read as others read it: quotes, what follows them, and backslashes in them."""
    (tmp_path / ".env").write_text(line, encoding="utf-8")
    graphs_of_project(project({"graphs": {"a": "m:g"}, "env": ".env"}))
    assert os.environ["V"] == value


def test_an_environment_that_is_no_text(project: Any, tmp_path: Path) -> None:
    """Is refused in words."""
    (tmp_path / ".env").write_bytes(b"A=\xff")
    with pytest.raises(UsageError, match=r"\.env, is not text in UTF-8"):
        graphs_of_project(project({"graphs": {"a": "m:g"}, "env": ".env"}))


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("{", "is not JSON"),
        ([], "is not an object"),
        ({}, "names no graphs"),
        ({"graphs": {"a": "no attribute"}}, "write the graph 'a' as"),
        ({"graphs": {"a": "m:g"}, "env": "absent.env"}, "cannot read its `env`, absent.env"),
        ({"graphs": {"a": "m:g"}, "env": 1}, "`env` must be the name of a file, or an object"),
    ],
)
def test_what_is_wrong_with_it(project: Any, content: Any, said: str) -> None:
    """Each in its own words."""
    with pytest.raises(UsageError, match=said):
        graphs_of_project(project(content))


def test_there_is_none(tmp_path: Path) -> None:
    """The file is named."""
    with pytest.raises(UsageError, match="cannot read"):
        graphs_of_project(tmp_path / "langgraph.json")


def asked(method: str, path: str, status: int, body: bytes) -> None:
    """A request of an application that answers so, and is logged."""
    from anyiostream.cli.listening import logged

    async def application(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": status})
        await send({"type": "http.response.body", "body": body})

    async def ask() -> None:
        async def send(_: Any) -> None:
            pass

        await logged(application)({"type": "http", "method": method, "path": path}, None, send)

    anyio.run(ask)


def test_requests_and_refusals_are_logged(caplog: pytest.LogCaptureFixture) -> None:
    """A refusal with its reason; what clients send is shown as characters."""
    caplog.set_level(logging.INFO, "anyiostream.requests")
    body = b'{"message": "too \\u001b[31m many"}'
    asked("GET", "/ok", 200, body)
    asked("GET", "/a\nb\x1b", 400, body)
    assert caplog.messages == ["GET /ok 200", "GET /a\\nb\\x1b 400: too \\x1b[31m many"]
    assert [record.levelname for record in caplog.records] == ["INFO", "WARNING"]


def test_commands_that_are_refused_are_logged(caplog: pytest.LogCaptureFixture) -> None:
    """Their answer has the status of a good one."""
    caplog.set_level(logging.INFO, "anyiostream.requests")
    asked("POST", "/bad", 200, b'{"type":"error","id":1,"message":"there is none."}')
    asked("POST", "/good", 200, b'{"type":"success"}')
    assert caplog.messages == ["POST /bad 200: there is none.", "POST /good 200"]
    assert [record.levelname for record in caplog.records] == ["WARNING", "INFO"]
