"""A server among others by itself: what it does when its lease runs out, whatever the store does."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import anyio
import attrs
import pytest

from anyiostream.remote import Limits
from anyiostream.remote.fleet import BEAT, Fleet
from anyiostream.remote.store import StoreFailed
from anyiostream.remote.store.redis import renewal
from anyiostream.remote.store.redis.renewal import SAFE, Renewal

from ...waiting import until


@attrs.define
class Silent:
    """A store that does not answer any more: whoever asks waits, also one that is cancelled.

    Attributes:
        lost: Whether the lease has run out.
        asked: How often it has been asked.
        left: Whether the membership has been left.
        answers: Set when it answers again.
    """

    lease: float = 0.01
    lost: bool = False
    asked: int = 0
    left: bool = False
    answers: anyio.Event = attrs.field(factory=anyio.Event)
    margin: float = 1.0

    @asynccontextmanager
    async def join(self, server: str) -> AsyncIterator[Silent]:
        """Leaving takes an answer, too."""
        try:
            yield self
        finally:
            await self.answer()
            self.left = True

    def beat(self) -> None:
        """Nothing is renewed."""

    async def answer(self) -> None:
        """Wait for it."""
        self.asked += 1
        with anyio.CancelScope(shield=True):
            await self.answers.wait()

    async def heard(self) -> Any:
        """Nothing, before it answers."""
        await self.answer()
        await anyio.sleep_forever()


class Server:
    """Notes what it has lost, and what the fleet said of itself then."""

    room = 1

    def __init__(self) -> None:
        self.lost: list[tuple[str | None, str, float]] = []
        self.fleet: Any = None

    def erased(self, key: str) -> None:
        """Nobody reads anything here."""

    def lose(self, key: str | None) -> None:
        self.lost.append((key, self.fleet.holder, self.fleet.margin))


@pytest.mark.anyio
async def test_runs_are_stopped_although_the_store_does_not_answer() -> None:
    """At once: until it has answered, or is given up, others may have them."""
    store, server = Silent(), Server()
    server.fleet = fleet = Fleet(store, Limits(), ())  # type: ignore[arg-type]
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(fleet.run, server)
        await until(lambda: store.asked)
        assert fleet.holder
        store.lost = True
        await until(lambda: server.lost)
        assert not store.left
        assert server.lost == [(None, "", 0.0)]
        tasks.cancel_scope.cancel()
        store.answers.set()
    assert store.left
    assert len(server.lost) == 1


def test_a_lease_is_given_up_before_it_has_run_out() -> None:
    """Also by a server that looks at the last moment; a tenth of it is left for stopping its runs."""
    assert SAFE + BEAT <= 0.9 + 1e-9


@attrs.define
class Clock:
    """A time that passes while somebody waits."""

    now: float = 0.0

    def monotonic(self) -> float:
        """s."""
        return self.now

    async def sleep(self, seconds: float) -> None:
        """Let it pass."""
        self.now += seconds


@pytest.mark.anyio
@pytest.mark.parametrize("takes", [3.0, 0.0])
async def test_a_renewal_that_fails_is_followed_by_the_next_one(monkeypatch: pytest.MonkeyPatch, takes: float) -> None:
    """Three in a lease, however long each takes: a store that is away for a third of it costs none."""
    clock, asked = Clock(), []
    monkeypatch.setattr(renewal, "time", clock)
    monkeypatch.setattr(renewal, "anyio", clock)

    class Script:
        async def call(self, *_: Any, patience: float) -> int:
            asked.append(clock.now)
            if len(asked) == 1:
                clock.now += takes
                raise StoreFailed("it is away")
            return len(asked) < 4

    kept = Renewal(None, Script(), "s", 9.0, 600.0)  # type: ignore[arg-type]
    kept._renewed = kept._beaten = 0.0  # noqa: SLF001 -- which the thread would say
    await kept._keep(None)  # type: ignore[arg-type]  # noqa: SLF001 -- what the thread does
    assert asked == [3.0, 6.0, 9.0, 12.0]
