"""`StreamMux` by itself, without a graph."""

from __future__ import annotations

import gc
from collections.abc import Coroutine, Iterable, Iterator
from functools import partial
from typing import Any

import anyio
import pytest
from anyio.lowlevel import checkpoint

from anyiostream import (
    ChannelClosed,
    ChannelFull,
    CustomTransformer,
    LifecycleTransformer,
    Promise,
    ProtocolEvent,
    StreamChannel,
    StreamEmitter,
    StreamMux,
    StreamTransformer,
    SubgraphTransformer,
    UpdatesTransformer,
    ValuesTransformer,
    convert_to_protocol_event,
    parts,
)
from anyiostream.errors import (
    AlreadyBound,
    AsyncTransformerRefused,
    ChildrenRefused,
    EmitterMisused,
    InvalidHook,
    InvalidProjection,
    PrebuiltTransformer,
    ProjectionConflict,
    PromiseUnresolved,
)


def event(part: Any) -> ProtocolEvent:
    """A part as an event."""
    return convert_to_protocol_event(part)


def custom(*payloads: Any) -> Iterable[ProtocolEvent]:
    """`custom` events with these payloads."""
    return [event(parts.custom(payload)) for payload in payloads]


class Echo(StreamTransformer):
    """Shows each payload in a named channel, and a promise of their number."""

    def __init__(self, scope: tuple[str, ...] = (), *, maxlen: float | None = None) -> None:
        """Make the projections."""
        super().__init__(scope)
        self.echo: StreamChannel[Any] = StreamChannel("echo", maxlen=maxlen)
        self.total: Promise[int] = Promise()
        self.count = 0
        self.ended: list[Any] = []

    def init(self) -> dict[str, Any]:
        """A channel, a promise and a plain value."""
        return {"echo": self.echo, "total": self.total, "answer": 42}

    def process(self, event: ProtocolEvent) -> bool:
        """Show and count."""
        self.count += 1
        self.echo.push(event["params"]["data"])
        return True

    def finalize(self) -> None:
        """Tell the number."""
        self.ended.append("finalize")
        self.total.resolve(self.count)

    def fail(self, err: BaseException) -> None:
        """Note the error."""
        self.ended.append(err)


# --- registration ---


def test_a_mux_without_transformers_passes_events_through() -> None:
    """The raw log gets what is pushed, numbered, and ends with the mux."""
    mux = StreamMux()
    log = iter(mux.events)
    for each in custom("a", "b"):
        mux.push(each)
    mux.close()
    assert [(e["seq"], e["params"]["data"]) for e in log] == [(1, "a"), (2, "b")]


def test_projections_are_found_by_name() -> None:
    """`extensions` has every projection; `native_keys` those of native transformers; each has its transformer."""
    echo = Echo()
    mux = StreamMux([echo, ValuesTransformer()])
    assert set(mux.extensions) == {"echo", "total", "answer", "values"}
    assert mux.extensions["answer"] == 42
    assert mux.native_keys == {"values"}
    assert mux.transformer_by_key("echo") is echo
    assert mux.transformer_by_key("nope") is None


def test_the_lane_and_scope_are_told() -> None:
    """A mux knows what it was made with."""
    mux = StreamMux(scope=("node:1",))
    assert (mux.is_async, mux.scope) == (False, ("node:1",))


def test_init_returns_a_dict() -> None:
    """Anything else is refused at construction."""

    class Wrong(Echo):
        def init(self) -> dict[str, Any]:
            return [self.echo]  # type: ignore[return-value]

    with pytest.raises(InvalidProjection, match="must return a dict"):
        StreamMux([Wrong()])


def test_two_transformers_may_not_claim_one_name() -> None:
    """The conflict names key and owner."""
    with pytest.raises(ProjectionConflict, match=r"'values' \(owned by ValuesTransformer\)"):
        StreamMux([ValuesTransformer(), ValuesTransformer()])


def test_an_instance_joins_one_mux() -> None:
    """A transformer's channels are bound once."""
    echo = Echo()
    StreamMux([echo])
    with pytest.raises(AlreadyBound):
        StreamMux([echo])


def test_factories_get_the_scope() -> None:
    """Classes, partials and lambdas are called with the mux's scope."""
    mux = StreamMux(factories=[ValuesTransformer, partial(Echo, maxlen=3)], scope=("node:1",))
    for key in ("values", "echo"):
        transformer = mux.transformer_by_key(key)
        assert transformer is not None
        assert transformer.scope == ("node:1",)


@pytest.mark.parametrize("factory", [Echo(), 3])
def test_an_instance_is_no_factory(factory: Any) -> None:
    """An instance, or something that cannot be called, is refused."""
    with pytest.raises(PrebuiltTransformer):
        StreamMux(factories=[factory])


def test_a_factory_makes_a_transformer() -> None:
    """A factory that makes something else is refused, and named."""
    with pytest.raises(InvalidHook, match="not a transformer"):
        StreamMux(factories=[lambda scope: scope])  # type: ignore[list-item,return-value]


def test_an_async_transformer_is_refused_on_the_sync_lane() -> None:
    """At construction, not at the first event."""

    class Async(Echo):
        async def aprocess(self, event: ProtocolEvent) -> bool:
            return True

    with pytest.raises(AsyncTransformerRefused, match="Async requires an async run: it overrides aprocess"):
        StreamMux([Async()])


def test_a_transformer_without_process_is_refused() -> None:
    """At construction, and the message says what to override."""

    class Nothing(StreamTransformer):
        def init(self) -> dict[str, Any]:
            return {}

    with pytest.raises(InvalidHook, match=r"Nothing must override process\(\) or aprocess\(\)"):
        StreamMux([Nothing()])


# --- the sync lane ---


def test_events_reach_projections_and_log() -> None:
    """A named channel's push precedes the event that caused it in the log."""
    mux = StreamMux([Echo()])
    echo, log = iter(mux.extensions["echo"]), iter(mux.events)
    for each in custom("a", "b"):
        mux.push(each)
    assert list(echo) == ["a", "b"]
    assert [(e["seq"], e["method"]) for e in log] == [
        (1, "custom:echo"),
        (2, "custom"),
        (3, "custom:echo"),
        (4, "custom"),
    ]


def test_a_native_channel_is_forwarded_under_its_bare_name() -> None:
    """A native transformer's named channel has no prefix in the log."""

    class Native(Echo):
        _native = True

    mux = StreamMux([Native()])
    log = iter(mux.events)
    mux.push(event(parts.custom("a", ns=("node:1",))))
    forwarded = next(log)
    assert forwarded["method"] == "echo"
    assert forwarded["params"]["namespace"] == ["node:1"]


def test_a_reader_gets_what_was_pushed_and_may_come_back() -> None:
    """Without a graph there is nobody to ask for more: the loop ends, and a kept cursor goes on with later events."""
    mux = StreamMux([CustomTransformer()])
    cursor = iter(mux.extensions["custom"])
    assert list(cursor) == []
    for each in custom(1, 2):
        mux.push(each)
    assert list(cursor) == [1, 2]
    mux.push(event(parts.custom(3)))
    assert list(cursor) == [3]


def test_suppression_keeps_an_event_out_of_the_log_only() -> None:
    """Later transformers see what an earlier one suppressed."""

    class Suppressor(Echo):
        def init(self) -> dict[str, Any]:
            return {}

        def process(self, event: ProtocolEvent) -> bool:
            return False

    mux = StreamMux([Suppressor(), CustomTransformer()])
    seen, log = iter(mux.extensions["custom"]), iter(mux.events)
    mux.push(event(parts.custom(1)))
    assert list(seen) == [1]
    assert list(log) == []


def test_closing_finalizes_and_ends_everything() -> None:
    """Promises have their value, channels and log their end."""
    echo = Echo()
    mux = StreamMux([echo])
    cursor, log = iter(mux.extensions["echo"]), iter(mux.events)
    mux.push(event(parts.custom("a")))
    mux.close()
    assert echo.ended == ["finalize"]
    assert list(cursor) == ["a"]
    assert len(list(log)) == 2
    assert mux.extensions["total"].result() == 1


def test_closing_twice_is_closing_once() -> None:
    """Hooks are called once, and a close after a failure does not undo it."""
    echo = Echo()
    mux = StreamMux([echo])
    mux.close()
    mux.close()
    assert echo.ended == ["finalize"]


def test_failing_gives_everybody_the_very_error() -> None:
    """Hooks, channels, promises and the log get the error object; readers get their items first."""
    error, echo = ValueError("no"), Echo()
    mux = StreamMux([echo])
    cursor, log = iter(mux.extensions["echo"]), iter(mux.events)
    mux.push(event(parts.custom("a")))
    mux.fail(error)
    assert echo.ended == [error]
    assert next(cursor) == "a"
    assert [next(log)["seq"], next(log)["seq"]] == [1, 2]
    for read in (lambda: next(cursor), lambda: next(log), mux.extensions["total"].result):
        with pytest.raises(ValueError, match="no") as caught:
            read()
        assert caught.value is error


def test_failing_an_empty_mux_surfaces_in_the_log() -> None:
    """Without transformers the error is the log's."""
    mux = StreamMux()
    log = iter(mux.events)
    mux.fail(ValueError("no"))
    with pytest.raises(ValueError, match="no"):
        next(log)


def test_an_error_of_finalize_is_raised_when_all_has_been_closed() -> None:
    """The others are finalised, channels and log end, and `close` raises the error."""

    class Fails(Echo):
        def init(self) -> dict[str, Any]:
            return {}

        def finalize(self) -> None:
            raise ValueError("no")

    echo = Echo()
    mux = StreamMux([Fails(), echo])
    cursor = iter(mux.extensions["echo"])
    with pytest.raises(ValueError, match="no"):
        mux.close()
    assert echo.ended == ["finalize"]
    with pytest.raises(ValueError, match="no"):
        next(cursor)
    with pytest.raises(ValueError, match="no"):
        next(iter(mux.events))


def test_an_error_of_fail_does_not_hide_the_original() -> None:
    """`fail` raises nothing, and the other hooks get the original."""

    class Fails(Echo):
        def init(self) -> dict[str, Any]:
            return {}

        def fail(self, err: BaseException) -> None:
            raise OSError("of the hook")

    error, echo = ValueError("the original"), Echo()
    mux = StreamMux([Fails(), echo])
    mux.fail(error)
    assert echo.ended == [error]


def test_a_transformer_may_close_its_own_channel() -> None:
    """The mux ends what has not ended yet."""

    class Closes(Echo):
        def finalize(self) -> None:
            self.echo.close()
            self.total.resolve(0)

    mux = StreamMux([Closes()])
    cursor = iter(mux.extensions["echo"])
    mux.close()
    assert list(cursor) == []


def test_a_promise_that_nobody_resolves_says_so() -> None:
    """Waiting for it after a good end raises."""

    class Forgets(Echo):
        def finalize(self) -> None:
            pass

    mux = StreamMux([Forgets()])
    mux.close()
    with pytest.raises(PromiseUnresolved, match="'total'"):
        mux.extensions["total"].result()


def test_an_error_of_process_is_raised_by_push() -> None:
    """It comes out as it is, with a note that names the transformer."""

    class Fails(Echo):
        def process(self, event: ProtocolEvent) -> bool:
            raise ValueError("no")

    mux = StreamMux([Fails()])
    with pytest.raises(ValueError, match="no") as caught:
        mux.push(event(parts.custom(1)))
    assert caught.value.__notes__ == ["raised by Fails.process() while handling a 'custom' event"]


def test_pushing_to_a_closed_mux_raises() -> None:
    """Whoever reads the log would miss the event."""
    mux = StreamMux()
    _log = iter(mux.events)
    mux.close()
    with pytest.raises(ChannelClosed):
        mux.push(event(parts.custom(1)))


def test_a_full_channel_refuses_the_next_event() -> None:
    """What one event fans out beyond the bound waits; the next event is refused until its reader has made room."""
    mux = StreamMux([Echo(maxlen=1)])
    cursor = iter(mux.extensions["echo"])
    first, second, third = custom("a", "b", "c")
    mux.push(first)
    mux.push(second)
    with pytest.raises(ChannelFull, match="'echo'"):
        mux.push(third)
    assert next(cursor) == "a"
    mux.push(third)
    assert list(cursor) == ["b", "c"]


def test_the_bound_may_be_given() -> None:
    """`maxlen` bounds the channels that name none."""
    mux = StreamMux([CustomTransformer()], maxlen=3)
    assert mux.extensions["custom"].statistics().maxlen == 3


def test_an_emitter_synthesises_only_while_its_hook_runs() -> None:
    """Outside `process` the emitter raises; inside, the event passes through the mux before the one handled."""

    class Emits(Echo):
        def on_register(self, emitter: StreamEmitter) -> None:
            self.emitter = emitter
            with pytest.raises(EmitterMisused):
                emitter.push((), event(parts.custom("too early")))

        def process(self, event: ProtocolEvent) -> bool:
            if event["method"] == "custom":
                self.emitter.push(("made:1",), convert_to_protocol_event(parts.debug("made")))
            return True

    transformer = Emits()
    mux = StreamMux([transformer])
    log = iter(mux.events)
    mux.push(event(parts.custom(1)))
    assert [(e["method"], e["params"]["namespace"]) for e in log] == [("debug", ["made:1"]), ("custom", [])]
    with pytest.raises(EmitterMisused, match="Emits"):
        transformer.emitter.push((), event(parts.custom("too late")))


def test_subgraphs_get_handles_of_their_own() -> None:
    """With factories, `tasks` events open and end handles whose projections are filled."""
    mux = StreamMux(factories=[ValuesTransformer, LifecycleTransformer, SubgraphTransformer])
    subgraphs, lifecycle = iter(mux.extensions["subgraphs"]), iter(mux.extensions["lifecycle"])
    mux.push(event(parts.task_start("t", "inner", ns=("node:1",))))
    handle: Any = next(subgraphs)
    values = iter(handle.values)
    mux.push(event(parts.values({"n": 1}, ns=("node:1",))))
    mux.push(event(parts.task_result("1", "node")))
    assert list(values) == [{"n": 1}]
    assert (handle.path, handle.graph_name, handle.status) == (("node:1",), "node", "completed")
    assert handle.output == {"n": 1}
    assert [payload["event"] for payload in lifecycle] == ["started", "completed"]


def test_closing_ends_open_handles() -> None:
    """A subgraph that is still open when the mux is closed is completed; if it fails, failed."""
    for close, status in ((StreamMux.close, "completed"), (lambda mux: mux.fail(ValueError("no")), "failed")):
        mux = StreamMux(factories=[ValuesTransformer, SubgraphTransformer])
        subgraphs = iter(mux.extensions["subgraphs"])
        mux.push(event(parts.task_start("t", "inner", ns=("node:1",))))
        handle: Any = next(subgraphs)
        close(mux)
        assert handle.status == status


def test_instances_are_not_cloned() -> None:
    """A mux made from instances shows no handles, as these cannot be made for a subgraph's scope."""
    mux = StreamMux([ValuesTransformer(), SubgraphTransformer()])
    subgraphs = iter(mux.extensions["subgraphs"])
    mux.push(event(parts.task_start("t", "inner", ns=("node:1",))))
    assert list(subgraphs) == []
    with pytest.raises(ChildrenRefused):
        mux._mux.make_child(("node:1",))  # noqa: SLF001 -- there is no public way to ask for a child


# --- the async lane ---


class AsyncEcho(Echo):
    """Waits before it shows a payload."""

    async def aprocess(self, event: ProtocolEvent) -> bool:
        """Checkpoint first."""
        await checkpoint()
        return self.process(event)


@pytest.mark.anyio
@pytest.mark.parametrize("factory", [Echo, AsyncEcho])
async def test_events_are_awaited_in_order(factory: type[Echo]) -> None:
    """`apush` returns when every hook has, plain or async."""
    mux = StreamMux([factory()], is_async=True)
    cursor, log = aiter(mux.extensions["echo"]), aiter(mux.events)
    for each in custom("a", "b"):
        await mux.apush(each)
    await mux.aclose()
    assert [item async for item in cursor] == ["a", "b"]
    assert [e["seq"] async for e in log] == [1, 2, 3, 4]
    assert await mux.extensions["total"] == 2


@pytest.mark.anyio
async def test_a_mux_may_be_made_before_there_is_a_loop() -> None:
    """Construction needs no loop; what waits does."""
    mux = StreamMux([Echo()], is_async=True)
    mux.push(event(parts.custom("a")))
    await mux.aclose()
    assert await mux.extensions["total"] == 1


def test_a_cursor_may_be_dropped_where_no_loop_runs() -> None:
    """A cursor of the async lane that is garbage before there is a loop frees its buffer, without a complaint."""
    mux = StreamMux([CustomTransformer()], is_async=True)
    cursor = aiter(mux.extensions["custom"])
    mux.push(event(parts.custom(1)))
    del cursor
    gc.collect()
    assert mux.extensions["custom"].statistics().readers == 0


@pytest.mark.anyio
async def test_push_refuses_hooks_that_must_be_awaited() -> None:
    """The plain `push` of an async mux says to use `apush`."""
    mux = StreamMux([AsyncEcho()], is_async=True)
    with pytest.raises(InvalidHook, match=r"apush\(\)"):
        mux.push(event(parts.custom("a")))
    await mux.aclose()


@pytest.mark.anyio
async def test_a_reader_waits_for_what_will_be_pushed() -> None:
    """On the async lane a reader with nothing to read waits for the pusher, in another task."""
    mux = StreamMux([CustomTransformer()], is_async=True)
    got: list[int] = []

    async def read() -> None:
        async for item in mux.extensions["custom"]:
            got.append(item)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(read)
        await anyio.wait_all_tasks_blocked()
        for each in custom(1, 2):
            await mux.apush(each)
            await anyio.wait_all_tasks_blocked()
        assert got == [1, 2]
        await mux.aclose()
    assert got == [1, 2]


@pytest.mark.anyio
async def test_apush_waits_for_room() -> None:
    """The event after one whose items wait is dispatched when the reader has made room."""
    mux = StreamMux([Echo(maxlen=1)], is_async=True)
    cursor = aiter(mux.extensions["echo"])
    pushed: list[str] = []

    async def push() -> None:
        for each in custom("a", "b", "c"):
            await mux.apush(each)
            pushed.append(each["params"]["data"])

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(push)
        await anyio.wait_all_tasks_blocked()
        assert pushed == ["a", "b"]
        assert await anext(cursor) == "a"
        await anyio.wait_all_tasks_blocked()
        assert pushed == ["a", "b", "c"]
        assert [await anext(cursor), await anext(cursor)] == ["b", "c"]


@pytest.mark.anyio
async def test_failing_gives_async_readers_the_very_error() -> None:
    """Items first, then the error object, for channels, promises and the log."""
    error, echo = ValueError("no"), Echo()
    mux = StreamMux([echo], is_async=True)
    cursor = aiter(mux.extensions["echo"])
    await mux.apush(event(parts.custom("a")))
    await mux.afail(error)
    assert echo.ended == [error]
    assert await anext(cursor) == "a"
    with pytest.raises(ValueError, match="no") as caught:
        await anext(cursor)
    assert caught.value is error
    with pytest.raises(ValueError, match="no"):
        await mux.extensions["total"]


@pytest.fixture
def started() -> Iterator[list[Coroutine[Any, Any, None]]]:
    """Coroutines that a test schedules; closed after it, in case the mux refused them."""
    coros: list[Coroutine[Any, Any, None]] = []
    yield coros
    for coro in coros:
        coro.close()


@pytest.mark.anyio
async def test_scheduled_work_ends_before_the_mux_does(started: Any) -> None:
    """`aclose` drains what was scheduled before `finalize` is called."""

    class Schedules(Echo):
        requires_async = True

        def process(self, event: ProtocolEvent) -> bool:
            started.append(self.later(event["params"]["data"]))
            self.schedule(started[-1])
            return True

        async def later(self, payload: Any) -> None:
            await checkpoint()
            self.count += 1
            self.echo.push(payload)

    mux = StreamMux([Schedules()], is_async=True)
    cursor = aiter(mux.extensions["echo"])
    for each in custom("a", "b"):
        await mux.apush(each)
    await mux.aclose()
    assert sorted([item async for item in cursor]) == ["a", "b"]
    assert await mux.extensions["total"] == 2


@pytest.mark.anyio
async def test_failing_cancels_scheduled_work(started: Any) -> None:
    """`afail` cancels what was scheduled, and waits for it."""
    ended: list[str] = []

    class Schedules(Echo):
        requires_async = True

        def process(self, event: ProtocolEvent) -> bool:
            started.append(self.forever())
            self.schedule(started[-1])
            return True

        async def forever(self) -> None:
            try:
                await anyio.sleep_forever()
            finally:
                ended.append("cancelled")

    mux = StreamMux([Schedules()], is_async=True)
    await mux.apush(event(parts.custom("a")))
    await anyio.wait_all_tasks_blocked()
    await mux.afail(ValueError("no"))
    assert ended == ["cancelled"]


@pytest.mark.anyio
async def test_work_that_fails_under_raise_is_raised_by_aclose(started: Any) -> None:
    """The error ends the mux, whenever it happened."""

    class Schedules(Echo):
        requires_async = True

        def process(self, event: ProtocolEvent) -> bool:
            started.append(self.fails())
            self.schedule(started[-1], on_error="raise")
            return True

        async def fails(self) -> None:
            raise ValueError("no")

    mux = StreamMux([Schedules()], is_async=True)
    await mux.apush(event(parts.custom("a")))
    await anyio.wait_all_tasks_blocked()
    with pytest.raises(ValueError, match="no"):
        await mux.aclose()


def test_a_mux_has_the_scope_that_its_instances_were_made_for() -> None:
    """Their events are those of that namespace; a scope that is given counts."""
    scope = ("a:0",)
    mux = StreamMux([UpdatesTransformer(scope)])
    updates = iter(mux.extensions["updates"])
    for data, ns in (("of it", scope), ("of the root", ()), ("below", (*scope, "b:1"))):
        mux.push(event(parts.updates({"node": data}, ns=ns)))
    mux.close()
    assert mux.scope == scope
    assert list(updates) == [{"node": "of it"}]
    assert StreamMux([UpdatesTransformer(scope)], scope=("c:2",)).scope == ("c:2",)
    assert StreamMux([UpdatesTransformer(scope), CustomTransformer(("b:1",))]).scope == ()
