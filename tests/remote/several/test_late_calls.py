"""Calls that the network delivers a second time, late: a connection was given up, and its bytes come all the same."""

from __future__ import annotations

from uuid import uuid4

import anyio
import attrs
import pytest

from anyiostream.remote import Limits
from anyiostream.remote.service import Service
from anyiostream.remote.store import SharedStore, thread_key

from ...waiting import PATIENCE, until
from ..said import ends, restarts
from ..store.acting import offer
from .deployment import Deployment, events_of, start, state

pytestmark = pytest.mark.anyio


async def claim_late(store: SharedStore, server: Service) -> None:
    """A claim of the server's that it has given up, and made once more, some time ago."""
    assert server.runner.fleet is not None
    claim = await store.claim("", "t", holder=server.runner.fleet.holder, nonce=uuid4().hex)
    assert claim is not None


async def test_a_claim_that_comes_late_stops_a_run_for_a_moment(deployment: Deployment) -> None:
    """It fences the server's own run, which is the server's all the same: nobody else may have it."""
    deployment.shut.add("b")
    store = deployment.store()
    async with deployment.member(store) as one:
        run_id = await start(one, "steps", {"trail": ["x"]})
        await until(lambda: "b" in deployment.waiting)
        await claim_late(store, one)
        deployment.shut.clear()
        with anyio.fail_after(PATIENCE):
            assert (await state(one))["values"]["trail"] == ["x", "a", "b", "c"]
        events = await events_of(one)
        assert ends(events) == [("running", run_id), ("completed", run_id)]
        assert len(restarts(events)) == 1


async def test_a_claim_that_comes_late_hides_no_command(deployment: Deployment) -> None:
    """The store tells the server of it, which does not know that it has the thread."""
    store = deployment.store()
    async with deployment.member(store) as one, deployment.member(runs=1) as other:
        await start(one, "steps", {"trail": ["x"]})
        await state(one)
        await until(lambda: not list(one.runner.jobs))
        await claim_late(store, one)
        run_id = await start(other, "steps", {"trail": ["y"]})
        with anyio.fail_after(PATIENCE):
            assert (await state(other))["values"]["trail"][-4:] == ["y", "a", "b", "c"]
        assert ends(await events_of(other))[-1] == ("completed", run_id)


@pytest.mark.parametrize("once", [None, "k"])
async def test_a_command_that_comes_late_is_the_same(deployment: Deployment, once: str | None) -> None:
    """However long ago it was accepted. A client's command of the same name is another one by then."""
    now = 1_800_000_000_000_000
    store = deployment.store(clock=lambda: now)
    async with store.open(Limits()):
        given = attrs.evolve(offer("r1"), once=once)
        first = await store.accept(given, most=9, within=30)
        now += 31_000_000
        assert await store.accept(given, most=9, within=30) == attrs.evolve(first, repeated=once is not None)
        assert not (await store.accept(attrs.evolve(offer("r2"), once=once), most=9, within=30)).repeated
        found = await store.look(thread_key("ann", "t"))
        assert found is not None
        assert [each.run_id for each in found.inbox] == ["r1", "r2"]
