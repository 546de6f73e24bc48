"""`interleave`: several projections in the order of arrival. Theirs has it on the sync lane only."""

from __future__ import annotations

from typing import Any

import pytest

from anyiostream import parts

from .adapter import INTERLEAVING, Lab, Script, on

pytestmark = on(INTERLEAVING)

SCRIPT = [
    parts.values(1),
    parts.custom("a"),
    parts.custom("b"),
    parts.custom("c"),
    parts.values(2),
    parts.custom("d"),
]
"""Items of two projections in no regular order."""

ARRIVAL = [("values", 1), ("custom", "a"), ("custom", "b"), ("custom", "c"), ("values", 2), ("custom", "d")]


def opened(lab: Lab, script: Any = SCRIPT) -> Any:
    """A run with `custom`."""
    return lab.open(script, transformers=[lab.api.CustomTransformer])


async def test_arrival_order(lab: Lab) -> None:
    """(92) Items come in the order of their arrival, whatever the order of the names."""
    for names in (("values", "custom"), ("custom", "values")):
        async with opened(lab) as run:
            assert await lab.items(run.interleave(*names)) == ARRIVAL


async def test_one_projection(lab: Lab) -> None:
    """(93) One projection may be interleaved alone."""
    async with opened(lab) as run:
        assert await lab.items(run.interleave("values")) == [("values", 1), ("values", 2)]


async def test_empty_projection(lab: Lab) -> None:
    """(94) A projection that gets no item does not hold up the others."""
    async with opened(lab) as run:
        assert await lab.items(run.interleave("lifecycle", "values", "subgraphs", "custom")) == ARRIVAL


async def test_unknown_name(lab: Lab) -> None:
    """(95) An unknown name is a KeyError, and subscribes nothing."""
    async with opened(lab) as run:
        with pytest.raises(KeyError, match="valeus"):
            await lab.items(run.interleave("values", "valeus"))
        assert await lab.items(run.values) == [1, 2]


async def test_error_after_items(lab: Lab) -> None:
    """(96) The run's error is raised after everything that arrived before it."""
    error = LookupError("broken")
    async with opened(lab, Script(SCRIPT, error)) as run:
        assert await lab.outcome(run.interleave("values", "custom")) == (ARRIVAL, error)


async def test_failing_channel(lab: Lab) -> None:
    """(96) The error of one channel that its transformer fails is raised after its earlier items."""
    error = LookupError("broken")

    class Failing(lab.api.StreamTransformer):  # type: ignore[name-defined,misc]
        def init(self) -> dict[str, Any]:
            self.failing = lab.api.StreamChannel()
            return {"failing": self.failing}

        def process(self, event: Any) -> bool:
            if event["method"] == "values":
                self.failing.push(event["params"]["data"])
                if event["params"]["data"] == 2:
                    self.failing.fail(error)
            return True

    async with lab.open([parts.values(n) for n in (1, 2)], transformers=[Failing]) as run:
        assert await lab.outcome(run.interleave("failing")) == ([("failing", 1), ("failing", 2)], error)


async def test_subscribed_channel(lab: Lab) -> None:
    """(97) A channel that already has a subscriber is a RuntimeError."""
    async with opened(lab) as run:
        reader = lab.reader(run.values)
        with pytest.raises(RuntimeError, match="already has a subscriber"):
            await lab.items(run.interleave("custom", "values"))
        assert await reader.rest() == [1, 2]


async def test_released_after_failed_validation(lab: Lab) -> None:
    """(98) What was subscribed before the validation failed is free again."""
    async with opened(lab) as run:
        with pytest.raises(KeyError):
            await lab.items(run.interleave("values", "custom", "valeus"))
        assert await lab.items(run.interleave("values", "custom")) == ARRIVAL


async def test_released_after_early_close(lab: Lab) -> None:
    """(98) Leaving an interleaving releases its channels, which may be subscribed again."""
    async with opened(lab) as run:
        interleaving = lab.reader(run.interleave("values", "custom"))
        assert await interleaving.take(2) == ARRIVAL[:2]
        await interleaving.close()
        values, custom = lab.reader(run.values), lab.reader(run.extensions["custom"])
        assert await values.rest() == [2]
        assert await custom.rest() == ["b", "c", "d"]


async def test_released_at_the_end(lab: Lab) -> None:
    """(98) An interleaving that came to its end releases its channels."""
    mux = lab.mux(factories=[lab.api.ValuesTransformer])
    if lab.ours:
        async with opened(lab) as run:
            assert len(await lab.items(run.interleave("values", "custom"))) == len(ARRIVAL)
            assert [run.statistics().channels[name].readers for name in ("values", "custom")] == [0, 0]
            assert await lab.items(run.interleave("values", "custom")) == []
    else:
        run = lab.api.GraphRunStream(iter([]), mux)
        assert await lab.items(run.interleave("values")) == []
        assert await lab.items(run.values) == []


async def test_projection_that_is_no_channel(lab: Lab) -> None:
    """(95) A projection that is no channel is a TypeError."""

    class Constant(lab.api.StreamTransformer):  # type: ignore[name-defined,misc]
        def init(self) -> dict[str, Any]:
            return {"answer": 42}

        def process(self, event: Any) -> bool:
            return True

    async with lab.open(SCRIPT, transformers=[Constant]) as run:
        with pytest.raises(TypeError, match="'answer'"):
            await lab.items(run.interleave("values", "answer"))


async def test_items_of_one_event(lab: Lab) -> None:
    """(92) What one event makes several transformers push comes in the order of their pushes."""

    def pushing(key: str) -> type:
        class Pushing(lab.api.StreamTransformer):  # type: ignore[name-defined,misc]
            def init(self) -> dict[str, Any]:
                self.channel = lab.api.StreamChannel()
                return {key: self.channel}

            def process(self, event: Any) -> bool:
                self.channel.push(1)
                self.channel.push(2)
                return True

        return Pushing

    async with lab.open([parts.values(0)], transformers=[pushing("x"), pushing("y")]) as run:
        got = await lab.items(run.interleave("y", "values", "x"))
    assert got == [("values", 0), ("x", 1), ("x", 2), ("y", 1), ("y", 2)]
