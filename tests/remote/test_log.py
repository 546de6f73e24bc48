"""The contract of a thread's log, for any implementation: add yours to `LOGS`. And the bounds of the one in memory."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import anyio
import pytest
from anyio.lowlevel import checkpoint

from anyiostream.remote import Draft, Limits, LogGap, MemoryLog, ThreadLog

pytestmark = pytest.mark.anyio

LOGS: dict[str, Callable[[Limits], ThreadLog]] = {"memory": lambda limits: MemoryLog("thread", limits)}


@pytest.fixture(params=LOGS)
def make_log(request: pytest.FixtureRequest) -> Callable[..., ThreadLog]:
    """Makes a log that keeps at most the given number of events."""
    return lambda events=1000, size=10**6: LOGS[request.param](Limits(events=events, bytes=size))


def draft(data: Any = None) -> Draft:
    """An event."""
    return Draft("values", ("a:1",), data, 123, {"node": "n"})


async def test_an_empty_log_has_nothing(make_log: Callable[..., ThreadLog]) -> None:
    """Its first event will be number 1, and reading from the beginning gives nothing."""
    log = make_log()
    assert (log.first, log.last) == (1, 0)
    assert list(await log.read(0)) == []


async def test_events_get_places_without_holes(make_log: Callable[..., ThreadLog]) -> None:
    """From 1, each one more; what is read is what was appended."""
    log = make_log()
    entries = [await log.append(draft(n)) for n in range(5)]
    assert [entry.seq for entry in entries] == [1, 2, 3, 4, 5]
    assert list(await log.read(0)) == entries
    assert list(await log.read(3)) == entries[3:]
    assert list(await log.read(5)) == []


async def test_an_entry_is_the_event_of_the_wire(make_log: Callable[..., ThreadLog]) -> None:
    """One line of JSON with everything that clients read."""
    entry = await make_log().append(draft({"x": "ä\n"}))
    assert b"\n" not in entry.body
    assert json.loads(entry.body) == {
        "type": "event",
        "event_id": entry.event_id,
        "seq": 1,
        "method": "values",
        "params": {"namespace": ["a:1"], "timestamp": 123, "node": "n", "data": {"x": "ä\n"}},
    }


async def test_event_ids_are_unique_over_logs(make_log: Callable[..., ThreadLog]) -> None:
    """Clients drop repeats, so a thread that is begun anew must not repeat the old one's ids."""
    first, second = make_log(), make_log()
    ids = {(await log.append(draft())).event_id for log in (first, first, second)}
    assert len(ids) == 3
    assert first.log_id != second.log_id


async def test_reading_is_cut_at_the_wanted_number(make_log: Callable[..., ThreadLog]) -> None:
    """Reading on after the last one read misses and repeats nothing."""
    log = make_log()
    for n in range(100):
        await log.append(draft(n))
    seen, after = [], 0
    while entries := await log.read(after, 7):
        assert len(entries) <= 7
        seen += [entry.seq for entry in entries]
        after = entries[-1].seq
    assert seen == list(range(1, 101))


async def test_what_was_forgotten_is_a_gap(make_log: Callable[..., ThreadLog]) -> None:
    """A reader whose next event is gone is told so, with the oldest there is; one whose next is there is not."""
    log = make_log(events=10)
    for n in range(25):
        await log.append(draft(n))
    assert (log.first, log.last) == (16, 25)
    with pytest.raises(LogGap) as caught:
        await log.read(14)
    assert (caught.value.after, caught.value.first) == (14, 16)
    assert "15 to 15" in str(caught.value)
    assert [entry.seq for entry in await log.read(15)] == list(range(16, 26))


async def test_bytes_are_bounded_too(make_log: Callable[..., ThreadLog]) -> None:
    """Few large events push out many small ones; the newest is kept whatever its size."""
    log = make_log(size=10_000)
    for n in range(30):
        await log.append(draft(n))
    await log.append(draft("x" * 9_000))
    entries = await log.read(log.first - 1)
    assert sum(len(entry.body) for entry in entries) <= 10_000
    await log.append(draft("x" * 50_000))
    assert (log.first, log.last) == (32, 32)


async def test_waiting_ends_with_the_next_event(make_log: Callable[..., ThreadLog]) -> None:
    """Any number of readers wait, and each finds the event."""
    log = make_log()
    found = []

    async def follow() -> None:
        await log.wait(0)
        found.append([entry.seq for entry in await log.read(0)])

    async with anyio.create_task_group() as tasks:
        for _ in range(3):
            tasks.start_soon(follow)
        await anyio.wait_all_tasks_blocked()
        assert found == []
        await log.append(draft())
    assert found == [[1]] * 3


async def test_nobody_waits_for_what_is_there(make_log: Callable[..., ThreadLog]) -> None:
    """Nor for what is gone: reading tells that."""
    log = make_log(events=2)
    for n in range(5):
        await log.append(draft(n))
    with anyio.fail_after(5):
        await log.wait(0)
        await log.wait(4)


async def test_a_cancelled_reader_takes_nothing(make_log: Callable[..., ThreadLog]) -> None:
    """The others read on, and so may it."""
    log = make_log()
    with anyio.CancelScope() as scope:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(log.wait, 0)
            await anyio.wait_all_tasks_blocked()
            scope.cancel()
    await log.append(draft())
    assert [entry.seq for entry in await log.read(0)] == [1]


async def test_writer_and_readers_at_once(make_log: Callable[..., ThreadLog]) -> None:
    """Followers that start anywhere see every event from there on, once, in order."""
    log = make_log()
    seen: dict[int, list[int]] = {start: [] for start in (0, 3, 50, 99)}

    async def follow(start: int) -> None:
        after = start
        while after < 200:
            await log.wait(after)
            for entry in await log.read(after, 3):
                seen[start].append(entry.seq)
                after = entry.seq

    async with anyio.create_task_group() as tasks:
        for _ in range(99):
            await log.append(draft())
        for start in seen:
            tasks.start_soon(follow, start)
        for _ in range(101):
            await log.append(draft())
            await checkpoint()
    assert seen == {start: list(range(start + 1, 201)) for start in seen}
