"""Every dimension of growth is measured on what it says."""

from __future__ import annotations

from contextlib import aclosing
from typing import Any

import attrs
import pytest

from anyiostream import open_run, parts
from benchmarks.growth import DIMENSIONS, START, STOP, Dimension, between_marks, measure
from benchmarks.measuring import Options

SMALL = {"piece of a message that has N": (20, 50, 100), "snapshot N levels down": (1, 2, 3)}


@pytest.mark.parametrize("dimension", DIMENSIONS, ids=lambda dimension: dimension.name)
def test_a_dimension_is_read_completely(dimension: Dimension) -> None:
    """By each contender, at each size; `measure` raises otherwise."""
    sizes = SMALL.get(dimension.name, (dimension.sizes[0], 20, 40))
    growth = measure(attrs.evolve(dimension, sizes=sizes), Options(rounds=1, quick=True))
    assert set(growth.us) == set(growth.grown) == {"theirs", "asyncio", "trio"}
    assert set(growth.us["asyncio"]) == {sizes[0], sizes[1]}
    for name, us in growth.us.items():
        assert growth.grown[name].median == pytest.approx(us[sizes[1]].median / us[sizes[0]].median)


def test_a_reader_that_finds_less_is_found_out() -> None:
    """Its time is not reported."""
    dimension = DIMENSIONS[2]

    def short(size: int, units: int) -> Any:
        return attrs.evolve(dimension.make(size, units), items=units + 1)

    with pytest.raises(ValueError, match="items, not"):
        measure(attrs.evolve(dimension, make=short, sizes=(1, 2)), Options(rounds=1, quick=True))


@pytest.mark.anyio
async def test_only_what_is_between_the_marks_counts() -> None:
    """The clock is read at the marks."""

    async def items() -> Any:
        for item in (1, 2, START, 3, STOP, 4):
            yield item

    ticks = iter([10.0, 12.5])
    async with aclosing(items()) as source:
        taken = await between_marks(source, lambda: next(ticks))
    assert (taken.seconds, taken.items) == (2.5, 1)


@pytest.mark.parametrize("size", [3, 7])
def test_subgraphs_are_open_while_others_are_measured(size: int) -> None:
    """As many as the size says."""
    for dimension in DIMENSIONS[:3]:
        seen = []
        scene = dimension.make(size, 10)
        with open_run(scene.parts) as run:
            for event in run:
                if event["method"] == "custom" and event["params"]["data"] in (START, STOP):
                    seen.append(run.statistics().subgraphs)
        assert seen == [size, size]


def test_a_missing_mark_is_an_error() -> None:
    """A script without one measures nothing."""
    dimension = Dimension(
        "unmarked", (1,), 1.0, lambda size, units: attrs.evolve(DIMENSIONS[2].make(1, 1), parts=[parts.custom(1)])
    )
    with pytest.raises(ValueError, match="a mark is missing"):
        measure(dimension, Options(rounds=1, quick=True))
