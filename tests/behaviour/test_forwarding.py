"""The raw log: order, namespaces and numbers of events, and what named channels add to it."""

from __future__ import annotations

from typing import Any

import anyio
import pytest

from anyiostream import (
    CustomTransformer,
    StreamChannel,
    StreamTransformer,
    convert_to_protocol_event,
    open_run,
    parts,
)

pytestmark = pytest.mark.anyio


def naming(name: str | None, *, native: bool = False, scheduled: bool = False) -> Any:
    """A transformer class with a channel called `name`, to which it pushes each event's data."""

    class Naming(StreamTransformer):
        _native = native
        requires_async = scheduled

        def init(self) -> dict[str, Any]:
            self.channel: StreamChannel[Any] = StreamChannel(name)
            return {"projection": self.channel}

        def process(self, event: Any) -> bool:
            if scheduled:
                self.schedule(self.work(event["params"]["data"]))
            else:
                self.channel.push(event["params"]["data"])
            return True

        async def work(self, data: Any) -> None:
            self.channel.push(data)

    return Naming


def shown(events: list[Any]) -> list[tuple[str, list[str], Any]]:
    """Method, namespace and data."""
    return [(event["method"], event["params"]["namespace"], event["params"]["data"]) for event in events]


@pytest.mark.parametrize("native", [False, True])
async def test_a_named_push_enters_the_log_before_the_event_that_caused_it(
    lane: Any, script: Any, native: bool
) -> None:
    """With that event's namespace, as `custom:<name>`, or under the bare name for a native transformer."""
    method = "progress" if native else "custom:progress"
    source = script(parts.values(1), parts.custom("deep", ns=("a:1", "b:2")), parts.values(2))
    async with lane.open(lane.source(source), transformers=[naming("progress", native=native)]) as run:
        events = await lane.collect(run)
    assert shown(events) == [
        (method, [], 1),
        ("values", [], 1),
        (method, ["a:1", "b:2"], "deep"),
        ("custom", ["a:1", "b:2"], "deep"),
        (method, [], 2),
        ("values", [], 2),
    ]


async def test_a_named_push_is_forwarded_whether_or_not_its_channel_is_read(lane: Any, script: Any) -> None:
    """The channel's own reader gets the item as well."""
    for read in (False, True):
        async with lane.open(lane.source(script(parts.values(1))), transformers=[naming("progress")]) as run:
            cursor = lane.cursor(run.extensions["projection"]) if read else None
            assert [method for method, *_ in shown(await lane.collect(run))] == ["custom:progress", "values"]
            if cursor is not None:
                assert await lane.collect(cursor) == [1]


async def test_an_unnamed_channel_is_not_forwarded(lane: Any, script: Any) -> None:
    """It is for readers in this process only."""
    async with lane.open(lane.source(script(parts.values(1))), transformers=[naming(None)]) as run:
        assert [method for method, *_ in shown(await lane.collect(run))] == ["values"]


async def test_scheduled_work_forwards_under_its_transformers_scope(script: Any) -> None:
    """The namespace of the event in passing means nothing to it."""
    source = script(parts.custom(1, ns=("a:1",)))
    async with open_run(source.agen(), transformers=[naming("late", scheduled=True)]) as run:
        events = shown([event async for event in run])
    assert ("custom:late", [], 1) in events
    assert ("custom", ["a:1"], 1) in events


async def test_seq_rises_by_one_from_one(lane: Any, script: Any) -> None:
    """Over parts and forwarded pushes alike."""
    source = script(*[parts.custom(n) for n in range(50)])
    async with lane.open(lane.source(source), transformers=[naming("progress")]) as run:
        assert [event["seq"] for event in await lane.collect(run)] == list(range(1, 101))


async def test_seq_counts_what_nobody_read(lane: Any, script: Any) -> None:
    """A late subscriber of the log can tell how much it missed."""
    source = script(*[parts.values(n) for n in range(5)])
    async with lane.open(lane.source(source), transformers=[naming("progress")]) as run:
        values = lane.cursor(run.values)
        assert await lane.take(values, 2) == [0, 1]
        assert [event["seq"] for event in await lane.collect(run)] == list(range(5, 11))


async def test_a_suppressed_event_stays_out_of_the_log_and_has_no_number(lane: Any, script: Any) -> None:
    """Later transformers see it all the same."""
    seen: list[Any] = []

    class Suppressing(StreamTransformer):
        before_builtins = True

        def init(self) -> dict[str, Any]:
            return {}

        def process(self, event: Any) -> bool:
            return event["params"]["data"] != "hidden"

    class Watching(StreamTransformer):
        def init(self) -> dict[str, Any]:
            return {}

        def process(self, event: Any) -> bool:
            seen.append(event["params"]["data"])
            return True

    source = script(parts.custom("a"), parts.custom("hidden"), parts.custom("b"))
    async with lane.open(lane.source(source), transformers=[Suppressing, Watching, CustomTransformer]) as run:
        log = lane.cursor(run)
        assert await lane.collect(run.custom) == ["a", "hidden", "b"]
        events = await lane.collect(log)
    assert [(event["seq"], event["params"]["data"]) for event in events] == [(1, "a"), (2, "b")]
    assert seen == ["a", "hidden", "b"]


async def test_task_events_are_folded_into_lifecycle(lane: Any, script: Any) -> None:
    """Subgraphs appear in the log as `lifecycle` events; `tasks` events do not appear."""
    ns = ("agent:1",)
    source = script(
        parts.task_start("1", "agent"),
        parts.task_start("2", "step", ns=ns),
        parts.values("inner", ns=ns),
        parts.task_result("2", "step", ns=ns),
        parts.task_result("1", "agent"),
        parts.values("end"),
    )
    async with lane.open(lane.source(source)) as run:
        lifecycle = lane.cursor(run.lifecycle)
        events = await lane.collect(run)
        payloads = await lane.collect(lifecycle)
    assert [event["method"] for event in events] == ["lifecycle", "values", "lifecycle", "values"]
    assert [event["params"]["data"] for event in events if event["method"] == "lifecycle"] == payloads
    assert [payload["event"] for payload in payloads] == ["started", "completed"]
    assert payloads[0]["namespace"] == ["agent:1"]
    assert payloads[0]["graph_name"] == "agent"
    assert payloads[0]["trigger_call_id"] == "1"


async def test_a_handles_log_has_its_own_events_and_those_below(lane: Any, script: Any) -> None:
    """And the root's log has them all."""
    ns = ("agent:1",)
    source = script(
        parts.values("before"),
        parts.task_start("1", "agent"),
        parts.task_start("2", "step", ns=ns),
        parts.values("inner", ns=ns),
        parts.custom("deep", ns=(*ns, "b:2")),
        parts.task_result("1", "agent"),
        parts.values("after"),
    )
    async with lane.open(lane.source(source)) as run:
        root = lane.cursor(run)
        handle = await lane.next(lane.cursor(run.subgraphs))
        inner = [event["params"]["data"] for event in await lane.collect(handle)]
        assert inner == ["inner", "deep"]
        datas = [event["params"]["data"] for event in await lane.collect(root) if event["method"] != "lifecycle"]
        assert datas == ["before", "inner", "deep", "after"]


async def test_events_are_plain_data(lane: Any, script: Any) -> None:
    """The envelope of the streaming protocol, with wall-clock time in ms."""
    part = parts.values({"a": 1}, interrupts=["i"], ns=("x:1",))
    async with lane.open(lane.source(script(part))) as run:
        (event,) = await lane.collect(run)
    assert event["type"] == "event"
    assert event["method"] == "values"
    assert event["params"]["namespace"] == ["x:1"]
    assert event["params"]["data"] == {"a": 1}
    assert event["params"]["interrupts"] == ("i",)
    assert isinstance(event["params"]["timestamp"], int)
    converted = convert_to_protocol_event(part, clock=lambda: 12.5)
    assert converted["params"]["timestamp"] == 12500
    assert "seq" not in converted


async def test_forwarded_pushes_wait_for_room_in_the_log_like_everything_else(script: Any) -> None:
    """What one event forwards beyond the log's bound waits, counted against that event, in order."""

    class Chatty(StreamTransformer):
        def init(self) -> dict[str, Any]:
            self.channel: StreamChannel[Any] = StreamChannel("chatty")
            return {"chatty": self.channel}

        def process(self, event: Any) -> bool:
            for n in range(10):
                self.channel.push(n)
            return True

    async with open_run(script(parts.values(1), parts.values(2)).agen(), buffer=3, transformers=[Chatty]) as run:
        log = aiter(run)
        first = await anext(log)
        await anyio.wait_all_tasks_blocked()
        assert run.statistics().parts == 1
        assert run.statistics().channels["events"].depth <= 3
        events = [first, *[event async for event in log]]
        assert [event["seq"] for event in events] == list(range(1, 23))
        assert [event["method"] for event in events] == (["custom:chatty"] * 10 + ["values"]) * 2
