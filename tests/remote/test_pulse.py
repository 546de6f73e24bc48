"""Streams say that they are alive when they have sent nothing for a while, whatever happens that they do not show."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import pairwise
from typing import Any, Literal

import anyio
import pytest

from anyiostream.remote import Draft, Limits, MemoryLog
from anyiostream.remote.performing import perform
from anyiostream.remote.pulse import Pulse
from anyiostream.remote.subscriptions import Selection, Subscription
from anyiostream.remote.thread import Thread
from anyiostream.remote.viewer import Viewer

run_seeded = pytest.importorskip("anyiostream.testing").run_seeded

HEARTBEAT = 8.0
"""Seconds, of a clock that does not wait."""


def seen(
    backend: Literal["asyncio", "trio"], act: Callable[[Thread], Any], seconds: float, heartbeat: float = HEARTBEAT
) -> list[tuple[float, str]]:
    """What a viewer of values sends within so long, and when."""

    async def main() -> list[tuple[float, str]]:
        limits = Limits()
        thread, pulse = Thread("t", "", MemoryLog("t", limits), limits, perform), Pulse(heartbeat)
        viewer, sent, begun = Viewer(thread, pulse), list[tuple[float, str]](), anyio.current_time()
        await viewer.add("s", Subscription(Selection(frozenset({"values"})), since=0))

        async def send() -> None:
            while True:
                for entry in await viewer.batch():
                    sent.append((anyio.current_time() - begun, entry.method))
                    viewer.spoke()
                if not await viewer.wait():
                    sent.append((anyio.current_time() - begun, "heartbeat"))

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(pulse.run, lambda: [viewer])
            tasks.start_soon(send)
            tasks.start_soon(act, thread)
            await anyio.sleep(seconds)
            tasks.cancel_scope.cancel()
        return sent

    return run_seeded(main, backend=backend)  # type: ignore[no-any-return]


async def nothing(thread: Thread) -> None:
    """Nothing happens."""


async def write(thread: Thread, *methods: str, every: float = 1.5) -> None:
    """Events of these kinds in turn, again and again."""
    while True:
        for method in methods:
            await anyio.sleep(every)
            await thread.log.append(Draft(method, (), None, 0))


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_a_silent_stream_has_heartbeats(backend: Literal["asyncio", "trio"]) -> None:
    """One after each heartbeat's time at the latest, and not after less than three quarters of it."""
    sent = seen(backend, nothing, 5 * HEARTBEAT)
    times = [0.0, *(when for when, _ in sent)]
    pauses = [after - before for before, after in pairwise(times)]
    assert {what for _, what in sent} == {"heartbeat"}
    assert len(sent) >= 4
    assert all(0.75 * HEARTBEAT <= pause <= HEARTBEAT + 0.01 for pause in pauses)


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_events_that_are_not_wanted_are_no_sign_of_life(backend: Literal["asyncio", "trio"]) -> None:
    """A client that has asked for values would take a connection for lost over which only tokens could come."""
    sent = seen(backend, lambda thread: write(thread, "messages"), 5 * HEARTBEAT)
    assert {what for _, what in sent} == {"heartbeat"}
    assert len(sent) >= 4


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_a_stream_that_sends_has_none(backend: Literal["asyncio", "trio"]) -> None:
    """Each event puts them off."""
    sent = seen(backend, lambda thread: write(thread, "values", "messages"), 5 * HEARTBEAT)
    assert {what for _, what in sent} == {"values"}
    assert len(sent) > 10


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_there_may_be_none_at_all(backend: Literal["asyncio", "trio"]) -> None:
    """Nothing is said then, however long it takes."""
    assert seen(backend, nothing, 100 * HEARTBEAT, heartbeat=math.inf) == []
