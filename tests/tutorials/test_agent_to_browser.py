"""The tutorial from an agent to a web page: each step is taken, in order, as its reader would."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from ..browser.chromium import Watched, launched
from ..waiting import PATIENCE
from .steps import ROOT, commands, programs, write_files

TUTORIAL = "agent-to-browser.md"
INSTALL, TERMINAL, READ, ENTER, NPM, BUNDLE, LEAVE, SERVE, SERVE_SHORT = commands(TUTORIAL)
NODE_MODULES = Path(__file__).parent / "node_modules"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The reader's folder, with the files of all steps."""
    folder = tmp_path_factory.mktemp("tutorial")
    names = write_files(TUTORIAL, folder)
    assert names == ["agent.py", "read.py", "server.py", "page/app.jsx", "page/index.html", "short.py"]
    return folder


def run(command: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run a command of the tutorial, with this Python."""
    words = shlex.split(command)
    if words[0] == "python":
        words[0] = sys.executable
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    return subprocess.run(words, cwd=folder, env=environment, capture_output=True, text=True, check=False)


def test_the_first_command_installs_what_the_steps_need() -> None:
    """The distribution with its extras, and the other packages that are imported."""
    assert shlex.split(INSTALL)[:4] == ["python", "-m", "pip", "install"]
    assert shlex.split(INSTALL)[4:] == ["anyiostream-runs[langgraph,cli,web,remote]", "langchain", "fastapi", "uvicorn"]
    assert (ENTER, LEAVE) == ("cd page", "cd ..")


def test_the_agent_asks_in_the_terminal(folder: Path) -> None:
    """The run ends as interrupted, with the question."""
    done = run(TERMINAL, folder)
    result = json.loads(done.stdout.splitlines()[-1])
    assert (done.returncode, result["status"]) == (3, "interrupted")
    assert "Book the flight to Bergen?" in json.dumps(result["interrupts"])


def test_the_program_shows_what_is_below_it(folder: Path) -> None:
    """The model's words, the tool's calls and the question."""
    ((_, shown),) = programs(TUTORIAL)
    done = run(READ, folder)
    assert (done.returncode, done.stderr, done.stdout) == (0, "", shown)


SHORT = """
import anyio, httpx
from short import app

async def main():
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test") as client:
        print((await client.get("/answer", params={"question": "Bergen?", "thread": "short"})).text)

anyio.run(main)
"""


def test_a_run_in_a_response_asks_as_well(folder: Path) -> None:
    """The question is among the events."""
    done = run(f"python -c {shlex.quote(SHORT)}", folder)
    assert (done.returncode, done.stderr) == (0, "")
    assert "Book the flight to Bergen?" in done.stdout


def test_the_short_service_answers_at_the_address_that_is_shown(folder: Path) -> None:
    """With the run's events, the question last but one."""
    text = (ROOT / "docs" / "tutorials" / TUTORIAL).read_text(encoding="utf-8")
    (shown,) = re.findall(r"<http://127\.0\.0\.1:8001(/answer\?.*?)>", text)
    with served(folder, SERVE_SHORT) as url:
        answered = httpx.get(url + shown, timeout=PATIENCE).text
    assert re.findall(r"^event: (\S+)$", answered, re.MULTILINE)[-2:] == ["input.requested", "lifecycle"]


@pytest.fixture(scope="module")
def bundled(folder: Path) -> Path:
    """The folder, with the page's script; packages are installed once for all runs of this test."""
    if not (shutil.which("npm") and shutil.which("npx")):
        if os.environ.get("CI"):
            pytest.fail("needs Node and npm; CI does not skip this test")
        pytest.skip("needs Node and npm")
    wanted = shlex.split(NPM)[2:]
    marker = NODE_MODULES / "installed.json"
    if not marker.exists() or json.loads(marker.read_text(encoding="utf-8")) != wanted:
        options = ["--no-audit", "--no-fund", "--no-package-lock", "--no-save", "--ignore-scripts"]
        done = subprocess.run(
            ["npm", "install", *options, *wanted], cwd=NODE_MODULES.parent, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        marker.write_text(json.dumps(wanted), encoding="utf-8")
    (folder / "page" / "node_modules").symlink_to(NODE_MODULES)
    done = run(BUNDLE, folder / "page")
    assert done.returncode == 0, done.stderr
    return folder


@contextmanager
def served(folder: Path, command_line: str = SERVE) -> Iterator[str]:
    """The tutorial's server, on a port that is free; its address."""
    command = [sys.executable, "-m", *shlex.split(command_line), "--port", "0"]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    pipes: Any = {"stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, cwd=folder, env=environment, **pipes) as process:
        try:
            assert process.stderr is not None
            for line in process.stderr:
                found = re.search(r"running on (http://\S+)", line)
                if found is not None:
                    yield found[1]
                    break
            else:
                pytest.fail("the server has not started")
        finally:
            process.terminate()
            process.wait(PATIENCE)


@pytest.mark.parametrize(("answer", "outcome"), [("Yes", "Booked: Bergen"), ("No", "Not booked.")])
def test_the_page_asks_and_goes_on(bundled: Path, answer: str, outcome: str) -> None:
    """Also over a reload while the agent waits for its user."""
    with served(bundled) as url, launched() as browser:
        context = browser.new_context()
        context.set_default_timeout(PATIENCE * 1000)
        watched: Any = Watched(context)
        watched.expected.append("404")  # the hook asks for a history, and does without one
        page = context.new_page()
        page.goto(url)
        page.get_by_label("Message").fill("Bergen, please.")
        page.get_by_role("button", name="Send").click()
        page.get_by_role("alert").get_by_text("Book the flight to Bergen?").wait_for()
        assert page.get_by_role("button", name="Send").is_disabled()  # a message would be taken for the answer
        page.reload()
        page.get_by_text("human: Bergen, please.").wait_for()
        page.get_by_role("alert").get_by_role("button", name=answer).click()
        page.get_by_text(f"tool: {outcome}").wait_for()
        page.get_by_text("ai: Have a good trip to Bergen.").wait_for()
        assert page.get_by_role("alert").count() == 0
        assert page.get_by_role("button", name="Send").is_enabled()
        watched.check()
        context.close()


SLOW = """
    import asyncio, pathlib
    pathlib.Path("working").touch()
    try:
        await asyncio.sleep(1000)
    except asyncio.CancelledError:
        pathlib.Path("stopped").touch()
        raise
"""
"""What the tool does once it has its answer."""


@pytest.mark.parametrize("reloaded", [False, True])
def test_the_button_stops_the_agent(bundled: Path, tmp_path: Path, *, reloaded: bool) -> None:
    """Also one that has been answered, and one that a page finds at work when it is loaded."""
    folder = tmp_path / "slow"
    shutil.copytree(bundled, folder, symlinks=True)
    agent = folder / "agent.py"
    asks = re.compile(r"^    answer = interrupt\(.*\n", re.MULTILINE)
    slow, found = asks.subn(lambda line: line[0] + SLOW.lstrip("\n"), agent.read_text(encoding="utf-8"))
    assert found == 1
    agent.write_text(slow, encoding="utf-8")
    with served(folder) as url, launched() as browser:
        page = browser.new_page()
        page.set_default_timeout(PATIENCE * 1000)
        page.goto(url)
        page.get_by_label("Message").fill("Bergen, please.")
        page.get_by_role("button", name="Send").click()
        page.get_by_role("alert").get_by_role("button", name="Yes").click()
        wait_for(folder / "working")
        if reloaded:
            page.reload()
        page.get_by_role("button", name="Stop").click()
        wait_for(folder / "stopped")
        page.get_by_role("button", name="Stop").wait_for(state="detached")
        assert page.get_by_role("alert").count() == 0


def wait_for(path: Path) -> None:
    """Until a file is there."""
    deadline = time.monotonic() + PATIENCE
    while not path.exists():
        assert time.monotonic() < deadline, path
        time.sleep(0.05)
