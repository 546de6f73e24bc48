"""The stream of a viewer, without a server round it."""

from __future__ import annotations

from typing import Any

import pytest

from anyiostream.remote import Draft, Limits, MemoryStore
from anyiostream.remote.refusals import Refusal
from anyiostream.remote.service import Service
from anyiostream.remote.sse import EventStream, resumed_from
from anyiostream.remote.subscriptions import Selection, Subscription
from anyiostream.wire.sse import frame

pytestmark = pytest.mark.anyio


async def test_a_server_that_never_waits_does_not_keep_the_loop() -> None:
    """Some take whatever they are sent at once; that the viewer has left is noticed all the same."""
    limits = Limits(events=100_000, bytes=10**9)
    service = Service({}, authorize=None, limits=limits, store=MemoryStore(), heartbeat=5)
    thread = await service.thread("t", "")
    for n in range(20_000):
        await thread.log.append(Draft("values", (), n, 0))
    stream = await EventStream.open(service, thread, Subscription(Selection(frozenset({"values"}))))
    sent = 0

    async def receive() -> Any:
        return {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        nonlocal sent
        sent += len(message.get("body", b""))

    await stream({}, receive, send)
    assert sent < 200_000
    assert thread.viewers == set()


def test_fields_of_an_event_have_no_ends_inside() -> None:
    """Whatever a name holds, it does not begin a line of its own."""
    assert (
        frame("a\r\nid: 1\nevent: b", b"{}", "1\n\ndata: x\0") == b"event: aid: 1event: b\ndata: {}\nid: 1data: x\n\n"
    )


@pytest.mark.parametrize(
    ("given", "status"),
    [
        ("other-3", 410),
        ("other-log-3", 410),
        ("", 400),
        ("log", 400),
        ("log-", 400),
        ("log-x", 400),
        ("log-\u0663", 400),
        ("log-+3", 400),
        ("-3", 400),
        ("log-" + "9" * 5000, 400),
    ],
)
def test_a_place_in_another_log_is_a_gap(given: str, status: int) -> None:
    """And what is no place is malformed: nobody is sent on from one that only looks like its own."""
    with pytest.raises(Refusal) as caught:
        resumed_from(given, "log")
    assert caught.value.status == status
    assert resumed_from("log-3", "log") == 3
