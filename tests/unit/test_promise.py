"""Promises."""

from __future__ import annotations

from typing import Any

import pytest

from anyiostream import Promise
from anyiostream.errors import AlreadyBound, ChannelUnbound, PromiseUnresolved, WrongLane

from ..lanes import ASYNC_LANE, SYNC_LANE, Lane


@pytest.fixture(params=[SYNC_LANE, ASYNC_LANE], ids=str)
def lane(request: pytest.FixtureRequest) -> Lane:
    """Either lane."""
    lane: Lane = request.param
    return lane


@pytest.fixture
def promise(make_port: Any, lane: Lane) -> Promise[Any]:
    """A promise bound to a run on that lane."""
    promise: Promise[Any] = Promise()
    promise.bind(make_port(is_async=lane.is_async), "total")
    return promise


@pytest.fixture
def get(lane: Lane, drive: Any) -> Any:
    """Reads a settled promise on that lane."""

    def result(promise: Promise[Any]) -> Any:
        return drive(lane.settle(promise)).result

    return result


async def wait(promise: Promise[Any]) -> Any:
    """Await a promise."""
    return await promise


def test_a_resolved_promise_gives_its_value_again_and_again(promise: Promise[Any], get: Any) -> None:
    """Any number of readers get the value, without driving the run."""
    promise.resolve(7)
    assert promise.done
    assert [get(promise), get(promise)] == [7, 7]


def test_none_is_a_value(promise: Promise[Any], get: Any) -> None:
    """A promise resolved with `None` is resolved."""
    promise.resolve(None)
    assert promise.done
    assert get(promise) is None


def test_an_exception_may_be_a_value(promise: Promise[Any], get: Any) -> None:
    """A promise resolved with an exception object returns it."""
    error = ValueError("a value")
    promise.resolve(error)
    assert get(promise) is error


def test_a_rejected_promise_raises_the_very_error(promise: Promise[Any], get: Any) -> None:
    """Every reader gets the error object, with a traceback that does not grow."""
    error = ValueError("no")
    promise.reject(error)
    lengths = []
    for _ in range(3):
        with pytest.raises(ValueError, match="no") as caught:
            get(promise)
        assert caught.value is error
        lengths.append(len(caught.traceback))
    assert len(set(lengths)) == 1


def test_the_first_settlement_counts(promise: Promise[Any], get: Any) -> None:
    """Whatever comes after it is ignored: a transformer's value is not undone by the run's end."""
    promise.resolve(1)
    promise.resolve(2)
    promise.reject(ValueError("too late"))
    promise.fail(ValueError("too late"))
    promise.close()
    assert get(promise) == 1


def test_a_run_that_ends_well_without_it_leaves_it_unresolved(promise: Promise[Any], get: Any) -> None:
    """Waiting raises `PromiseUnresolved`, which names the promise."""
    promise.close()
    assert promise.done
    with pytest.raises(PromiseUnresolved, match="'total'"):
        get(promise)


def test_a_run_that_fails_rejects_it(promise: Promise[Any], get: Any) -> None:
    """Waiting raises what ended the run."""
    promise.fail(OSError("the run's"))
    with pytest.raises(OSError, match="the run's"):
        get(promise)


def test_an_unbound_promise_cannot_be_awaited(drive: Any) -> None:
    """A promise that no mux has registered raises a `TypeError` on both lanes."""
    promise: Promise[int] = Promise()
    for call in (promise.result, lambda: drive(wait(promise))):
        with pytest.raises(ChannelUnbound, match="has not been bound"):
            call()


def test_a_promise_joins_one_run(promise: Promise[Any], make_port: Any) -> None:
    """Binding twice raises."""
    with pytest.raises(AlreadyBound, match="already bound"):
        promise.bind(make_port(), "again")


def test_each_lane_has_its_way_to_wait(make_port: Any, drive: Any) -> None:
    """The other lane's way raises a `TypeError` that names the right one."""
    here: Promise[int] = Promise()
    there: Promise[int] = Promise()
    here.bind(make_port(), "here")
    there.bind(make_port(is_async=True), "there")
    with pytest.raises(WrongLane, match=r"promise\.result\(\)"):
        drive(wait(here))
    with pytest.raises(WrongLane, match="await promise"):
        there.result()


def test_waiting_on_the_sync_lane_drives_the_run(make_port: Any) -> None:
    """`result()` runs the graph until the promise is settled."""
    port = make_port()
    promise: Promise[int] = Promise()
    promise.bind(port, "total")
    port.on_drive = lambda: promise.resolve(5)
    assert promise.result() == 5
    assert promise.result() == 5
    assert len(port.driven) == 1


def test_a_run_that_cannot_go_on_leaves_it_unresolved(make_port: Any) -> None:
    """If driving the run brings no settlement, `result()` raises; it may still be settled later."""
    promise: Promise[int] = Promise()
    promise.bind(make_port(), "total")
    with pytest.raises(PromiseUnresolved):
        promise.result()
    promise.resolve(1)
    assert promise.result() == 1


def test_waiting_on_the_async_lane_suspends_until_it_is_settled(make_port: Any, drive: Any) -> None:
    """Several tasks may wait; each gets the value."""
    promise: Promise[int] = Promise()
    promise.bind(make_port(is_async=True), "total")
    waiting = [drive(wait(promise)) for _ in range(3)]
    assert not any(each.done for each in waiting)
    promise.resolve(5)
    assert [each.step().result for each in waiting] == [5, 5, 5]


def test_a_cancelled_waiter_takes_nothing_with_it(make_port: Any, drive: Any) -> None:
    """Cancelling one that waits leaves the promise and the others as they were."""
    promise: Promise[int] = Promise()
    promise.bind(make_port(is_async=True), "total")
    leaves, stays = drive(wait(promise)), drive(wait(promise))
    leaves.cancel()
    promise.resolve(5)
    assert stays.step().result == 5


def test_a_promise_is_shown_by_name_and_state(promise: Promise[Any]) -> None:
    """The repr names the promise and says whether it is settled."""
    assert "total" in repr(promise)
    assert "pending" in repr(promise)
    promise.resolve(1)
    assert "settled" in repr(promise)
