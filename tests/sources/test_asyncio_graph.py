"""What surrounds a framework's own blocks and tasks."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

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
