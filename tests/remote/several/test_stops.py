"""Planned stops: a server leaves its runs at the end of their step, and whoever goes on repeats nothing."""

from __future__ import annotations

from typing import Any

import anyio
import pytest

from anyiostream.remote.refusals import Refusal
from anyiostream.remote.store import thread_key

from ...waiting import turns, until
from ..said import ends, restarts
from .deployment import Deployment, events_of, start, state

pytestmark = pytest.mark.anyio


class Member:
    """A server that can be stopped while others run."""

    def __init__(self, deployment: Deployment, **limits: Any) -> None:
        self.deployment = deployment
        self.limits = limits
        self.service: Any = None
        self.stopping = anyio.Event()
        self.stopped = anyio.Event()

    async def run(self, *, task_status: Any) -> None:
        async with self.deployment.member(**self.limits) as self.service:
            task_status.started()
            await self.stopping.wait()
        self.stopped.set()


async def test_a_run_is_handed_over_at_the_end_of_its_step(deployment: Deployment) -> None:
    """Nothing is done twice, and nobody who follows it notices."""
    deployment.shut.add("b")
    async with anyio.create_task_group() as tasks:
        one = Member(deployment, drain=60.0)
        await tasks.start(one.run)
        async with deployment.member() as other:
            run_id = await start(one.service, "steps", {"trail": ["x"]})
            queued = await start(one.service, "steps", {"trail": ["y"]})
            await until(lambda: "b" in deployment.waiting)
            one.service.close_streams()
            one.stopping.set()
            assert not list(other.runner.jobs)
            deployment.shut.clear()
            await one.stopped.wait()
            found = await state(other)
            assert found["values"]["trail"] == ["x", "a", "b", "c", "y", "a", "b", "c"]
            events = await events_of(other)
            assert ends(events) == [(event, run) for run in (run_id, queued) for event in ("running", "completed")]
            assert restarts(events) == []
            assert deployment.calls == list("abcabc")
            assert not [event for event in events if event["params"]["data"].get("event") == "interrupted"]


async def test_a_server_that_is_being_stopped_accepts_what_others_do(deployment: Deployment) -> None:
    """Clients keep connections to it for a while: their commands are done elsewhere. It opens no streams any more."""
    deployment.shut.add("b")
    async with anyio.create_task_group() as tasks:
        one = Member(deployment, drain=60.0)
        await tasks.start(one.run)
        run_id = await start(one.service, "steps", {"trail": ["x"]})
        await until(lambda: "b" in deployment.waiting)
        one.service.close_streams()
        queued = await start(one.service, "steps", {"trail": ["y"]})
        elsewhere = await start(one.service, "steps", {"trail": ["z"]}, "t2")
        with pytest.raises(Refusal, match="being stopped"):
            one.service.check_connection(await one.service.thread("t", ""))
        await turns()
        assert len(list(one.service.runner.jobs)) == 1
        async with deployment.member() as other:
            one.stopping.set()
            deployment.shut.clear()
            await one.stopped.wait()
            assert (await state(other, "t2"))["values"]["trail"] == ["z", "a", "b", "c"]
            assert (await state(other))["values"]["trail"] == ["x", "a", "b", "c", "y", "a", "b", "c"]
            assert ends(await events_of(other)) == [
                (end, run) for run in (run_id, queued) for end in ("running", "completed")
            ]
            assert ends(await events_of(other, "t2"))[-1] == ("completed", elsewhere)
        with pytest.raises(Refusal, match="being stopped"):
            await start(one.service, "steps", {"trail": []})


async def test_a_run_that_is_claimed_while_its_server_is_stopped_begins_elsewhere(deployment: Deployment) -> None:
    """Here it would only be interrupted, or a function that has just begun would fail."""
    async with anyio.create_task_group() as tasks:
        one = Member(deployment, drain=60.0)
        await tasks.start(one.run)
        store = one.service.store
        claiming, claim, answered, claimed = anyio.Event(), store.claim, anyio.Event(), anyio.Event()

        async def late(*args: Any, **options: Any) -> Any:
            claiming.set()
            await answered.wait()
            found = await claim(*args, **options)
            claimed.set()
            return found

        store.claim = late
        run_id = await start(one.service, "function", {"x": 1})
        await claiming.wait()
        one.service.close_streams()
        answered.set()
        await claimed.wait()
        while (await store.record(thread_key("", "t"))).holder:
            assert deployment.calls == []
        one.stopping.set()
        await one.stopped.wait()
        assert deployment.calls == []
        async with deployment.member() as other:
            await state(other)
            assert ends(await events_of(other)) == [("running", run_id), ("completed", run_id)]


async def test_a_step_that_takes_too_long_is_done_again(deployment: Deployment) -> None:
    """As after a crash, but that it is not counted; viewers are told."""
    deployment.shut.add("b")
    async with anyio.create_task_group() as tasks:
        one = Member(deployment)
        await tasks.start(one.run)
        async with deployment.member() as other:
            run_id = await start(one.service, "steps", {"trail": ["x"]})
            await until(lambda: "b" in deployment.waiting)
            one.stopping.set()
            await one.stopped.wait()
            deployment.shut.clear()
            await state(other)
            events = await events_of(other)
            assert ends(events) == [("running", run_id), ("completed", run_id)]
            assert len(restarts(events)) == 1
            assert deployment.calls == list("abbc")


async def test_a_function_has_its_time_too(deployment: Deployment) -> None:
    """It cannot go on elsewhere, so it is let end; one that does not has failed, and says why."""
    for drain, end in ((60.0, "completed"), (0.01, "failed")):
        deployment.shut.add("function")
        async with anyio.create_task_group() as tasks:
            one = Member(deployment, drain=drain)
            await tasks.start(one.run)
            run_id = await start(one.service, "function", {"x": 1}, end)
            await until(lambda: "function" in deployment.waiting)
            one.stopping.set()
            if end == "completed":
                deployment.shut.clear()
            await one.stopped.wait()
            deployment.waiting.clear()
        async with deployment.member() as other:
            await state(other, end)
            assert ends(await events_of(other, end))[-1] == (end, run_id)


async def test_servers_are_replaced_one_by_one(deployment: Deployment) -> None:
    """While runs are under way and waiting: each ends once, with everything done once."""
    async with anyio.create_task_group() as tasks:
        members = [Member(deployment, drain=60.0) for _ in range(2)]
        for member in members:
            await tasks.start(member.run)
        for n in range(6):
            await start(members[n % 2].service, "steps", {"trail": [str(n)]}, f"t{n % 3}")
        for n in range(2):
            members.append(Member(deployment, drain=60.0))
            await tasks.start(members[-1].run)
            members[n].stopping.set()
            await members[n].stopped.wait()
        last = members[-1].service
        for n in range(3):
            trail = (await state(last, f"t{n}"))["values"]["trail"]
            assert trail == [str(n), "a", "b", "c", str(n + 3), "a", "b", "c"]
            assert restarts(await events_of(last, f"t{n}")) == []
        assert len(deployment.calls) == 18
        for member in members:
            member.stopping.set()
