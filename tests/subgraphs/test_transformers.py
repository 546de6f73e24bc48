"""Transformers of the user's in subgraphs."""

from __future__ import annotations

from typing import Any

import anyio
import pytest

from anyiostream import (
    CustomTransformer,
    PayloadTransformer,
    StreamChannel,
    StreamTransformer,
    TasksTransformer,
    open_run,
    parts,
)

from .scripts import ON_LOOPS, nest, subgraph

pytestmark = pytest.mark.anyio

SCOPES = [(), ("sub:1",), ("sub:1", "sub:2"), ("sub:1", "sub:2", "sub:3")]


def noting(notes: list[Any], **attributes: Any) -> type[StreamTransformer]:
    """A transformer that notes its scope with what it sees of `values`, and how it ends."""

    class Noting(StreamTransformer):
        def init(self) -> dict[str, Any]:
            notes.append(("init", self.scope))
            return {}

        def process(self, event: Any) -> bool:
            if event["method"] == "values":
                notes.append((self.scope, event["params"]["data"]))
            return True

        def finalize(self) -> None:
            notes.append(("finalize", self.scope))

        def fail(self, err: BaseException) -> None:
            notes.append(("fail", self.scope))

    for name, value in attributes.items():
        setattr(Noting, name, value)
    return Noting


async def test_a_users_transformer_works_in_subgraphs_that_nobody_reads(lane: Any) -> None:
    """An instance for each, with the scope of its own, that sees that scope and those below, and is finalised once."""
    notes: list[Any] = []
    async with lane.open(lane.source(nest(3)), transformers=[noting(notes)]) as run:
        assert await lane.output(run) == "after 0"
    assert [note for note in notes if note[0] == "init"] == [("init", scope) for scope in SCOPES]
    assert [note for note in notes if note[0] == "finalize"] == [("finalize", scope) for scope in SCOPES[::-1]]
    seen = {scope: [what for at, what in notes if at == scope] for scope in SCOPES}
    assert seen[SCOPES[3]] == ["bottom 3"]
    assert seen[SCOPES[2]] == ["before 2", "bottom 3", "after 2"]
    assert seen[SCOPES[1]] == ["before 1", "before 2", "bottom 3", "after 2", "after 1"]
    assert len(seen[()]) == 7


async def test_own_scope_in_subgraphs(lane: Any) -> None:
    """With `own_scope`, each instance sees its own level only."""
    notes: list[Any] = []
    async with lane.open(lane.source(nest(2)), transformers=[noting(notes, own_scope=True)]) as run:
        await lane.output(run)
    assert [note for note in notes if isinstance(note[1], str)] == [
        ((), "before 0"),
        (("sub:1",), "before 1"),
        (("sub:1", "sub:2"), "bottom 2"),
        (("sub:1",), "after 1"),
        ((), "after 0"),
    ]


async def test_a_factory_gets_each_scope(lane: Any) -> None:
    """Any callable that takes a scope will do."""
    scopes: list[Any] = []
    made = noting([])

    def factory(scope: tuple[str, ...]) -> Any:
        scopes.append(scope)
        return made(scope)

    async with lane.open(lane.source(nest(3)), transformers=[factory]) as run:
        await lane.output(run)
    assert scopes == SCOPES


async def test_an_aborted_handle_fails_the_transformers_of_its_subgraph(lane: Any) -> None:
    """Once each, inner before outer; those of the run go on to be finalised."""
    notes: list[Any] = []
    async with lane.open(lane.source(nest(3)), transformers=[noting(notes)]) as run:
        handle = await lane.next(lane.cursor(run.subgraphs))
        inner = await lane.next(lane.cursor(handle.subgraphs))
        assert await lane.next(lane.cursor(inner.values))
        await lane.abort(handle)
        await lane.output(run)
    endings = [note for note in notes if note[0] in {"fail", "finalize"}]
    assert endings == [("fail", SCOPES[2]), ("fail", SCOPES[1]), ("finalize", ())]


async def test_an_extension_of_a_subgraph_is_on_its_handle(lane: Any) -> None:
    """With what that scope's instance pushed, from the first event."""

    class Shouting(StreamTransformer):
        def init(self) -> dict[str, Any]:
            self.channel: StreamChannel[Any] = StreamChannel()
            return {"shouts": self.channel}

        def process(self, event: Any) -> bool:
            if event["method"] == "values":
                self.channel.push(str(event["params"]["data"]).upper())
            return True

    async with lane.open(lane.source(nest(2)), transformers=[Shouting]) as run:
        handle = await lane.next(lane.cursor(run.subgraphs))
        assert await lane.collect(handle.extensions["shouts"]) == ["BEFORE 1", "BOTTOM 2", "AFTER 1"]
        (inner,) = await lane.collect(handle.subgraphs)
        assert await lane.collect(inner.extensions["shouts"]) == ["BOTTOM 2"]


async def test_a_hook_that_fails_in_a_subgraph_fails_the_run(lane: Any) -> None:
    """With its own exception, which names the transformer."""

    class Broken(StreamTransformer):
        def init(self) -> dict[str, Any]:
            return {}

        def process(self, event: Any) -> bool:
            if self.scope and event["method"] == "values":
                raise LookupError("broken inside")
            return True

    async with lane.open(lane.source(nest(1)), transformers=[Broken]) as run:
        with pytest.raises(LookupError, match="broken inside") as caught:
            await lane.output(run)
        assert any("Broken" in note for note in caught.value.__notes__)
        assert run.status == "failed"


@ON_LOOPS
async def test_async_hooks_of_subgraphs_are_awaited(lane: Any) -> None:
    """In order, though they suspend; `afinalize` before the handle's end is seen."""
    notes: list[Any] = []

    class Waiting(StreamTransformer):
        def init(self) -> dict[str, Any]:
            return {}

        async def aprocess(self, event: Any) -> bool:
            await anyio.lowlevel.checkpoint()
            if event["method"] == "values" and self.scope == tuple(event["params"]["namespace"]):
                notes.append(event["params"]["data"])
            return True

        async def afinalize(self) -> None:
            for _ in range(3):
                await anyio.lowlevel.checkpoint()
            notes.append(("afinalize", self.scope))

    async with open_run(lane.source(nest(2)), transformers=[Waiting]) as run:
        handle = await anext(aiter(run.subgraphs))
        inner = await anext(aiter(handle.subgraphs))
        assert await inner.output() == "bottom 2"
        assert notes[-1] == ("afinalize", ("sub:1", "sub:2"))
        assert await handle.output() == "after 1"
        assert notes[-1] == ("afinalize", ("sub:1",))
        await run.output()
    assert notes == [
        "before 0",
        "before 1",
        "bottom 2",
        ("afinalize", ("sub:1", "sub:2")),
        "after 1",
        ("afinalize", ("sub:1",)),
        "after 0",
        ("afinalize", ()),
    ]


@ON_LOOPS
async def test_scheduled_work_of_a_subgraph_is_drained_before_its_handle_ends(lane: Any) -> None:
    """What it pushes late, and what it schedules itself, is in the handle's channels; its output comes after that."""
    ended: list[Any] = []

    class Scheduling(StreamTransformer):
        methods = ("values",)
        own_scope = True

        def init(self) -> dict[str, Any]:
            self.channel: StreamChannel[Any] = StreamChannel()
            return {"late": self.channel}

        def process(self, event: Any) -> bool:
            if self.scope:
                self.schedule(self.work(event["params"]["data"], 2))
            return True

        async def work(self, data: Any, again: int) -> None:
            for _ in range(5):
                await anyio.lowlevel.checkpoint()
            await self.channel.send((data, again))
            if again:
                self.schedule(self.work(data, again - 1))

        def finalize(self) -> None:
            ended.append(self.scope)

    script = [
        *subgraph("1", lambda ns: [parts.values("a", ns=ns), parts.values("b", ns=ns)]),
        *subgraph("2", lambda ns: [parts.values("c", ns=ns)]),
        parts.values("end"),
    ]
    async with open_run(lane.source(script), transformers=[Scheduling]) as run:
        handles = aiter(run.subgraphs)
        first = await anext(handles)
        assert await first.output() == "b"
        assert ended == [("sub:1",)]
        late = [item async for item in first.extensions["late"]]
        assert sorted(late) == sorted((data, n) for data in "ab" for n in range(3))
        second = await anext(handles)
        assert [item async for item in second.extensions["late"]] == [("c", 2), ("c", 1), ("c", 0)]
        assert await run.output() == "end"
        assert run.statistics().scheduled == 0


@ON_LOOPS
async def test_scheduled_work_of_an_aborted_subgraph_is_cancelled(lane: Any) -> None:
    """And has ended when `abort` returns; that of its sibling goes on."""
    notes: list[Any] = []

    class Sleeping(StreamTransformer):
        methods = ("values",)
        own_scope = True

        def init(self) -> dict[str, Any]:
            return {}

        def process(self, event: Any) -> bool:
            if self.scope:
                self.schedule(self.work())
            return True

        async def work(self) -> None:
            try:
                if self.scope == ("sub:1",):
                    await anyio.sleep_forever()
                await anyio.lowlevel.checkpoint()
            finally:
                notes.append(self.scope)

    script = [
        parts.task_start("a", "inner", ns=("sub:1",)),
        parts.values("one", ns=("sub:1",)),
        parts.task_start("b", "inner", ns=("sub:2",)),
        parts.values("two", ns=("sub:2",)),
        parts.task_result("2", "sub"),
        parts.task_result("1", "sub"),
        parts.values("end"),
    ]
    async with open_run(lane.source(script), transformers=[Sleeping]) as run:
        handles = aiter(run.subgraphs)
        first = await anext(handles)
        assert await anext(aiter(first.values)) == "one"
        await anyio.wait_all_tasks_blocked()
        await first.abort()
        assert notes == [("sub:1",)]
        second = await anext(handles)
        assert await second.output() == "two"
        assert notes == [("sub:1",), ("sub:2",)]
        assert await run.output() == "end"


async def test_registered_data_projections_are_on_handles(lane: Any) -> None:
    """`custom` at its own level only."""
    script = subgraph(
        "1",
        lambda ns: [
            parts.custom("outer", ns=ns),
            *subgraph("2", lambda inner: [parts.custom("inner", ns=inner)], ns=ns),
        ],
    )
    async with lane.open(lane.source(script), transformers=[CustomTransformer]) as run:
        handle = await lane.next(lane.cursor(run.subgraphs))
        assert await lane.collect(handle.custom) == ["outer"]
        (inner,) = await lane.collect(handle.subgraphs)
        assert await lane.collect(inner.custom) == ["inner"]


async def test_a_task_is_shown_once_at_its_own_level(lane: Any) -> None:
    """On a handle as on the run: each start and each result of its tasks, in order, and those of no other level."""
    async with lane.open(lane.source(nest(2)), transformers=[TasksTransformer]) as run:
        seen, cursor = [], lane.cursor(run.interleave("tasks", "subgraphs"))
        name, task = await lane.next(cursor)
        seen.append((name, said(task)))
        _, handle = await lane.next(cursor)
        assert [said(task) for task in await lane.collect(handle.tasks)] == [
            ("in 1", "start"),
            ("2", "start"),
            ("2", "result"),
            ("in 1", "result"),
        ]
        _, task = await lane.next(cursor)
        assert [*seen, ("tasks", said(task))] == [("tasks", ("1", "start")), ("tasks", ("1", "result"))]


async def test_a_transformer_gets_each_task_once(lane: Any) -> None:
    """However deep it is: each instance those of its level and of all below, whatever stands before and behind it."""
    notes: dict[tuple[str, ...], list[Any]] = {}

    class Early(StreamTransformer):
        before_builtins = True

        def init(self) -> dict[str, Any]:
            return {}

        def process(self, event: Any) -> bool:
            if event["method"] == "tasks":
                notes.setdefault((type(self).__name__, *self.scope), []).append(said(event["params"]["data"]))
            return True

    class Late(Early):
        before_builtins = False

    async with lane.open(lane.source(nest(2)), transformers=[Early, Late]) as run:
        assert await lane.output(run) == "after 0"
    for kind in ("Early", "Late"):
        inner = [("in 2", "start"), ("in 2", "result")]
        outer = [("in 1", "start"), ("2", "start"), *inner, ("2", "result"), ("in 1", "result")]
        assert notes[kind, "sub:1", "sub:2"] == inner
        assert notes[kind, "sub:1"] == outer
        assert notes[(kind,)] == [("1", "start"), *outer, ("1", "result")]


def said(task: Any) -> tuple[str, str]:
    """A task's id, and whether it starts or has a result."""
    return task["id"], "result" if "result" in task else "start"


class DeepTransformer(PayloadTransformer):
    """The custom data of its subgraph and of all below."""

    methods = frozenset({"custom"})
    own_scope = False

    def init(self) -> dict[str, Any]:
        self.deep: StreamChannel[Any] = StreamChannel()
        return {"deep": self.deep}

    def consume(self, data: Any) -> None:
        self.deep.push(data)

    def consumer(self) -> Any:
        return self.deep.sink()


async def test_a_sink_is_asked_for_again_when_its_reader_comes(lane: Any) -> None:
    """Also for events of subgraphs below that nobody has a handle of: their routes have the sink as well."""
    outer, inner = ("sub:1",), ("sub:1", "in:2")
    script = [
        parts.task_start("1", "sub"),
        parts.task_start("x", "n", ns=outer),
        parts.custom(0, ns=inner),
        parts.values(0, ns=outer),
        parts.custom(1, ns=inner),
        parts.values(1, ns=outer),
        parts.task_result("1", "sub"),
    ]
    async with lane.open(lane.source(script), transformers=[DeepTransformer]) as run:
        handle = await lane.next(lane.cursor(run.subgraphs))
        values = lane.cursor(handle.values)
        assert await lane.next(values) == 0
        assert await lane.collect(handle.extensions["deep"]) == [0, 1]
