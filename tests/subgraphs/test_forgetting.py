"""What has ended is forgotten."""

from __future__ import annotations

import gc
import weakref
from typing import Any

import pytest

from anyiostream import StreamTransformer, parts

from .scripts import nest, subgraph

pytestmark = pytest.mark.anyio


class Idle(StreamTransformer):
    """A transformer of the user's, so that every subgraph has one."""

    def init(self) -> dict[str, Any]:
        """No projection."""
        return {}

    def process(self, event: Any) -> bool:
        """Nothing."""
        return True


@pytest.mark.parametrize("transformers", [[], [Idle]], ids=["built-in", "user's"])
@pytest.mark.parametrize("how", ["values", "output", "log", "unread", "abort"])
async def test_a_finished_handle_that_is_dropped_is_freed(lane: Any, how: str, transformers: list[Any]) -> None:
    """While the run goes on, the run keeps nothing of a subgraph that has ended, however it was read."""
    script = [
        *subgraph("1", lambda ns: [parts.values(n, ns=ns) for n in range(3)]),
        *(part for n in range(2, 12) for part in subgraph(str(n), lambda ns: [parts.values("next", ns=ns)])),
        parts.values("end"),
    ]
    async with lane.open(lane.source(script), transformers=transformers) as run:
        handles = lane.cursor(run.subgraphs)
        handle = await lane.next(handles)
        if how == "values":
            assert await lane.collect(handle.values) == [0, 1, 2]
        elif how == "output":
            assert await lane.output(handle) == 2
        elif how == "log":
            assert len(await lane.collect(handle)) == 3
        elif how == "abort":
            await lane.abort(handle)
        dropped = weakref.ref(handle)
        del handle
        for _ in range(5):
            await lane.next(handles)
        gc.collect()
        assert dropped() is None
        assert run.statistics().subgraphs <= 1
        assert await lane.output(run) == "end"
        assert run.statistics().subgraphs == 0


async def test_the_handles_of_nested_subgraphs_are_freed(lane: Any) -> None:
    """All levels, when the outermost has ended and been dropped."""
    script = [*nest(4), *(part for n in range(5) for part in subgraph(f"x{n}", lambda ns: []))]
    dropped: list[Any] = []

    async def descend(stream: Any) -> None:
        handle = await lane.next(lane.cursor(stream.subgraphs))
        dropped.append(weakref.ref(handle))
        if len(dropped) < 4:
            await descend(handle)
        await lane.output(handle)

    async with lane.open(lane.source(script)) as run:
        handles = lane.cursor(run.subgraphs)
        outer = await lane.next(handles)
        dropped.append(weakref.ref(outer))
        await descend(outer)
        await lane.output(outer)
        del outer
        for _ in range(5):
            await lane.next(handles)
        gc.collect()
        assert [each() for each in dropped] == [None] * 4


async def test_a_failed_handle_that_is_dropped_is_freed(lane: Any) -> None:
    """Its exception does not keep it."""
    script = [
        *subgraph("1", lambda ns: [], error="broken"),
        *(part for n in range(5) for part in subgraph(f"x{n}", lambda ns: [])),
    ]
    async with lane.open(lane.source(script)) as run:
        handles = lane.cursor(run.subgraphs)
        handle = await lane.next(handles)
        with pytest.raises(RuntimeError):
            await lane.output(handle)
        dropped = weakref.ref(handle)
        del handle
        for _ in range(5):
            await lane.next(handles)
        gc.collect()
        assert dropped() is None


async def test_a_subgraph_that_nobody_sees_has_no_handle(lane: Any) -> None:
    """Nothing is kept or announced for it but its lifecycle."""
    async with lane.open(lane.source(nest(3))) as run:
        payloads = await lane.collect(run.lifecycle)
        assert len(payloads) == 6
        assert run.statistics().subgraphs == 0
        assert run.statistics().channels["subgraphs"].unread == 1
