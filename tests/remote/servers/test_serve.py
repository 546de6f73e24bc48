"""`python -m anyiostream serve`, as a process of its own."""

from __future__ import annotations

import errno
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import anyio
import pytest

import anyiostream
from anyiostream import ToolCallTransformer
from anyiostream.remote import Limits, connect

from .raw import Client, events

main = pytest.importorskip("anyiostream.cli.main").main

ROOT = Path(anyiostream.__file__).parent.parent

GRAPHS = """
import asyncio
import contextlib

import anyio

async def greet(given, writer):
    await writer.values({"step": 1})
    return {"hello": given}

async def endless(given, writer):
    try:
        await writer.values({"step": 1})
        await anyio.sleep_forever()
    finally:
        print("cleaned up", flush=True)

def authorize(access):
    return access.headers.get("authorization")

@contextlib.asynccontextmanager
async def opened():
    loop = asyncio.get_running_loop()

    async def graph(given, writer):
        return {"open": given}

    yield graph
    assert asyncio.get_running_loop() is loop
    print("closed", flush=True)
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a module of graphs."""
    (tmp_path / "served_graphs.py").write_text(GRAPHS)
    return tmp_path


@contextmanager
def started(folder: Path, *arguments: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """The process, and the address that it says it serves."""
    process = subprocess.Popen(
        [sys.executable, "-W", "error:::anyiostream", "-m", "anyiostream", "serve", *arguments, "--port", "0"],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stderr is not None
        for line in process.stderr:
            found = re.search(r" at (http://\S+)", line)
            if found:
                yield process, found[1]
                break
        else:
            raise AssertionError("it did not start")
    finally:
        process.kill()
        process.communicate()


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_it_serves_until_it_is_told_to_stop(folder: Path, backend: str) -> None:
    """Runs are run; on SIGTERM streams are cut, runs are cleaned up, what was opened is closed, and it ends well."""
    graphs = ("served_graphs:greet", "forever=served_graphs:endless", "served_graphs:opened")
    with started(folder, *graphs, "--backend", backend) as (process, url):
        with Client(url, "v") as client:
            client.start("opened", "Ada")
            client.ended()
            assert client.state().json()["values"] == {"open": "Ada"}
        with Client(url) as client, Client(url, "u") as other:
            client.start("greet", "Ada")
            assert client.ended()[-1]["params"]["data"]["event"] == "completed"
            assert client.state().json()["values"] == {"hello": "Ada"}
            other.start("forever")
            with other.stream() as response:
                assert next(events(response))["method"] == "lifecycle"
                process.send_signal(signal.SIGTERM)
                out, err = process.communicate()
        assert (process.returncode, out) == (0, "cleaned up\nclosed\n")
        assert "Traceback" not in err


AGENT = """
from langchain.agents import create_agent
from langchain_core.tools import tool

from anyiostream.testing import Reply
from anyiostream.testing.langchain import FakeStreamingChatModel


@tool
def weather(city: str) -> str:
    'The weather in a city.'
    return f"rain in {city}"


call = {"name": "weather", "args": {"city": "Bergen"}, "id": "call-1"}
agent = create_agent(FakeStreamingChatModel(Reply(tool_calls=[call]), "Take a jacket."), [weather])
"""


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_it_serves_an_agent(folder: Path, backend: str) -> None:
    """Its messages and its tool calls, as to a local reader."""
    pytest.importorskip("anyiostream.testing")

    async def read(url: str) -> tuple[list[str], list[Any], list[str]]:
        async with (
            connect(url) as client,
            client.thread("agent").run({"messages": [["user", "Bergen?"]]}, transformers=[ToolCallTransformer]) as run,
        ):
            texts: list[str] = []
            calls: list[Any] = []
            async for name, item in run.interleave("messages", "tool_calls"):
                if name == "messages":
                    texts.append(await item.text)
                else:
                    calls.append((item.tool_name, item.input))
            return texts, calls, [each["type"] for each in (await run.output())["messages"]]

    (folder / "served_agent.py").write_text(AGENT)
    with started(folder, "served_agent:agent", "--backend", backend) as (_, url):
        texts, calls, types = anyio.run(read, url, backend=backend)
    assert texts == ["", "Take a jacket."]
    assert calls == [("weather", {"city": "Bergen"})]
    assert types == ["human", "ai", "tool", "ai"]


def test_it_serves_loopback_only_and_says_so(folder: Path) -> None:
    """Unless it is told otherwise."""
    with started(folder, "served_graphs:greet") as (_, url), Client(url) as client:
        assert url.startswith("http://127.0.0.1:")
        assert client.post("commands", {}, host="example.org").status_code == 421


def test_its_options(folder: Path) -> None:
    """A hook that decides, a host that is named."""
    arguments = ["--authorize", "served_graphs:authorize", "--allow-host", "example.org"]
    with started(folder, "served_graphs:greet", *arguments) as (_, url), Client(url) as client:
        assert client.state().status_code == 401
        assert (
            client.http.get("/threads/t/state", headers={"authorization": "x", "host": "example.org"}).status_code
            == 404
        )


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("json", "does not name anything"),
        ("no_such_module_here:x", "there is no module 'no_such_module_here'"),
        ("json.nothing:x", "there is no module 'json.nothing'"),
        ("json:nothing", "json has no attribute 'nothing'"),
    ],
)
def test_what_is_not_there(name: str, problem: str, capsys: pytest.CaptureFixture[str]) -> None:
    """It is said in one line."""
    assert main(["serve", name]) == 2
    assert problem in capsys.readouterr().err


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_an_address_that_is_taken(backend: str) -> None:
    """It is said in one line, with what to do."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        options = ("--port", str(port), "--backend", backend)
        done = subprocess.run(  # a process of its own, because the server's library leaves its socket behind
            [sys.executable, "-m", "anyiostream", "serve", "examples.chat:assistant", *options],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
        )
    assert done.returncode == 2
    said = f"cannot listen on 127.0.0.1:{port}: {os.strerror(errno.EADDRINUSE)}; --host and --port name another"
    assert done.stderr.splitlines()[-1] == f"python -m anyiostream: {said}"


@pytest.mark.parametrize(("name", "problem"), [("sqlite:/nowhere/f", "folder"), ("mongodb://x", "sqlite:FILE")])
def test_a_store_that_cannot_be_used(name: str, problem: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Is said in a line, before anything is served."""
    assert main(["serve", "tests.remote.graphs:everything", "--port", "0", "--store", name]) == 2
    assert problem in capsys.readouterr().err.splitlines()[-1]


def test_without_its_extra(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """It is said in one line, with what to install."""
    monkeypatch.setitem(sys.modules, "hypercorn.config", None)
    assert main(["serve", "examples.chat:assistant"]) == 2
    assert "the `remote` extra" in capsys.readouterr().err


def test_two_graphs_of_one_name(capsys: pytest.CaptureFixture[str]) -> None:
    """They have to be told apart."""
    assert main(["serve", "examples.chat:assistant", "assistant=examples.researchers:research"]) == 2
    assert "the same name" in capsys.readouterr().err


def test_options_of_runs_are_passed_on(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """`--grace` and `--max-scheduled` are those of every run that is served; bad values are told in one line."""
    served: list[Any] = []
    monkeypatch.setattr(anyio, "run", lambda _, made, __, graphs, **___: served.append(made(graphs)))
    assert main(["serve", "examples.chat:assistant", "--grace", "2.5", "--max-scheduled", "7"]) == 0
    (application,) = served
    assert application.state.service.assistants["assistant"].options == {"grace": 2.5, "max_scheduled": 7}
    capsys.readouterr()
    assert main(["serve", "examples.chat:assistant", "--max-scheduled", "-1"]) == 2
    assert "max_scheduled must be a positive int" in capsys.readouterr().err


def test_idle_connections_are_kept_for_longer_than_by_clients_and_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    """Otherwise a request may come just when the server hangs up."""
    served: list[Any] = []
    monkeypatch.setattr(anyio, "run", lambda _, __, config, *___, **____: served.append(config))
    assert main(["serve", "examples.chat:assistant"]) == 0
    assert served[0].keep_alive_timeout > 60


def test_codecs_and_operators_are_passed_on(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """`--codec` goes to the store that is named; `--operator` names who may read figures."""
    served: list[Any] = []
    monkeypatch.setattr(anyio, "run", lambda _, made, __, graphs, **___: served.append(made(graphs)))
    store = f"sqlite:{tmp_path / 'f'}"
    options = ["--codec", "tests.remote.store.codecs:codec", "--operator", "ann", "--operator", "bob"]
    assert main(["serve", "examples.chat:assistant", "--store", store, *options]) == 0
    service = served[0].state.service
    assert service.store._sealing.encodes  # noqa: SLF001
    assert set(service._operators) == {"ann", "bob"}  # noqa: SLF001
    assert main(["serve", "examples.chat:assistant", "--codec", "tests.remote.store.codecs:nothing"]) == 2
    assert "has no attribute 'nothing'" in capsys.readouterr().err


def test_a_codec_that_is_none_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """In a line, before anything is served."""
    options = ["--store", f"sqlite:{tmp_path / 'f'}", "--codec", "json:JSONDecoder", "--port", "0"]
    assert main(["serve", "tests.remote.graphs:everything", *options]) == 2
    assert "mend its encode()" in capsys.readouterr().err.splitlines()[-1]


def test_limits_are_passed_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """`--limit NAME=VALUE` sets each of the server's bounds; the last one of a name counts."""
    served: list[Any] = []
    monkeypatch.setattr(anyio, "run", lambda _, made, __, graphs, **___: served.append(made(graphs)))
    given = ["runs=7", "owner_runs=none", "send=2.5", "runs=200"]
    assert main(["serve", "examples.chat:assistant", *(each for text in given for each in ("--limit", text))]) == 0
    (application,) = served
    assert application.state.service.limits == Limits(runs=200, owner_runs=None, send=2.5)


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        ("runs", "write NAME=VALUE, as in --limit runs=200"),
        ("run=7", "no limit is called run; did you mean runs?"),
        ("x=7", "no limit is called x; there are body, frame,"),
        ("runs=many", "'many' is not a whole number"),
        ("runs=2.5", "'2.5' is not a whole number"),
        ("send=soon", "'soon' is not a number"),
        ("send=nan", "send must be positive, got nan"),
        ("runs=0", "runs must be positive, got 0"),
        ("runs=none", "runs must be positive, got None"),
    ],
)
def test_limits_that_are_none(given: str, problem: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Are refused in a line that says which one, and why."""
    assert main(["serve", "examples.chat:assistant", "--limit", given]) == 2
    said = capsys.readouterr().err.splitlines()[-1]
    assert f"--limit {given}: " in said
    assert problem in said
