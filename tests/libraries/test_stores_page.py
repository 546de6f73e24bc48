"""The programs of the page on stores serve a graph whose questions outlive the server."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from ..waiting import PATIENCE

ROOT = Path(__file__).resolve().parents[2]

DRIVER = """
import sys

import anyio
import httpx
from service import api


async def main(**given) -> None:
    async with api.router.lifespan_context(api):
        transport = httpx.ASGITransport(api)
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
            assert (await client.get("/")).headers["content-type"].startswith("text/html")
            done = await client.post("/threads/t/runs/wait", json={"assistant_id": "chat", **given})
            print(done.json())


if sys.argv[1] == "ask":
    anyio.run(lambda: main(input={"messages": [["user", "Hello"]]}))
else:
    anyio.run(lambda: main(command={"resume": "yes"}))
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with the programs as they are written."""
    page = (ROOT / "docs" / "stores.md").read_text(encoding="utf-8")
    for name in ("chat.py", "service.py"):
        (program,) = re.findall(rf"^```py\n(# {re.escape(name)}\n.*?)^```$", page, re.DOTALL | re.MULTILINE)
        (tmp_path / name).write_text(program, encoding="utf-8")
    (tmp_path / "driver.py").write_text(DRIVER, encoding="utf-8")
    return tmp_path


def test_a_question_is_answered_by_the_next_process(folder: Path) -> None:
    """A program of one's own is run twice, in the same folder."""
    shown = []
    for what in ("ask", "answer"):
        done = subprocess.run(
            [sys.executable, "driver.py", what], cwd=folder, capture_output=True, text=True, check=False
        )
        assert (done.returncode, done.stderr) == (0, "")
        shown.append(done.stdout)
    assert_answered(*shown)


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_the_command_opens_what_a_graph_needs(folder: Path, backend: str) -> None:
    """The server is killed after the question, and the next one stops as it should."""
    with served(folder, backend) as (process, client):
        asked = wait(client, input={"messages": [["user", "Hello"]]})
        process.kill()
    with served(folder, backend) as (process, client):
        answered = wait(client, command={"resume": "yes"})
        process.send_signal(signal.SIGTERM)
        assert process.wait(PATIENCE) == 0
    assert_answered(asked, answered)


@contextmanager
def served(folder: Path, backend: str) -> Iterator[tuple[subprocess.Popen[str], httpx.Client]]:
    """The page's command, and a client of it."""
    command = [sys.executable, "-m", "anyiostream", "serve", "chat:agent", "--store", "sqlite:runs.sqlite"]
    command += ["--port", "0", "--backend", backend, "--log-level", "error"]
    with subprocess.Popen(command, cwd=folder, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stderr is not None
            said = []
            for line in process.stderr:
                said.append(line)
                if found := re.search(r" at (http://\S+)", line):
                    break
            else:
                pytest.fail("".join(said))
            with httpx.Client(base_url=found[1], timeout=PATIENCE) as client:
                yield process, client
        finally:
            process.kill()


def wait(client: httpx.Client, **given: object) -> str:
    """What a run on the thread comes to."""
    done = client.post("/threads/t/runs/wait", json={"assistant_id": "agent", **given})
    assert done.status_code == 200, done.text
    return done.text


def assert_answered(asked: str, answered: str) -> None:
    """The question was asked first, and answered then."""
    assert "Really?" in asked
    assert "You say" not in asked
    assert "You say yes." in answered
