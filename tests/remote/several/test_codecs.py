"""Servers that share a store with a codec, of which some do not have every key."""

from __future__ import annotations

import logging

import pytest

from anyiostream.remote import fleet
from anyiostream.remote.store import CodecFailed

from ...waiting import until
from ..said import ends
from ..store.codecs import Toy
from .deployment import Deployment, events_of, start, state

pytestmark = pytest.mark.anyio

OLD, NEW = b"old key", b"new key"


@pytest.mark.parametrize(("known", "reason"), [(OLD, "give it the key"), (None, "this server has no codec")])
async def test_a_server_without_the_key_leaves_threads_to_others(
    deployment: Deployment,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    known: bytes | None,
    reason: str,
) -> None:
    """It says so once, goes on with its own, and shows nothing wrong; a server that has the key goes on with them."""
    monkeypatch.setattr(fleet, "LOOK_ROUND", 0.001)
    deployment.shut.add("b")
    codec = Toy(OLD)
    async with deployment.member(deployment.store(codec=None if known is None else Toy(known))) as without:
        async with deployment.member(deployment.store(codec=codec)) as one:
            codec.keys = (NEW, OLD)
            run_id = await start(one, "steps", {"trail": ["x"]})
            await until(lambda: "b" in deployment.waiting)
        said = "a command of thread t is left to others"

        def count() -> int:
            return sum(each.getMessage().startswith(said) for each in caplog.records if each.levelno == logging.ERROR)

        await until(count)
        with pytest.raises(CodecFailed, match=reason):
            await events_of(without)
        deployment.shut.clear()
        await start(without, "steps", {"trail": ["y"]}, thread="own")
        assert (await state(without, "own"))["values"] == {"trail": ["y", "a", "b", "c"]}
        async with deployment.member(deployment.store(codec=Toy(NEW, OLD))) as other:
            assert (await state(other))["values"] == {"trail": ["x", "a", "b", "c"]}
            assert ends(await events_of(other))[-1] == ("completed", run_id)
            assert (await state(other, "own"))["values"]["trail"][0] == "y"
        assert count() == 1


async def test_each_server_measures_itself(deployment: Deployment) -> None:
    """Its appends, and how long it takes until it has read what is written."""
    one, other = deployment.store(), deployment.store()
    async with deployment.member(one) as service, deployment.member(other) as beside:
        await start(service, "steps", {"trail": ["x"]})
        await state(service)
        await state(beside)
        for store in (one, other):
            await until(lambda store=store: store.latencies["tail"].shown()["count"])
        assert one.latencies["append"].shown()["count"]
        assert not other.latencies["append"].shown()["count"]
        assert await service.unready() is None
