"""Any server takes commands for any thread, and shows any thread, wherever its runs are."""

from __future__ import annotations

from contextlib import aclosing
from typing import Any

import anyio
import pytest

from anyiostream.remote.refusals import Refusal
from anyiostream.remote.store import StoreFailed, thread_key

from ...waiting import PATIENCE, until
from ..said import ends, restarts
from .deployment import CALLER, Deployment, answer, events_of, follow, start, state

pytestmark = pytest.mark.anyio


async def test_a_run_is_seen_everywhere(deployment: Deployment) -> None:
    """Live and afterwards: the same events, at the same places, and the same state."""
    async with deployment.member() as one, deployment.member() as other:
        seen: dict[Any, list[Any]] = {one: [], other: []}

        async def view(service: Any) -> None:
            async with aclosing(follow(service)) as batches:
                async for events in batches:
                    seen[service] += events
                    if ends(events) and ends(events)[-1][0] == "completed":
                        return

        async with anyio.create_task_group() as tasks:
            for service in seen:
                tasks.start_soon(view, service)
            run_id = await start(one, "steps", {"trail": ["x"]})
        assert seen[one] == seen[other] == await events_of(one) == await events_of(other)
        assert ends(seen[one]) == [("running", run_id), ("completed", run_id)]
        assert await state(one) == await state(other)
        assert (await state(other))["values"] == {"trail": ["x", "a", "b", "c"]}


async def test_a_run_is_where_it_was_accepted_if_nobody_has_the_thread(deployment: Deployment) -> None:
    """One after the other, at whichever server; what follows is told of what was before."""
    async with deployment.member() as one, deployment.member() as other:
        runs = []
        for n, service in enumerate((one, other, one)):
            runs.append(await start(service, "steps", {"trail": [str(n)]}))
            await state(service)
        assert ends(await events_of(one)) == [(event, run) for run in runs for event in ("running", "completed")]
        assert restarts(await events_of(one)) == []


async def test_a_queue_is_fed_by_all(deployment: Deployment) -> None:
    """Commands for a thread that another server has: it is told, and runs them in order."""
    deployment.shut.add("a")
    async with deployment.member() as one, deployment.member() as other:
        runs = [await start(one, "steps", {"trail": ["0"]})]
        await until(lambda: "a" in deployment.waiting)
        for n, service in enumerate((other, one, other), 1):
            runs.append(await start(service, "steps", {"trail": [str(n)]}))
        deployment.shut.clear()
        found = await state(other)
        assert found["values"]["trail"] == [each for n in range(4) for each in (str(n), "a", "b", "c")]
        assert ends(await events_of(other)) == [(event, run) for run in runs for event in ("running", "completed")]


async def test_a_queue_is_as_long_for_all(deployment: Deployment) -> None:
    """The run that is under way does not wait: it counts at no server."""
    deployment.shut.add("a")
    async with deployment.member(queued=2) as one, deployment.member(queued=2) as other:
        await start(one, "steps", {"trail": ["0"]})
        await until(lambda: "a" in deployment.waiting)
        for n, service in enumerate((other, one)):
            await start(service, "steps", {"trail": [str(n)]})
        for service in (one, other):
            with pytest.raises(Refusal, match="2 runs are waiting"):
                await start(service, "steps", {"trail": ["late"]})
        deployment.shut.clear()
        await state(other)


async def test_a_question_is_answered_at_any_server_once(deployment: Deployment) -> None:
    """Two answers at two servers at the same time: one of them is taken."""
    async with deployment.member() as one, deployment.member() as other:
        await start(one, "ask", {"trail": []})
        assert (await state(other))["tasks"][0]["interrupts"]
        outcomes: list[Any] = []

        async def respond(service: Any, text: str) -> None:
            try:
                outcomes.append(await answer(service, text))
            except (Refusal, AssertionError) as exc:
                outcomes.append(exc)

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(respond, one, "A")
            tasks.start_soon(respond, other, "B")
        assert sum(isinstance(each, str) for each in outcomes) == 1
        await state(one)
        await answer(other, "C")
        found = (await state(one))["values"]["trail"]
        assert found in (["ask=AC", "end"], ["ask=BC", "end"])


async def test_a_repeated_command_is_one_at_any_server(deployment: Deployment) -> None:
    """Its answer was cut, and the client comes to another server with it."""
    async with deployment.member() as one, deployment.member() as other:
        first = await start(one, "question", "x", once="k")
        assert await start(other, "question", "x", once="k") == first
        await state(other)
        assert await start(other, "question", "x", once="k") == first
        assert len(ends(await events_of(other))) == 2


@pytest.mark.parametrize("wait", [False, True])
async def test_a_run_is_stopped_from_any_server(deployment: Deployment, *, wait: bool) -> None:
    """Whoever runs it is told; so is one whose turn has not come."""
    deployment.shut.add("b")
    async with deployment.member() as one, deployment.member() as other:
        runs = [await start(one, "steps", {"trail": []}) for _ in range(2)]
        await until(lambda: "b" in deployment.waiting)
        with pytest.raises(Refusal, match="no such run"):
            await other.cancel(CALLER, "t", "another", wait=wait)
        await other.cancel(CALLER, "t", runs[1], wait=False)
        told = await other.cancel(CALLER, "t", runs[0], wait=wait)
        assert told == ({"stopped": True, "running": []} if wait else {})
        await state(other)
        found = ends(await events_of(other))
        assert found == [("running", runs[0]), ("failed", runs[0]), ("failed", runs[1])]
        assert deployment.calls == ["a", "b"]


@pytest.mark.parametrize("wait", [False, True])
async def test_a_run_stops_after_its_step_by_any_server(deployment: Deployment, *, wait: bool) -> None:
    """Whoever runs it is told; so is one whose turn has not come, which takes no step. The thread goes on."""
    deployment.shut.add("b")
    async with deployment.member() as one, deployment.member() as other, anyio.create_task_group() as tasks:
        runs = [await start(one, "steps", {"trail": [each]}) for each in "xy"]
        await until(lambda: "b" in deployment.waiting)
        told = await other.cancel(CALLER, "t", runs[1], wait=False, drain=True)
        assert told == {}

        async def stop() -> None:
            told = await other.cancel(CALLER, "t", runs[0], wait=wait, drain=True)
            assert told == ({"stopped": True, "running": []} if wait else {})

        tasks.start_soon(stop)
        held: Any = one.runner.find_job(await one.thread("t", ""), runs[0])
        await until(lambda: held[1].drained)
        deployment.shut.clear()
        assert (await state(other))["values"]["trail"] == ["x", "a", "b"]
        found = ends(await events_of(other))
        assert found == [(event, run) for run in runs for event in ("running", "interrupted")]
        await start(other, "steps")
        assert (await state(other))["values"]["trail"] == ["x", "a", "b", "y", "a", "b", "c"]
        assert deployment.calls == list("ababc")


async def test_a_run_is_stopped_although_the_store_fails_when_its_server_hears_of_it(deployment: Deployment) -> None:
    """It looks again."""
    deployment.shut.add("b")
    store: Any = deployment.store()
    async with deployment.member(store) as one, deployment.member() as other:
        run_id = await start(one, "steps", {"trail": ["x"]})
        await until(lambda: "b" in deployment.waiting)
        look, failed = store.look, []

        async def fail_once(key: str) -> Any:
            if not failed:
                failed.append(key)
                raise StoreFailed("it is away")
            return await look(key)

        store.look = fail_once
        await other.cancel(CALLER, "t", run_id, wait=False)
        await until(lambda: not list(one.runner.jobs))
        assert ends(await events_of(other)) == [("running", run_id), ("failed", run_id)]


async def test_a_run_that_ends_while_it_is_looked_for_has_stopped(deployment: Deployment) -> None:
    """Its end is the last event: there is none after it to wait for."""
    deployment.shut.add("b")
    async with deployment.member() as one, deployment.member() as other:
        run_id = await start(one, "steps", {"trail": ["x"]})
        await until(lambda: "b" in deployment.waiting)
        look, seen = other.store.look, []

        async def slow(key: str) -> Any:
            found = await look(key)
            seen.append(found)
            if len(seen) > 1 and found is not None and found.inbox:
                deployment.shut.clear()
                await until(lambda: not list(one.runner.jobs))
            return found

        async def unheard(*_: Any, **__: Any) -> None:
            """It ends by itself."""

        other.store.look = slow  # type: ignore[method-assign]
        other.store.cancel = unheard  # type: ignore[method-assign]
        assert await other.cancel(CALLER, "t", run_id, wait=True) == {"stopped": True, "running": []}
        assert len(seen) > 1


@pytest.mark.parametrize("anyio_backend", ["trio"])
async def test_a_stop_from_elsewhere_is_not_over_before_the_run_is(deployment: Deployment) -> None:
    """Whoever waits for it is told how it is after the time that runs are given for that.

    On asyncio nothing can shield itself from how runs are stopped.
    """
    shield, entered = anyio.Event(), anyio.Event()

    async def stubborn(_: Any, writer: Any) -> Any:
        await writer.values({})
        with anyio.CancelScope(shield=True):
            entered.set()
            await shield.wait()

    assistants = deployment.assistants()
    deployment.assistants = lambda: {**assistants, "stubborn": stubborn}  # type: ignore[method-assign]
    async with deployment.member() as one, deployment.member(shutdown=0.2) as another:
        run_id = await start(one, "stubborn")
        await entered.wait()
        told = await another.cancel(CALLER, "t", run_id, wait=True)
        assert told == {"stopped": False, "running": []}
        shield.set()
        await state(another)


async def test_a_thread_that_is_not_lost_after_all_is_taken_up_again(deployment: Deployment) -> None:
    """News may be of a thread of that name that has been erased since."""
    deployment.shut.add("b")
    async with deployment.member() as one:
        run_id = await start(one, "steps", {"trail": ["x"]})
        await until(lambda: "b" in deployment.waiting)
        one.runner.claims.lose(thread_key("", "t"))
        await until(lambda: not list(one.runner.jobs))
        deployment.shut.clear()
        with anyio.fail_after(PATIENCE):
            assert (await state(one))["values"] == {"trail": ["x", "a", "b", "c"]}
        assert ends(await events_of(one)) == [("running", run_id), ("completed", run_id)]


async def test_a_watcher_is_told_of_an_end_once_by_whichever_server(deployment: Deployment) -> None:
    """What one server has told a client's watcher, the next server knows."""
    from anyiostream.remote.subscriptions import Selection, Subscription
    from anyiostream.remote.viewer import Viewer

    watcher = Subscription(Selection(frozenset({"lifecycle", "input"})))
    async with deployment.member() as one, deployment.member() as other:
        await start(one, "steps", {"trail": []})
        await state(one)
        viewer = Viewer(await one.thread("t", ""))
        await viewer.add("s", watcher)
        while await viewer.batch():
            pass
        shown = await other.thread("t", "")
        assert shown.replay(watcher).after == shown.log.last


async def test_a_question_of_a_function_goes_to_any_server(deployment: Deployment) -> None:
    """It is given the values before it as plain JSON."""
    async with deployment.member() as one, deployment.member() as other:
        await start(one, "question", "x")
        await state(other)
        await answer(other, "Ada")
        assert (await state(one))["values"] == {"answer": "Ada", "before": {"asked": "x"}}


async def test_what_is_more_than_one_server_runs_another_one_does(deployment: Deployment) -> None:
    """A server that has no room accepts a run all the same; beyond what waits already, it does not."""
    deployment.shut.add("a")
    async with deployment.member(runs=1) as one:
        await start(one, "steps", {"trail": []}, "t1")
        await until(lambda: "a" in deployment.waiting)
        second = await start(one, "steps", {"trail": []}, "t2")
        with pytest.raises(Refusal, match="too many runs"):
            await start(one, "steps", {"trail": []}, "t3")
        async with deployment.member(runs=1) as other:
            await until(lambda: deployment.calls == ["a", "a"])
            deployment.shut.clear()
            await state(other, "t2")
            assert ends(await events_of(one, "t2"))[-1] == ("completed", second)


async def test_another_server_shows_all_of_the_state(deployment: Deployment) -> None:
    """Of a run that is under way elsewhere, whose events are abridged; and it takes the answer."""
    large = "x" * 20_000
    async with deployment.member(event=2000) as one, deployment.member(event=2000) as other:
        deployment.shut.add("b")
        await start(one, "steps", {"trail": [large]})
        trail: list[str] = []
        with anyio.fail_after(PATIENCE):
            while len(trail) < 2:
                found = await other.known_thread("t", "")
                assert found is not None
                trail = (found.state()["values"] or {}).get("trail", [])
        assert trail == [large, "a"]
        assert any("abridged" in event["params"] for event in await events_of(other))
        assert all(len(str(event)) < 2000 for event in await events_of(other))
        deployment.shut.clear()
        assert (await state(other))["values"]["trail"] == [large, "a", "b", "c"]
        await start(one, "question", large, "q")
        assert (await state(other, "q"))["values"] == {"asked": large}
        await answer(other, "Ada", "q")
        assert (await state(one, "q"))["values"] == {"answer": "Ada", "before": {"asked": large}}
