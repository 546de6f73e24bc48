"""The page's fold is Python's: on recorded logs, and on random ones."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import anyio
import pytest

import anyiostream.page
from anyiostream import GraphWriter, open_run
from anyiostream.wire import WireEncoder, WireTransformer

from .folding import folded, placed, random_log

STATIC = Path(anyiostream.page.__file__).with_name("static")
SCRIPT = Path(__file__).with_name("javascript") / "fold.test.mjs"


async def varied(_: Any, writer: GraphWriter) -> Any:
    """A function graph that writes something of every kind."""
    await writer.values({"step": 1})
    await writer.updates({"node": {"step": 1}})
    async with writer.message(node="model") as message:
        await message.reasoning("hm")
        for piece in ("Good ", "morning", "!"):
            await message.text(piece)
        await message.tool_call("search", {"q": "x"}, tool_call_id="t1")
    async with writer.tool_call("search", {"q": "x"}, tool_call_id="t1") as call:
        await call.delta("half")
        call.output = "found"
    async with writer.subgraph("outer") as outer, outer.subgraph("inner") as inner, inner.message() as message:
        await message.text("deep")
    return {"step": 2}


async def breaks_off(_: Any, writer: GraphWriter) -> Any:
    """A function graph that fails in the middle of everything."""
    async with writer.subgraph("outer") as outer, outer.message() as message:
        await message.text("half a sen")
        async with outer.tool_call("search", tool_call_id="t1"):
            raise ValueError("it broke")


async def asks(_: Any, writer: GraphWriter) -> None:
    """A function graph that waits for its user."""
    await writer.interrupt("who?")


async def recorded(graph: Any) -> list[dict[str, Any]]:
    """The events of the wire of a run."""
    encoder, drafts = WireEncoder(), []
    try:
        async with open_run(graph, None, transformers=[WireTransformer], root_lifecycle=True) as run:
            async for event in run:
                drafts += encoder.encode(event)
    except ValueError as exc:
        drafts += encoder.fail(exc)
    return placed(drafts)


def test_the_page_folds_as_python_does(tmp_path: Path) -> None:
    """Messages, calls, the tree, values, status and sums are the same; any prefix, reconnection or cut."""
    node = shutil.which("node")
    if node is None:
        assert not os.environ.get("CI"), "CI needs Node.js"
        pytest.skip("needs Node.js")
    cases = [
        {"name": graph.__name__, "events": anyio.run(recorded, graph, backend=backend)}
        for graph in (varied, breaks_off, asks)
        for backend in ("asyncio", "trio")
    ]
    cases += [{"name": f"random {seed}", "events": random_log(seed)} for seed in range(300)]
    for case in cases:
        case["expected"] = folded(case["events"])
    (tmp_path / "cases.json").write_text(json.dumps(cases), encoding="utf-8")
    environment = {**os.environ, "CASES": str(tmp_path / "cases.json"), "STATIC": STATIC.as_uri()}
    command = [node, "--test", str(SCRIPT)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-6000:]
