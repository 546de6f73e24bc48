"""The clients that docs/remote.md shows read what its server serves."""

from __future__ import annotations

import re
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest

import anyiostream
from anyiostream.remote import app

from ..graphs import chat_graph
from .raw import Client
from .serving import serving

pytestmark = pytest.mark.early

ROOT = Path(anyiostream.__file__).parent.parent
TEXT = (ROOT / "docs" / "remote.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    """The blocks of the document: `python` for whole programs, `py` for what needs a server and an event loop."""
    return re.findall(rf"^```{language}\n(.*?)^```$", TEXT, re.DOTALL | re.MULTILINE)


GRAPH, APPLICATION, HOOK = blocks("python")
OFFICIAL, OURS, REGENERATING = blocks("py")


def as_program(block: str) -> str:
    """A block that awaits, as a program."""
    return f"import anyio\n\nasync def main():\n{textwrap.indent(block, '    ')}\nanyio.run(main)"


@pytest.mark.parametrize(
    ("block", "shown"),
    [(OFFICIAL, "{'greeted': 'Ada'}\n"), (OURS, "Good morning, Ada!{'greeted': 'Ada'}\n")],
    ids=["official", "ours"],
)
def test_the_clients(block: str, shown: str) -> None:
    """Both read what the graph of the document says."""
    names: dict[str, object] = {}
    exec(GRAPH, names)
    with serving("uvicorn", app({"greet": names["greet"]})) as url:
        program = as_program(block).replace("http://127.0.0.1:2024", url)
        command = [sys.executable, "-c", program]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, shown, "")


def test_an_answer_is_regenerated() -> None:
    """It is another message in the place of the first one."""
    asks = """
client = get_client(url=url, api_key=None)
thread_id = (await client.threads.create())["thread_id"]
first = await client.runs.wait(thread_id, "agent", input={"messages": [{"role": "user", "content": "hi"}]})
"""
    compares = """
state = await client.threads.get_state(thread_id)
print([one["id"] == other["id"] for one, other in zip(first["messages"], state["values"]["messages"], strict=True)])
"""
    with serving("uvicorn", app({"agent": chat_graph()})) as url:
        program = f"from langgraph_sdk import get_client\nurl = {url!r}\n{as_program(asks + REGENERATING + compares)}"
        done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "[True, False]\n"), done.stderr


def test_the_application_and_the_hook() -> None:
    """They fit together."""
    names: dict[str, Any] = {}
    exec(HOOK, names)
    exec(APPLICATION.replace("limits=", "authorize=authorize, limits="), names)
    with serving("uvicorn", names["application"]) as url, Client(url) as client:
        assert client.state().status_code == 401
        assert client.http.get("/threads/t/state", headers={"authorization": "Bearer 3f1c"}).status_code == 404


def test_the_answer_of_the_guide_to_interrupts() -> None:
    """The official client reads the question, and answers it."""
    guide = (ROOT / "docs" / "guides" / "interrupts.md").read_text(encoding="utf-8")
    graph = re.findall(r"^```python\n(.*?)^```$", guide, re.DOTALL | re.MULTILINE)[0]
    fragment = re.findall(r"^```py\n(.*?)^```$", guide, re.DOTALL | re.MULTILINE)[-1]
    names: dict[str, Any] = {}
    exec(graph, names)
    program = f"from langgraph_sdk import get_client\n{as_program(fragment)}"
    with serving("uvicorn", app({"order": names["graph"]})) as url:
        command = [sys.executable, "-c", f"url = {url!r}\n{program}"]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "{'item': 'a piano', 'answer': 'yes'}\n"
