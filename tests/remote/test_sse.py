"""The stream of a viewer, without a server round it."""

from __future__ import annotations

from typing import Any

import anyio
import pytest

from anyiostream.remote import Draft, Limits, MemoryLog
from anyiostream.remote.performing import perform
from anyiostream.remote.refusals import Refusal
from anyiostream.remote.service import Service
from anyiostream.remote.sse import EventStream, frame, resumed_from
from anyiostream.remote.subscriptions import Subscription
from anyiostream.remote.thread import Thread

pytestmark = pytest.mark.anyio


async def test_a_server_that_never_waits_does_not_keep_the_loop() -> None:
    """Some take whatever they are sent at once; that the viewer has left is noticed all the same."""
    limits = Limits(events=100_000, bytes=10**9)
    service = Service({}, authorize=None, limits=limits, log=MemoryLog, heartbeat=5)
    log = MemoryLog("t", limits)
    for n in range(20_000):
        await log.append(Draft("values", (), n, 0))
    thread = Thread("t", "", log, limits, perform)
    stream = await EventStream.open(service, thread, Subscription(frozenset({"values"})))
    sent = 0

    async def receive() -> Any:
        return {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        nonlocal sent
        sent += len(message.get("body", b""))

    with anyio.fail_after(10):
        await stream({}, receive, send)
    assert sent < 200_000
    assert thread.viewers == set()


def test_fields_of_an_event_have_no_ends_inside() -> None:
    """Whatever a name holds, it does not begin a line of its own."""
    assert (
        frame("a\r\nid: 1\nevent: b", b"{}", "1\n\ndata: x\0") == b"event: aid: 1event: b\ndata: {}\nid: 1data: x\n\n"
    )


@pytest.mark.parametrize("given", ["", "log", "log-", "log-x", "other-3", "log-\u0663", "-3"])
def test_a_place_in_another_log_is_a_gap(given: str) -> None:
    """Or in none: the viewer is not sent on from a place that only looks like its own."""
    with pytest.raises(Refusal) as caught:
        resumed_from(given, "log")
    assert caught.value.status == 410
    assert resumed_from("log-3", "log") == 3
