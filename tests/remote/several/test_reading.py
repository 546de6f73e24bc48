"""How a server reads what others write: as much at a time as it has room for, from all threads in turn."""

from __future__ import annotations

from typing import Any

import anyio
import pytest
from valkey import Valkey as Client

from anyiostream.remote import Limits
from anyiostream.remote.store import CodecFailed, thread_key
from anyiostream.remote.store.redis import tail
from anyiostream.remote.store.redis.tail import Backlog

from ...waiting import PATIENCE, turns, until
from ..store.acting import claimed, draft
from .deployment import Deployment
from .reader import Reader, followed

pytestmark = pytest.mark.anyio

ROOM = 64 * 1024
"""Bytes that a reply has here, but for its last event."""

THREADS = 8


async def read(log: Any, count: int) -> list[Any]:
    """So many events of a log, as they come."""
    found: list[Any] = []
    while len(found) < count:
        after = found[-1].seq if found else 0
        await log.wait(after)
        found += await log.read(after)
    return found


async def test_what_is_read_at_a_time_is_bounded(deployment: Deployment, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a server that comes late. Threads have their turns, and an event may be larger than there is room."""
    for name, value in {"PROMPT": 0.0, "ROOM": ROOM, "SHARE": ROOM // 4, "TOGETHER": 5}.items():
        monkeypatch.setattr(tail, name, value)
    one, other = deployment.store(), deployment.store()
    limits = Limits(bytes=2**24)
    async with one.open(limits), other.open(limits):
        reader = Reader(other)
        logs, shown, written = [], [], []
        for n in range(THREADS):
            log = one.log(await claimed(one, thread_id=f"t{n}"))
            logs.append(log)
            written.append([await log.append(draft("first"))])
            shown.append(await followed(other, f"t{n}"))
        reader.hold()
        written[0].append(await logs[0].append(draft("while it waits")))
        await until(lambda: reader.held)
        for _ in range(20):
            for log, events in zip(logs, written, strict=True):
                events.append(await log.append(draft("x" * 10_000)))
        huge = await logs[3].append(draft("x" * 3 * ROOM))
        written[3].append(huge)
        small = [await log.append(draft("small")) for log in logs]
        for events, last in zip(written, small, strict=True):
            events.append(last)
        reader.go_on()
        await until(lambda: [log.last for log in shown] == [events[-1].seq for events in written])
        found = [await read(log, len(events)) for log, events in zip(shown, written, strict=True)]
        assert found == written
        assert sum(reader.sizes) > 20 * 10_000 * THREADS
        assert max(reader.sizes) < ROOM + len(huge.body) + 2000
        assert sorted(reader.sizes)[-2] < ROOM + 12_000  # all but that of the large one
        assert reader.together[0] > 1
        order = [each for each in reader.taken if each.endswith(":log")]
        thirds = [n for n, stream in enumerate(order) if order[:n].count(stream) == 2]
        assert max(map(order.index, set(order))) < min(thirds)
        # When there is nothing more, it waits.
        await until(lambda: reader.waits)
        asked = len(reader.sizes)
        await turns(50)
        assert len(reader.sizes) == asked


async def test_much_to_read_of_one_thread_holds_up_no_other(
    deployment: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Something comes to a thread that had nothing, while there is more and more to read of another."""
    for name, value in {"PROMPT": 0.0, "ROOM": ROOM, "SHARE": ROOM // 4}.items():
        monkeypatch.setattr(tail, name, value)
    one, other = deployment.store(), deployment.store()
    limits = Limits(bytes=2**24)
    async with one.open(limits), other.open(limits):
        reader = Reader(other)
        logs = [one.log(await claimed(one, thread_id=each)) for each in ("much", "little")]
        for log in logs:
            await log.append(draft("first"))
        shown = [await followed(other, each) for each in ("much", "little")]
        much, little = (thread_key("ann", each) for each in ("much", "little"))
        for _ in range(2):  # at first it comes to know that there is something, and then it is in the midst of it
            reader.hold()
            last = [await logs[0].append(draft("x" * 10_000)) for _ in range(20)][-1].seq
            await until(lambda: reader.held)
            reader.go_on()
        reader.hold()
        await until(lambda: reader.held)
        seen = (await logs[1].append(draft("little"))).seq
        reader.go_on()
        await until(lambda: [log.last for log in shown] == [last, seen])
        order = [each.split(":")[-2] for each in reader.taken if each.endswith(":log")]
        assert order[:3] == [much, much, little]
        assert order.count(much) > 3


async def test_a_server_that_keeps_up_only_waits(deployment: Deployment, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each read that waits brings what there is of all threads; nothing else is asked for in between."""
    monkeypatch.setattr(tail, "PROMPT", PATIENCE)
    one, other = deployment.store(), deployment.store()
    async with one.open(Limits()), other.open(Limits()):
        reader = Reader(other)
        logs = [one.log(await claimed(one, thread_id=f"t{n}")) for n in range(THREADS)]
        shown = []
        for n, log in enumerate(logs):
            await log.append(draft("first"))
            shown.append(await followed(other, f"t{n}"))
        await turns()
        reader.names.clear()
        written = [[await log.append(draft(n)) for n in range(40)] for log in logs]
        with anyio.fail_after(PATIENCE):
            for log, events in zip(shown, written, strict=True):
                assert (await read(log, 41))[1:] == events
        assert {*reader.names} == {b"XREAD"}


def test_a_backlog() -> None:
    """Streams have their turns in order; those that have more come again after the others."""
    backlog = Backlog()
    assert not backlog
    backlog.add("abcd")
    assert backlog.turn("abcd") == list("abcd")
    backlog.have_had("ab", "a")
    assert backlog.turn("abcd") == list("cda")
    backlog.add("ae")
    assert backlog.turn("ade") == list("dae")  # c is not followed any more
    backlog.have_had("dae", "")
    assert not backlog


async def appended(log: Any, shown: Any) -> None:
    """What is written to a log is read by the server that follows it."""
    entry = await log.append(draft("an event"))
    await until(lambda: shown.last == entry.seq)


STRANGE: dict[str, Any] = {
    "a string in its place": None,
    "an entry of somebody else's": dict.fromkeys("abc", "7"),
    "an entry without fields": {"key": "value"},
    "an entry without a body": {"h": '["values","values",[],null]'},
}
"""What is found in a log, and the fields of the entry that it is."""


@pytest.mark.parametrize("what", STRANGE)
async def test_what_others_put_into_a_log_concerns_its_readers_alone(deployment: Deployment, what: str) -> None:
    """They are told, after all that could be read; readers of other threads read on."""
    one, other = deployment.store(), deployment.store()
    async with one.open(Limits()), other.open(Limits()):
        logs = [one.log(await claimed(one, thread_id=f"t{n}")) for n in range(2)]
        spoilt, good = [await followed(other, f"t{n}") for n in range(2)]
        await appended(logs[0], spoilt)
        await appended(logs[1], good)
        (read_before,) = await read(spoilt, 1)
        url, prefix = deployment.url.split("?prefix=")
        name, client = f"{prefix}:t:{thread_key('ann', 't0')}:log", Client.from_url(url)
        fields = STRANGE[what]
        if fields is None:
            client.delete(name)
            client.set(name, "nonsense")
        else:
            client.xadd(name, fields, id=f"{read_before.seq + 1}-0")
        await appended(logs[1], good)
        with pytest.raises(CodecFailed, match="erase the thread"):
            await read(spoilt, 2)
        await appended(logs[1], good)
