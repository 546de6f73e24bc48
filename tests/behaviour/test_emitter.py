"""`StreamEmitter`: events that a transformer synthesises while it handles one."""

from __future__ import annotations

from typing import Any

import pytest

from anyiostream import (
    CustomTransformer,
    MalformedPart,
    StreamChannel,
    StreamEmitter,
    StreamTransformer,
    convert_to_protocol_event,
    open_run,
    parts,
)
from anyiostream.errors import EmitterMisused

pytestmark = pytest.mark.anyio


def emitting(on_data: Any, *, hook: str = "process", namespace: Any = ()) -> Any:
    """A transformer class that emits a custom event for each event with data in `on_data`, and records what it sees."""

    class Emitting(StreamTransformer):
        emitter: StreamEmitter

        def init(self) -> dict[str, Any]:
            self.seen = []
            return {"seen": self.seen, "emitting": self}

        def on_register(self, emitter: StreamEmitter) -> None:
            self.emitter = emitter

        def process(self, event: Any) -> bool:
            data = event["params"]["data"]
            self.seen.append(data)
            if hook == "process" and data in on_data:
                self.emit(data)
            return True

        def finalize(self) -> None:
            if hook == "finalize":
                self.emit("end")

        def emit(self, data: Any) -> None:
            self.emitter.push(namespace, convert_to_protocol_event(parts.custom(f"from {data}")))

    return Emitting


class Watching(StreamTransformer):
    """Records what it sees."""

    def init(self) -> dict[str, Any]:
        """The record."""
        self.watched: list[Any] = []
        return {"watched": self.watched}

    def process(self, event: Any) -> bool:
        """Record."""
        self.watched.append((event["params"]["namespace"], event["params"]["data"]))
        return True


async def test_an_emitted_event_passes_through_every_transformer(lane: Any, script: Any) -> None:
    """Its own emitter included; it enters the raw log before the event that is being handled."""
    source = script(parts.values(1), parts.values(2))
    transformers = [CustomTransformer, emitting({2}), Watching]
    async with lane.open(lane.source(source), transformers=transformers) as run:
        custom = lane.cursor(run.custom)
        events = await lane.collect(run)
        assert [(event["seq"], event["method"], event["params"]["data"]) for event in events] == [
            (1, "values", 1),
            (2, "custom", "from 2"),
            (3, "values", 2),
        ]
        assert await lane.collect(custom) == ["from 2"]
        assert run.extensions["seen"] == [1, 2, "from 2"]
        assert run.extensions["watched"] == [([], 1), ([], "from 2"), ([], 2)]


async def test_an_emitted_event_may_be_answered_by_another(lane: Any, script: Any) -> None:
    """Each enters the log before the event during whose handling it was emitted."""
    transformers = [emitting({1, "from 1", "from from 1"}), Watching]
    async with lane.open(lane.source(script(parts.values(1))), transformers=transformers) as run:
        await lane.output(run)
        assert [data for _, data in run.extensions["watched"]] == ["from from from 1", "from from 1", "from 1", 1]


async def test_an_emitted_event_has_the_namespace_it_is_given(lane: Any, script: Any) -> None:
    """Which replaces the event's own; the event being handled keeps its own."""
    source = script(parts.values(1, ns=("a:1",)))
    transformers = [emitting({1}, namespace=("b:2", "c:3")), Watching]
    async with lane.open(lane.source(source), transformers=transformers) as run:
        await lane.output(run)
        assert run.extensions["watched"] == [(["b:2", "c:3"], "from 1"), (["a:1"], 1)]


async def test_an_emitter_is_of_no_use_outside_process(lane: Any, script: Any) -> None:
    """In `finalize`, and in the application's own code."""
    async with lane.open(lane.source(script(parts.values(1))), transformers=[emitting((), hook="finalize")]) as run:
        with pytest.raises(EmitterMisused, match="Emitting") as caught:
            run.extensions["emitting"].emit("outside")
        assert isinstance(caught.value, RuntimeError)
        with pytest.raises(EmitterMisused):
            await lane.output(run)
        assert run.status == "failed"


async def test_an_emitter_checks_its_namespace(lane: Any, script: Any) -> None:
    """A string is none."""
    async with lane.open(lane.source(script(parts.values(1))), transformers=[emitting({1}, namespace="a:1")]) as run:
        with pytest.raises(MalformedPart):
            await lane.output(run)


async def test_an_emitter_works_beside_async_hooks(script: Any) -> None:
    """The order is the same."""

    class Async(Watching):
        def init(self) -> dict[str, Any]:
            self.watched = []
            return {"async_watched": self.watched}

        async def aprocess(self, event: Any) -> bool:
            return self.process(event)

    source = script(parts.values(1), parts.values(2))
    async with open_run(source.agen(), transformers=[emitting({2}), Watching, Async]) as run:
        await run.output()
        expected = [([], 1), ([], "from 2"), ([], 2)]
        assert run.extensions["watched"] == expected
        assert run.extensions["async_watched"] == expected


async def test_named_pushes_of_an_emitted_event_have_its_namespace(lane: Any, script: Any) -> None:
    """It is the event that caused them."""

    class Naming(StreamTransformer):
        def init(self) -> dict[str, Any]:
            self.channel: StreamChannel[Any] = StreamChannel("named")
            return {"named": self.channel}

        def process(self, event: Any) -> bool:
            self.channel.push(event["params"]["data"])
            return True

    transformers = [emitting({1}, namespace=("b:2",)), Naming]
    async with lane.open(lane.source(script(parts.values(1, ns=("a:1",)))), transformers=transformers) as run:
        events = await lane.collect(run)
    assert [(event["method"], event["params"]["namespace"], event["params"]["data"]) for event in events] == [
        ("custom:named", ["b:2"], "from 1"),
        ("custom", ["b:2"], "from 1"),
        ("custom:named", ["a:1"], 1),
        ("values", ["a:1"], 1),
    ]
