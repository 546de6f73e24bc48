"""Pauses between attempts grow to a bound, however often something fails."""

from __future__ import annotations

import itertools
from typing import Literal

import anyio
import pytest

from anyiostream.remote.backoff import Backoff

run_seeded = pytest.importorskip("anyiostream.testing").run_seeded

BACKOFF = Backoff(first=0.5, longest=30.0)


def test_pauses_double_up_to_the_longest() -> None:
    """Also where something has failed for months: numbers do not overflow."""
    pauses = [BACKOFF.pause(before) for before in range(8)]
    assert pauses == [0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0]
    assert BACKOFF.pause(10**9) == 30.0
    assert Backoff(first=0.5, longest=float("inf")).pause(10**9) == 0.5 * 2**64


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_attempts_are_made_until_one_succeeds(backend: Literal["asyncio", "trio"]) -> None:
    """After pauses that grow; each failure is told."""
    told: list[str] = []

    async def main() -> tuple[int, float]:
        attempts = itertools.count(1)

        async def attempt() -> int:
            number = next(attempts)
            if number < 5:
                raise OSError(number)
            return number

        begun = anyio.current_time()
        made = await BACKOFF.retry(attempt, lambda exc: told.append(str(exc)), on=(OSError,))
        return made, anyio.current_time() - begun

    made, took = run_seeded(main, backend=backend)
    assert (made, round(took, 6)) == (5, 7.5)
    assert told == ["1", "2", "3", "4"]


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_other_errors_are_raised(backend: Literal["asyncio", "trio"]) -> None:
    """At once."""

    async def attempt() -> None:
        raise LookupError

    told: list[Exception] = []

    async def main() -> None:
        await BACKOFF.retry(attempt, told.append, on=(OSError,))

    with pytest.raises(LookupError):
        run_seeded(main, backend=backend)
    assert told == []
