"""Transformers: order, lanes, scheduled work, factories."""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable
from typing import Any

import anyio
import anyio.lowlevel
import pytest

from anyiostream import BackpressureDeadlock, parts

from .adapter import ASYNC, SYNC, Lab, event, on
from .graphs import chain


def tracer(lab: Lab, name: str, trace: list[Any], **overrides: Any) -> type:
    """A transformer class that notes its name and each event's data in `trace`; keyword arguments are class members."""

    class Tracer(lab.api.StreamTransformer):  # type: ignore[name-defined,misc]
        def init(self) -> dict[str, Any]:
            return {}

        def process(self, event: Any) -> bool:
            trace.append((name, event["params"]["data"]))
            return True

    return type(name, (Tracer,), overrides)


async def test_registration_order(lab: Lab) -> None:
    """(40) Transformers are called in registration order."""
    trace: list[Any] = []
    mux = lab.mux([tracer(lab, name, trace)() for name in ("first", "second", "third")])
    await lab.push(mux, event("custom", 1))
    assert trace == [("first", 1), ("second", 1), ("third", 1)]


@pytest.mark.parametrize("how", ["instances", "factories"])
async def test_before_builtins_come_first(lab: Lab, how: str) -> None:
    """(41) Transformers with `before_builtins` come first, and the order inside each of the two lanes is kept."""
    trace: list[Any] = []
    classes = [
        tracer(lab, "plain 1", trace),
        tracer(lab, "early 1", trace, before_builtins=True),
        tracer(lab, "plain 2", trace),
        tracer(lab, "early 2", trace, before_builtins=True),
    ]
    mux = lab.mux([each() for each in classes]) if how == "instances" else lab.mux(factories=classes)
    await lab.push(mux, event("custom", 1))
    assert [name for name, _ in trace] == ["early 1", "early 2", "plain 1", "plain 2"]


async def test_before_builtins_come_before_builtins(lab: Lab) -> None:
    """(41) What a transformer with `before_builtins` changes in an event is what the built-in projections show."""

    def redact(self: Any, event: Any) -> bool:
        if event["method"] == "values":
            event["params"]["data"] = "redacted"
        return True

    early = tracer(lab, "early", [], process=redact, before_builtins=True)
    late = tracer(lab, "late", [], process=redact)
    async with lab.open([parts.values("secret")], transformers=[early]) as run:
        assert await lab.items(run.values) == ["redacted"]
    async with lab.open([parts.values("secret")], transformers=[late]) as run:
        assert await lab.items(run.values) == ["secret"]


async def test_before_builtins_defaults_to_false(lab: Lab) -> None:
    """(42) `before_builtins` is False unless a class sets it."""
    assert lab.api.StreamTransformer.before_builtins is False
    assert lab.api.ValuesTransformer.before_builtins is False


async def test_early_observer_leaves_lifecycle_intact(lab: Lab) -> None:
    """(44) A transformer that observes `tasks` events before the built-in ones do takes nothing from `lifecycle`."""
    script = [
        parts.task_start("1", "sub"),
        parts.task_start("2", "inner", ns=("sub:1",)),
        parts.task_result("2", "inner", ns=("sub:1",)),
        parts.task_result("1", "sub"),
        parts.values({}),
    ]
    seen: list[str] = []

    def process(self: Any, event: Any) -> bool:
        if event["method"] == "tasks" and not self.scope:
            seen.append(event["params"]["data"]["id"])
        return True

    early = tracer(lab, "early", [], process=process, before_builtins=True)
    async with lab.open(script, transformers=[early]) as run:
        assert [item["event"] for item in await lab.items(run.lifecycle)] == ["started", "completed"]
    assert seen == ["1", "2", "2", "1"]


@on(ASYNC)
async def test_aprocess_is_awaited(lab: Lab) -> None:
    """(45) `aprocess` has returned before the next transformer sees the event."""
    trace: list[Any] = []

    async def aprocess(self: Any, event: Any) -> bool:
        data = event["params"]["data"]
        for _ in range(3):
            await anyio.lowlevel.checkpoint()
        event["params"]["data"] = data.upper()
        return True

    async with lab.open(
        [parts.custom("a"), parts.custom("b")],
        transformers=[tracer(lab, "slow", trace, aprocess=aprocess), tracer(lab, "next", trace)],
    ) as run:
        assert [each["params"]["data"] for each in await lab.items(run)] == ["A", "B"]
    assert trace == [("next", "A"), ("next", "B")]


@on(ASYNC)
async def test_aprocess_suppresses(lab: Lab) -> None:
    """(45, 25) What `aprocess` answers decides whether the event stays in the raw log."""

    async def aprocess(self: Any, event: Any) -> bool:
        await anyio.lowlevel.checkpoint()
        return event["params"]["data"] != "secret"

    script = [parts.custom("a"), parts.custom("secret"), parts.custom("b")]
    async with lab.open(script, transformers=[tracer(lab, "filter", [], aprocess=aprocess)]) as run:
        assert [each["params"]["data"] for each in await lab.items(run)] == ["a", "b"]


async def _hook(self: Any, *args: Any) -> bool:
    return True


@pytest.mark.parametrize(
    "member",
    [{"requires_async": True}, {"aprocess": _hook}, {"afinalize": _hook}, {"afail": _hook}],
    ids=lambda member: next(iter(member)),
)
async def test_async_transformer_on_the_sync_lane(lab: Lab, member: dict[str, Any]) -> None:
    """(46) A transformer that requires async or overrides an async hook is refused at registration on the sync lane."""
    transformer = tracer(lab, "Needy", [], **member)
    if lab.is_async:
        await lab.close(lab.mux([transformer()]))
    else:
        with pytest.raises(RuntimeError, match="Needy requires an async run"):
            lab.mux([transformer()])


@on(SYNC)
async def test_supports_sync(lab: Lab) -> None:
    """(46) A transformer that declares support for the sync lane is accepted there, and its plain hooks are used."""
    trace: list[Any] = []
    mux = lab.mux([tracer(lab, "both", trace, aprocess=_hook, supports_sync=True)()])
    await lab.push(mux, event("custom", 1))
    assert trace == [("both", 1)]


@on(ASYNC)
async def test_sync_and_async_transformers_mix(lab: Lab) -> None:
    """(47) On the async lane transformers with plain hooks and with async ones are called in one order."""
    trace: list[Any] = []

    def slow(name: str) -> type:
        async def aprocess(self: Any, event: Any) -> bool:
            await anyio.lowlevel.checkpoint()
            trace.append((name, event["params"]["data"]))
            return True

        return tracer(lab, name, trace, aprocess=aprocess)

    transformers = [tracer(lab, "1 plain", trace), slow("2 async"), tracer(lab, "3 plain", trace), slow("4 async")]
    async with lab.open([parts.values("a"), parts.values("b")], transformers=transformers) as run:
        assert await lab.items(run.values) == ["a", "b"]
        assert await lab.output(run) == "b"
    assert [name for name, _ in trace] == ["1 plain", "2 async", "3 plain", "4 async"] * 2


@on(SYNC)
async def test_schedule_without_a_loop(lab: Lab) -> None:
    """(48) `schedule` on the sync lane is a RuntimeError that asks for a running event loop."""

    async def work() -> None:
        raise AssertionError("never runs")

    def process(self: Any, event: Any) -> bool:
        coroutine = work()
        try:
            self.schedule(coroutine)
        finally:
            coroutine.close()
        return True

    async with lab.open([parts.values(1)], transformers=[tracer(lab, "Scheduling", [], process=process)]) as run:
        with pytest.raises(RuntimeError, match="requires a running event loop"):
            await lab.output(run)


def scheduling(lab: Lab, work: Callable[[Any, Any], Any], *, on_error: str = "log", **overrides: Any) -> type:
    """A transformer that schedules `work(self, data)` for each custom event at its own scope, and has a channel."""

    class Scheduling(lab.api.StreamTransformer):  # type: ignore[name-defined,misc]
        required_stream_modes = ("custom",)

        def init(self) -> dict[str, Any]:
            self.results = lab.api.StreamChannel()
            return {"results": self.results}

        def process(self, event: Any) -> bool:
            if event["method"] == "custom" and tuple(event["params"]["namespace"]) == self.scope:
                self.schedule(work(self, event["params"]["data"]), on_error=on_error)
            return True

    return type("Scheduling", (Scheduling,), overrides)


@on(ASYNC)
async def test_scheduled_work_ends_before_afinalize(lab: Lab) -> None:
    """(49) Everything scheduled has ended when `afinalize` is called."""
    trace: list[Any] = []

    async def work(self: Any, data: Any) -> None:
        for _ in range(data):
            await anyio.lowlevel.checkpoint()
        trace.append(data)

    async def afinalize(self: Any) -> None:
        trace.append("afinalize")

    transformer = scheduling(lab, work, afinalize=afinalize)
    async with lab.open([parts.custom(20), parts.custom(1), parts.values("end")], transformers=[transformer]) as run:
        assert await lab.output(run) == "end"
    assert sorted(trace[:2]) == [1, 20]
    assert trace[2:] == ["afinalize"]


@on(ASYNC)
async def test_logged_error_of_scheduled_work(lab: Lab, caplog: pytest.LogCaptureFixture) -> None:
    """(50) An error of scheduled work is logged and swallowed unless told otherwise."""

    async def work(self: Any, data: Any) -> None:
        await anyio.lowlevel.checkpoint()
        raise LookupError("scheduled")

    async with lab.open([parts.custom(1), parts.values("end")], transformers=[scheduling(lab, work)]) as run:
        assert await lab.output(run) == "end"
    logged = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert [record.exc_info[0] for record in logged if record.exc_info] == [LookupError]


@on(ASYNC)
async def test_raised_error_of_scheduled_work(lab: Lab) -> None:
    """(51) With `on_error="raise"` an error of work that is still pending is raised by closing the mux."""
    go = anyio.Event()

    async def work(self: Any, data: Any) -> None:
        await go.wait()
        raise LookupError("scheduled")

    mux = lab.mux([scheduling(lab, work, on_error="raise")()])
    await lab.push(mux, event("custom", 1))
    await anyio.wait_all_tasks_blocked()
    go.set()
    with pytest.raises(LookupError, match="scheduled"):
        await lab.close(mux)


@on(ASYNC)
async def test_raised_error_fails_the_run(lab: Lab) -> None:
    """(51) With `on_error="raise"` an error of work that is still pending at the graph's end fails the run."""

    async def work(self: Any, data: Any) -> None:
        for _ in range(20):
            await anyio.lowlevel.checkpoint()
        raise LookupError("scheduled")

    transformer = scheduling(lab, work, on_error="raise")
    async with lab.open([parts.custom(1), parts.values("end")], transformers=[transformer]) as run:
        with pytest.raises(LookupError, match="scheduled"):
            await lab.output(run)


@on(ASYNC)
async def test_afail_cancels_scheduled_work(lab: Lab) -> None:
    """(52) Failing the mux cancels what is scheduled, and waits for it, before the `afail` hooks are called."""
    trace: list[Any] = []

    async def work(self: Any, data: Any) -> None:
        try:
            await anyio.sleep_forever()
        finally:
            trace.append("cancelled")

    async def afail(self: Any, err: BaseException) -> None:
        trace.append(err)

    mux = lab.mux([scheduling(lab, work, afail=afail)()])
    await lab.push(mux, event("custom", 1))
    await anyio.wait_all_tasks_blocked()
    error = LookupError("broken")
    await lab.fail(mux, error)
    assert trace == ["cancelled", error]


async def _square(self: Any, data: int) -> None:
    await anyio.lowlevel.checkpoint()
    self.results.push(data * data)


@on(ASYNC)
async def test_scheduled_results_reach_an_early_cursor(lab: Lab) -> None:
    """(53) What scheduled work pushes reaches a cursor that was opened before the output was asked for."""
    script = [*(parts.custom(n) for n in range(10)), parts.values("end")]
    async with lab.open(script, transformers=[scheduling(lab, _square)]) as run:
        results = lab.reader(run.extensions["results"])
        assert await lab.output(run) == "end"
        assert sorted(await results.rest()) == [n * n for n in range(10)]


@on(ASYNC)
async def test_scheduled_results_beyond_the_bound(lab: Lab) -> None:
    """(53) As a deviation, more results than the bound stall ours; their reader is told if it asks for the output."""

    async def work(self: Any, data: int) -> None:
        if lab.ours:
            await self.results.send(data)
        else:
            self.results.push(data)

    script = [*(parts.custom(n) for n in range(6)), parts.values("end")]
    options = {"buffer": 2} if lab.ours else {}
    async with lab.open(script, transformers=[scheduling(lab, work)], **options) as run:
        results = lab.reader(run.extensions["results"])
        first = await results.next()
        if lab.ours:
            # Deviation: bounds.
            with pytest.raises(BackpressureDeadlock, match="'results'"):
                await lab.output(run)
        else:
            assert await lab.output(run) == "end"
        assert sorted([first, *await results.rest()]) == [0, 1, 2, 3, 4, 5]
        assert await lab.output(run) == "end"


async def test_factories_get_the_scope(lab: Lab) -> None:
    """(54) A factory is called with the scope: the root's, and each subgraph's."""
    scopes: list[tuple[str, ...]] = []

    def factory(scope: tuple[str, ...]) -> Any:
        scopes.append(scope)
        return tracer(lab, "Scoped", [])(scope)

    script = [
        parts.task_start("1", "sub"),
        parts.task_start("2", "inner", ns=("sub:1",)),
        parts.task_result("1", "sub"),
    ]
    async with lab.open(script, transformers=[factory]) as run:
        assert len(await lab.items(run.subgraphs)) == 1
    assert scopes == [(), ("sub:1",)]


async def test_classes_and_partials_are_factories(lab: Lab) -> None:
    """(54) A transformer class is a factory, and so is a `partial` of one."""

    class Greeting(lab.api.StreamTransformer):  # type: ignore[name-defined,misc]
        def __init__(self, scope: tuple[str, ...] = (), *, key: str = "greeting") -> None:
            super().__init__(scope)
            self.key = key

        def init(self) -> dict[str, Any]:
            return {self.key: self.scope}

        def process(self, event: Any) -> bool:
            return True

    graph = chain(lab, "a")
    transformers = [Greeting, functools.partial(Greeting, key="farewell")]
    async with lab.open_graph(graph, {"trail": []}, transformers=transformers) as run:
        assert run.extensions["greeting"] == run.extensions["farewell"] == ()
        assert await lab.output(run) == {"trail": ["a"]}


async def test_instances_are_refused(lab: Lab) -> None:
    """(54) A transformer instance in place of a factory is a TypeError that says so."""
    graph = chain(lab, "a")
    with pytest.raises(TypeError, match="pre-built instance"):
        async with lab.open_graph(graph, {"trail": []}, transformers=[tracer(lab, "Instance", [])()]):
            raise AssertionError("never entered")


async def test_compiled_transformers(lab: Lab) -> None:
    """(54) Transformers that are compiled into a graph are registered in every run of it, before the run's own."""
    trace: list[Any] = []
    compiled = tracer(lab, "compiled", trace, required_stream_modes=("updates",))
    graph = chain(lab, "a", transformers=[compiled])
    async with lab.open_graph(graph, {"trail": []}, transformers=[tracer(lab, "own", trace)]) as run:
        await lab.output(run)
    updates = [name for name, data in trace if data == {"a": {"trail": ["a"]}}]
    assert updates == ["compiled", "own"]


async def test_native_projections_become_attributes(lab: Lab) -> None:
    """(55) A native transformer's projection is an attribute of the run, another one's is in `extensions` only."""

    def holding(key: str, *, native: bool) -> type:
        return tracer(lab, key, [], init=lambda self: {key: lab.api.StreamChannel()}, _native=native)

    async with lab.open([], transformers=[holding("inside", native=True), holding("outside", native=False)]) as run:
        assert run.inside is run.extensions["inside"]
        assert "outside" in run.extensions
        assert not hasattr(run, "outside")


async def test_finalize_is_optional(lab: Lab) -> None:
    """(56) A transformer needs no `finalize` and no `fail`."""

    class Minimal(lab.api.StreamTransformer):  # type: ignore[name-defined,misc]
        def init(self) -> dict[str, Any]:
            return {}

        def process(self, event: Any) -> bool:
            return True

    await lab.close(lab.mux([Minimal()]))
    await lab.fail(lab.mux([Minimal()]), LookupError("broken"))
