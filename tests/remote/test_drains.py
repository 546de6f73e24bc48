"""A run on a server is asked to stop at the end of its step, and its thread goes on from there."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import pytest
import sniffio

from anyiostream import GraphWriter, parts
from anyiostream.remote import Assistant, Limits, app
from anyiostream.remote.commands import RunStart
from anyiostream.remote.refusals import Refusal
from anyiostream.remote.service import Service
from anyiostream.remote.store import StoredLog, StoreFailed

from ..waiting import until
from .said import ends
from .several.deployment import CALLER, events_of, follow, start, state
from .store.test_survival import World

pytestmark = pytest.mark.anyio


def generator(given: Any) -> Iterator[Any]:
    """A graph without steps."""
    yield parts.values(given)


class Drained(World):
    """A world with a store in memory or in a file, and a function that looks for a request to stop."""

    def __init__(self, folder: Path, kind: str) -> None:
        super().__init__(folder)
        self.kind = kind

    def assistants(self) -> dict[str, Any]:
        """With one that stops where it says, and one that cannot."""
        return {**super().assistants(), "count": self.count, "generator": generator}

    async def count(self, given: Any, writer: GraphWriter) -> Any:
        """Take steps, each through a gate."""
        for n in range(given["from"], 4):
            await self.gate(str(n))
            await writer.values({"from": n + 1})
            writer.drain_if_requested()

    @asynccontextmanager
    async def served(self, **limits: Any) -> AsyncIterator[Service]:
        """A server."""
        if self.kind == "sqlite":
            async with super().served(**limits) as service:
                yield service
        else:
            service = app(self.assistants(), limits=Limits(**limits)).state.service
            async with service.running():
                yield service


@pytest.fixture(params=["memory", "sqlite"])
def world(request: pytest.FixtureRequest, tmp_path: Path) -> Drained:
    """One in memory, and one in a file."""
    return Drained(tmp_path, request.param)


async def ended(service: Service) -> dict[str, Any]:
    """The last event about the run itself, when it has ended."""
    await state(service)
    events = await events_of(service)
    (*_, end) = (each for each in events if each["method"] == "lifecycle" and not each["params"]["namespace"])
    data: dict[str, Any] = end["params"]["data"]
    return data


async def test_a_run_stops_at_the_end_of_its_step(world: Drained) -> None:
    """Viewers are told why; the thread goes on with the input `None`, and nothing is done twice."""
    world.shut.add("b")
    async with world.served() as service:
        run_id = await start(service, "steps", {"trail": ["x"]})
        await until(lambda: "b" in world.waiting)
        assert await service.cancel(CALLER, "t", run_id, wait=False, drain=True) == {}
        world.shut.clear()
        assert await ended(service) == {"event": "interrupted", "reason": "drained", "run_id": run_id}
        found = await state(service)
        assert found["values"] == {"trail": ["x", "a", "b"]}
        again = await start(service, "steps", None)
        assert (await state(service))["values"] == {"trail": ["x", "a", "b", "c"]}
        assert world.calls == ["a", "b", "c"]
        assert ends(await events_of(service))[-1] == ("completed", again)


async def test_it_can_be_waited_for(world: Drained) -> None:
    """Until nothing of the run is alive, or for as long as the server waits for that."""
    async with world.served(shutdown=0.01) as service:
        world.shut.add("b")
        run_id = await start(service, "steps", {"trail": []})
        await until(lambda: "b" in world.waiting)
        told = await service.cancel(CALLER, "t", run_id, wait=True, drain=True)
        assert told == {"stopped": False, "running": ["b"]}
        world.shut.clear()
        await ended(service)
    async with world.served() as service:
        world.shut.add("b")
        run_id = await start(service, "steps", {"trail": []}, "u")
        await until(lambda: "b" in world.waiting)
        await service.cancel(CALLER, "u", run_id, wait=False, drain=True)
        world.shut.clear()
        await state(service, "u")
        with pytest.raises(Refusal, match="no such run"):
            await service.cancel(CALLER, "u", run_id, wait=True, drain=True)


async def test_a_run_whose_turn_has_not_come_takes_no_step(world: Drained) -> None:
    """Its input is kept: the thread goes on with it."""
    world.shut.add("b")
    async with world.served() as service:
        await start(service, "steps", {"trail": ["x"]})
        queued = await start(service, "steps", {"trail": ["y"]})
        await until(lambda: "b" in world.waiting)
        await service.cancel(CALLER, "t", queued, wait=False, drain=True)
        world.shut.clear()
        assert await ended(service) == {"event": "interrupted", "reason": "drained", "run_id": queued}
        assert world.calls == ["a", "b", "c"]
        await start(service, "steps", None)
        assert (await state(service))["values"]["trail"] == [*"xabc", *"yabc"]


async def test_a_function_stops_where_it_says(world: Drained) -> None:
    """What it had is the thread's state."""
    world.shut.add("2")
    async with world.served() as service:
        run_id = await start(service, "count", {"from": 1})
        await until(lambda: "2" in world.waiting)
        await service.cancel(CALLER, "t", run_id, wait=False, drain=True)
        world.shut.clear()
        assert (await ended(service))["reason"] == "drained"
        found = (await state(service))["values"]
        assert found == {"from": 3}
        await start(service, "count", found)
        assert (await state(service))["values"] == {"from": 4}
        assert world.calls == ["1", "2", "3"]


async def test_a_graph_without_steps_is_refused(world: Drained) -> None:
    """Nothing happens to its run."""
    world.shut.add("a")
    async with world.served() as service:
        await start(service, "steps", {"trail": []})
        await until(lambda: "a" in world.waiting)
        run_id = await start(service, "generator", {"x": 1})
        with pytest.raises(Refusal, match="has no steps") as caught:
            await service.cancel(CALLER, "t", run_id, wait=False, drain=True)
        assert (caught.value.code, caught.value.status) == ("not_supported", 400)
        world.shut.clear()
        assert await ended(service) == {"event": "completed", "run_id": run_id}


async def test_a_run_that_is_to_stop_may_be_stopped_at_once(world: Drained) -> None:
    """And not the other way round."""
    world.shut.add("b")
    async with world.served() as service:
        run_id = await start(service, "steps", {"trail": []})
        await until(lambda: "b" in world.waiting)
        await service.cancel(CALLER, "t", run_id, wait=False, drain=True)
        told = await service.cancel(CALLER, "t", run_id, wait=True)
        assert told == {"stopped": True, "running": []}
        assert (await ended(service))["reason"] == "aborted"


@pytest.mark.parametrize("how", ["lost", "cancelled"])
async def test_a_request_that_nobody_hears_the_end_of(
    world: Drained, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is noted in the store, so the run stops, although the answer is lost or whoever asked is gone."""
    noted = StoredLog.cancel
    is_asyncio = sniffio.current_async_library() == "asyncio"

    async def unheard(log: StoredLog, place: int, **options: Any) -> None:
        await noted(log, place, **options)
        if how == "lost":
            raise StoreFailed("its answer is lost")
        if is_asyncio:
            task = asyncio.current_task()
            assert task is not None
            task.cancel()  # which no shield of AnyIO holds up
        await anyio.sleep_forever()

    async def ask() -> None:
        if how == "lost" or not is_asyncio:
            with pytest.raises(StoreFailed) if how == "lost" else anyio.move_on_after(0.1):
                await service.cancel(CALLER, "t", run_id, wait=False, drain=True)
        else:
            with pytest.raises(asyncio.CancelledError):
                await asyncio.create_task(service.cancel(CALLER, "t", run_id, wait=False, drain=True))

    world.shut.add("b")
    async with world.served() as service:
        run_id = await start(service, "steps", {"trail": []})
        await until(lambda: "b" in world.waiting)
        monkeypatch.setattr(StoredLog, "cancel", unheard)
        await ask()
        monkeypatch.undo()
        world.shut.clear()
        assert (await ended(service))["reason"] == "drained"


async def test_a_request_outlives_its_server(tmp_path: Path) -> None:
    """Whoever goes on with the run lets it stop before it takes a step."""
    world = Drained(tmp_path / "one", "sqlite")
    world.folder.mkdir()
    world.shut.add("b")
    async with world.served() as service:
        run_id = await start(service, "steps", {"trail": ["x"]})
        await until(lambda: "b" in world.waiting)
        await service.cancel(CALLER, "t", run_id, wait=False, drain=True)
        left = world.died()
        world.shut.clear()
    heir = Drained(left.folder, "sqlite")
    async with heir.served() as service:
        assert (await ended(service))["reason"] == "drained"
        assert heir.calls == []
        await start(service, "steps", None)
        assert (await state(service))["values"]["trail"] == ["x", "a", "b", "c"]
    assert heir.calls == ["b", "c"]


async def test_a_run_that_a_client_has_stopped_is_not_handed_over(tmp_path: Path) -> None:
    """When its server is being stopped, too: nobody goes on with it."""
    world = Drained(tmp_path, "sqlite")
    world.shut.add("b")
    async with world.served(drain=60.0) as service:
        run_id = await start(service, "steps", {"trail": []})
        await until(lambda: "b" in world.waiting)
        await service.cancel(CALLER, "t", run_id, wait=False, drain=True)
        service.runner.close()
        world.shut.clear()
    async with world.served() as service:
        assert await ended(service) == {"event": "interrupted", "reason": "drained", "run_id": run_id}
    assert world.calls == ["a", "b"]


async def test_a_viewer_may_leave(world: Drained) -> None:
    """Nobody has to read a run for it to stop."""
    world.shut.add("b")
    async with world.served() as service:
        run_id = str((await service.execute(CALLER, "t", RunStart("steps", {"trail": []}, {}, {})))["run_id"])
        async with aclosing(follow(service)) as batches:
            async for _ in batches:
                break
        await until(lambda: "b" in world.waiting)
        await service.cancel(CALLER, "t", run_id, wait=False, drain=True)
        world.shut.clear()
        assert (await ended(service))["reason"] == "drained"


def test_runs_of_an_assistant_share_no_control() -> None:
    """Whoever drains a run of theirs would drain everybody's."""
    with pytest.raises(ValueError, match="would drain everybody's"):
        Assistant(graph=print, options={"control": object()})
