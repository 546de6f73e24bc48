"""Servers that share a store and checkpoints, in one process, and what the tests do with them."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import anyio

from anyiostream.remote import Limits, app
from anyiostream.remote.access import Caller
from anyiostream.remote.commands import Answer, InputRespond, RunStart
from anyiostream.remote.official.threads import at_rest
from anyiostream.remote.service import Service
from anyiostream.remote.store.redis import RedisStore
from anyiostream.remote.subscriptions import Selection, Subscription
from anyiostream.remote.viewer import Viewer

from ...waiting import until
from ..store.test_survival import World

__all__ = ["ALL", "CALLER", "Deployment", "answer", "events_of", "follow", "ready", "start", "state"]

CALLER = Caller({}, None)

CHANNELS = "values lifecycle input custom messages tools checkpoints tasks updates"

ALL = Subscription(Selection(frozenset(CHANNELS.split())))


class Deployment(World):
    """A world whose servers share a store in Valkey."""

    def __init__(self, url: str, folder: Path) -> None:
        super().__init__(folder)
        self.url = f"{url}?prefix={uuid4()}"

    def store(self, **options: Any) -> RedisStore:
        """A server's store, whose lease outlasts any machine's pauses: tests that want it to run out have a clock."""
        return RedisStore(self.url, **{"lease": 60.0, "deadline": 60.0, **options})

    def assistants(self) -> dict[str, Any]:
        """Those whose checkpoints can be shared."""
        return {name: each for name, each in super().assistants().items() if name != "memory"}

    @asynccontextmanager
    async def member(self, store: RedisStore | None = None, **limits: Any) -> AsyncIterator[Service]:
        """A server, when it has joined."""
        limits = {"drain": 0.01, **limits}
        application = app(self.assistants(), store=store or self.store(), limits=Limits(**limits))
        service: Service = application.state.service
        async with service.running():
            fleet: Any = service.runner.fleet
            await until(lambda: bool(fleet.holder))
            yield service


async def ready(service: Service) -> None:
    """Wait until it is."""
    while await service.unready() is not None:
        await anyio.sleep(0.001)


async def start(service: Service, assistant: str, given: Any = None, thread: str = "t", **options: Any) -> str:
    """Start a run; its id."""
    result = await service.execute(CALLER, thread, RunStart(assistant, given, {}, {}), **options)
    return str(result["run_id"])


async def answer(service: Service, response: Any, thread: str = "t", **options: Any) -> str:
    """Answer what is asked; the id of the run that goes on."""
    shown = await service.known_thread(thread, "")
    assert shown is not None
    answers = tuple(Answer(each, (), response) for each in shown.snapshot.interrupts)
    assert answers
    command = InputRespond(answers, None, None, {}, {})
    return str((await service.execute(CALLER, thread, command, **options))["run_id"])


async def state(service: Service, thread: str = "t") -> Any:
    """The thread's state, when it has nothing to run."""
    async with aclosing(follow(service, thread)) as batches:
        async for _ in batches:
            found = await service.known_thread(thread, "")
            assert found is not None
            await at_rest(found)  # where one server has the store, the log has a run's end before the run is over
            if not found.busy:
                return found.state()
    raise AssertionError


async def follow(service: Service, thread: str = "t") -> AsyncGenerator[list[Any]]:
    """The thread's events, as a viewer is shown them, in batches; the first one at once."""
    viewer = Viewer(await service.thread(thread, ""))
    await viewer.add("s", Subscription(ALL.selection, since=0))
    while True:
        yield [json.loads(entry.body) for entry in await viewer.batch()]
        if viewer.cursor >= viewer.thread.log.last:
            await viewer.thread.log.wait(viewer.cursor)


async def events_of(service: Service, thread: str = "t") -> list[Any]:
    """Every event of the thread by now."""
    found = await service.thread(thread, "")
    return [json.loads(entry.body) for entry in await found.log.read(0, 10_000)]
