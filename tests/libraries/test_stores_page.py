"""The program of the page on stores serves a graph whose questions outlive the server."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

CHAT = """
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.types import interrupt


async def ask(state: MessagesState):
    return {"messages": [("ai", f"You say {interrupt('Really?')}.")]}


builder = StateGraph(MessagesState).add_node(ask).add_edge(START, "ask")
"""

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


def test_a_question_is_answered_by_the_next_process(tmp_path: Path) -> None:
    """The program is run as it is written, twice, in the same folder."""
    page = (ROOT / "docs" / "stores.md").read_text(encoding="utf-8")
    (program,) = re.findall(r"^```py\n(# service\.py\n.*?)^```$", page, re.DOTALL | re.MULTILINE)
    for name, text in (("service.py", program), ("chat.py", CHAT), ("driver.py", DRIVER)):
        (tmp_path / name).write_text(text, encoding="utf-8")
    shown = []
    for what in ("ask", "answer"):
        done = subprocess.run(
            [sys.executable, "driver.py", what], cwd=tmp_path, capture_output=True, text=True, check=False
        )
        assert (done.returncode, done.stderr) == (0, "")
        shown.append(done.stdout)
    assert "Really?" in shown[0]
    assert "You say" not in shown[0]
    assert "You say yes." in shown[1]
