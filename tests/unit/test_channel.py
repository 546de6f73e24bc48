"""Channels."""

from __future__ import annotations

import asyncio
import math
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import anyio
import pytest

from anyiostream import (
    ChannelClosed,
    ChannelFull,
    ItemsMissed,
    ProtocolEvent,
    StreamChannel,
    StreamMux,
    StreamTransformer,
)
from anyiostream.errors import (
    AlreadyBound,
    AlreadySubscribed,
    ChannelUnbound,
    InvalidBound,
    ItemsDroppedWarning,
    RunClosed,
    WrongLane,
)

Make = Callable[..., StreamChannel[Any]]


@pytest.fixture
def port(make_port: Any) -> Any:
    """A run on the sync lane."""
    return make_port()


@pytest.fixture
def make(port: Any) -> Make:
    """Makes a channel that is bound to the run."""

    def channel(name: str | None = None, **options: Any) -> StreamChannel[Any]:
        bound: StreamChannel[Any] = StreamChannel(name, **options)
        bound.bind(port, "mine")
        return bound

    return channel


# --- construction ---


@pytest.mark.parametrize("maxlen", [0, -1, True, 1.5, "3", -math.inf, math.nan])
def test_a_bound_is_a_positive_number_of_items(maxlen: Any) -> None:
    """Anything but a positive int, `math.inf` or `None` is no bound, as a `ValueError`."""
    with pytest.raises(InvalidBound, match="positive int or None") as caught:
        StreamChannel(maxlen=maxlen)
    assert isinstance(caught.value, ValueError)


@pytest.mark.parametrize("maxlen", [1, 64, math.inf, None])
def test_bounds(maxlen: Any) -> None:
    """A positive int, `math.inf` and `None` are bounds."""
    StreamChannel(maxlen=maxlen)


def test_an_overflow_policy_is_one_of_four() -> None:
    """An unknown policy is refused and the four are named."""
    with pytest.raises(InvalidBound, match="'wait', 'drop_oldest', 'drop_newest', 'fail'"):
        StreamChannel(overflow="block")  # type: ignore[arg-type]


def test_local_and_remote_channels() -> None:
    """`local()` makes a channel without a name, `remote(name)` one with a name."""
    local: StreamChannel[int] = StreamChannel.local(maxlen=3, overflow="fail")
    remote: StreamChannel[int] = StreamChannel.remote("mine", maxlen=4, overflow="drop_oldest")
    assert (local.name, local.statistics().maxlen, local.overflow) == (None, 3, "fail")
    assert (remote.name, remote.statistics().maxlen, remote.overflow) == ("mine", 4, "drop_oldest")


def test_a_channel_is_shown_by_its_name() -> None:
    """The repr names the channel, and the projection once it is bound."""
    assert "mine" in repr(StreamChannel("mine"))


# --- binding ---


def test_an_unbound_channel_cannot_be_read(drive: Any) -> None:
    """Reading, teeing and sending need a run; the error is a `TypeError`."""
    channel: StreamChannel[int] = StreamChannel()
    for call in (
        lambda: iter(channel),
        lambda: aiter(channel),
        channel.tee,
        channel.atee,
        lambda: drive(channel.send(1)),
    ):
        with pytest.raises(ChannelUnbound, match="has not been bound") as caught:
            call()
        assert isinstance(caught.value, TypeError)


def test_an_unbound_channel_takes_pushes() -> None:
    """A transformer may push before it is registered; nobody can read that."""
    channel: StreamChannel[int] = StreamChannel()
    channel.push(1)
    assert channel.statistics().unread == 1


def test_a_channel_joins_one_run(make: Make, port: Any) -> None:
    """Binding twice raises a `RuntimeError`."""
    with pytest.raises(AlreadyBound, match="already bound"):
        make().bind(port, "again")


def test_the_bound_is_the_runs_unless_the_channel_names_one(make_port: Any) -> None:
    """A channel without `maxlen` has the bound of its run."""
    port = make_port(maxlen=5)
    unnamed: StreamChannel[int] = StreamChannel()
    own: StreamChannel[int] = StreamChannel(maxlen=math.inf)
    unnamed.bind(port, "a")
    own.bind(port, "b")
    assert unnamed.statistics().maxlen == 5
    assert own.statistics().maxlen == math.inf


@pytest.mark.parametrize("is_async", [True, False])
def test_each_lane_has_its_loop(make_port: Any, is_async: bool) -> None:
    """Using the other lane's loop or fan-out raises a `TypeError` that names the right one."""
    channel: StreamChannel[int] = StreamChannel()
    channel.bind(make_port(is_async=is_async), "mine")
    wrong: list[Callable[[], Any]]
    if is_async:
        wrong, advice = [lambda: iter(channel), channel.tee], "bound to async mode.*async for"
    else:
        wrong, advice = [lambda: aiter(channel), channel.atee], "bound to sync mode.*'for'"
    for call in wrong:
        with pytest.raises(WrongLane, match=advice):
            call()
    assert channel.statistics().readers == 0


# --- one subscription ---


def test_items_come_out_in_push_order(make: Make) -> None:
    """A reader gets what is pushed after it came, in order, and each item leaves the buffer as it is read."""
    channel = make()
    cursor = iter(channel)
    for item in range(3):
        channel.push(item)
    assert channel.statistics().depth == 3
    assert list(cursor) == [0, 1, 2]
    assert channel.statistics().depth == 0


def test_nothing_is_kept_before_the_reader_comes(make: Make) -> None:
    """Pushes without a reader are counted and forgotten."""
    channel = make()
    channel.push("early")
    cursor = iter(channel)
    channel.push("late")
    assert list(cursor) == ["late"]
    assert channel.statistics().unread == 1


def test_items_that_were_never_made_are_counted_too(make: Make) -> None:
    """`pass_by` counts an item that nobody could have read."""
    channel = make()
    channel.pass_by()
    assert channel.statistics().unread == 1


def test_a_second_reader_is_refused(make: Make) -> None:
    """A channel has one subscription in its life, also after its reader has left."""
    channel = make()
    cursor: Any = iter(channel)
    with pytest.raises(AlreadySubscribed, match="already has a subscriber"):
        iter(channel)
    with pytest.raises(AlreadySubscribed):
        channel.tee()
    cursor.leave()
    with pytest.raises(AlreadySubscribed, match="which has left"):
        iter(channel)


def test_leaving_frees_the_buffer_and_stops_keeping(make: Make) -> None:
    """What a reader leaves behind is gone, and later pushes pass by."""
    channel = make()
    cursor: Any = iter(channel)
    channel.push("a")
    cursor.leave()
    channel.push("b")
    figures = channel.statistics()
    assert (figures.readers, figures.depth, figures.unread) == (0, 0, 1)


def test_a_run_that_has_been_left_admits_no_reader(make: Make, port: Any) -> None:
    """A new cursor of a run whose block has been left raises, and takes nothing."""
    channel = make()
    port.closed = RunClosed("channel 'mine'")
    with pytest.raises(RunClosed):
        iter(channel)
    port.closed = None
    iter(channel)


def test_only_reading_makes_a_channel_watched(port: Any) -> None:
    """`watched` is true while an item pushed now could be read, and `on_watched` is told of each change."""
    changes: list[bool] = []
    channel: StreamChannel[int] = StreamChannel()
    channel.bind(port, "mine", on_watched=lambda: changes.append(channel.watched))
    assert not channel.watched
    cursor: Any = iter(channel)
    assert channel.watched
    cursor.leave()
    assert not channel.watched
    assert changes == [True, False]


def test_a_subscription_can_be_given_back(make: Make) -> None:
    """`release` lets the channel be subscribed again."""
    channel = make()
    (buffer,) = channel.subscribe(is_async=False)
    channel.push("a")
    channel.release(buffer)
    cursor = iter(channel)
    channel.push("b")
    assert list(cursor) == ["b"]


# --- fan-out ---


@pytest.mark.parametrize("n", [1, 2, 5])
def test_every_branch_gets_every_item(make: Make, n: int) -> None:
    """`tee(n)` gives a tuple of n cursors, each with all items in order, whoever reads first."""
    channel = make()
    branches = channel.tee(n)
    assert isinstance(branches, tuple)
    for item in range(4):
        channel.push(item)
    assert [list(branch) for branch in branches] == [[0, 1, 2, 3]] * n
    assert channel.statistics().readers == n


def test_a_tee_has_branches(make: Make) -> None:
    """Less than one branch is refused, and nothing is subscribed."""
    channel = make()
    for n in (0, -1):
        with pytest.raises(InvalidBound, match=r">= 1"):
            channel.tee(n)
    with pytest.raises(InvalidBound):
        channel.tee(2, maxlen=0)
    assert list(iter(channel)) == []


def test_branches_may_have_a_bound_of_their_own(make: Make, port: Any) -> None:
    """`tee(n, maxlen=...)` bounds each branch; one that is full makes items wait."""
    channel = make(maxlen=10)
    fast, slow = channel.tee(maxlen=1)
    for item in range(3):
        port.context.run(channel.push, item)
    assert channel.statistics().depth == 1
    assert channel.statistics().waiting == 4
    assert list(fast) == list(slow) == [0, 1, 2]


def test_the_fullest_branch_counts(make: Make) -> None:
    """`depth` is that of the slowest branch."""
    channel = make()
    fast, _slow = channel.tee()
    for item in range(4):
        channel.push(item)
    assert list(fast) == [0, 1, 2, 3]
    assert channel.statistics().depth == 4


def test_a_branch_that_leaves_counts_no_longer(make: Make, port: Any) -> None:
    """A branch that leaves frees its buffer and what waits for it; the others go on."""
    channel = make(maxlen=1)
    stays, leaves = channel.tee()
    for item in range(3):
        port.context.run(channel.push, item)
    leaves.leave()  # type: ignore[attr-defined]
    figures = channel.statistics()
    assert (figures.readers, figures.waiting) == (1, 2)
    assert list(stays) == [0, 1, 2]


def test_a_push_that_one_branch_refuses_reaches_none(make: Make) -> None:
    """Branches never differ: if a push raises because one branch is full, no other branch has the item either."""
    channel = make(maxlen=1, overflow="fail")
    first, second = channel.tee()
    channel.push("a")
    assert list(first) == ["a"]
    with pytest.raises(ChannelFull):
        channel.push("b")
    assert list(second) == ["a"]
    channel.push("c")
    assert list(first) == list(second) == ["c"]


# --- the end ---


def test_an_ended_channel_is_read_to_its_end(make: Make) -> None:
    """Closing leaves what is buffered, and then the buffer's end."""
    channel = make()
    cursor: Any = iter(channel)
    channel.push("a")
    channel.close()
    assert channel.ended
    assert channel.statistics().ended
    assert list(cursor) == ["a"]
    assert cursor.buffer.outcome.error is None


def test_a_failed_channel_ends_with_the_very_error(make: Make) -> None:
    """Every branch, and one that comes later, ends with the error object after its items."""
    error = ValueError("no")
    channel = make()
    branches: Any = channel.tee()
    channel.push("a")
    channel.fail(error)
    for branch in branches:
        assert list(branch) == ["a"]
        assert branch.buffer.outcome.error is error
    late = make()
    late.fail(error)
    cursor: Any = iter(late)
    assert cursor.buffer.outcome.error is error


def test_a_channel_ends_once(make: Make) -> None:
    """The first of `close` and `fail` counts; ending again does nothing."""
    channel = make()
    cursor: Any = iter(channel)
    channel.close()
    channel.fail(ValueError("too late"))
    channel.close()
    assert cursor.buffer.outcome.error is None


@pytest.mark.parametrize("end", ["close", "fail"])
def test_pushing_to_an_ended_channel_raises(make: Make, end: str) -> None:
    """A reader would miss the item, so the pusher is told, as a `RuntimeError`."""
    channel = make()
    iter(channel)
    cursor = channel.buffers
    channel.close() if end == "close" else channel.fail(ValueError("no"))
    assert cursor
    with pytest.raises(ChannelClosed, match="Cannot push to a closed channel"):
        channel.push("late")


@pytest.mark.parametrize("end", [StreamChannel.close, lambda channel: channel.fail(LookupError("broken"))])
@pytest.mark.parametrize("reader", ["none", "there", "left", "to come", "too late"])
def test_pushing_to_an_ended_channel_is_refused_whoever_reads_it(make: Make, end: Any, reader: str) -> None:
    """With a reader, without one, after one, and where items were kept for one that was to come."""
    channel = make(maxlen=2, name="late")
    forwarded: list[Any] = []
    if reader in {"to come", "too late"}:
        channel.retain()
        for n in range(3 if reader == "too late" else 1):
            channel.push(n)
    elif reader != "none":
        (buffer,) = channel.subscribe(is_async=False)
        if reader == "left":
            channel.unsubscribe(buffer)
    end(channel)
    for push in (channel.push, channel.sink()):
        with pytest.raises(ChannelClosed, match="Cannot push to a closed channel"):
            push("late")
    assert forwarded == []


def test_a_late_reader_is_warned_of_what_it_missed(make: Make) -> None:
    """Subscribing to a finished channel that dropped items warns with their number."""
    channel = make()
    for item in range(3):
        channel.push(item)
    channel.close()
    with pytest.warns(ItemsDroppedWarning, match=r"3 item\(s\)"):
        cursor = iter(channel)
    assert list(cursor) == []


def test_a_late_reader_that_missed_nothing_is_not_warned(make: Make) -> None:
    """An empty finished channel, and a failed one, are subscribed without a warning."""
    empty, failed = make(), make()
    empty.close()
    failed.push("missed")
    failed.fail(ValueError("says it all"))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        iter(empty)
        iter(failed)


# --- retention ---


def test_a_retaining_channel_keeps_the_first_items(make: Make) -> None:
    """`retain` keeps what is pushed for the reader to come, and goes on with it."""
    channel = make()
    channel.retain()
    channel.push("a")
    channel.push("b")
    assert channel.watched
    assert channel.statistics().depth == 2
    cursor = iter(channel)
    channel.push("c")
    assert list(cursor) == ["a", "b", "c"]
    assert channel.statistics().unread == 0


def test_retained_items_outlive_the_end(make: Make) -> None:
    """A channel that has ended still gives what it kept, then its end, without a warning."""
    channel = make()
    channel.retain()
    channel.push("a")
    channel.close()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        cursor: Any = iter(channel)
    assert list(cursor) == ["a"]
    assert cursor.buffer.outcome is not None


def test_retention_never_stalls(make: Make) -> None:
    """Beyond the bound the backlog is dropped, nothing waits, and iterating raises with the number of items missed."""
    channel = make(maxlen=3)
    channel.retain()
    for item in range(5):
        channel.push(item)
    assert not channel.watched
    assert channel.statistics().waiting == 0
    with pytest.raises(ItemsMissed) as caught:
        iter(channel)
    assert caught.value.count == 5
    assert channel.statistics().dropped == 5


def test_retained_items_reach_every_branch(make: Make) -> None:
    """`tee` of a retaining channel gives each branch what was kept."""
    channel = make()
    channel.retain()
    channel.push("a")
    branches = channel.tee(3)
    assert [list(branch) for branch in branches] == [["a"]] * 3


def test_retained_items_reach_branches_with_a_smaller_bound(make: Make) -> None:
    """Branches whose own bound is less than what was kept get all of it, in order."""
    channel = make()
    channel.retain()
    for item in range(5):
        channel.push(item)
    branches = channel.tee(2, maxlen=1)
    assert [list(branch) for branch in branches] == [[0, 1, 2, 3, 4]] * 2


# --- forwarding ---


def test_each_push_is_forwarded_with_or_without_a_reader(port: Any) -> None:
    """Whoever bound the channel with `forward` is given each item, in order."""
    forwarded: list[Any] = []
    channel: StreamChannel[Any] = StreamChannel("mine")
    channel.bind(port, "mine", forward=forwarded.append)
    channel.push("a")
    cursor: Any = iter(channel)
    channel.push("b")
    cursor.leave()
    channel.push("c")
    assert forwarded == ["a", "b", "c"]


def test_a_refused_push_is_not_forwarded(port: Any) -> None:
    """An item that the channel does not take is not shown elsewhere either."""
    forwarded: list[Any] = []
    channel: StreamChannel[Any] = StreamChannel("mine", maxlen=1, overflow="fail")
    channel.bind(port, "mine", forward=forwarded.append)
    iter(channel)
    _keep = channel.buffers
    channel.push("a")
    with pytest.raises(ChannelFull):
        channel.push("b")
    assert forwarded == ["a"]


# --- sending ---


class Narrow(StreamTransformer):
    """Has one channel with room for one item."""

    def __init__(self, scope: tuple[str, ...] = ()) -> None:
        """Make the channel."""
        super().__init__(scope)
        self.channel: StreamChannel[str] = StreamChannel(maxlen=1)

    def init(self) -> dict[str, Any]:
        """The channel."""
        return {"mine": self.channel}

    def process(self, event: ProtocolEvent) -> bool:
        """Nothing to do."""
        return True


@pytest.fixture
def there() -> Iterator[StreamChannel[str]]:
    """A channel on the async lane, with room for one item."""
    transformer = Narrow()
    mux = StreamMux([transformer], is_async=True)
    yield transformer.channel
    del mux


def test_sending_is_for_the_async_lane(make: Make, drive: Any) -> None:
    """`send` on the sync lane raises, as that lane cannot wait."""
    with pytest.raises(WrongLane, match=r"push\(\)"):
        drive(make().send("a"))


@pytest.mark.anyio
async def test_sending_waits_for_room(there: StreamChannel[str]) -> None:
    """`send` returns at once if the item fits, and otherwise when it has found its place, in order."""
    cursor = aiter(there)
    sent: list[str] = []

    async def send() -> None:
        for item in "abc":
            await there.send(item)
            sent.append(item)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(send)
        await anyio.wait_all_tasks_blocked()
        assert sent == ["a"]
        assert await anext(cursor) == "a"
        await anyio.wait_all_tasks_blocked()
        assert sent == ["a", "b"]
        assert [await anext(cursor), await anext(cursor)] == ["b", "c"]


@pytest.mark.anyio
async def test_sending_without_a_reader_does_not_wait(there: StreamChannel[str]) -> None:
    """Without a reader `send` is `push`."""
    await there.send("a")
    assert there.statistics().unread == 1


@pytest.mark.anyio
async def test_sending_to_an_ended_channel_raises(there: StreamChannel[str]) -> None:
    """As for `push`."""
    _cursor = aiter(there)
    there.close()
    with pytest.raises(ChannelClosed):
        await there.send("a")


@pytest.mark.anyio
async def test_what_waits_to_be_sent_comes_before_the_end(there: StreamChannel[str]) -> None:
    """A channel that is closed while `send` waits still gives the item."""
    cursor = aiter(there)
    await there.send("a")
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(there.send, "b")
        await anyio.wait_all_tasks_blocked()
        there.close()
        assert [item async for item in cursor] == ["a", "b"]


@pytest.mark.anyio
async def test_a_reader_that_leaves_lets_the_sender_go(there: StreamChannel[str]) -> None:
    """Nobody waits for room that nobody needs any more."""
    cursor = aiter(there)
    await there.send("a")
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(there.send, "b")
        await anyio.wait_all_tasks_blocked()
        await cursor.aclose()


@pytest.mark.anyio
async def test_a_cancelled_send_adds_nothing(there: StreamChannel[str]) -> None:
    """An item whose `send` is cancelled while it waits is taken back."""
    cursor = aiter(there)
    await there.send("a")
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(there.send, "b")
        await anyio.wait_all_tasks_blocked()
        tasks.cancel_scope.cancel()
    assert there.statistics().waiting == 0
    there.close()
    assert [item async for item in cursor] == ["a"]


@pytest.mark.parametrize("awaits", [True, False])
def test_a_cancellation_that_comes_too_late_for_a_send_strikes_later(*, awaits: bool) -> None:
    """asyncio cancels tasks that are about to go on: the item is there, so `send` returns, and is not repeated."""

    async def main() -> None:
        transformer = Narrow()
        mux = StreamMux([transformer], is_async=True)
        channel = transformer.channel
        cursor = aiter(channel)
        await channel.send("a")
        returned = []

        async def send() -> None:
            await channel.send("b")
            returned.append(True)
            if awaits:
                await asyncio.sleep(0)
                returned.append(False)

        sending = asyncio.create_task(send())
        await asyncio.sleep(0)
        assert await anext(cursor) == "a"  # which makes room, and wakes the task
        sending.cancel("the reason")
        with pytest.raises(asyncio.CancelledError, match="the reason" if awaits else None):
            await sending
        assert returned == [True]
        assert sending.cancelled()
        assert await anext(cursor) == "b"
        del mux

    asyncio.run(main())


@pytest.mark.anyio
async def test_a_cancelled_send_adds_nothing_to_any_branch(there: StreamChannel[str]) -> None:
    """Branches never differ: what one branch had no room for when `send` was cancelled, no branch gets."""
    first, second = there.atee()
    await there.send("a")
    assert await anext(first) == "a"
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(there.send, "b")
        await anyio.wait_all_tasks_blocked()
        tasks.cancel_scope.cancel()
    there.close()
    assert [item async for item in first] == []
    assert [item async for item in second] == ["a"]


@pytest.mark.anyio
@pytest.mark.parametrize("behind", [0, 1])
async def test_branches_agree_on_the_order_of_sent_and_pushed_items(there: StreamChannel[str], behind: int) -> None:
    """An item pushed while another one waits to be sent comes after it, or before it, in all branches alike."""
    branches = there.atee()
    await there.send("a")
    ahead = [await anext(branches[1 - behind])]
    late: list[str] = []
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(there.send, "b")
        await anyio.wait_all_tasks_blocked()
        there.push("c")
        for _ in range(2):
            late.append(await anext(branches[behind]))
            ahead.append(await anext(branches[1 - behind]))
        late.append(await anext(branches[behind]))
    assert ahead == late
    assert sorted(ahead) == ["a", "b", "c"]


# --- figures ---


def test_drops_are_counted_over_branches(make: Make) -> None:
    """`dropped` sums what each branch dropped."""
    channel = make(maxlen=1, overflow="drop_newest")
    _branches = channel.tee()
    for item in range(3):
        channel.push(item)
    assert channel.statistics().dropped == 4


def test_figures_outlive_the_reader(make: Make) -> None:
    """Peak and drops stay known when the reader has left."""
    channel = make(maxlen=1, overflow="drop_oldest")
    cursor: Any = iter(channel)
    for item in range(5):
        channel.push(item)
    assert (channel.statistics().peak, channel.statistics().dropped) == (1, 4)
    cursor.leave()
    assert (channel.statistics().peak, channel.statistics().dropped) == (1, 4)
