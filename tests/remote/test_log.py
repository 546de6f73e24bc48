"""The contract of a thread's log, over every store."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from itertools import count
from typing import Any

import anyio
import pytest
from anyio.lowlevel import checkpoint

from anyiostream.remote import Draft, LogGap, ThreadLog

from .store.conftest import opened, valkey_server  # noqa: F401 -- fixtures

pytestmark = pytest.mark.anyio

MakeLog = Callable[..., Awaitable[ThreadLog]]


@pytest.fixture
async def make_log(opened: Any) -> MakeLog:  # noqa: F811 -- the fixture
    """Makes a log that keeps at most the given number of events; further ones are of other threads."""
    stores: list[Any] = []
    names = map("t{}".format, count())

    async def make(events: int = 1000, size: int = 10**6) -> ThreadLog:
        if not stores:
            stores.append(await opened(events=events, bytes=size))
        (store,) = stores
        made: ThreadLog = store.log(await store.claim("", next(names), holder="", nonce="1"))
        return made

    return make


def draft(data: Any = None) -> Draft:
    """An event."""
    return Draft("values", ("a:1",), data, 123, {"node": "n"})


async def test_an_empty_log_has_nothing(make_log: MakeLog) -> None:
    """Reading from the beginning gives nothing."""
    log = await make_log()
    assert (log.first, log.last) == (1, 0)
    assert list(await log.read(0)) == []


async def test_events_get_places_without_holes(make_log: MakeLog) -> None:
    """Each one more than the one before; what is read is what was appended."""
    log = await make_log()
    entries = [await log.append(draft(n)) for n in range(5)]
    begin = entries[0].seq
    assert [entry.seq - begin for entry in entries] == [0, 1, 2, 3, 4]
    assert list(await log.read(0)) == entries
    assert list(await log.read(begin + 2)) == entries[3:]
    assert list(await log.read(begin + 4)) == []
    assert log.last == begin + 4


async def test_an_entry_is_the_event_of_the_wire(make_log: MakeLog) -> None:
    """One line of JSON with everything that clients read."""
    entry = await (await make_log()).append(draft({"x": "ä\n"}))
    assert b"\n" not in entry.body
    assert json.loads(entry.body) == {
        "type": "event",
        "event_id": entry.event_id,
        "seq": entry.seq,
        "method": "values",
        "params": {"namespace": ["a:1"], "timestamp": 123, "node": "n", "data": {"x": "ä\n"}},
    }


async def test_event_ids_are_unique_over_logs(make_log: MakeLog) -> None:
    """Clients drop repeats, so a thread that is begun anew must not repeat the old one's ids."""
    first, second = await make_log(), await make_log()
    ids = {(await log.append(draft())).event_id for log in (first, first, second)}
    assert len(ids) == 3
    assert first.log_id != second.log_id


async def test_event_ids_are_digits(make_log: MakeLog) -> None:
    """The log's and the event's, with a hyphen between them: some clients send back only such ids."""
    log = await make_log()
    entry = await log.append(draft())
    assert entry.event_id == f"{log.log_id}-{entry.seq}"
    assert log.log_id.isdigit()


async def test_reading_is_cut_at_the_wanted_number(make_log: MakeLog) -> None:
    """Reading on after the last one read misses and repeats nothing."""
    log = await make_log()
    places = [(await log.append(draft(n))).seq for n in range(100)]
    seen, after = [], 0
    while entries := await log.read(after, 7):
        assert len(entries) <= 7
        seen += [entry.seq for entry in entries]
        after = entries[-1].seq
    assert seen == places


async def test_what_was_forgotten_is_a_gap(make_log: MakeLog) -> None:
    """A reader whose next event is gone is told so, with the oldest there is; one whose next is there is not."""
    log = await make_log(events=10)
    places = [(await log.append(draft(n))).seq for n in range(25)]
    assert (log.first, log.last) == (places[15], places[24])
    for after in (places[13], places[0], 0):
        with pytest.raises(LogGap) as caught:
            await log.read(after)
        assert (caught.value.after, caught.value.first) == (after, places[15])
        assert f"{after + 1} to {places[14]}" in str(caught.value)
    assert [entry.seq for entry in await log.read(places[14])] == places[15:]


async def test_bytes_are_bounded_too(make_log: MakeLog) -> None:
    """Few large events push out many small ones; the newest is kept whatever its size."""
    log = await make_log(size=10_000)
    for n in range(30):
        await log.append(draft(n))
    await log.append(draft("x" * 9_000))
    entries = await log.read(log.first - 1)
    assert sum(len(entry.body) for entry in entries) <= 10_000
    newest = await log.append(draft("x" * 50_000))
    assert (log.first, log.last) == (newest.seq, newest.seq)


async def test_waiting_ends_with_the_next_event(make_log: MakeLog) -> None:
    """Any number of readers wait, and each finds the event."""
    log = await make_log()
    found = []

    async def follow() -> None:
        await log.wait(0)
        found.append([entry.seq for entry in await log.read(0)])

    async with anyio.create_task_group() as tasks:
        for _ in range(3):
            tasks.start_soon(follow)
        await anyio.wait_all_tasks_blocked()
        assert found == []
        written = await log.append(draft())
    assert found == [[written.seq]] * 3


async def test_nobody_waits_for_what_is_there(make_log: MakeLog) -> None:
    """Nor for what is gone: reading tells that."""
    log = await make_log(events=2)
    for n in range(5):
        await log.append(draft(n))
    await log.wait(0)
    await log.wait(log.last - 1)


async def test_a_cancelled_reader_takes_nothing(make_log: MakeLog) -> None:
    """The others read on, and so may it."""
    log = await make_log()
    with anyio.CancelScope() as scope:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(log.wait, 0)
            await anyio.wait_all_tasks_blocked()
            scope.cancel()
    written = await log.append(draft())
    assert list(await log.read(0)) == [written]


async def test_writer_and_readers_at_once(make_log: MakeLog) -> None:
    """Followers that start anywhere see every event from there on, once, in order."""
    log = await make_log()
    seen: dict[int, list[int]] = {start: [] for start in (0, 3, 50, 99)}
    begin = (await log.append(draft())).seq - 1

    async def follow(start: int) -> None:
        after = begin + start if start else 0
        while after < begin + 200:
            await log.wait(after)
            for entry in await log.read(after, 3):
                seen[start].append(entry.seq - begin)
                after = entry.seq

    async with anyio.create_task_group() as tasks:
        for _ in range(98):
            await log.append(draft())
        for start in seen:
            tasks.start_soon(follow, start)
        for _ in range(101):
            await log.append(draft())
            await checkpoint()
    assert seen == {start: list(range(start + 1, 201)) for start in seen}
