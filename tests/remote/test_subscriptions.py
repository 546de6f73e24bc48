"""Which events a subscription takes, and which subscriptions are refused. The matching is the clients' own."""

from __future__ import annotations

import random
from typing import Any

import pytest
from langgraph_sdk.stream.subscription import matches_subscription

from anyiostream.remote.limits import Limits
from anyiostream.remote.refusals import Refusal
from anyiostream.remote.subscriptions import CHANNELS, parse_subscription
from anyiostream.wire.drafts import channel_of

LIMITS = Limits(namespaces=4, channels=12)


@pytest.mark.parametrize(
    ("method", "data", "channel"),
    [
        ("values", {}, "values"),
        ("input.requested", {}, "input"),
        ("custom", {"name": "x"}, "custom:x"),
        ("custom", {"name": ""}, "custom"),
        ("custom", {"name": 3}, "custom"),
        ("custom", {"payload": 1}, "custom"),
        ("custom", 3, "custom"),
    ],
)
def test_an_events_channel(method: str, data: Any, channel: str) -> None:
    """By its method; custom data that names itself has a channel of that name."""
    assert channel_of(method, data) == channel


@pytest.mark.parametrize(
    "params",
    [
        None,
        [],
        {},
        {"channels": []},
        {"channels": "values"},
        {"channels": ["nothing"]},
        {"channels": ["custom:"]},
        {"channels": [1]},
        {"channels": ["custom:" + "x" * 300]},
        {"channels": ["values"] * 13},
        {"channels": ["values"], "namespaces": "a"},
        {"channels": ["values"], "namespaces": ["a"]},
        {"channels": ["values"], "namespaces": [[1]]},
        {"channels": ["values"], "namespaces": [["a"]] * 5},
        {"channels": ["values"], "namespaces": [["a"] * 5]},
        {"channels": ["values"], "namespaces": [["a" * 300]]},
        {"channels": ["values"], "depth": -1},
        {"channels": ["values"], "depth": 1.5},
        {"channels": ["values"], "since": -1},
        {"channels": ["values"], "since": "3"},
        {"channels": ["values"], "since": True},
    ],
)
def test_a_subscription_that_is_none_is_refused(params: Any) -> None:
    """Without channels, with unknown ones, malformed, or too large."""
    with pytest.raises(Refusal) as caught:
        parse_subscription(params, LIMITS)
    assert (caught.value.code, caught.value.status) == ("invalid_argument", 400)


def test_no_namespaces_take_everything() -> None:
    """An empty list is as good as none, and depth is ignored then."""
    for params in ({"channels": ["values"], "depth": 0}, {"channels": ["values"], "namespaces": [], "depth": 0}):
        subscription = parse_subscription(params, LIMITS)
        assert subscription.selection.matches("values", ("a:1", "b:2", "c:3"))
        assert not subscription.selection.matches("tasks", ())


def test_matching_is_that_of_the_official_client() -> None:
    """For random filters and events, ours takes what the official client's filter takes."""
    draw = random.Random(1)
    segments = ["a", "a:1", "a:2", "b", "b:1", "ab", "a:1:x", ""]
    names = [*sorted(CHANNELS), "custom:x", "custom:y"]
    for _ in range(5000):
        params: dict[str, Any] = {"channels": draw.sample(names, 3)}
        if draw.random() < 0.8:
            params["namespaces"] = [draw.choices(segments, k=draw.randrange(4)) for _ in range(draw.randrange(4))]
        if draw.random() < 0.5:
            params["depth"] = draw.randrange(3)
        namespace = draw.choices(segments, k=draw.randrange(5))
        channel = draw.choice(names)
        method, data = ("custom", {"name": channel[7:]}) if channel.startswith("custom:") else (channel, {})
        method = "input.requested" if channel == "input" else method
        event: Any = {"method": method, "params": {"namespace": namespace, "data": data}}
        ours = parse_subscription(params, LIMITS).selection.matches(channel_of(method, data), tuple(namespace))
        assert ours == matches_subscription(event, params), (params, event)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("params", "watches"),
    [
        ({"channels": ["lifecycle", "input"]}, True),
        ({"channels": ["input", "lifecycle"]}, True),
        ({"channels": ["lifecycle", "input"], "since": 0}, False),
        ({"channels": ["lifecycle"]}, False),
        ({"channels": ["lifecycle", "input", "values"]}, False),
    ],
)
def test_a_watcher_is_known(params: Any, watches: bool) -> None:
    """By its two channels, and because it does not say where it was."""
    assert parse_subscription(params, LIMITS).is_watcher is watches
