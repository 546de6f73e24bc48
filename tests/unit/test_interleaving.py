"""Reading several channels in order of arrival."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import anyio
import pytest

from anyiostream import ProtocolEvent, StreamChannel, StreamMux, StreamTransformer
from anyiostream.channels.interleaving import Interleaving
from anyiostream.errors import AlreadySubscribed, NotAChannel, UnknownProjection, WrongLane
from anyiostream.outcome import Outcome

Channels = dict[str, StreamChannel[Any]]


@pytest.fixture
def port(make_port: Any) -> Any:
    """A run on the sync lane."""
    return make_port()


@pytest.fixture
def channels(port: Any) -> Channels:
    """Three channels of the run, called a, b and c."""
    made: Channels = {name: StreamChannel() for name in "abc"}
    for name, channel in made.items():
        channel.bind(port, name)
    return made


def deliver(outcome: Outcome) -> None:
    """Raise what a channel ended with."""
    if outcome.raises:
        raise outcome.fresh()


def drained(reader: Interleaving) -> list[tuple[str, Any]]:
    """Everything that can be taken without waiting."""
    taken = []
    while reader.ready and not reader.ended:
        item = reader.take(None, deliver)
        if item is not None:
            taken.append(item)
    return taken


def make(channels: Channels, *names: str) -> Interleaving:
    """An interleaving on the sync lane."""
    return Interleaving(channels, names, is_async=False)


def test_items_come_in_order_of_arrival(channels: Channels) -> None:
    """The order is that of the pushes, not round robin."""
    reader = make(channels, "a", "b")
    pushed = [("a", 1), ("a", 2), ("b", 3), ("a", 4), ("b", 5), ("b", 6)]
    for name, item in pushed:
        channels[name].push(item)
    assert drained(reader) == pushed


def test_taking_and_arriving_may_alternate(channels: Channels) -> None:
    """What arrives after something was taken comes after what has not been taken yet."""
    reader = make(channels, "a", "b")
    channels["a"].push(1)
    channels["b"].push(2)
    assert reader.take(None, deliver) == ("a", 1)
    channels["a"].push(3)
    assert drained(reader) == [("b", 2), ("a", 3)]


def test_channels_not_named_are_left_alone(channels: Channels) -> None:
    """Only the channels named are subscribed."""
    make(channels, "a", "b")
    assert channels["c"].statistics().readers == 0
    iter(channels["c"])


def test_a_name_given_twice_counts_once(channels: Channels) -> None:
    """Naming a channel twice subscribes it once."""
    reader = make(channels, "a", "a")
    channels["a"].push(1)
    assert drained(reader) == [("a", 1)]


def test_one_channel_ending_does_not_end_the_others(channels: Channels) -> None:
    """The end of one channel is passed over; the reader has ended when all channels have."""
    reader = make(channels, "a", "b")
    channels["a"].push(1)
    channels["a"].close()
    channels["b"].push(2)
    assert drained(reader) == [("a", 1), ("b", 2)]
    assert not reader.ended
    channels["b"].close()
    assert drained(reader) == []
    assert reader.ended
    assert reader.ready


def test_an_error_comes_after_all_that_arrived_before_it(channels: Channels) -> None:
    """The error of one channel is delivered in its place in the order of arrival."""
    reader = make(channels, "a", "b")
    channels["a"].push(1)
    channels["b"].push(2)
    channels["a"].fail(ValueError("no"))
    assert reader.take(None, deliver) == ("a", 1)
    assert reader.take(None, deliver) == ("b", 2)
    with pytest.raises(ValueError, match="no"):
        reader.take(None, deliver)


def test_what_was_kept_for_it_comes_first(channels: Channels) -> None:
    """A retaining channel's backlog is there at once, and so is the end of one that has ended."""
    channels["a"].retain()
    channels["a"].push(1)
    channels["b"].close()
    reader = make(channels, "a", "b")
    channels["a"].push(2)
    assert drained(reader) == [("a", 1), ("a", 2)]


def test_unknown_projections_are_refused(channels: Channels) -> None:
    """A name that nobody registered raises a `KeyError`, and nothing is subscribed."""
    with pytest.raises(UnknownProjection, match="'nope'"):
        make(channels, "a", "nope")
    assert channels["a"].statistics().readers == 0
    iter(channels["a"])


def test_projections_that_are_no_channels_are_refused(channels: Channels) -> None:
    """A projection with another kind of value raises a `TypeError`, and nothing is subscribed."""
    projections: dict[str, Any] = {**channels, "number": 3}
    with pytest.raises(NotAChannel, match="'number' is a int"):
        Interleaving(projections, ("a", "number"), is_async=False)
    iter(channels["a"])


def test_channels_with_a_reader_are_refused(channels: Channels) -> None:
    """A channel that has a subscriber raises, and the channels named before it are free again."""
    _cursor = iter(channels["b"])
    with pytest.raises(AlreadySubscribed):
        make(channels, "a", "b")
    iter(channels["a"])


def test_the_lane_is_checked(channels: Channels) -> None:
    """Channels of the sync lane cannot be interleaved on the async one."""
    with pytest.raises(WrongLane):
        Interleaving(channels, ("a",), is_async=True)
    iter(channels["a"])


def test_leaving_frees_the_channels_for_others(channels: Channels) -> None:
    """After `leave` the reader has ended, keeps nothing, and each channel may be subscribed again."""
    reader = make(channels, "a", "b")
    channels["a"].push(1)
    reader.leave()
    reader.leave()
    assert reader.ended
    assert channels["a"].statistics().depth == 0
    cursor = iter(channels["a"])
    channels["a"].push(2)
    assert list(cursor) == [2]


def test_a_parked_reader_is_woken_by_any_channel(channels: Channels, make_reader: Any) -> None:
    """Something in any of the channels wakes; a reader that no longer waits is not woken."""
    reader = make(channels, "a", "b")
    waits = make_reader()
    reader.park(waits)
    channels["b"].push(1)
    assert waits.woken == 1
    leaves = make_reader()
    reader.park(leaves)
    reader.unpark(leaves)
    channels["a"].push(1)
    assert leaves.woken == 0


def test_who_takes_reads_all_channels(channels: Channels) -> None:
    """The task that takes an item counts as the reader of every channel."""
    reader = make(channels, "a", "b")
    channels["a"].push(1)
    task = object()
    reader.take(task, deliver)
    assert [buffer.reader for name in "ab" for buffer in channels[name].buffers] == [task, task]


def test_the_name_lists_the_channels(channels: Channels) -> None:
    """Messages name what is interleaved."""
    assert make(channels, "a", "b").name == "interleave('a', 'b')"


@pytest.fixture
def small(port: Any) -> Callable[..., Channels]:
    """Makes channels a and b with room for one item and a given overflow policy."""

    def made(overflow: Any) -> Channels:
        channels: Channels = {name: StreamChannel(maxlen=1, overflow=overflow) for name in "ab"}
        for name, channel in channels.items():
            channel.bind(port, name)
        return channels

    return made


def test_dropped_items_are_passed_over(small: Any) -> None:
    """Under `"drop_oldest"` each channel gives its latest item, in the order in which these arrived."""
    channels = small("drop_oldest")
    reader = make(channels, "a", "b")
    for name, item in (("a", 1), ("b", 2), ("a", 3), ("b", 4), ("a", 5)):
        channels[name].push(item)
    assert drained(reader) == [("b", 4), ("a", 5)]


def test_items_that_were_refused_are_no_arrivals(small: Any) -> None:
    """Under `"drop_newest"` each channel gives its oldest item."""
    channels = small("drop_newest")
    reader = make(channels, "a", "b")
    for name, item in (("b", 1), ("a", 2), ("b", 3), ("a", 4)):
        channels[name].push(item)
    assert drained(reader) == [("b", 1), ("a", 2)]


def test_items_that_wait_for_room_keep_their_place(small: Any, port: Any) -> None:
    """Under `"wait"` an item that waits has arrived, and comes in its turn."""
    channels = small("wait")
    reader = make(channels, "a", "b")
    pushed = [("a", 1), ("a", 2), ("b", 3), ("a", 4), ("b", 5)]
    for name, item in pushed:
        port.context.run(channels[name].push, item)
    assert drained(reader) == pushed


class Two(StreamTransformer):
    """Has two channels with room for one item each."""

    def init(self) -> dict[str, Any]:
        """The channels."""
        self.channels: Channels = {name: StreamChannel(maxlen=1) for name in "ab"}
        return dict(self.channels)

    def process(self, event: ProtocolEvent) -> bool:
        """Nothing to do."""
        return True


@pytest.mark.anyio
async def test_an_item_that_is_withdrawn_has_not_arrived() -> None:
    """A cancelled `send` leaves no gap in the order of the others."""
    transformer = Two()
    mux = StreamMux([transformer], is_async=True)
    a, b = transformer.channels.values()
    reader = Interleaving(mux.extensions, ("a", "b"), is_async=True)
    await a.send(1)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(a.send, 2)
        await anyio.wait_all_tasks_blocked()
        tasks.cancel_scope.cancel()
    await b.send(3)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(a.send, 4)
        await anyio.wait_all_tasks_blocked()
        assert drained(reader) == [("a", 1), ("b", 3), ("a", 4)]
    reader.leave()
