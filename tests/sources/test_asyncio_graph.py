"""What surrounds a framework's own blocks and tasks."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress

import pytest

from anyiostream.sources.asyncio_graph import entered


@asynccontextmanager
async def untidy() -> AsyncGenerator[str]:
    """A block that raises something else than what leaves it."""
    try:
        yield "value"
    except BaseException:
        raise OSError("closed already") from None


def test_a_cancellation_stays_one() -> None:
    """And is the same object; what leaves the block otherwise is the framework's affair."""

    async def main() -> None:
        given = asyncio.CancelledError("the scope's")
        with pytest.raises(asyncio.CancelledError) as caught:
            async with entered(untidy()) as value:
                assert value == "value"
                raise given
        assert caught.value is given
        with pytest.raises(OSError, match="closed already"):
            async with entered(untidy()):
                raise ValueError

    asyncio.run(main())


class Held:
    """A framework's object that holds an async generator."""

    def __init__(self, events: AsyncGenerator[int]) -> None:
        self.events = events


async def passing(events: AsyncGenerator[int], closed: list[str]) -> AsyncGenerator[int]:
    """A generator that iterates another one, and does not close it."""
    try:
        async for event in events:
            yield event
    finally:
        closed.append("outer")


async def counting(closed: list[str]) -> AsyncGenerator[int]:
    """What it iterates."""
    try:
        for n in range(3):
            yield n
    finally:
        await asyncio.sleep(0)
        closed.append("inner")


@asynccontextmanager
async def holding(held: Held) -> AsyncGenerator[Held]:
    """A block that leaves the generators of its value open."""
    yield held


@pytest.mark.parametrize("fails", [False, True])
def test_generators_that_are_left_open_are_closed(fails: bool) -> None:
    """Where the block fails, from the outside in: whoever iterates another one leaves it open. Elsewhere none is."""

    async def main() -> None:
        closed: list[str] = []
        held = Held(passing(counting(closed), closed))
        with suppress(LookupError):
            async with entered(holding(held), Held) as value:
                assert await anext(value.events) == 0
                if fails:
                    raise LookupError
        assert closed == (["outer", "inner"] if fails else [])
        if not fails:
            assert await anext(held.events) == 1

    asyncio.run(main())
