"""Channels: one reader, items in order, one end."""

from __future__ import annotations

import math
from typing import Any

import pytest

from anyiostream import parts

from .adapter import Lab, event

BOUND = 64
"""Items that a channel of ours holds unless it is told otherwise."""


async def test_push_order(lab: Lab) -> None:
    """(1) Items come out in push order."""
    mux, channel = lab.channel()
    reader = lab.reader(channel)
    for item in ("a", "b", "c"):
        channel.push(item)
    await lab.close(mux)
    assert await reader.rest() == ["a", "b", "c"]


async def test_consumed_items_leave_the_buffer(lab: Lab) -> None:
    """(2) An item leaves the buffer when it is consumed."""
    _, channel = lab.channel()
    reader = lab.reader(channel)
    channel.push("a")
    channel.push("b")
    assert lab.depth(channel) == 2
    assert await reader.next() == "a"
    assert lab.depth(channel) == 1


async def test_second_subscriber(lab: Lab) -> None:
    """(3) A second subscriber gets a RuntimeError that says so."""
    _, channel = lab.channel()
    reader = lab.reader(channel)
    with pytest.raises(RuntimeError, match="already has a subscriber"):
        lab.reader(channel)
    channel.push("a")
    assert await reader.next() == "a"


async def test_pushes_before_subscription(lab: Lab) -> None:
    """(4) Pushes before the subscription are dropped, not errors."""
    mux, channel = lab.channel()
    channel.push("early")
    reader = lab.reader(channel)
    channel.push("late")
    await lab.close(mux)
    assert await reader.rest() == ["late"]


async def test_failed_channel_gives_items_first(lab: Lab) -> None:
    """(5) A failed channel gives what is queued, then the error itself."""
    _, channel = lab.channel()
    reader = lab.reader(channel)
    error = LookupError("broken")
    channel.push("a")
    channel.push("b")
    channel.fail(error)
    items, raised = await reader.outcome()
    assert items == ["a", "b"]
    assert raised is error


async def test_push_after_close(lab: Lab) -> None:
    """(6) A push to a closed channel that has a reader is a RuntimeError."""
    _, channel = lab.channel()
    reader = lab.reader(channel)
    channel.close()
    with pytest.raises(RuntimeError, match="Cannot push to a closed"):
        channel.push("late")
    assert await reader.rest() == []


async def test_push_after_fail(lab: Lab) -> None:
    """(7) A push to a failed channel that has a reader is a RuntimeError."""
    _, channel = lab.channel()
    reader = lab.reader(channel)
    channel.fail(LookupError("broken"))
    with pytest.raises(RuntimeError, match="Cannot push to a closed"):
        channel.push("late")
    items, raised = await reader.outcome()
    assert (items, type(raised)) == ([], LookupError)


async def test_empty_closed_channel(lab: Lab) -> None:
    """(8) A closed channel without items iterates to nothing."""
    _, channel = lab.channel()
    channel.close()
    assert await lab.items(channel) == []


async def test_empty_failed_channel(lab: Lab) -> None:
    """(9) A failed channel without items raises on the first read."""
    _, channel = lab.channel()
    error = LookupError("broken")
    channel.fail(error)
    reader = lab.reader(channel)
    with pytest.raises(LookupError) as caught:
        await reader.next()
    assert caught.value is error


async def test_unbound_channel(lab: Lab) -> None:
    """(10) Iterating a channel that no mux has registered is a TypeError, on either protocol."""
    with pytest.raises(TypeError, match="has not been bound"):
        iter(lab.api.StreamChannel())
    with pytest.raises(TypeError, match="has not been bound"):
        aiter(lab.api.StreamChannel())


async def test_other_lane(lab: Lab) -> None:
    """(11, 12) A channel refuses the iteration protocol of the lane that it is not bound to."""
    _, channel = lab.channel()
    if lab.is_async:
        with pytest.raises(TypeError, match="bound to async mode"):
            iter(channel)
    else:
        with pytest.raises(TypeError, match="bound to sync mode"):
            aiter(channel)
    lab.reader(channel)


async def test_binding_twice(lab: Lab) -> None:
    """(13) A channel that is registered a second time is a RuntimeError."""
    _, channel = lab.channel()
    with pytest.raises(RuntimeError, match="already bound"):
        lab.mux([lab.holder(again=channel)])


@pytest.mark.parametrize("maxlen", [0, -1])
async def test_invalid_maxlen(lab: Lab, maxlen: int) -> None:
    """(14) A bound that is not positive is a ValueError."""
    with pytest.raises(ValueError, match="positive int or None"):
        lab.api.StreamChannel(maxlen=maxlen)


async def test_channel_without_maxlen(lab: Lab) -> None:
    """(15) A hundred pushes without a read are accepted; as a deviation ours hold the bound and refuse in the end."""
    mux, channel = lab.channel()
    reader = lab.reader(channel)
    for item in range(100):
        channel.push(item)
    if lab.ours:
        # Deviation: channels are bounded. The pusher has as much again to wait with, and is refused after that.
        assert channel.statistics().depth == BOUND
        assert channel.statistics().waiting == 100 - BOUND
        for item in range(100, 2 * BOUND):
            channel.push(item)
        with pytest.raises(RuntimeError, match="is full"):
            channel.push("too much")
    else:
        for item in range(100, 2 * BOUND):
            channel.push(item)
        assert lab.depth(channel) == 2 * BOUND
    assert await reader.take(2 * BOUND) == list(range(2 * BOUND))
    await lab.close(mux)
    assert await reader.rest() == []


async def test_channel_without_bound(lab: Lab) -> None:
    """(15) A channel of ours that is told to be unbounded accepts what theirs accepts."""
    mux, channel = lab.channel(maxlen=math.inf) if lab.ours else lab.channel()
    reader = lab.reader(channel)
    for item in range(1000):
        channel.push(item)
    assert lab.depth(channel) == 1000
    await lab.close(mux)
    assert await reader.rest() == list(range(1000))


@pytest.mark.parametrize("name", ["scores", None])
async def test_forwarding(lab: Lab, name: str | None) -> None:
    """(16) A named channel forwards each push to the raw log, an unnamed one does not."""
    mux, channel = lab.channel(name)
    log = lab.reader(lab.log(mux))
    channel.push(1)
    channel.push(2)
    await lab.close(mux)
    forwarded = [(each["method"], each["params"]["data"]) for each in await log.rest()]
    assert forwarded == ([("custom:scores", 1), ("custom:scores", 2)] if name else [])


@pytest.mark.parametrize("read", [True, False])
async def test_forwarding_without_reader(lab: Lab, read: bool) -> None:
    """(17) A named channel forwards whether or not anybody reads the channel itself."""
    mux, channel = lab.channel("scores")
    log = lab.reader(lab.log(mux))
    local = lab.reader(channel) if read else None
    channel.push(1)
    await lab.close(mux)
    assert [each["params"]["data"] for each in await log.rest()] == [1]
    if local is not None:
        assert await local.rest() == [1]


def nested(values: int) -> list[Any]:
    """A run with one subgraph, which takes `values` snapshots."""
    return [
        parts.values({"n": 0}),
        parts.task_start("1", "node"),
        parts.task_start("2", "inner", ns=("node:1",)),
        *(parts.values({"n": n}, ns=("node:1",)) for n in range(values)),
        parts.task_result("1", "node"),
        parts.values({"n": values}),
    ]


async def test_unsubscribed_projections_hold_nothing(lab: Lab) -> None:
    """(18) A projection that nobody has subscribed never holds an item, whoever drives the run."""
    async with lab.open(nested(3)) as run:
        log = lab.reader(run)
        while True:
            held = [lab.depth(run.extensions[name]) for name in ("values", "lifecycle", "subgraphs")]
            assert held == [0, 0, 0]
            try:
                await log.next()
            except StopAsyncIteration:
                break


async def test_handles_keep_their_first_items(lab: Lab) -> None:
    """(18) As a deviation, ours keep the first items of a subgraph that somebody looks at; theirs keep none."""
    async with lab.open(nested(3)) as run:
        (handle,) = await lab.items(run.subgraphs)
        # Deviation: what the loop's body wants of a handle is there, whoever pumped meanwhile.
        assert await lab.items(handle.values) == ([{"n": 0}, {"n": 1}, {"n": 2}] if lab.ours else [])


async def test_output_alone_buffers_nothing(lab: Lab) -> None:
    """(19) Asking for the output alone buffers nothing."""
    async with lab.open(nested(100)) as run:
        assert await lab.output(run) == {"n": 100}
        channels = [run.values, run.lifecycle, run.subgraphs]
        assert [lab.depth(channel) for channel in channels] == [0, 0, 0]
        if lab.ours:
            assert all(each.peak == 0 for each in run.statistics().channels.values())


async def test_single_consumer_sees_an_empty_buffer(lab: Lab) -> None:
    """(20) Between two items of a single consumer the buffer is empty: the graph moves on demand."""
    async with lab.open([parts.values({"n": n}) for n in range(10)]) as run:
        reader = lab.reader(run.values)
        for n in range(10):
            assert await reader.next() == {"n": n}
            assert lab.depth(run.values) == 0


async def test_drained_subscriber_returns_to_empty(lab: Lab) -> None:
    """(21) What piled up for a subscriber while another drove the run is gone once it has been read."""
    async with lab.open([parts.values({"n": n}) for n in range(10)]) as run:
        reader = lab.reader(run.values)
        await lab.output(run)
        assert lab.depth(run.values) == 10
        assert len(await reader.rest()) == 10
        assert lab.depth(run.values) == 0


async def test_mux_channel_end(lab: Lab) -> None:
    """(1, 5) What a transformer pushes while it handles events reaches the channel's reader in the order of events."""
    api = lab.api

    class Doubling(api.StreamTransformer):  # type: ignore[name-defined,misc]
        def init(self) -> dict[str, Any]:
            self.doubled = api.StreamChannel()
            return {"doubled": self.doubled}

        def process(self, event: Any) -> bool:
            self.doubled.push(event["params"]["data"] * 2)
            return True

    mux = lab.mux([Doubling()])
    reader = lab.reader(mux.extensions["doubled"])
    await lab.push(mux, *(event("custom", n) for n in range(5)))
    error = LookupError("broken")
    await lab.fail(mux, error)
    items, raised = await reader.outcome()
    assert items == [0, 2, 4, 6, 8]
    assert raised is error
