"""A connection's subscriptions, merged: for any of them, coming and going at any time, nothing is missed."""

from __future__ import annotations

from typing import Any

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from anyiostream.remote import Draft, Limits, MemoryLog
from anyiostream.remote.performing import perform
from anyiostream.remote.subscriptions import Selection, Subscription
from anyiostream.remote.thread import Thread
from anyiostream.remote.viewer import Viewer

pytestmark = pytest.mark.early

METHODS = ("values", "updates", "tasks")

selections = st.builds(
    Selection,
    channels=st.sets(st.sampled_from(METHODS), min_size=1).map(frozenset),
    namespaces=st.lists(st.sampled_from([(), ("a",), ("a:1",), ("b",)]), max_size=2).map(tuple),
    depth=st.none() | st.integers(0, 1),
)
subscriptions = st.builds(Subscription, selections)
drafts = st.builds(
    Draft,
    st.sampled_from(METHODS),
    st.sampled_from([(), ("a:1",), ("a:2",), ("a:1", "b:1"), ("b:1",)]),
    st.just(None),
    st.just(0),
)
steps = st.lists(
    st.tuples(st.just("append"), drafts)
    | st.tuples(st.just("add"), subscriptions)
    | st.tuples(st.just("remove"), st.integers(0, 3))
    | st.tuples(st.just("send"), st.none()),
    max_size=40,
)


@given(steps)
def test_every_subscription_gets_all_of_its_events(schedule: list[tuple[str, Any]]) -> None:
    """From its start to its end, in order within a batch; an event is sent once, and again only for a new one."""

    async def run() -> None:
        limits = Limits()
        log = MemoryLog("t", limits)
        viewer = Viewer(Thread("t", "", log, limits, perform))
        following: dict[str, tuple[Subscription, set[int]]] = {}
        sent: dict[int, int] = {}
        added = 0

        async def send_all() -> None:
            while viewer.cursor < log.last:
                batch = await viewer.batch()
                assert [entry.seq for entry in batch] == sorted({entry.seq for entry in batch})
                for entry in batch:
                    sent[entry.seq] = sent.get(entry.seq, 0) + 1
                    wanted = False
                    for subscription, seen in following.values():
                        if subscription.selection.matches(entry.channel, entry.namespace):
                            wanted = True
                            seen.add(entry.seq)
                    assert wanted

        for step, what in schedule:
            if step == "append":
                await log.append(what)
            elif step == "add":
                added += 1
                following[str(added)] = (what, set())
                await viewer.add(str(added), what)
            elif step == "remove":
                assert viewer.remove(str(what)) == (following.pop(str(what), None) is not None)
            else:
                await send_all()
        await send_all()
        entries = await log.read(0, 1000)
        for subscription, seen in following.values():
            assert seen == {
                each.seq for each in entries if subscription.selection.matches(each.channel, each.namespace)
            }
        assert all(times <= added for times in sent.values())

    anyio.run(run)
