"""What a full channel does, against a model of a few lines."""

from __future__ import annotations

from collections import deque
from typing import Any

import anyio
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from anyiostream import (
    ChannelFull,
    ProtocolEvent,
    StreamChannel,
    StreamMux,
    StreamTransformer,
    convert_to_protocol_event,
    open_run,
    parts,
)
from anyiostream.channels.interleaving import Interleaving

MOVES = st.lists(st.one_of(st.just("push"), st.integers(1, 4)), max_size=50)
"""Pushes of the next number, and reads of up to so many items, in order."""

MAXLENS = st.integers(1, 5)

some = settings(max_examples=60)
few = settings(max_examples=25)


class Numbers(StreamTransformer):
    """Shows each payload in a channel with a given bound and policy."""

    methods = ("custom",)
    required_stream_modes = ("custom",)

    def __init__(self, scope: tuple[str, ...] = (), *, maxlen: int, overflow: Any) -> None:
        """Make the channel."""
        super().__init__(scope)
        self.numbers: StreamChannel[int] = StreamChannel(maxlen=maxlen, overflow=overflow)

    def init(self) -> dict[str, Any]:
        """The channel."""
        return {"numbers": self.numbers}

    def process(self, event: ProtocolEvent) -> bool:
        """Show the payload."""
        self.numbers.push(event["params"]["data"])
        return True


class Model:
    """A channel with one reader, as it should be."""

    def __init__(self, maxlen: int, overflow: str) -> None:
        self.items: deque[int] = deque()
        self.maxlen = maxlen
        self.overflow = overflow
        self.dropped = 0

    def push(self, item: int) -> bool:
        """Whether the push is accepted."""
        if len(self.items) < self.maxlen:
            self.items.append(item)
        elif self.overflow == "drop_oldest":
            self.items.popleft()
            self.items.append(item)
            self.dropped += 1
        elif self.overflow == "drop_newest":
            self.dropped += 1
        elif self.overflow == "fail":
            return False
        elif len(self.items) < 2 * self.maxlen:
            self.items.append(item)
        else:
            return False
        return True

    def read(self, count: int) -> list[int]:
        """Up to `count` items."""
        return [self.items.popleft() for _ in range(min(count, len(self.items)))]


@pytest.mark.parametrize("overflow", ["wait", "drop_oldest", "drop_newest", "fail"])
@some
@given(moves=MOVES, maxlen=MAXLENS)
def test_a_channel_does_what_its_policy_says(overflow: Any, moves: Any, maxlen: int) -> None:
    """Pushed to and read in any rhythm, a channel gives, drops, counts and refuses what the model does."""
    transformer = Numbers(maxlen=maxlen, overflow=overflow)
    mux = StreamMux([transformer])
    cursor = iter(mux.extensions["numbers"])
    model = Model(maxlen, overflow)
    number = 0
    for move in moves:
        if move == "push":
            number += 1
            if model.push(number):
                transformer.numbers.push(number)
            else:
                with pytest.raises(ChannelFull):
                    transformer.numbers.push(number)
        else:
            assert [item for _, item in zip(range(move), cursor, strict=False)] == model.read(move)
        figures = transformer.numbers.statistics()
        assert figures.depth + figures.waiting == len(model.items)
        assert figures.depth <= figures.peak <= maxlen
        assert figures.dropped == model.dropped
    assert list(cursor) == list(model.items)


@pytest.mark.parametrize("overflow", ["drop_oldest", "drop_newest"])
@some
@given(count=st.integers(0, 20), maxlen=MAXLENS)
def test_a_drop_policy_keeps_exactly_the_newest_or_the_oldest(overflow: Any, count: int, maxlen: int) -> None:
    """A reader that comes to its items only when the run has ended finds the last, or the first, `maxlen` of them."""
    graph = [parts.custom(number) for number in range(count)]
    with open_run(graph, transformers=[lambda scope: Numbers(scope, maxlen=maxlen, overflow=overflow)]) as run:
        cursor = iter(run.extensions["numbers"])
        assert run.output is None
        numbers = list(range(count))
        assert run.statistics().channels["numbers"].dropped == max(0, count - maxlen)
        assert list(cursor) == (numbers[-maxlen:] if overflow == "drop_oldest" else numbers[:maxlen])


@pytest.mark.parametrize("overflow", ["drop_oldest", "drop_newest"])
@few
@given(count=st.integers(0, 20), maxlen=MAXLENS, plan=st.lists(st.integers(0, 4), max_size=4))
def test_a_slow_reader_of_a_dropping_channel_holds_up_nobody(
    kit: Any, backend: str, overflow: Any, count: int, maxlen: int, plan: Any
) -> None:
    """A slow reader of a dropping channel gets a part of the items in order; what it did not get was counted."""
    graph = [parts.custom(number) for number in range(count)]
    got: list[int] = []
    log: list[int] = []

    async def program() -> None:
        factory = lambda scope: Numbers(scope, maxlen=maxlen, overflow=overflow)  # noqa: E731
        async with open_run(graph, transformers=[factory], checkpoint_every=1) as run:
            cursor = aiter(run.extensions["numbers"])
            events = aiter(run)

            async def read_log() -> None:
                log.extend([event["params"]["data"] async for event in events])

            async with anyio.create_task_group() as tasks:
                tasks.start_soon(read_log)
                pauses = kit.pauses(plan)
                async for number in cursor:
                    got.append(number)
                    await kit.pause(next(pauses))
            assert len(got) + run.statistics().channels["numbers"].dropped == count

    kit.run(program, backend)
    assert log == list(range(count))
    assert got == sorted(set(got))
    if count and overflow == "drop_oldest":
        assert got[-1] == count - 1
    elif count:
        assert got[0] == 0


@some
@given(
    fan_out=st.lists(st.integers(0, 6), max_size=10),
    maxlen=MAXLENS,
    reads=st.lists(st.integers(0, 5), max_size=10),
)
def test_what_one_event_fans_out_waits_in_order(fan_out: Any, maxlen: int, reads: Any) -> None:
    """An event may push more than fits; nothing is lost, the next event is refused meanwhile, and order holds."""

    class FansOut(Numbers):
        def process(self, event: ProtocolEvent) -> bool:
            for number in event["params"]["data"]:
                self.numbers.push(number)
            return True

    transformer = FansOut(maxlen=maxlen, overflow="wait")
    mux = StreamMux([transformer])
    cursor = iter(mux.extensions["numbers"])
    pushed: list[int] = []
    got: list[int] = []
    pending = deque(reads)
    for count in fan_out:
        numbers = list(range(len(pushed), len(pushed) + count))
        event = convert_to_protocol_event(parts.custom(numbers))
        while transformer.numbers.statistics().waiting:
            with pytest.raises(ChannelFull):
                mux.push(event)
            got.append(next(cursor))
        mux.push(event)
        pushed += numbers
        assert transformer.numbers.statistics().depth <= maxlen
        for _ in range(min(pending.popleft() if pending else 0, len(pushed) - len(got))):
            got.append(next(cursor))
    got += cursor
    assert got == pushed


@pytest.mark.parametrize("overflow", ["wait", "drop_oldest", "drop_newest"])
@some
@given(moves=st.lists(st.tuples(st.integers(0, 1), st.integers(0, 3)), max_size=40), maxlen=MAXLENS)
def test_two_channels_interleaved_agree_with_the_model(overflow: Any, moves: Any, maxlen: int) -> None:
    """Reading two channels in order of arrival gives, of what each policy keeps, the order of the pushes."""

    class Second(Numbers):
        def init(self) -> dict[str, Any]:
            return {"others": self.numbers}

    first, second = Numbers(maxlen=maxlen, overflow=overflow), Second(maxlen=maxlen, overflow=overflow)
    mux = StreamMux([first, second])
    together = Interleaving(mux.extensions, ("numbers", "others"), is_async=False)
    models = {"numbers": Model(maxlen, overflow), "others": Model(maxlen, overflow)}
    channels = {"numbers": first.numbers, "others": second.numbers}

    def take() -> tuple[str, int] | None:
        while together.ready:
            taken = together.take(None, lambda ended: None)
            if taken is not None:
                return taken
        return None

    def model_take() -> tuple[str, int] | None:
        heads = [(model.items[0], name) for name, model in models.items() if model.items]
        if not heads:
            return None
        number, name = min(heads)
        models[name].items.popleft()
        return name, number

    for number, (which, reads) in enumerate(moves):
        name = ("numbers", "others")[which]
        if models[name].push(number):
            try:
                channels[name].push(number)
            except ChannelFull:
                # The application's items that wait are counted over both channels.
                assert overflow == "wait"
                models[name].items.pop()
        for _ in range(reads):
            assert take() == model_take()
    while (expected := model_take()) is not None:
        assert take() == expected
    assert take() is None
    together.leave()
