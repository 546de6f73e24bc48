"""One exception object reaches all readers of a run: what they share of it, and what they do not."""

from __future__ import annotations

import traceback
from typing import Any

import pytest

from anyiostream import parts

pytestmark = pytest.mark.anyio


async def test_readers_share_the_object_and_its_notes_only(lane: Any, script: Any) -> None:
    """What one of them makes of its traceback, cause and context is undone for the next."""
    broken = ValueError("broken")

    async def careless(run: Any) -> None:
        try:
            raise KeyError("something else")
        except KeyError:
            await lane.output(run)

    async with lane.open(lane.source(script(parts.values(1), broken))) as run:
        with pytest.raises(ValueError, match="broken"):
            await lane.output(run)
        with pytest.raises(ValueError, match="broken") as first:
            await careless(run)
        assert isinstance(first.value.__context__, KeyError)
        assert "careless" in "".join(traceback.format_tb(first.value.__traceback__))
        first.value.add_note("seen")
        first.value.__cause__ = LookupError("mine")

        with pytest.raises(ValueError, match="broken") as second:
            await lane.output(run)
    assert first.value is second.value is broken
    assert second.value.__notes__ == ["seen"]
    assert (second.value.__cause__, second.value.__context__) == (None, None)
    assert "careless" not in "".join(traceback.format_tb(second.value.__traceback__))


async def test_the_context_may_be_what_the_reader_was_handling_that_ran_the_graph(lane: Any, script: Any) -> None:
    """Python sets it as the error comes through that reader, and then it is the same for all."""
    handled = KeyError("something else")
    async with lane.open(lane.source(script(parts.values(1), ValueError("broken")))) as run:
        try:
            raise handled
        except KeyError:
            with pytest.raises(ValueError, match="broken"):
                await lane.output(run)
        with pytest.raises(ValueError, match="broken") as caught:
            await lane.output(run)
    assert caught.value.__context__ is handled
