"""Runs that begin at a checkpoint, and whose server stops or dies: the next one goes on, and does not begin again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import anyio
import pytest

from anyiostream import asyncio_host
from anyiostream.remote.commands import Beginning, RunStart
from anyiostream.remote.service import Service

from ...waiting import until
from .deployment import CALLER, state
from .test_front_ends import Chats, ChatsInAFile, at, chats
from .test_stops import Member

__all__ = ["chats"]

pytestmark = pytest.mark.anyio

EDITED = {"messages": [{"id": "two", "type": "human", "content": "two"}]}

GIVEN = pytest.mark.parametrize("given", [None, EDITED], ids=["regenerated", "edited"])


async def states(service: Service) -> list[Any]:
    """The thread's states, the newest first."""
    graph = service.assistant("chat").graph

    async def collect() -> list[Any]:
        return [each async for each in graph.aget_state_history({"configurable": {"thread_id": "chat"}})]

    async with asyncio_host() as host:
        return await host.run(collect)


def place(config: Any) -> Any:
    """The id of a checkpoint."""
    return config and config["configurable"]["checkpoint_id"]


async def before(service: Service, given: Any) -> str:
    """The checkpoint before the second answer, or before the message that is edited."""
    text = "two" if given else "2: one, 1: one, two"
    found = [each for each in await states(service) if text in [m.content for m in each.values.get("messages", ())]]
    return str(place(found[-1].parent_config))


async def branches(service: Service, checkpoint_id: str) -> int:
    """How many checkpoints follow that one."""
    return sum(place(each.parent_config) == checkpoint_id for each in await states(service))


async def begin(service: Service, given: Any, where: str) -> None:
    """Have the second of two answers written anew, by a run that begins at a checkpoint."""
    await service.execute(CALLER, "chat", RunStart("chat", given, {}, {}, Beginning(checkpoint_id=where)))


@GIVEN
async def test_a_run_goes_on_at_another_server(chats: Chats, given: Any) -> None:
    """From its own checkpoint. A server that has not begun it begins it at the one that was asked for."""
    async with chats.member() as other:
        await at(other).ask("one")
        await at(other).ask("two")
        where = await before(other, given)
        chats.shut.add("two")
        async with anyio.create_task_group() as tasks:
            one = Member(chats)
            await tasks.start(one.run)
            await begin(one.service, given, where)
            await until(lambda: "two" in chats.waiting)
            one.stopping.set()
            await one.stopped.wait()
            chats.shut.clear()
        await state(other, "chat")
        history = await at(other).history()
        assert history[:3] == ["one", "1: one", "two"]
        assert history[3].endswith(": one, 1: one, two")
        assert history[3] != "2: one, 1: one, two"
        assert len(history) == 4
        assert await branches(other, where) == 2


@GIVEN
async def test_a_run_goes_on_after_a_crash(tmp_path: Path, given: Any) -> None:
    """The next server over the file finds where the run began, and how far it has come."""
    world = ChatsInAFile(tmp_path)
    async with world.served() as one:
        await at(one).ask("one")
        await at(one).ask("two")
        world.shut.add("two")
        where = await before(one, given)
        await begin(one, given, where)
        await until(lambda: "two" in world.waiting)
        # It has not begun yet when the server dies.
        await begin(one, given, where)
        after = ChatsInAFile(tmp_path / "after")
        assert world.died().folder == after.folder
        async with after.served() as other:
            found = await other.thread("chat", "")
            await until(lambda: not found.busy)
            history = await at(other).history()
            assert history[:3] == ["one", "1: one", "two"]
            assert history[3].endswith(": one, 1: one, two")
            assert len(history) == 4
            assert await branches(other, where) == 3
        world.shut.clear()
