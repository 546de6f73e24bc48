"""The projections that show one stream mode as it is."""

from __future__ import annotations

from typing import Any

import pytest

from anyiostream import parts

from .adapter import Lab

TRANSFORMERS = {
    "values": "ValuesTransformer",
    "updates": "UpdatesTransformer",
    "custom": "CustomTransformer",
    "checkpoints": "CheckpointsTransformer",
    "debug": "DebugTransformer",
    "tasks": "TasksTransformer",
}

PAYLOADS: list[Any] = [{"id": "1", "name": "node"}, {"id": "1", "name": "node", "result": None}, {"id": "2"}]
"""Payloads that suit every mode, `tasks` included."""

projections = pytest.mark.parametrize("projection", TRANSFORMERS)


def part(mode: str, data: Any, ns: tuple[str, ...] = ()) -> Any:
    """A part of any mode."""
    return {"type": mode, "ns": ns, "data": data}


def opened(lab: Lab, projection: str, script: list[Any], **options: Any) -> Any:
    """A run with that projection."""
    extra = [] if projection == "values" else [getattr(lab.api, TRANSFORMERS[projection])]
    return lab.open(script, transformers=extra, **options)


@projections
async def test_own_scope_in_order(lab: Lab, projection: str) -> None:
    """(134) A data projection shows the payloads of its mode at its own scope, in order."""
    script = [
        part(projection, PAYLOADS[0]),
        part(projection, {"id": "9", "name": "below"}, ns=("sub:1",)),
        part("other", "another mode"),
        part(projection, PAYLOADS[1]),
        part(projection, PAYLOADS[2]),
    ]
    async with opened(lab, projection, script) as run:
        items = await lab.items(getattr(run, projection))
    assert items == PAYLOADS
    assert all(item is payload for item, payload in zip(items, PAYLOADS, strict=True))


@pytest.mark.parametrize("projection", sorted({*TRANSFORMERS} - {"tasks"}))
async def test_any_payload(lab: Lab, projection: str) -> None:
    """(134) A payload may be anything, and comes out as the same object."""
    payloads = [None, 0, "", "text", [], (1, 2), {"a": 1}, object()]
    async with opened(lab, projection, [part(projection, payload) for payload in payloads]) as run:
        items = await lab.items(getattr(run, projection))
    assert all(item is payload for item, payload in zip(items, payloads, strict=True))


@projections
async def test_scope(lab: Lab, projection: str) -> None:
    """(134) In a run with a scope of its own, that is the scope whose payloads are shown."""
    script = [part(projection, PAYLOADS[0]), part(projection, PAYLOADS[2], ns=("outer:1",))]
    async with opened(lab, projection, script, scope=("outer:1",)) as run:
        assert await lab.items(getattr(run, projection)) == [PAYLOADS[2]]


@projections
async def test_handles_show_their_own(lab: Lab, projection: str) -> None:
    """(134) What happens in a subgraph is on its handle's projection of the same name."""
    below = {"id": "3", "name": "below"}
    script = [parts.task_start("2", "x", ns=("sub:1",)), part(projection, below, ns=("sub:1",)), part("values", "end")]
    async with opened(lab, projection, script) as run:
        handle = await lab.reader(run.subgraphs).next()
        assert (await lab.items(getattr(handle, projection)))[-1] == below


@pytest.mark.parametrize("projection", sorted({*TRANSFORMERS} - {"tasks"}))
async def test_raw_event_stays(lab: Lab, projection: str) -> None:
    """(135) A data projection does not keep the event out of the raw log."""
    async with opened(lab, projection, [part(projection, payload) for payload in PAYLOADS]) as run:
        events = await lab.items(run)
    assert [(each["method"], each["params"]["data"]) for each in events] == [(projection, each) for each in PAYLOADS]


@projections
async def test_declarations(lab: Lab, projection: str) -> None:
    """(136) A data transformer is native and declares the one mode that it requires."""
    transformer = getattr(lab.api, TRANSFORMERS[projection])
    assert transformer._native is True  # noqa: SLF001 -- LangGraph's name for it
    assert tuple(transformer.required_stream_modes) == (projection,)
    async with opened(lab, projection, []) as run:
        assert getattr(run, projection) is run.extensions[projection]


async def test_tasks_although_suppressed(lab: Lab) -> None:
    """(137) `tasks` is filled although `lifecycle` keeps the events out of the raw log."""
    script = [parts.task_start("1", "node"), parts.task_result("1", "node"), parts.values("end")]
    async with opened(lab, "tasks", script) as run:
        log = lab.reader(run)
        items = await lab.items(run.tasks)
        assert [each["method"] for each in await log.rest()] == ["values"]
    assert items == [script[0]["data"], script[1]["data"]]
