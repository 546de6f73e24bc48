"""Bad input: each kind has an exception of its own, which says what was wrong, and leaves nothing running."""

from __future__ import annotations

import io
import math
from typing import Any

import anyio
import pytest
from langchain_core.messages import HumanMessage
from langchain_core.prompts import PromptTemplate

from anyiostream import (
    AnyioStreamError,
    CustomTransformer,
    MalformedPart,
    StreamChannel,
    StreamTransformer,
    ValuesTransformer,
    open_run,
    parts,
)
from anyiostream.errors import (
    AlreadyBound,
    AsyncTransformerRefused,
    ChannelUnbound,
    InvalidBound,
    InvalidHook,
    InvalidProjection,
    NotAChannel,
    NotAGraph,
    PrebuiltTransformer,
    ProjectionConflict,
    RunReentered,
    UnknownOption,
    UnknownProjection,
    WrongLane,
)
from anyiostream.testing.langchain import FakeStreamingChatModel

pytestmark = pytest.mark.anyio


class Plain(StreamTransformer):
    """Does nothing."""

    def init(self) -> dict[str, Any]:
        """No projection."""
        return {}

    def process(self, event: Any) -> bool:
        """Keep everything."""
        return True


class Iterates(Plain):
    """Has a channel called `mine`."""

    def init(self) -> dict[str, Any]:
        """One channel."""
        return {"mine": StreamChannel()}


def coroutine_function() -> Any:
    """What a call of a function graph returns."""

    async def graph(given: Any, writer: Any) -> None:
        raise AssertionError

    return graph(None, None)


def two_arguments(given: Any, writer: Any) -> list[Any]:
    """A plain function that looks like a graph."""
    return []


NOT_GRAPHS = {
    "None": lambda: None,
    "int": lambda: 3,
    "str": lambda: "values",
    "bytes": lambda: b"values",
    "dict": lambda: {"type": "values"},
    "class": lambda: list,
    "plain function": lambda: two_arguments,
    "object": object,
    "coroutine": coroutine_function,
    "set": lambda: {"values"},
    "frozenset": lambda: frozenset({"values"}),
    "keys": {"values": 1}.keys,
    "items": {"values": 1}.items,
    "bytearray": lambda: bytearray(b"values"),
    "memoryview": lambda: memoryview(b"values"),
    "range": lambda: range(3),
    "file": lambda: io.StringIO("values"),
    "model": lambda: HumanMessage("a model of data is an iterable of its fields"),
    "chat model": lambda: FakeStreamingChatModel("hello"),
    "prompt": lambda: PromptTemplate.from_template("{x}"),
}


@pytest.mark.parametrize("kind", NOT_GRAPHS)
async def test_what_is_no_graph_is_refused(lane: Any, kind: str, nothing_left: Any) -> None:
    """When the run is entered, naming the type and what a graph is."""
    graph = NOT_GRAPHS[kind]()
    async with nothing_left():
        with pytest.raises(NotAGraph) as caught:
            async with lane.open(graph):
                pytest.fail("entered")
        assert isinstance(caught.value, TypeError)
        assert type(graph).__name__ in str(caught.value)
        if kind == "coroutine":
            assert "without calling it" in str(caught.value)


async def test_an_asynchronous_graph_is_refused_on_the_sync_lane(script: Any) -> None:
    """An async generator, an async generator function and any async iterable: the message names the remedy."""

    async def function(given: Any) -> Any:
        yield parts.values(1)

    class Iterable:
        def __aiter__(self) -> Any:
            raise AssertionError

    generator = script().agen()
    for graph in (function, generator, Iterable()):
        with pytest.raises(NotAGraph, match="async with"), open_run(graph):
            pytest.fail("entered")
    await generator.aclose()


MALFORMED = {
    "not a mapping": "values",
    "a tuple": ("values", 1),
    "None": None,
    "no type": {"ns": (), "data": 1},
    "no ns": {"type": "values", "data": 1},
    "no data": {"type": "values", "ns": ()},
    "ns a string": {"type": "values", "ns": "a:1", "data": 1},
    "ns None": {"type": "values", "ns": None, "data": 1},
    "ns with an int": {"type": "values", "ns": ("a", 1), "data": 1},
    "type an int": {"type": 3, "ns": (), "data": 1},
    "type unhashable": {"type": ["values"], "ns": (), "data": 1},
    "tasks data no dict": {"type": "tasks", "ns": (), "data": 1},
}


@pytest.mark.parametrize("watched", [False, True], ids=["unwatched", "raw log read"])
@pytest.mark.parametrize("kind", MALFORMED)
async def test_a_malformed_part_fails_the_run(
    lane: Any, script: Any, kind: str, watched: bool, nothing_left: Any
) -> None:
    """Readers get the parts before it and then `MalformedPart`, which carries it; the source is closed."""
    source = script(parts.values(1), MALFORMED[kind], parts.values(2))
    async with nothing_left(), lane.open(lane.source(source)) as run:
        log = lane.cursor(run) if watched else None
        values = lane.cursor(run.values)
        assert await lane.next(values) == 1
        with pytest.raises(MalformedPart) as caught:
            await lane.next(values)
        assert isinstance(caught.value, TypeError)
        assert caught.value.part == (1 if kind == "tasks data no dict" else MALFORMED[kind])
        assert run.status == "failed"
        del log
    assert source.closed == 1


async def test_a_malformed_part_of_a_function_graph_fails_the_run(lane: Any) -> None:
    """Also where the part comes from a writer."""

    async def graph(given: Any, writer: Any) -> None:
        await writer.part({"type": "values"})

    async with lane.open(graph) as run:
        with pytest.raises(MalformedPart, match="ns"):
            await lane.output(run)


async def test_a_list_is_a_good_namespace(lane: Any, script: Any) -> None:
    """Parts that came as JSON have one."""
    async with lane.open(lane.source(script({"type": "values", "ns": [], "data": 1}))) as run:
        assert await lane.collect(run.values) == [1]


@pytest.mark.parametrize("option", ["stream_mode", "subgraphs", "version", "context", "typo"])
def test_an_option_that_the_graph_does_not_take_is_refused(option: str) -> None:
    """At once, with the reason."""
    with pytest.raises(UnknownOption, match=option) as caught:
        open_run([], **{option: "values"})
    assert isinstance(caught.value, TypeError)


def test_a_configuration_is_for_langgraph_graphs_only() -> None:
    """It would have no effect elsewhere."""
    with pytest.raises(UnknownOption, match="config"):
        open_run([], config={"configurable": {}})


@pytest.mark.parametrize(
    "options",
    [
        {"buffer": 0},
        {"buffer": -1},
        {"buffer": 1.5},
        {"buffer": True},
        {"buffer": "64"},
        {"prefetch": -1},
        {"prefetch": 1.5},
        {"prefetch": True},
        {"checkpoint_every": 0},
        {"checkpoint_every": -1},
        {"checkpoint_every": None},
        {"grace": 0},
        {"grace": -1.5},
        {"grace": math.nan},
        {"grace": True},
        {"grace": "5"},
        {"grace": None},
        {"max_scheduled": 0},
        {"max_scheduled": -1},
        {"max_scheduled": 1.5},
        {"max_scheduled": True},
        {"max_scheduled": math.nan},
        {"max_scheduled": None},
    ],
    ids=str,
)
def test_a_bound_that_is_none_is_refused(options: dict[str, Any]) -> None:
    """At once, naming the bound and what it takes."""
    with pytest.raises(InvalidBound, match=next(iter(options))) as caught:
        open_run([], **options)
    assert isinstance(caught.value, ValueError)


@pytest.mark.parametrize("options", [{"maxlen": 0}, {"maxlen": -3}, {"maxlen": 1.5}, {"overflow": "drop"}], ids=str)
def test_a_channel_with_a_bad_bound_is_refused(options: dict[str, Any]) -> None:
    """Where it is made."""
    with pytest.raises(InvalidBound) as caught:
        StreamChannel(**options)
    assert isinstance(caught.value, ValueError)


@pytest.mark.parametrize("scope", ["a:1", 3, ("a", 1)], ids=str)
def test_a_scope_that_is_no_namespace_is_refused(scope: Any) -> None:
    """At once."""
    with pytest.raises(AnyioStreamError) as caught:
        open_run([], scope=scope)
    assert isinstance(caught.value, TypeError)


async def test_a_tee_of_less_than_one_branch_is_refused(lane: Any, script: Any) -> None:
    """And nothing is subscribed by that."""
    async with lane.open(lane.source(script(parts.values(1)))) as run:
        for bad in (0, -1):
            with pytest.raises(InvalidBound):
                lane.tee(run.values, bad)
        assert await lane.collect(run.values) == [1]


async def test_one_open_run_is_one_run(lane: Any, script: Any) -> None:
    """Entering it again is refused, during the run and after it."""
    opened = open_run(lane.source(script(parts.values(1))))
    if lane.is_async:
        async with opened as run:
            with pytest.raises(RunReentered):
                await opened.__aenter__()
            assert await run.output() == 1
        with pytest.raises(RunReentered):
            await opened.__aenter__()
    else:
        with opened as run:
            with pytest.raises(RunReentered):
                opened.__enter__()
            assert run.output == 1
        with pytest.raises(RunReentered) as caught:
            opened.__enter__()
        assert isinstance(caught.value, RuntimeError)


async def test_an_unbound_channel_cannot_be_read() -> None:
    """Nor can it be sent to."""
    channel: StreamChannel[Any] = StreamChannel()
    with pytest.raises(ChannelUnbound) as caught:
        iter(channel)
    assert isinstance(caught.value, TypeError)
    with pytest.raises(ChannelUnbound):
        aiter(channel)
    with pytest.raises(ChannelUnbound):
        channel.tee(2)
    with pytest.raises(ChannelUnbound):
        await channel.send(1)


async def test_a_channel_is_read_on_its_own_lane(lane: Any, script: Any) -> None:
    """`for` on the async lane and `async for` on the sync one are refused, and the channel is not used up."""
    async with lane.open(lane.source(script(parts.values(1)))) as run:
        wrong, branches = (iter, run.values.tee) if lane.is_async else (aiter, run.values.atee)
        for channel in (run.values, run):
            with pytest.raises(TypeError):
                wrong(channel)
        with pytest.raises(WrongLane) as caught:
            wrong(run.values)
        assert isinstance(caught.value, TypeError)
        with pytest.raises(WrongLane):
            branches(2)
        if not lane.is_async:
            with pytest.raises(WrongLane, match="push"):
                await run.values.send(1)
        assert await lane.collect(run.values) == [1]


async def test_a_transformer_instance_is_refused(lane: Any, script: Any, nothing_left: Any) -> None:
    """A class or a factory is needed, for each subgraph gets an instance of its own."""
    source = script(parts.values(1))
    async with nothing_left():
        for wrong in (Plain(), 3, "Plain"):
            with pytest.raises(PrebuiltTransformer) as caught:
                async with lane.open(source.gen(), transformers=[wrong]):
                    pytest.fail("entered")
            assert isinstance(caught.value, TypeError)


async def test_a_factory_that_makes_no_transformer_is_refused(lane: Any) -> None:
    """As is one without a `process`, or with an `init()` that returns no dict."""

    class Hookless(StreamTransformer):
        def init(self) -> dict[str, Any]:
            return {}

    class WrongInit(Plain):
        def init(self) -> Any:
            return [StreamChannel()]

    for wrong, error in ((lambda _: 3, InvalidHook), (Hookless, InvalidHook), (WrongInit, InvalidProjection)):
        with pytest.raises(error) as caught:
            async with lane.open([], transformers=[wrong]):
                pytest.fail("entered")
        assert isinstance(caught.value, TypeError)


async def test_two_transformers_cannot_claim_one_projection(lane: Any) -> None:
    """The message names the owner."""
    with pytest.raises(ProjectionConflict, match="'values'") as caught:
        async with lane.open([], transformers=[ValuesTransformer]):
            pytest.fail("entered")
    assert isinstance(caught.value, ValueError)


async def test_a_channel_belongs_to_one_run(lane: Any, script: Any) -> None:
    """A channel that is shared by instances is refused."""
    shared: StreamChannel[Any] = StreamChannel()

    class Sharing(Plain):
        def init(self) -> dict[str, Any]:
            return {"shared": shared}

    async with lane.open(lane.source(script()), transformers=[Sharing]):
        with pytest.raises(AlreadyBound):
            async with lane.open([], transformers=[Sharing]):
                pytest.fail("entered")


async def test_an_async_transformer_is_refused_on_the_sync_lane() -> None:
    """Unless it says that its plain hooks do the same."""

    class Async(Plain):
        async def aprocess(self, event: Any) -> bool:
            return True

    class Requires(Plain):
        requires_async = True

    class Both(Async):
        supports_sync = True

    for wrong in (Async, Requires):
        with pytest.raises(AsyncTransformerRefused, match=wrong.__name__) as caught:
            with open_run([], transformers=[wrong]):
                pytest.fail("entered")
        assert isinstance(caught.value, RuntimeError)
    with open_run([parts.values(1)], transformers=[Both]) as run:
        assert run.output == 1


async def test_interleave_checks_its_names(lane: Any, script: Any) -> None:
    """Unknown names, projections that are no channels, and taken ones are refused; nothing is subscribed by that."""

    class Constant(Plain):
        def init(self) -> dict[str, Any]:
            return {"constant": 3}

    source = script(parts.values(1), parts.custom(2))
    async with lane.open(lane.source(source), transformers=[CustomTransformer, Constant]) as run:
        with pytest.raises(UnknownProjection, match="registered") as caught:
            run.interleave("values", "nonsense")
        assert isinstance(caught.value, KeyError)
        with pytest.raises(NotAChannel) as wrong:
            run.interleave("values", "constant")
        assert isinstance(wrong.value, TypeError)
        assert await lane.collect(run.interleave("values", "custom")) == [("values", 1), ("custom", 2)]


async def test_an_unknown_projection_is_no_attribute(lane: Any, script: Any) -> None:
    """The message lists those that there are, and where the others are."""
    async with lane.open(lane.source(script()), transformers=[Iterates]) as run:
        with pytest.raises(AttributeError, match="values"):
            _ = run.mine
        assert isinstance(run.extensions["mine"], StreamChannel)
        with pytest.raises(TypeError):
            run.extensions["mine"] = None


async def test_entering_with_a_bad_transformer_leaves_nothing_running(script: Any, nothing_left: Any) -> None:
    """The graph is not touched."""
    source = script(parts.values(1))
    generator = source.agen()
    async with nothing_left():
        with pytest.raises(PrebuiltTransformer):
            async with open_run(generator, transformers=[Plain()]):
                pytest.fail("entered")
        await anyio.wait_all_tasks_blocked()
    assert source.produced == 0
    await generator.aclose()
